"""Files that staff bring, and bodies anybody may send: each has a clear answer, nothing is half done, nothing is kept.

What goes the other way (exports, letters, keys) has its names of files and its cells checked at the end.
"""

import gzip
import html
import io
import logging
import re
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse

from emr import csv_lists, uploads
from emr.models import (
    AuditEvent,
    ClientRegistration,
    Connection,
    Enrolment,
    LookUp,
    Membership,
    Practice,
    Resource,
    SigningKey,
    User,
)
from headachemd.bodies import limited_bodies
from patients.exports import defused
from patients.models import Patient
from tests.conftest import signed_in
from tests.trust.rows import Rows

CANARY = "Zyxwcanary"
HEAD = b"account_no,family,given,birth_date,date,time\n"
NEW = f",{CANARY},Pat,1989-03-07,,\n".encode()

pytestmark = [pytest.mark.django_db]


@pytest.fixture(autouse=True)
def _published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emr.hints.publish", lambda *args: True)


@pytest.fixture(autouse=True)
def _nothing_is_told(caplog: pytest.LogCaptureFixture, db: None) -> Iterator[None]:
    """Whatever was brought, neither the log nor the audit trail repeats a word of it."""
    caplog.set_level(logging.INFO)
    yield
    told = caplog.text + " ".join(AuditEvent.objects.values_list("detail", flat=True))
    for word in (CANARY, "passwd", "alert(1)", "HYPERLINK"):
        assert word not in told


@pytest.fixture
def connection(practice_a: Practice) -> Connection:
    return connected(practice_a)


def connected(practice: Practice) -> Connection:
    registration, _ = ClientRegistration.objects.get_or_create(name="Backend app", client_id="ours")
    return Connection.objects.create(
        practice=practice, registration=registration, state=Connection.State.ACTIVE,
        base_url=f"https://fhir.example.org/fhir/r4/{practice.code}",
    )  # fmt: skip


def page_of(practice: Practice, name: str = "roster") -> str:
    return reverse(f"emr:{name}", args=[practice.pk])


def bring(client: Client, url: str, raw: bytes, name: str = "list.csv", kind: str = "text/csv") -> HttpResponse:
    answer = client.post(url, {"do": "preview", "list": SimpleUploadedFile(name, raw, kind)})
    assert answer.status_code == 200
    return answer


def told(answer: HttpResponse) -> str:
    return " ".join(html.unescape(answer.content.decode()).split())


def sent_back(answer: HttpResponse) -> dict[str, str]:
    """The form below a preview as a browser would send it: line ends of a field become CR LF (HTML, 4.10.21.4)."""
    found = re.findall('<input type="hidden" name="(text|seen)" value="([^"]+)"', answer.content.decode())
    fields = {name: re.sub("\r\n|\r|\n", "\r\n", html.unescape(value)) for name, value in found}
    assert set(fields) == {"text", "seen"}
    return fields | {"do": "apply"}


def nothing_done() -> bool:
    return not (Enrolment.objects.exists() or LookUp.objects.exists())


# --- files that are no list ---


def workbook() -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/worksheets/sheet1.xml", f"<row><c>{CANARY}</c></row>" * 50)
    return made.getvalue()


NO_LIST: dict[str, tuple[bytes, str]] = {
    "larger than the cap": (HEAD + b"x" * csv_lists.MOST_BYTES, "The file is larger than 1 MB."),
    "a million rows": (HEAD + b"1,\n" * 1_000_000, "The file is larger than 1 MB."),
    "hundreds of thousands of empty rows": (HEAD + b"\n" * 400_000, "more than 5000 rows"),
    "5001 rows": (HEAD + NEW * 5001, "more than 5000 rows"),
    "UTF-16 with a mark, little-endian": ((HEAD + NEW).decode().encode("utf-16"), "UTF-16"),
    "UTF-16 with a mark, big-endian": (b"\xfe\xff" + (HEAD + NEW).decode().encode("utf-16-be"), "UTF-16"),
    "UTF-16 without a mark": ((HEAD + NEW).decode().encode("utf-16-le"), "This is no text file"),
    "UTF-32": ((HEAD + NEW).decode().encode("utf-32"), "UTF-16"),
    "a NUL in a name": (HEAD + NEW.replace(b"Pat", b"P\x00t"), "This is no text file"),
    "bytes of no encoding we know": (HEAD + NEW.replace(b"Pat", b"P\x81\x9dt"), "The file's characters cannot be"),
    "a workbook called CSV": (workbook(), "This is no text file, perhaps a workbook."),
    "a compressed file": (gzip.compress(HEAD + NEW * 200, mtime=0), "Save the list as CSV"),
    "a quotation that never ends": (HEAD + b'"' + NEW * 3, "cannot be read as CSV"),
    "an endless cell": (HEAD + b'"' + b"x" * 200_000 + b'"', "cannot be read as CSV"),
    "text after a closing quotation": (HEAD + b'"a"b,c\n', "Line 2 cannot be read as CSV"),
    "the same column twice": (b"account_no," + HEAD + b"1," + NEW, "More than one column is taken for account_no."),
    "two spellings of one column": (HEAD.replace(b"date,time", b"MRN,time") + NEW, "taken for account_no"),
    "two hundred thousand columns": (b"," * 200_000 + b"\n", "more than 200 columns"),
    "no line of columns": (NEW, "The first line must name the columns"),
    "a web page": (b"<html><body><script>alert(1)</script></body></html>", "The first line must name the columns"),
    "nothing": (b"", "The submitted file is empty."),
    "a byte order mark alone": (b"\xef\xbb\xbf", "Choose a CSV file with at least one row."),
    "blanks alone": (b" \r\n\t\r\n", "Choose a CSV file with at least one row."),
    "columns and no row": (HEAD, "No row can be used; nothing was done."),
}  # fmt: skip


@pytest.mark.parametrize("where", ["roster", "schedule"])
@pytest.mark.parametrize(("raw", "sentence"), NO_LIST.values(), ids=NO_LIST.keys())
def test_a_file_that_is_no_list_is_told_so(
    connection: Connection, practice_a: Practice, bob: User, where: str, raw: bytes, sentence: str
) -> None:
    answer = bring(signed_in(bob), page_of(practice_a, where), raw)
    assert sentence in told(answer)
    assert "alert(1)" not in answer.content.decode()
    assert nothing_done()


@pytest.mark.parametrize(("raw", "sentence"), NO_LIST.values(), ids=NO_LIST.keys())
def test_the_command_reads_no_more_of_such_a_file(
    connection: Connection, practice_a: Practice, tmp_path: Any, raw: bytes, sentence: str
) -> None:
    path = tmp_path / "list.csv"
    path.write_bytes(raw)
    if sentence.startswith(("The submitted", "Choose a", "No row")):
        call_or_refuse(practice_a, str(path))
    else:
        with pytest.raises(CommandError) as refusal:
            call_command("enrol", practice_a.code, str(path), apply=True, stdout=io.StringIO(), stderr=io.StringIO())
        assert sentence in str(refusal.value)
        assert CANARY not in str(refusal.value)
    assert nothing_done()


def call_or_refuse(practice: Practice, path: str) -> None:
    try:
        call_command("enrol", practice.code, path, apply=True, stdout=io.StringIO(), stderr=io.StringIO())
    except CommandError as refusal:
        assert "columns" in str(refusal)  # noqa: PT017 - either is right for a list of nobody


# --- files that are odd, and lists ---

SPREADSHEETS: dict[str, bytes] = {
    "a byte order mark": b"\xef\xbb\xbf" + HEAD + NEW,
    "CR alone": (HEAD + NEW).replace(b"\n", b"\r"),
    "CR LF": (HEAD + NEW).replace(b"\n", b"\r\n"),
    "no end of the last line": (HEAD + NEW).rstrip(b"\n"),
    "semicolons": (HEAD + NEW).replace(b",", b";"),
    "tabs": (HEAD + NEW).replace(b",", b"\t"),
    "quoted cells": HEAD + b'"","' + CANARY.encode() + b'","Pat","1989-03-07","",""\n',
    "a line end in a cell": HEAD + b',"' + CANARY.encode() + b'\n","Pat",1989-03-07,,\n',
    "blanks that do not break": HEAD + f",\u00a0{CANARY}\u00a0,Pat,1989-03-07,,\n".encode(),
    "more cells than columns": HEAD + NEW.rstrip(b"\n") + b",,,,\n",
    "a column nobody asks for, twice": HEAD.rstrip(b"\n") + b",notes,notes\n" + NEW.rstrip(b"\n") + b",x,y\n",
    "blank rows between": HEAD + b"\n,,,,,\n" + NEW + b"\n\n",
}


@pytest.mark.parametrize("raw", SPREADSHEETS.values(), ids=SPREADSHEETS.keys())
def test_lists_of_spreadsheets_mean_the_same(
    connection: Connection, practice_a: Practice, bob: User, raw: bytes
) -> None:
    client, url = signed_in(bob), page_of(practice_a)
    shown = bring(client, url, raw)
    assert "0 patients would be enrolled, 1 looked up in the EMR" in told(shown)
    done = client.post(url, sent_back(shown), follow=True)
    assert "1 is being looked up" in told(done)
    assert LookUp.objects.get().sought == {"family": CANARY, "given": "Pat", "birthdate": "1989-03-07"}


def test_windows_letters_survive_the_way_through_the_preview(
    connection: Connection, practice_a: Practice, bob: User
) -> None:
    raw = HEAD + ",Müller–García,Zoë €,1989-03-07,,\n".encode("cp1252")
    client, url = signed_in(bob), page_of(practice_a)
    client.post(url, sent_back(bring(client, url, raw)))
    assert LookUp.objects.get().sought["family"] == "Müller–García"


UNPRINTED = "a name or number holds a character that is not printed"
CELLS: dict[str, tuple[str, str]] = {
    "name longer than any": (f",{'x' * 101},Pat,1989-03-07,,", "a name or number is longer than 100 characters"),
    "number longer than any": (f"{'9' * 101},,,,,", "a name or number is longer than 100 characters"),
    "text that runs the other way": (
        ",Smith\u202egnp.exe,Pat,1989-03-07,,",
        "a name or number holds a character that is not printed",
    ),
    "escape sequence of terminals": (
        ",Smith\x1b[31m,Pat,1989-03-07,,",
        "a name or number holds a character that is not printed",
    ),
    "birth date that is a formula": (',Smith,Pat,"=TODAY()",,', "the birth date is no date that can be"),
    "birth date with other digits": (",Smith,Pat,1989-03-0\u0667\u0667,,", "the birth date is no date that can be"),
    "birth date of a robot": (",Smith,Pat,99999-01-01,,", "the birth date is no date that can be"),
}


@pytest.mark.parametrize(("row", "reason"), CELLS.values(), ids=CELLS.keys())
def test_a_hostile_cell_costs_its_row(
    connection: Connection, practice_a: Practice, bob: User, row: str, reason: str
) -> None:
    shown = bring(signed_in(bob), page_of(practice_a), HEAD + f"{row}\n".encode() + NEW)
    assert f"Line 2: {reason}" in told(shown)
    assert "1 looked up in the EMR" in told(shown)
    assert nothing_done()


FORMULAS = ('=HYPERLINK("https://evil.example")', "+1+1", "-1+1", "@SUM(1)", "\t=1+1", "＝1+1")


@pytest.mark.parametrize("formula", FORMULAS)
def test_a_formula_comes_in_as_text_and_goes_out_defused(
    connection: Connection, practice_a: Practice, bob: User, formula: str
) -> None:
    cell = '"' + formula.replace('"', '""') + '"'
    client, url = signed_in(bob), page_of(practice_a)
    client.post(url, sent_back(bring(client, url, HEAD + f",{cell},Pat,1989-03-07,,\n".encode())))
    kept = LookUp.objects.get().sought["family"]
    assert kept == formula.strip()
    assert 'HYPERLINK("' not in client.get(url).content.decode()  # escaped, as all text is
    assert defused(kept).startswith("'")


def test_a_formula_is_no_fhir_id(connection: Connection, practice_a: Practice, bob: User) -> None:
    shown = bring(signed_in(bob), page_of(practice_a), b"fhir_id\n=cmd|'/c calc'!A1\n../../p1\np1?x=y\n")
    for line in (2, 3, 4):
        assert f"Line {line}: this is no FHIR id." in told(shown)


# --- what a browser says about a file ---

NAMES = {
    "a path": "../../../etc/passwd",
    "a path of Windows": "C:\\Windows\\passwd.csv",
    "a script": "<script>alert(1)</script>.csv",
    "a header": "passwd.csv\r\nSet-Cookie: session=evil",
    "very long": "passwd" * 150,
    "a double ending": "passwd.csv.exe",
    "a NUL": "passwd\x00.csv",
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_the_files_name_goes_nowhere(connection: Connection, practice_a: Practice, bob: User, name: str) -> None:
    body, kind = multipart(name, HEAD + NEW)
    answer = signed_in(bob).generic("POST", page_of(practice_a), body, kind)
    assert answer.status_code == 200
    assert "1 looked up in the EMR" in told(answer)
    page = answer.content.decode() + str(answer.headers) + str(answer.cookies)
    assert "passwd" not in page
    assert "alert(1)" not in page


def multipart(name: str, raw: bytes) -> tuple[bytes, str]:
    head = f'Content-Disposition: form-data; name="list"; filename="{name}"\r\nContent-Type: text/csv\r\n\r\n'.encode()
    do = b'--line\r\nContent-Disposition: form-data; name="do"\r\n\r\npreview\r\n'
    return do + b"--line\r\n" + head + raw + b"\r\n--line--\r\n", "multipart/form-data; boundary=line"


@pytest.mark.parametrize("kind", ["image/png", "text/html", "application/x-msdownload", "text/csv; charset=utf-16"])
def test_what_the_browser_says_the_file_is_changes_nothing(
    connection: Connection, practice_a: Practice, bob: User, kind: str
) -> None:
    shown = bring(signed_in(bob), page_of(practice_a), HEAD + NEW, kind=kind)
    assert "1 looked up in the EMR" in told(shown)
    assert "This is no text file" in told(bring(signed_in(bob), page_of(practice_a), workbook(), kind="text/csv"))


# --- previews ---


def test_a_preview_is_done_once(connection: Connection, practice_a: Practice, bob: User) -> None:
    client, url = signed_in(bob), page_of(practice_a)
    fields = sent_back(bring(client, url, HEAD + NEW))
    assert "1 is being looked up" in told(client.post(url, fields, follow=True))
    again = client.post(url, fields)
    assert "Nothing was done: what the list would do has changed" in told(again)
    assert "1 about people who are being looked up already" in told(again)
    assert LookUp.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_preview_submitted_many_times_at_once_is_done_once(
    connection: Connection, practice_a: Practice, bob: User
) -> None:
    client, url = signed_in(bob), page_of(practice_a)
    fields = sent_back(bring(client, url, HEAD + NEW))
    start, answers = threading.Barrier(6), []

    def submit() -> None:
        own = Client()
        own.cookies = client.cookies
        start.wait()
        try:
            answers.append(own.post(url, fields).status_code)
        finally:
            database.close()

    crew = [threading.Thread(target=submit) for _ in range(6)]
    for each in crew:
        each.start()
    for each in crew:
        each.join(60)
    assert sorted(answers) == [200] * 5 + [302]
    assert LookUp.objects.count() == 1


STRANGE_SEALS = ("another person's", "another practice's", "none", "forged", "of other rows", "half an hour old")


@pytest.mark.parametrize("whose", STRANGE_SEALS)
def test_only_what_this_person_was_just_shown_is_done(
    connection: Connection, practice_a: Practice, practice_b: Practice, alice: User, bob: User, whose: str
) -> None:
    connected(practice_b)
    Membership.objects.create(user=bob, practice=practice_b, role=Membership.Role.STAFF)
    url = page_of(practice_a)
    with time_machine.travel("2026-11-22 15:00+00:00", tick=False) as now:
        fields = sent_back(bring(signed_in(alice if whose == "another person's" else bob), url, HEAD + NEW))
        if whose == "another practice's":
            url = page_of(practice_b)
        elif whose == "none":
            del fields["seen"]
        elif whose == "forged":
            fields["seen"] = fields["seen"][:-1] + ("A" if fields["seen"][-1] != "A" else "B")
        elif whose == "of other rows":
            fields["text"] = fields["text"].replace("Pat", "Ann")
        elif whose == "half an hour old":
            now.shift(timedelta(seconds=uploads.SEAL_SECONDS + 1))
        answer = signed_in(bob).post(url, fields)
    assert "Nothing was done" in told(answer)
    assert nothing_done()


@pytest.mark.parametrize("where", ["roster", "schedule"])
def test_a_list_whose_meaning_changed_since_is_shown_again(
    connection: Connection, practice_a: Practice, bob: User, where: str
) -> None:
    raw = b"fhir_id,date,time\np1,2026-11-24,09:00\np2,2026-11-24,09:30\n"
    with time_machine.travel("2026-11-22 15:00+00:00", tick=False):
        client, url = signed_in(bob), page_of(practice_a, where)
        if where == "schedule":
            on_file(practice_a, connection, "p1", "p2")
        fields = sent_back(bring(client, url, raw))
        if where == "schedule":
            on_file(practice_a, connection, "p3")
            Enrolment.objects.filter(patient_fhir_id="p3").update(next_appointment_at="2026-11-24 15:00+00:00")
        else:
            Enrolment.objects.create(connection=connection, patient_fhir_id="p1", known_by="list")
        before = list(Enrolment.objects.order_by("pk").values())
        answer = client.post(url, fields)
    assert "Nothing was done" in told(answer)
    assert list(Enrolment.objects.order_by("pk").values()) == before


def on_file(practice: Practice, connection: Connection, *fhir_ids: str) -> None:
    rows = Rows(practice)
    for fhir_id in fhir_ids:
        body = f'{{"resourceType": "Patient", "id": "{fhir_id}"}}'
        given = {"resource_type": "Patient", "fhir_id": fhir_id, "patient_fhir_id": fhir_id, "body": body}
        rows.insert(Resource, given | {"connection_id": connection.pk, "entered_in_error": False})
        Enrolment.objects.create(connection=connection, patient_fhir_id=fhir_id, known_by="list")


def test_a_session_that_ended_meanwhile_does_nothing(connection: Connection, practice_a: Practice, bob: User) -> None:
    client, url = signed_in(bob), page_of(practice_a)
    fields = sent_back(bring(client, url, HEAD + NEW))
    client.logout()
    answer = client.post(url, fields)
    assert (answer.status_code, answer.headers["Location"].split("?")[0]) == (302, "/accounts/login/")
    assert CANARY not in answer.headers["Location"]
    assert nothing_done()


def test_an_idle_session_does_nothing(connection: Connection, practice_a: Practice, bob: User) -> None:
    with time_machine.travel("2026-11-22 15:00+00:00", tick=False) as now:
        client, url = signed_in(bob), page_of(practice_a)
        fields = sent_back(bring(client, url, HEAD + NEW))
        now.shift(timedelta(seconds=settings.SESSION_IDLE_SECONDS + 1))
        answer = client.post(url, fields)
    assert answer.headers["Location"].startswith("/accounts/login/")
    assert nothing_done()


def test_a_role_taken_away_meanwhile_does_nothing(connection: Connection, practice_a: Practice, bob: User) -> None:
    client, url = signed_in(bob), page_of(practice_a)
    fields = sent_back(bring(client, url, HEAD + NEW))
    Membership.objects.filter(user=bob).delete()
    bob.refresh_from_db()
    assert signed_in(bob).post(url, fields).status_code == 404
    assert nothing_done()


def test_a_form_without_its_token_does_nothing(connection: Connection, practice_a: Practice, bob: User) -> None:
    client, url = signed_in(bob, Client(enforce_csrf_checks=True)), page_of(practice_a)
    answer = client.post(url, {"do": "preview", "list": SimpleUploadedFile("list.csv", HEAD + NEW)})
    assert answer.status_code == 403
    assert "nothing was" in told(answer).lower()
    assert nothing_done()


def test_a_preview_is_kept_nowhere(connection: Connection, practice_a: Practice, bob: User) -> None:
    client = signed_in(bob)
    answer = bring(client, page_of(practice_a), HEAD + NEW)
    assert "no-store" in answer.headers["Cache-Control"]
    assert CANARY not in str(dict(client.session.items()))
    with database.cursor() as cursor:
        for table in database.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            assert CANARY not in str(cursor.fetchall()), table


# --- bodies ---


class Untouched:
    """A body that must not be read."""

    def read(self, *args: Any) -> bytes:
        raise AssertionError("the body was read")

    readline = __iter__ = read


@pytest.mark.parametrize(
    "kind", ["multipart/form-data; boundary=line", "application/x-www-form-urlencoded", "text/csv"]
)
@pytest.mark.parametrize("route", ["/accounts/login/", "/", "/no-such-page/", "/admin/login/"])
def test_a_body_too_long_is_refused_unread(route: str, kind: str) -> None:
    stated = {"CONTENT_LENGTH": str(settings.MOST_BODY_BYTES + 1), "wsgi.input": Untouched()}
    answer = Client().generic("POST", route, b"", kind, **stated)
    assert answer.status_code == 413
    assert "larger than 8 MB" in told(answer)
    assert "Content-Security-Policy" in answer.headers


@pytest.mark.parametrize("stated", ["", "0", "-1", "many", str(settings.MOST_BODY_BYTES)])
def test_a_body_within_the_bound_is_passed_on(stated: str) -> None:
    request = RequestFactory().post("/", CONTENT_LENGTH=stated)
    assert limited_bodies(lambda _: HttpResponse(status=204))(request).status_code == 204


def test_a_large_file_lies_in_memory_and_in_no_temporary_file(
    connection: Connection, practice_a: Practice, bob: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a temporary file was made")

    monkeypatch.setattr(tempfile, "NamedTemporaryFile", refused)
    answer = bring(signed_in(bob), page_of(practice_a), HEAD + NEW * 100_000)  # 4 MB, above Django's own 2.5
    assert "The file is larger than 1 MB." in told(answer)


BODIES: dict[str, tuple[bytes, str]] = {
    "more fields than any form has": (
        b"&".join(b"a=%d" % each for each in range(1001)), "application/x-www-form-urlencoded"
    ),
    "fields longer than any": (b"text=" + b"x" * 4_000_001, "application/x-www-form-urlencoded"),
    "a field of a file's form longer than any": (
        b'--line\r\nContent-Disposition: form-data; name="text"\r\n\r\n' + b"x" * 4_000_001 + b"\r\n--line--\r\n",
        "multipart/form-data; boundary=line",
    ),
    "two files": (
        b'--line\r\nContent-Disposition: form-data; name="list"; filename="a"\r\n\r\nx\r\n' * 2 + b"--line--\r\n",
        "multipart/form-data; boundary=line",
    ),
    "parts without a boundary": (HEAD + NEW, "multipart/form-data"),
    "a boundary that cannot be": (HEAD + NEW, "multipart/form-data; boundary=\xff"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "kind"), BODIES.values(), ids=BODIES.keys())
def test_a_body_that_is_more_than_a_form_is_told_so(
    connection: Connection, practice_a: Practice, bob: User, body: bytes, kind: str
) -> None:
    client = signed_in(bob)
    client.raise_request_exception = False
    answer = client.generic("POST", page_of(practice_a), body, kind)
    assert answer.status_code == 400
    assert "Nothing was changed." in told(answer)
    assert nothing_done()


@pytest.mark.parametrize("cut", [1, 60, 150, 210])
def test_a_body_that_breaks_off_does_nothing(connection: Connection, practice_a: Practice, bob: User, cut: int) -> None:
    body, kind = multipart("list.csv", HEAD + NEW)
    client = signed_in(bob)
    answer = client.generic("POST", page_of(practice_a), body[:cut], kind)
    assert answer.status_code in {200, 400}
    assert nothing_done()


def test_the_bounds_fit_together() -> None:
    """A list as large as may be comes back from its preview; one twice as large is told so by its own form."""
    assert settings.DATA_UPLOAD_MAX_MEMORY_SIZE >= 3 * csv_lists.MOST_BYTES + 500_000
    assert settings.MOST_BODY_BYTES >= 2 * csv_lists.MOST_BYTES + 500_000
    assert settings.FILE_UPLOAD_MAX_MEMORY_SIZE >= settings.MOST_BODY_BYTES
    assert settings.FILE_UPLOAD_HANDLERS == ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
    assert (settings.DATA_UPLOAD_MAX_NUMBER_FIELDS, settings.DATA_UPLOAD_MAX_NUMBER_FILES) == (1000, 1)


def test_the_largest_list_comes_back_from_its_preview(connection: Connection, practice_a: Practice, bob: User) -> None:
    """Letters of cp1252 that UTF-8 writes with three bytes."""
    row = b"\x80" * 194 + b",,,,,\n"
    raw = (HEAD + NEW + row * 4990)[: csv_lists.MOST_BYTES]
    client, url = signed_in(bob), page_of(practice_a)
    fields = sent_back(bring(client, url, raw))
    assert len(fields["text"].encode()) > 2_500_000
    answer = client.post(url, fields)
    assert answer.status_code == 200
    assert "rows cannot be used" in told(answer)


# --- what goes out ---


def test_names_of_files_that_go_out_are_made_of_ids(practice_a: Practice) -> None:
    """No name of a person or of a practice stands in one, and nothing a header could be broken with."""
    root = User.objects.create_superuser("root@example.org", "correct horse battery")
    rows = Rows(practice_a, CANARY)
    Practice.objects.filter(pk=practice_a.pk).update(name=f'"{CANARY}\r\nSet-Cookie: a=b')
    officer = User.objects.create_user("officer@example.org")
    Membership.objects.create(user=officer, practice=practice_a, role=Membership.Role.PRIVACY_OFFICER)
    clinician = User.objects.create_user("clinician@example.org")
    Membership.objects.create(user=clinician, practice=practice_a, role=Membership.Role.CLINICIAN)
    key = rows.of(SigningKey)
    patient = rows.of(Patient)
    asked = {
        "csv": signed_in(clinician).post(reverse("patients:exports", args=[patient.pk]), {"format": "csv"}),
        "json": signed_in(clinician).post(reverse("patients:exports", args=[patient.pk]), {"format": "fhir"}),
        "ndjson": signed_in(officer).post(reverse("emr:audit-export", args=[practice_a.pk])),
        "jwk": signed_in(root).get(reverse("admin:emr_signingkey_download", args=[key.pk, "public.jwk"])),
    }
    for suffix, answer in asked.items():
        assert answer.status_code == 200, suffix
        said = answer.headers["Content-Disposition"]
        assert re.fullmatch(rf'attachment; filename="[A-Za-z0-9._-]+\.{suffix}"', said), said
        assert CANARY not in said
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
