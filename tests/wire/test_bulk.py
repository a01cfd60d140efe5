"""Bulk export on the wire: what is sent, what a server's words mean, and which addresses are believed."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from emr.wire import bulk
from emr.wire.errors import NeverAgain, Throttled, TryAgain, WireError
from tests.wire.conftest import Stub

Start = Callable[..., Stub]
Wire = Callable[..., bytes]
CODE = "AAAAAA"


def manifest(**members: Any) -> str:
    whole = {"transactionTime": "2026-11-22T10:00:00.123Z", "requiresAccessToken": True, "output": [], "error": []}
    return json.dumps(whole | members)


def poll(server: Stub, **options: Any) -> Any:
    with server.door() as door:
        return bulk.poll(door, "token", server.base, f"{server.base}/$status?job=1", **options)


def kick_off(server: Stub, **options: Any) -> bulk.Started:
    with server.door() as door:
        return bulk.kick_off(door, "token", server.base, "group-1", **options)


def test_kick_off_sends_what_the_standard_asks(stub: Start, wire: Wire) -> None:
    server = stub(wire("", 202, Content_Location="/fhir/r4/AAAAAA/$status?job=1", Retry_After="120"))
    since = datetime(2026, 11, 22, 12, 0, 0, 123456, UTC)
    started = kick_off(server, types=["Patient", "Condition"], since=since)
    (request,) = server.requests
    assert request.method == "GET"
    assert request.target == (
        f"/fhir/r4/{CODE}/Group/group-1/$export?_type=Patient,Condition&_since=2026-11-22T12:00:00.123Z"
    )
    assert request.headers["prefer"] == "respond-async"
    assert request.headers["accept"] == "application/fhir+json"
    assert request.headers["authorization"] == "Bearer token"
    assert started.status_url == f"{server.base}/$status?job=1"
    assert started.retry_after == 120


def test_kick_off_by_post_sends_parameters(stub: Start, wire: Wire) -> None:
    server = stub(wire("", 202, Content_Location="/fhir/r4/AAAAAA/$status"))
    kick_off(server, types=["Patient"], since=datetime(2026, 1, 1, tzinfo=UTC), post=True)
    (request,) = server.requests
    assert (request.method, request.headers["content-type"]) == ("POST", "application/fhir+json")
    assert json.loads(request.body)["parameter"] == [
        {"name": "_type", "valueString": "Patient"},
        {"name": "_since", "valueInstant": "2026-01-01T00:00:00.000Z"},
    ]


FOREIGN = [
    pytest.param("https://elsewhere.example/fhir/r4/AAAAAA/$status", id="another-host"),
    pytest.param("/fhir/r4/BBBBBB/$status", id="another-practice"),
    pytest.param("/fhir/r4/AAAAAAB/$status", id="a-longer-code"),
    pytest.param("/fhir/r4/AAAAAA/../BBBBBB/$status", id="a-step-up"),
    pytest.param("ftp://127.0.0.1/fhir/r4/AAAAAA/$status", id="another-scheme"),
]


@pytest.mark.parametrize("location", FOREIGN)
def test_status_address_elsewhere_is_refused(stub: Start, wire: Wire, location: str) -> None:
    server = stub(wire("", 202, Content_Location=location))
    with pytest.raises(NeverAgain) as caught:
        kick_off(server)
    assert caught.value.code == "FHIR_LINK_FOREIGN"


ISSUE = '{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"%s","diagnostics":"%s"}]}'
REFUSALS = [
    pytest.param(401, "", bulk.Unauthorized, "BULK_GROUP", id="401"),
    pytest.param(404, "", bulk.Gone, "BULK_GROUP", id="404"),
    pytest.param(403, "", bulk.Forbidden, "FHIR_403", id="403"),
    pytest.param(409, "", bulk.InProgress, "BULK_IN_PROGRESS", id="409"),
    pytest.param(429, ISSUE % ("throttled", "one"), bulk.InProgress, "BULK_IN_PROGRESS", id="429-with-words"),
    pytest.param(429, "", Throttled, "FHIR_429", id="429-bare"),
    pytest.param(400, ISSUE % ("conflict", "Already running"), bulk.InProgress, "BULK_IN_PROGRESS", id="already"),
    pytest.param(405, "", bulk.MethodRefused, "FHIR_REFUSED", id="405"),
    pytest.param(501, "", NeverAgain, "FHIR_REFUSED", id="501"),
    pytest.param(503, "", TryAgain, "FHIR_5XX", id="503"),
    pytest.param(200, "{}", NeverAgain, "FHIR_REFUSED", id="200"),
    pytest.param(202, "", NeverAgain, "FHIR_REFUSED", id="202-without-address"),
]


@pytest.mark.parametrize(("status", "body", "kind", "code"), REFUSALS)
def test_kick_off_refused(stub: Start, wire: Wire, status: int, body: str, kind: type[WireError], code: str) -> None:
    server = stub(wire(body, status))
    with pytest.raises(kind) as caught:
        kick_off(server)
    assert caught.value.code == code
    assert "token" not in str(caught.value).replace("the token", "")


def test_group_id_that_is_none_sends_nothing(stub: Start, wire: Wire) -> None:
    server = stub(wire())
    with server.door() as door, pytest.raises(bulk.Gone):
        bulk.kick_off(door, "token", server.base, "../Patient", types=["Patient"])
    assert server.requests == []


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_status_of_a_running_export(stub: Start, wire: Wire, form: str) -> None:
    now = datetime.now(UTC)
    asked = "90" if form == "seconds" else format_datetime(now + timedelta(seconds=90), usegmt=True)
    dated = format_datetime(now, usegmt=True)
    found = poll(stub(wire("", 202, X_Progress="12 of 90 patients", Retry_After=asked, Date=dated)))
    assert isinstance(found, bulk.Waiting)
    assert found.progress == "12 of 90 patients"
    assert found.retry_after == pytest.approx(90, abs=1)


POLL_ENDS = [
    pytest.param(404, "", bulk.Gone, "BULK_JOB_LOST", id="404"),
    pytest.param(410, "", bulk.Gone, "BULK_JOB_LOST", id="410"),
    pytest.param(401, "", bulk.Unauthorized, "FHIR_401", id="401"),
    pytest.param(500, ISSUE % ("exception", "no"), TryAgain, "FHIR_5XX", id="500-for-good"),
    pytest.param(429, "", Throttled, "FHIR_429", id="429"),
    pytest.param(200, "<html>", TryAgain, "FHIR_NOT_FHIR", id="web-page"),
    pytest.param(200, "{}", TryAgain, "FHIR_NOT_FHIR", id="no-output"),
    pytest.param(200, '{"output":[],"output":[]}', TryAgain, "FHIR_NOT_FHIR", id="named-twice"),
    pytest.param(200, ISSUE % ("exception", "no"), TryAgain, "FHIR_NOT_FHIR", id="outcome-with-200"),
]


@pytest.mark.parametrize(("status", "body", "kind", "code"), POLL_ENDS)
def test_status_that_is_none(stub: Start, wire: Wire, status: int, body: str, kind: type[WireError], code: str) -> None:
    with pytest.raises(kind) as caught:
        poll(stub(wire(body, status)))
    assert caught.value.code == code


def test_transient_error_is_waiting(stub: Start, wire: Wire) -> None:
    found = poll(stub(wire(ISSUE % ("transient", "later"), 503, Retry_After="5")))
    assert isinstance(found, bulk.Waiting)
    assert found.retry_after == 5


ADDRESSES = [
    pytest.param("{base}/files/1", True, "{base}/files/1", id="below-the-base"),
    pytest.param("files/1", True, "{base}/files/1", id="relative"),
    pytest.param("http://alias.example/fhir/r4/AAAAAA/files/1?x=1", True, "{base}/files/1?x=1", id="the-vendors-alias"),
    pytest.param("https://elsewhere.example/1", True, "", id="elsewhere-with-token"),
    pytest.param("https://elsewhere.example/1", False, "https://elsewhere.example/1", id="elsewhere-without-token"),
    pytest.param("http://alias.example/fhir/r4/BBBBBB/1", True, "", id="another-practice"),
    pytest.param("https://user@elsewhere.example/1", False, "", id="user-in-the-address"),
    pytest.param("file:///etc/passwd", False, "", id="a-file"),
    pytest.param(7, True, "", id="no-text"),
]


@pytest.mark.parametrize(("link", "token", "expected"), ADDRESSES)
def test_file_addresses(stub: Start, wire: Wire, link: Any, token: bool, expected: str) -> None:
    server = stub()
    place = link.replace("{base}", server.base) if isinstance(link, str) else link
    server.answers.append(
        wire(manifest(requiresAccessToken=token, output=[{"type": "Patient", "url": place, "count": 3}]))
    )
    found = poll(server, aliases={"alias.example"})
    (file,) = found.files
    assert file.url == expected.replace("{base}", server.base)
    assert (file.kind, file.resource_type, file.count) == ("output", "Patient", 3)


def test_file_elsewhere_is_not_fetched_without_an_admins_word(stub: Start, wire: Wire) -> None:
    server = stub(wire("{}"))
    with (
        server.door() as door,
        pytest.raises(NeverAgain) as caught,
        door.stream("https://elsewhere.example/1", max_bytes=100),
    ):
        pass
    assert caught.value.code == "FHIR_LINK_FOREIGN"
    assert server.requests == []


def test_manifest_is_read_with_care(stub: Start, wire: Wire) -> None:
    body = manifest(
        requiresAccessToken="no",
        output=[{"type": "<b>", "url": "a", "count": -4}, "nonsense"],
        deleted=[{"type": "Bundle", "url": "d"}],
        error=[{"type": "OperationOutcome", "url": "e"}],
        transactionTime="yesterday",
    )
    found = poll(stub(wire(body)))
    assert (found.requires_token, found.transaction_time) == (True, None)
    assert [(file.kind, file.resource_type, file.count) for file in found.files] == [
        ("output", "", None), ("output", "", None), ("deleted", "Bundle", None), ("error", "OperationOutcome", None),
    ]  # fmt: skip


def test_time_of_the_transaction_is_read_whatever_its_digits(stub: Start, wire: Wire) -> None:
    found = poll(stub(wire(manifest(transactionTime="2026-11-22T10:00:00.123456789-05:00"))))
    assert found.transaction_time == datetime(2026, 11, 22, 15, 0, 0, 123456, UTC)


@pytest.mark.parametrize("status", [202, 204, 404])
def test_cancelling(stub: Start, wire: Wire, status: int) -> None:
    server = stub(wire("", status))
    with server.door() as door:
        bulk.cancel(door, "token", server.base, f"{server.base}/$status?job=1")
    (request,) = server.requests
    assert (request.method, request.target) == ("DELETE", f"/fhir/r4/{CODE}/$status?job=1")
