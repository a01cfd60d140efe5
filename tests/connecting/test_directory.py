"""The practice directory: streamed, joined, kept; what is broken is said and what came before it is kept."""

import io
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from emr import directory, profiles
from emr.models import DirectoryEntry
from tests.connecting.bundles import bundle, code, endpoint, organization

pytestmark = pytest.mark.django_db

ECW = profiles.get("ecw")


def load(text: bytes) -> directory.Imported:
    return directory.import_file(io.BytesIO(text), ECW)


def only() -> tuple[str, str, str, str, str, str]:
    entry = DirectoryEntry.objects.get()
    return entry.name, entry.city, entry.state, entry.code, entry.base_url, entry.portal


WHOLE = (
    "Practice 00001",
    "City 1",
    "OR",
    "AAAAAB",
    "https://fhir4.eclinicalworks.com/fhir/r4/AAAAAB",
    "eClinicalWorks",
)
BARE = organization(1)
del BARE["endpoint"]
SHAPES = [
    ("organization first", [organization(1), endpoint(1)], WHOLE),
    ("endpoint first", [endpoint(1), organization(1)], WHOLE),
    ("only the organization refers", [organization(1), endpoint(1, managingOrganization=None)], WHOLE),
    ("only the endpoint refers", [endpoint(1), BARE], WHOLE),
    ("absolute references",
     [endpoint(1, managingOrganization={"reference": "https://x/Organization/org-1"}), BARE], WHOLE),
    ("the endpoint inside its organization",
     [organization(1, contained=[endpoint(1, id="1", managingOrganization=None)], endpoint=[{"reference": "#1"}])],
     WHOLE),
    ("a trailing slash", [organization(1), endpoint(1, address=WHOLE[4] + "/")], WHOLE),
    ("blanks in the name", [organization(1, name="  Practice \n 00001 "), endpoint(1)], WHOLE),
    ("an endpoint without organization", [endpoint(1, name="Own name", managingOrganization=None)],
     ("Own name", "", "", *WHOLE[3:])),
    ("an organization without address", [organization(1, address=None), endpoint(1)],
     ("Practice 00001", "", "", *WHOLE[3:])),
    ("an address that is no list", [organization(1, address="Salem"), endpoint(1)],
     ("Practice 00001", "", "", *WHOLE[3:])),
    ("the patients' portal", [organization(1), endpoint(1, address="https://fhir4.healow.com/fhir/r4/AAAAAB")],
     (*WHOLE[:4], "https://fhir4.healow.com/fhir/r4/AAAAAB", "healow")),
    ("a host nobody knows", [organization(1), endpoint(1, address="https://x.example/fhir/r4/AAAAAB")],
     (*WHOLE[:4], "https://x.example/fhir/r4/AAAAAB", "")),
]  # fmt: skip


@pytest.mark.parametrize(("resources", "wanted"), [row[1:] for row in SHAPES], ids=[row[0] for row in SHAPES])
def test_directory_joins_organizations_and_endpoints(resources: list[Any], wanted: tuple[str, ...]) -> None:
    assert load(bundle(*resources)).listed == 1
    assert only() == wanted


LEFT_OUT = [
    ("an address without a practice code", endpoint(2, address="https://fhir4.healow.com/fhir/r4"), "not a practice"),
    ("plain http", endpoint(2, address="http://fhir4.healow.com/fhir/r4/AAAAAC"), "not a practice"),
    ("no address", endpoint(2, address=None), "usable address"),
    ("a script for an address", endpoint(2, address="javascript:alert(1)"), "usable address"),
    ("no name anywhere", endpoint(2, managingOrganization=None), "without a name"),
    ("no resource", None, "without a resource"),
    ("a list for a resource", [], "without a resource"),
    ("the same address twice", endpoint(1, id="again"), "twice"),
]


@pytest.mark.parametrize(("odd", "told"), [row[1:] for row in LEFT_OUT], ids=[row[0] for row in LEFT_OUT])
def test_directory_leaves_out_what_is_unusable_and_counts_it(odd: Any, told: str) -> None:
    found = load(bundle(organization(1), endpoint(1), odd))
    assert found.listed == 1
    assert [count for reason, count in found.unusable.items() if told in reason] == [1]


def test_directory_imported_again_changes_nothing_but_the_date() -> None:
    text = bundle(*(make(number) for number in range(1200) for make in (organization, endpoint)))
    first = load(text)
    assert (first.new, first.changed, first.same) == (1200, 0, 0)
    before = {row.pk: row.seen_at for row in DirectoryEntry.objects.all()}
    again = load(text)
    assert (again.new, again.changed, again.same) == (0, 0, 1200)
    after = {row.pk: row.seen_at for row in DirectoryEntry.objects.all()}
    assert before.keys() == after.keys()
    assert all(after[pk] > before[pk] for pk in before)


def test_directory_follows_a_renamed_practice_and_keeps_one_that_is_gone() -> None:
    load(bundle(*(make(number) for number in (1, 2) for make in (organization, endpoint))))
    found = load(bundle(organization(1, name="Renamed"), endpoint(1)))
    assert (found.new, found.changed, found.same) == (0, 1, 0)
    assert dict(DirectoryEntry.objects.values_list("code", "name")) == {
        code(1): "Renamed", code(2): "Practice 00002",
    }  # fmt: skip


GOOD = bundle(organization(1), endpoint(1))
BROKEN = [
    ("nothing", b"", "a JSON object"),
    ("a web page", b"<!doctype html><html>", "a JSON object"),
    ("a list", b"[]", "a JSON object"),
    ("JSON that is no Bundle", b'{"a": 1}', "no list of entries"),
    ("an empty Bundle", b'{"resourceType": "Bundle", "entry": []}', "it is empty"),
    ("broken off in a resource", GOOD[:-200], "broken off"),
    ("broken off between entries", GOOD[: GOOD.index(b'"urn:1"') - 30] , ""),
    ("not UTF-8", GOOD.replace(b"Main", b"M\xffin"), "UTF-8"),
    ("an entry that never ends", b'{"entry": [{"a": "' + b"x" * (3 * 1024 * 1024), "too large"),
    ("brackets a hundred thousand deep", b'{"entry": [' + b"[" * 100_000, "not JSON"),
    ("entries without a comma", b'{"entry": [{} {}]}', "a comma or ]"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "told"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN])
def test_directory_says_where_a_file_is_broken(text: bytes, told: str) -> None:
    with pytest.raises(directory.BadDirectory) as refused:
        load(text)
    assert told in str(refused.value)


def test_directory_keeps_what_came_before_the_break() -> None:
    text = bundle(*(make(number) for number in range(40) for make in (organization, endpoint)))
    with pytest.raises(directory.BadDirectory):
        load(text[: len(text) // 2])
    assert 15 <= DirectoryEntry.objects.count() <= 20


@pytest.mark.parametrize("size", [1, 7, 1000], ids=lambda size: f"{size} bytes a read")
def test_directory_reads_across_any_border_of_its_chunks(size: int) -> None:
    class Drip(io.BytesIO):
        def read(self, wanted: int | None = -1) -> bytes:
            return super().read(size)

    name = "Clínica “Ñandú” 头痛 12"
    text = json.dumps({"total": 12.5, "entry": [{"resource": organization(1, name=name)}, {"resource": endpoint(1)}]},
                      ensure_ascii=False).encode()  # fmt: skip
    directory.import_file(Drip(text), ECW)
    assert only()[0] == name


def test_import_directory_command_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "list.json"
    file.write_bytes(bundle(organization(1), endpoint(1), None))
    call_command("import_directory", str(file))
    told = capsys.readouterr().out
    assert "1 practices: 1 new, 0 changed" in told
    assert "Left out: 1 × an entry without a resource." in told


@pytest.mark.parametrize(
    ("source", "told"),
    [("/nowhere/list.json", "No such file"), ("https://elsewhere.example/list", "not one of the hosts")],
    ids=["a file that is not there", "a host nobody listed"],
)
def test_import_directory_command_refuses_in_one_sentence(source: str, told: str) -> None:
    with pytest.raises(CommandError, match=told):
        call_command("import_directory", source)


@pytest.fixture
def served(settings: Settings) -> Iterator[Any]:
    """A list behind a URL: `served.body`, `served.status`, `served.url`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server: Any = self.server
            self.send_response(server.status)
            self.send_header("Content-Length", str(len(server.body)))
            self.end_headers()
            self.wfile.write(server.body)

        def log_message(self, *args: object) -> None: ...

    server: Any = HTTPServer(("127.0.0.1", 0), Handler)
    server.status, server.body = 200, bundle(organization(1), endpoint(1))
    server.url = f"http://127.0.0.1:{server.server_port}/list"
    settings.INSECURE_FHIR_HOSTS = frozenset({f"127.0.0.1:{server.server_port}"})
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_import_directory_command_from_a_url_of_a_listed_host(served: Any) -> None:
    with pytest.raises(CommandError, match="not one of the hosts"):
        call_command("import_directory", served.url)
    call_command("import_directory", served.url, host=["127.0.0.1"])
    assert only() == WHOLE
    served.status = 503
    with pytest.raises(CommandError, match="answered 503"):
        call_command("import_directory", served.url, host=["127.0.0.1"])


def test_import_directory_download_is_bounded(served: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(directory, "MAX_DOWNLOAD", 100)
    with pytest.raises(CommandError, match="NET_TOO_LARGE"):
        call_command("import_directory", served.url, host=["127.0.0.1"])


SEARCHES = [
    ("by name", "practice 00017", 1),
    ("by city", "city 17", 1),
    ("by words of name and city", "practice city", 3),
    ("by code", code(17), 1),
    ("nothing", "zzz", 0),
]


@pytest.mark.parametrize(("words", "found"), [row[1:] for row in SEARCHES], ids=[row[0] for row in SEARCHES])
def test_directory_autocomplete_of_the_connection_form(words: str, found: int, office: Client) -> None:
    load(bundle(*(make(number) for number in (7, 17, 57) for make in (organization, endpoint))))
    field = {"app_label": "emr", "model_name": "connection", "field_name": "directory_entry"}
    answer = office.get(reverse("admin:autocomplete"), field | {"term": words}).json()
    assert len(answer["results"]) == found
