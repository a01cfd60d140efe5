"""The printed sheet: what stands on it, that nothing is cut or invented, and the PDF where it can be made."""

import contextlib
import re
import zlib
from datetime import date
from pathlib import Path

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from emr.models import AuditEvent, Practice, User
from patients import pdf, printing
from patients.models import Assessment, Patient
from tests.conftest import signed_in
from tests.pages import charts

needs_pdf = pytest.mark.skipif(not pdf.available(), reason="WeasyPrint or its libraries (Pango) are not installed")


def address(patient: Patient) -> str:
    return reverse("patients:print", args=[patient.pk])


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def unpacked(made: bytes) -> bytes:
    """A PDF file's streams without their compression, objects among them."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", made, re.S)
    found = [made]
    for stream in streams:
        with contextlib.suppress(zlib.error):
            found.append(zlib.decompress(stream))
    return b"\n".join(found)


def sheet_of(patient: Patient) -> printing.Sheet:
    return printing.sheet(patient, now=charts.NOW)


def figures(patient: Patient) -> dict[str, tuple[str, str]]:
    return {figure.label: (figure.value, figure.basis) for figure in sheet_of(patient).figures}


def test_numbers_stand_with_date_and_origin(practice_a: Practice, alice: User) -> None:
    person = charts.rich(practice_a)
    Assessment.objects.create(
        practice=practice_a, patient=person, date=date(2026, 11, 20), headache_days=11, migraine_days=7,
        origin="clinician", entered_by=alice,
    )  # fmt: skip
    found = figures(person)
    assert found["Headache diagnosis"][0] == "Chronic migraine without aura (G43.709)"
    value, basis = found["Headache days per month"]
    assert value == "11"
    assert basis.startswith("20-Nov-2026, clinic entry")
    assert found["Migraine days per month"] == ("7", "20-Nov-2026, clinic entry")
    assert found["MIDAS"][0] == "24"
    assert "14-Nov-2026" in found["MIDAS"][1]


def test_what_nobody_stated_is_not_zero(practice_a: Practice) -> None:
    person = charts.patient(practice_a)
    charts.enrol(person)
    found = figures(person)
    assert found["Headache diagnosis"][0] == "None on file"
    for label in ("Headache days per month", "Migraine days per month", "Days with acute medication", "MIDAS", "HIT-6"):
        assert found[label][0] == "Not stated"


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        pytest.param(("complete", ""), "Nothing on file: the EMR sent a complete, empty list.", id="nothing on file"),
        pytest.param(
            ("not-permitted", ""), "Not permitted: the EMR does not let this connection read it.", id="denied"
        ),
        pytest.param(("not-supported", ""), "Not supported here: the EMR does not offer it.", id="not offered"),
        pytest.param(("not-fetched", "timed out"), "Not fetched yet: timed out.", id="not fetched"),
        pytest.param(("complete", "1 unreadable"), "May be incomplete: 1 unreadable.", id="read in part"),
    ],
)
def test_absences_in_their_own_words(alice: User, practice_a: Practice, outcome: tuple[str, str], said: str) -> None:
    person = charts.patient(practice_a)
    charts.enrol(person, {"AllergyIntolerance": outcome, "Condition": outcome})
    page = text_of(signed_in(alice).get(address(person)).content.decode())
    assert page.count(said) >= 2


def test_no_known_allergies_is_a_statement(alice: User, practice_a: Practice) -> None:
    person = charts.patient(practice_a)
    charts.enrol(person)
    coding = {"system": "http://snomed.info/sct", "code": "716186003"}
    charts.add(person, [charts.allergy("No known allergies", group="no-known", detail={"codings": [coding]}, **coding)])
    assert sheet_of(person).banner.allergies == "No known allergies"
    assert (
        "allergies and intolerances: no known allergies"
        in text_of(signed_in(alice).get(address(person)).content.decode()).lower()
    )


def test_allergies_are_never_cut(practice_a: Practice) -> None:
    person = charts.patient(practice_a)
    charts.add(person, [charts.allergy(f"Substance {number}") for number in range(60)])
    assert len(sheet_of(person).allergies.rows) == 60


def test_long_tables_tell_what_they_leave_out(practice_a: Practice) -> None:
    person = charts.patient(practice_a)
    rows = [
        charts.diagnosis(f"Migraine {number}", "2024-01-02", code=f"G43.{number:03}", about_headache=True,
                         group="migraine/unspecified", detail={"words": "Migraine"})
        for number in range(printing.DIAGNOSES + 3)
    ]  # fmt: skip
    charts.add(person, rows)
    diagnoses = sheet_of(person).diagnoses
    assert (len(diagnoses.rows), diagnoses.more) == (printing.DIAGNOSES, 3)


def test_page_carries_practice_patient_and_freshness_in_its_running_head(alice: User, practice_a: Practice) -> None:
    person = charts.rich(practice_a)
    page = signed_in(alice).get(address(person)).content.decode()
    head = text_of(page[page.index('class="running"') : page.index('class="body"')])
    for said in (
        "Alder Headache Clinic", "GARCIA LOPEZ, María (Dr)", "07-Mar-1989", "9150", "Known allergies",
        "As of 21-Nov-2026 22:10", "Not included: DiagnosticReport (not fetched: timed out)",
        "DocumentReference (not permitted)", "Procedure (not supported here)",
    ):  # fmt: skip
        assert said in head
    for never in ("None<", ">None<", "1899", "http://", "https://", " style="):
        assert never not in page


@pytest.mark.parametrize(("asked", "paper"), [("", "letter"), ("a4", "a4"), ("letter", "letter"), ("<b>", "letter")])
def test_paper_is_chosen_by_address(alice: User, practice_a: Practice, asked: str, paper: str) -> None:
    page = signed_in(alice).get(address(charts.patient(practice_a)), {"paper": asked}).content.decode()
    assert f'<body class="{paper}">' in page


def test_printing_is_audited_and_nobody_elses(alice: User, charlie: User, practice_a: Practice) -> None:
    person = charts.patient(practice_a)
    signed_in(alice).get(address(person), {"paper": "a4"})
    assert signed_in(charlie).get(address(person)).status_code == 404
    assert signed_in(charlie).get(address(person), {"as": "pdf"}).status_code == 404
    event = AuditEvent.objects.get(action="print")
    assert (event.user, event.practice, event.patient_id, event.detail) == (
        alice,
        practice_a,
        person.pk,
        "print view, a4",
    )


def test_hostile_text_stays_text(alice: User, practice_a: Practice) -> None:
    payload = '<img src="https://evil.example/x" onerror=alert(1)>'
    person = charts.patient(practice_a, family=payload)
    charts.enrol(person, {"Condition": ("not-fetched", payload)})
    charts.add(
        person,
        [
            charts.allergy(payload, detail={"reactions": [payload]}),
            charts.diagnosis(payload, "2024", about_headache=True, group="migraine/chronic", code=payload[:60]),
            charts.order(payload, "2024-01-02", "preventive", payload, payload, payload),
        ],
    )
    page = signed_in(alice).get(address(person)).content.decode()
    assert "<img" not in page.lower()
    assert "&lt;img" in page.lower()


def test_queries_do_not_grow_with_the_chart(practice_a: Practice) -> None:
    counts = []
    for person in (charts.patient(practice_a, "small"), charts.rich(practice_a)):
        with CaptureQueriesContext(connection) as queries:
            sheet_of(person)
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 6


@needs_pdf
def test_pdf_is_one_page_without_a_name_in_its_file_name(alice: User, practice_a: Practice) -> None:
    person = charts.rich(practice_a)
    for paper, box in (("letter", (612, 792)), ("a4", (595, 841))):
        answer = signed_in(alice).get(address(person), {"as": "pdf", "paper": paper})
        assert answer.headers["Content-Type"] == "application/pdf"
        assert answer.headers["Cache-Control"] == "no-store"
        assert re.fullmatch(
            r'inline; filename="headache-history-[0-9a-f]{8}-\d{4}-\d\d-\d\d\.pdf"',
            answer.headers["Content-Disposition"],
        )
        objects = unpacked(answer.content)
        assert len(re.findall(rb"/Type\s*/Page\b", objects)) == 1
        found = re.search(rb"/MediaBox\s*\[\s*0 0 ([\d.]+) ([\d.]+)", objects)
        assert found
        assert (int(float(found[1])), int(float(found[2]))) == box
    assert list(AuditEvent.objects.filter(action="print").order_by("at").values_list("detail", flat=True)) == [
        "PDF, letter", "PDF, a4",
    ]  # fmt: skip


@needs_pdf
def test_pdf_fetches_nothing(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """Neither from the network (pytest-socket would refuse that too) nor from disk."""
    picture = tmp_path / "dot.svg"
    picture.write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'
    )
    places = (picture.as_uri(), "http://127.0.0.1:9/x.png", "data:image/svg+xml,<svg/>")
    made = pdf.rendered("<p>A</p>" + "".join(f'<img src="{place}">' for place in places))
    assert made.startswith(b"%PDF")
    refused = [record.getMessage() for record in caplog.records if "Failed to load image" in record.getMessage()]
    assert len(refused) == len(places)


def test_without_its_libraries_the_page_says_so(
    alice: User, practice_a: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pdf, "_weasyprint", lambda: None)
    answer = signed_in(alice).get(address(charts.patient(practice_a)), {"as": "pdf"})
    assert answer.headers["Content-Type"].startswith("text/html")
    assert "cannot make PDF files" in answer.content.decode()
    with pytest.raises(RuntimeError, match="extra: pdf"):
        pdf.rendered("<p>")
