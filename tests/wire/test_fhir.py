"""Search and read against servers that answer well, oddly and badly."""

import json
import socket
import time
from collections.abc import Callable

import pytest

from emr.wire import fhir
from emr.wire.errors import NeverAgain, Throttled, TryAgain, WireError
from emr.wire.fhir import patient_of, references
from emr.wire.http import Timeouts
from tests.wire.conftest import Stub

Start = Callable[..., Stub]
Wire = Callable[..., bytes]

ALIASES = frozenset({"fhir4.eclinicalworks.com"})


def outcome(text: str, code: str = "processing", severity: str = "error", where: str = "diagnostics") -> str:
    issue: dict[str, object] = {"severity": severity, "code": code}
    issue.update({"details": {"text": text}} if where == "details" else {"diagnostics": text})
    return json.dumps({"resourceType": "OperationOutcome", "issue": [issue]})


def searchset(*resources: str, links: str = "") -> str:
    entries = ", ".join(f'{{"resource": {resource}}}' for resource in resources)
    return f'{{"resourceType": "Bundle", "type": "searchset", "link": [{links}], "entry": [{entries}]}}'


def ask(server: Stub, **options: object) -> fhir.Page:
    with server.door() as door:
        return fhir.search(
            door,
            "token",
            server.base,
            "Condition",
            [("patient", "p.1"), ("category", "a|b")],
            aliases=ALIASES,
            **options,
        )


def test_search_sends_exactly_the_parameters_given(stub: Start, wire: Wire) -> None:
    server = stub(wire(searchset(), X_Request_Id="r-1"))
    page = ask(server)
    assert (page.entries, page.next_url, page.outcomes, page.request_id, page.status) == (
        (),
        None,
        (),
        "r-1",
        200,
    )
    assert server.requests[0].target == "/fhir/r4/AAAAAA/Condition?patient=p.1&category=a%7Cb"
    assert server.requests[0].headers["accept"] == "application/fhir+json"
    assert server.requests[0].headers["authorization"] == "Bearer token"


def test_search_without_parameters(stub: Start, wire: Wire) -> None:
    server = stub(wire(searchset()))
    with server.door() as door:
        fhir.search(door, "token", server.base + "/", "Patient", [])
    assert server.requests[0].target == "/fhir/r4/AAAAAA/Patient"


@pytest.mark.parametrize("kind", ["Patient/1", "../x", "patient", "", "Patient?x"])
def test_resource_type_is_checked(stub: Start, wire: Wire, kind: str) -> None:
    server = stub(wire(searchset()))
    with server.door() as door:
        with pytest.raises(ValueError, match="resource type"):
            fhir.search(door, "token", server.base, kind, [])
        with pytest.raises(ValueError, match="resource type"):
            fhir.read(door, "token", server.base, kind, "1")
    assert server.requests == []


def test_entries_outcomes_and_faults(stub: Start, wire: Wire) -> None:
    good = '{"resourceType": "Condition", "id": "c-1", "x": 7.10}'
    withheld = outcome("some data withheld", "suppressed", "warning")
    body = (
        '{"resourceType": "Bundle", "total": 99, "entry": ['
        f'{{"resource": {good}, "search": {{"mode": "match"}}}},'
        '{"resource": {"resourceType": "Condition", "id": "c-2", "x": NaN}},'
        '{"resource": {"resourceType": "Condition"}},'
        '{"resource": {"resourceType": "Condition", "id": "a/b"}},'
        '{"resource": {"resourceType": "Condition", "id": 7}},'
        '{"resource": {"resourceType": "nonsense", "id": "c-3"}},'
        '{"resource": {"id": "c-4"}},'
        '{"fullUrl": "x"},'
        f'{{"search": {{"mode": "outcome"}}, "resource": {withheld}}},'
        f'{{"resource": {outcome("no mode", where="details")}}},'
        '{"search": {"mode": "outcome"}, "resource": {"issue": [{"severity": "error", "code": "x"}]}},'
        '{"search": {"mode": "outcome"}, "resource": {"resourceType": "Condition", "id": "c-9"}}'
        "]}"
    )
    page = ask(stub(wire(body)))
    assert [(e.resource_type, e.fhir_id, e.fault is None) for e in page.entries] == [
        ("Condition", "c-1", True),
        ("", "", False),
        ("Condition", "", False),
        ("Condition", "", False),
        ("Condition", "", False),
        ("", "c-3", False),
        ("", "c-4", False),
        ("", "", False),
        ("Condition", "c-9", True),
    ]
    assert page.entries[0].text == good
    assert [(o.severity, o.code, o.diagnostics) for o in page.outcomes] == [
        ("warning", "suppressed", "some data withheld"),
        ("error", "processing", "no mode"),
        ("error", "x", ""),
    ]


def test_ids_of_64_characters_with_dots_are_usable(stub: Start, wire: Wire) -> None:
    fhir_id = "aB.9-" * 12 + "wxyz"
    page = ask(stub(wire(searchset(json.dumps({"resourceType": "Condition", "id": fhir_id})))))
    assert (page.entries[0].fhir_id, page.entries[0].fault) == (fhir_id, None)


@pytest.mark.parametrize(
    "media",
    [
        "application/fhir+json",
        "application/json+fhir;charset=UTF-8",
        "application/json; charset=utf-8",
        "Application/FHIR+JSON",
        "",
    ],
)
def test_json_media_types_are_taken(stub: Start, wire: Wire, media: str) -> None:
    assert ask(stub(wire(searchset(), content_type=media))).entries == ()


def test_byte_order_mark_is_dropped(stub: Start, wire: Wire) -> None:
    assert ask(stub(wire(b"\xef\xbb\xbf" + searchset().encode()))).entries == ()


# --- paging ------------------------------------------------------------------------------------------------


def test_next_link_is_rebuilt_and_followed_on_our_base(stub: Start, wire: Wire) -> None:
    first = searchset(
        links='{"relation": "self", "url": "http://evil.example/x"},'
        '{"relation": "previous", "url": "http://evil.example/x"},'
        '{"relation": "next", "url": "http://fhir4.eclinicalworks.com/fhir/r4/AAAAAA/Condition?patient=1&page=2"}'
    )
    server = stub(wire(first), wire(searchset('{"resourceType": "Condition", "id": "2"}')))
    page = ask(server)
    assert page.next_url == f"{server.base}/Condition?patient=1&page=2"
    with server.door() as door:
        second = fhir.follow(door, "token", server.base, page.next_url, aliases=ALIASES)
    assert [e.fhir_id for e in second.entries] == ["2"]
    assert server.requests[1].target == "/fhir/r4/AAAAAA/Condition?patient=1&page=2"


@pytest.mark.parametrize(
    "link",
    [
        '{"relation": "next", "url": "http://evil.example/fhir/r4/AAAAAA/Condition?page=2"}',
        '{"relation": "next", "url": "http://fhir4.eclinicalworks.com/fhir/r4/BBBBBB/Condition?page=2"}',
        '{"relation": "next", "url": ""}',
        '{"relation": "next"}',
        '{"relation": "next", "url": 7}',
    ],
)
def test_next_link_that_leads_elsewhere_keeps_the_page_and_says_so(stub: Start, wire: Wire, link: str) -> None:
    """A page that has a next page we cannot ask for must not look like the last one, nor be lost."""
    server = stub(wire(searchset('{"resourceType": "Condition", "id": "1"}', links=link)))
    page = ask(server)
    assert (page.next_url, page.next_refused) == (None, True)
    assert [entry.fhir_id for entry in page.entries] == ["1"]
    assert len(server.requests) == 1


def test_the_last_page_has_no_next_and_refused_none(stub: Start, wire: Wire) -> None:
    page = ask(stub(wire(searchset())))
    assert (page.next_url, page.next_refused) == (None, False)


def test_follow_rebuilds_a_link_on_an_alias(stub: Start, wire: Wire) -> None:
    server = stub(wire(searchset()))
    link = "http://fhir4.eclinicalworks.com/fhir/r4/AAAAAA/Condition?page=3"
    with server.door() as door:
        fhir.follow(door, "token", server.base, link, aliases=ALIASES)
    assert server.requests[0].target == "/fhir/r4/AAAAAA/Condition?page=3"


def test_follow_checks_the_stored_link_again(stub: Start, wire: Wire) -> None:
    server = stub(wire(searchset()))
    with server.door() as door, pytest.raises(NeverAgain) as refused:
        fhir.follow(door, "token", server.base, "https://evil.example/fhir/r4/AAAAAA/Condition")
    assert refused.value.code == "FHIR_LINK_FOREIGN"
    assert server.requests == []


# --- refusals ----------------------------------------------------------------------------------------------

REFUSALS = {
    "401": (401, outcome("expired"), fhir.Unauthorized, "FHIR_401"),
    "401 without a body": (401, "", fhir.Unauthorized, "FHIR_401"),
    "403": (403, outcome("insufficient_scope"), fhir.Forbidden, "FHIR_403"),
    "404": (404, outcome("unknown"), fhir.Gone, "FHIR_404_RESOURCE"),
    "410": (410, "<html>", fhir.Gone, "FHIR_404_RESOURCE"),
    "408": (408, "", TryAgain, "NET_TIMEOUT"),
    "429": (429, "", Throttled, "FHIR_429"),
    "400 of another kind": (400, outcome("bad date"), NeverAgain, "FHIR_REFUSED"),
    "422": (422, "{}", NeverAgain, "FHIR_REFUSED"),
    "500": (500, outcome("oops"), TryAgain, "FHIR_5XX"),
    "502 with HTML": (502, "<html>gateway</html>", TryAgain, "FHIR_5XX"),
    "503": (503, "", TryAgain, "FHIR_5XX"),
    "500 that quotes a known wording": (
        500,
        outcome("FHIR app authentication is not enabled"),
        TryAgain,
        "FHIR_5XX",
    ),
    "app not activated": (
        400,
        outcome("FHIR app authentication is not enabled for this practice"),
        NeverAgain,
        "AUTHZ_APP_NOT_ACTIVATED",
    ),
    "app not activated, plain text": (
        400,
        "FHIR app authentication is not enabled",
        NeverAgain,
        "AUTHZ_APP_NOT_ACTIVATED",
    ),
    "app not activated, 401": (
        401,
        outcome("FHIR app authentication is not enabled"),
        NeverAgain,
        "AUTHZ_APP_NOT_ACTIVATED",
    ),
    "build too old": (
        403,
        outcome("operation not supported for the selected scope"),
        NeverAgain,
        "FHIR_BUILD_TOO_OLD",
    ),
    "build too old, said with 200": (
        200,
        outcome("operation not supported for the selected scope"),
        NeverAgain,
        "FHIR_BUILD_TOO_OLD",
    ),
    "outcome with 200": (200, outcome("something"), TryAgain, "FHIR_NOT_FHIR"),
    "information with 200": (
        200,
        outcome("All OK", "informational", "information"),
        TryAgain,
        "FHIR_NOT_FHIR",
    ),
    "no Bundle": (200, '{"resourceType": "Patient", "id": "1"}', TryAgain, "FHIR_NOT_FHIR"),
    "other JSON": (200, '{"status": "up"}', TryAgain, "FHIR_NOT_FHIR"),
    "JSON list": (200, "[]", TryAgain, "FHIR_NOT_FHIR"),
    "empty body": (200, "", TryAgain, "FHIR_NOT_FHIR"),
    "204": (204, "", TryAgain, "FHIR_NOT_FHIR"),
    "truncated JSON": (
        200,
        searchset('{"resourceType": "Condition", "id": "1"}')[:-9],
        TryAgain,
        "FHIR_NOT_FHIR",
    ),
    "UTF-8 broken": (200, b'{"resourceType": "Bundle", "x": "\xfc"}', TryAgain, "FHIR_NOT_FHIR"),
    "UTF-16": (200, searchset().encode("utf-16"), TryAgain, "FHIR_NOT_FHIR"),
    "too many entries": (200, searchset(*["{}"] * 2001), NeverAgain, "NET_TOO_LARGE"),
}


@pytest.mark.parametrize(("status", "body", "kind", "code"), REFUSALS.values(), ids=REFUSALS.keys())
def test_refusals_are_raised_as_what_they_mean(
    stub: Start, wire: Wire, status: int, body: str | bytes, kind: type[WireError], code: str
) -> None:
    server = stub(wire(body, status=status, X_Request_Id="r-9"))
    with pytest.raises(kind) as refused:
        ask(server)
    error = refused.value
    assert type(error) is kind
    assert (error.code, error.status, error.request_id, error.host) == (code, status, "r-9", "127.0.0.1")
    assert len(server.requests) == 1


@pytest.mark.parametrize("media", ["text/html", "application/xml", "application/fhir+xml", "text/plain"])
def test_answer_of_another_media_type_is_no_fhir(stub: Start, wire: Wire, media: str) -> None:
    with pytest.raises(TryAgain) as refused:
        ask(stub(wire(searchset(), content_type=media)))
    assert refused.value.code == "FHIR_NOT_FHIR"


def test_answer_cut_in_its_head_is_no_fhir(stub: Start) -> None:
    """Python's HTTP client takes the end of the stream for the end of the head: the empty body tells."""
    server = stub(lambda c: c.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/fhir+json\r\nContent-Le"))
    with pytest.raises(TryAgain):
        ask(server)


UNSUPPORTED = {
    "HAPI behind eClinicalWorks": (
        "Does not know how to handle get operation with parameter [patient,_count]",
        ("patient", "_count"),
    ),
    "with spaces and plural": (
        "does not know how to handle GET operation with parameters [ patient, status ]",
        ("patient", "status"),
    ),
    "later wording": (
        "Unsupported query parameter(s): _count. These parameters are not allowed.",
        ("_count",),
    ),
    "later wording, two": ("Unsupported query parameter(s): _count, _sort", ("_count", "_sort")),
    "HAPI": ('HAPI-0524: Unknown search parameter "foo" for resource type "Patient"', ("foo",)),
}


@pytest.mark.parametrize("where", ["diagnostics", "details"])
@pytest.mark.parametrize(("text", "names"), UNSUPPORTED.values(), ids=UNSUPPORTED.keys())
def test_unsupported_search_names_the_parameters(
    stub: Start, wire: Wire, text: str, names: tuple[str, ...], where: str
) -> None:
    with pytest.raises(fhir.UnsupportedSearch) as refused:
        ask(stub(wire(outcome(text, where=where), status=400)))
    assert (refused.value.code, refused.value.parameters) == ("FHIR_UNSUPPORTED_SEARCH", names)


def test_throttled_with_and_without_retry_after(stub: Start, wire: Wire) -> None:
    for headers, seconds in (({}, None), ({"Retry_After": "30"}, 30.0)):
        with pytest.raises(Throttled) as refused:
            ask(stub(wire(status=429, **headers)))
        assert refused.value.retry_after == seconds


def test_slow_types_get_their_own_time(stub: Start, wire: Wire) -> None:
    def slowly(connection: socket.socket) -> None:
        time.sleep(0.7)
        connection.sendall(wire(searchset()))

    with pytest.raises(TryAgain) as refused:
        ask(stub(slowly), timeout=Timeouts(connect=1, read=0.1, wall=1))
    assert refused.value.code == "NET_TIMEOUT"
    assert ask(stub(slowly), timeout=Timeouts(connect=5, read=20, wall=30)).status == 200


def test_errors_do_not_repeat_what_we_asked(stub: Start, wire: Wire) -> None:
    """Servers quote the query: names, dates and ids must not reach a log through their words."""
    said = (
        "No match for family Quimby born 1971-03-04, patient aB3dE5gH7jK9mN1pQ3rS5tU7, "
        "mail q@example.org, tel 617-555-0100"
    )
    server = stub(wire(outcome(said), status=400))
    with server.door() as door, pytest.raises(NeverAgain) as refused:
        fhir.search(door, "token", server.base, "Patient", [("family", "Quimby"), ("birthdate", "1971-03-04")])
    for private in ("Quimby", "1971", "aB3dE5gH7jK9mN1pQ3rS5tU7", "example.org", "0100", "token"):
        assert private not in str(refused.value)
    assert "No match for family" in refused.value.detail


# --- read --------------------------------------------------------------------------------------------------


def read(server: Stub, fhir_id: str = "m-1") -> fhir.ReadResult:
    with server.door() as door:
        return fhir.read(door, "token", server.base, "Medication", fhir_id)


def test_read(stub: Start, wire: Wire) -> None:
    body = '{"resourceType": "Medication", "id": "m-1", "x": 7.10}'
    server = stub(wire(f"\n{body}\n", X_Request_Id="r-3"))
    result = read(server)
    assert (result.entry.text, result.entry.fault, result.request_id, result.status) == (
        body,
        None,
        "r-3",
        200,
    )
    assert server.requests[0].target == "/fhir/r4/AAAAAA/Medication/m-1"


@pytest.mark.parametrize("fhir_id", ["", "..", ".", "a/b", "a?b", "a b", "%2e", "x" * 129, "ü"])
def test_read_of_an_impossible_id_is_not_sent(stub: Start, wire: Wire, fhir_id: str) -> None:
    server = stub(wire())
    with pytest.raises(fhir.Gone):
        read(server, fhir_id)
    assert server.requests == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('{"resourceType": "Medication", "id": "m-2"}', "another resource than the one asked for"),
        ('{"resourceType": "Patient", "id": "m-1"}', "another resource than the one asked for"),
        ('{"resourceType": "Medication", "id": "m-1", "x": NaN}', "NaN or Infinity is not JSON"),
        ('{"resourceType": "Medication"}', "no usable id"),
    ],
)
def test_read_of_something_unusable_has_a_fault(stub: Start, wire: Wire, body: str, fault: str) -> None:
    result = read(stub(wire(body)))
    assert (result.entry.fault, result.entry.text) == (fault, body)


@pytest.mark.parametrize("body", ["", "<html>", '{"resourceType": "Medication"', outcome("hm")])
def test_read_of_no_fhir_is_tried_again(stub: Start, wire: Wire, body: str) -> None:
    with pytest.raises(TryAgain) as refused:
        read(stub(wire(body)))
    assert refused.value.code == "FHIR_NOT_FHIR"


def test_read_of_something_gone(stub: Start, wire: Wire) -> None:
    with pytest.raises(fhir.Gone) as refused:
        read(stub(wire(outcome("deleted"), status=410)))
    assert refused.value.status == 410


# --- references --------------------------------------------------------------------------------------------


def about(reference: object, path: str = "subject") -> dict[str, object]:
    return {"resourceType": "Condition", "id": "c", path: {"reference": reference}}


PATIENTS = {
    "relative": (about("Patient/p-1"), "p-1"),
    "absolute": (about("http://fhir4.eclinicalworks.com/fhir/r4/AAAAAA/Patient/p.1"), "p.1"),
    "versioned": (about("Patient/p-1/_history/1"), "p-1"),
    "absolute and versioned": (about("https://x/fhir/Patient/p-1/_history/v2"), "p-1"),
    "patient": (about("Patient/p-1", "patient"), "p-1"),
    "beneficiary": (about("Patient/p-1", "beneficiary"), "p-1"),
    "individual": (about("Patient/p-1", "individual"), "p-1"),
    "own id": ({"resourceType": "Patient", "id": "p-1"}, "p-1"),
    "group": (about("Group/g-1"), None),
    "contained": (about("#p1"), None),
    "urn": (about("urn:uuid:5f0c8f0e-0000-4000-8000-000000000000"), None),
    "type that ends in Patient": (about("NotPatient/p-1"), None),
    "id with a slash": (about("Patient/p-1/x"), None),
    "query behind": (about("Patient/p-1?x"), None),
    "line break behind": (about("Patient/p-1\n"), None),
    "no string": (about(7), None),
    "identifier only": ({"resourceType": "Condition", "subject": {"identifier": {"value": "7"}}}, None),
    "subject is a list": ({"resourceType": "Condition", "subject": []}, None),
    "nothing": ({"resourceType": "Medication"}, None),
    "Patient without an id": ({"resourceType": "Patient"}, None),
}


@pytest.mark.parametrize(("resource", "patient"), PATIENTS.values(), ids=PATIENTS.keys())
def test_patient_of(resource: dict[str, object], patient: str | None) -> None:
    assert patient_of(resource) == patient


def test_references_finds_them_anywhere_once() -> None:
    resource = {
        "medicationReference": {"reference": "Medication/m-1"},
        "requester": {"reference": "https://x/fhir/r4/AAAAAA/Practitioner/d-1/_history/2"},
        "contained": [{"ingredient": [{"itemReference": {"reference": "Medication/m-2"}}]}],
        "partOf": [
            {"reference": "Medication/m-1"},
            {"reference": "#m"},
            {"reference": None},
            "Medication/m-9",
        ],
    }
    assert references(resource, {"Medication"}) == {("Medication", "m-1"), ("Medication", "m-2")}
    assert references(resource, {"Practitioner", "Group"}) == {("Practitioner", "d-1")}
    assert references(resource, ()) == set()
