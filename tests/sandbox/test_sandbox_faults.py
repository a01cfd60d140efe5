"""Every fault that control can order, as a client meets it on the wire."""

import json
import time
from collections.abc import Callable
from http.client import IncompleteRead
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.app import Answer, App, JwksHost, Keys, public

Connect = Callable[..., App]
SCOPES = ("system/Patient.read", "system/Condition.read", "system/Encounter.read")


@pytest.fixture
def app(connect: Connect, charts: Callable[[dict[str, str]], Path]) -> App:
    subject = {"subject": {"reference": "Patient/p1"}}
    documents: list[dict[str, Any]] = [{"resourceType": "Patient", "id": name} for name in ("p1", "p2")]
    documents += [{"resourceType": "Condition", "id": f"c{n}", **subject} for n in range(5)]
    app = connect(data=(charts({"all.ndjson": "\n".join(map(json.dumps, documents))}),), page_size=3)
    app.sign_in(*SCOPES)
    return app


def order(app: App, kind: str, match: dict[str, Any] | None = None, **rest: Any) -> int:
    answer = app.web.post_json("/control/faults", {"kind": kind, "match": match or {}, **rest})
    assert answer.status == 200, answer.body
    return int(answer.json["id"])


def conditions(app: App) -> Answer:
    return app.get("Condition?patient=p1")


def served(app: App) -> list[str]:
    return [row[1] for row in app.web.get("/control/ledger").json["served"]]


ANSWERS: list[tuple[str, dict[str, Any], int, str, bytes]] = [
    ("429", {}, 429, "", b""),
    ("500", {}, 500, "application/json+fhir", b"OperationOutcome"),
    ("502-html", {}, 502, "text/html", b"502 Bad Gateway"),
    ("not-json", {}, 200, "text/html", b"<form>"),
    ("swap-error-403", {}, 403, "application/json", b'"error_description": "invalid_request"'),
    ("not-enabled", {}, 400, "text/plain", b"FHIR app authentication is not enabled"),
    ("forbid-type", {}, 403, "application/json+fhir", b"OperationOutcome"),
    ("unsupported-type", {}, 400, "application/json+fhir", b"not supported for the selected scope"),
    (
        "status",
        {"status": 302, "headers": {"Location": "http://elsewhere.example/"}},
        302,
        "text/plain",
        b"",
    ),
    ("status", {"status": 503, "body": "later", "content_type": "text/html"}, 503, "text/html", b"later"),
]


@pytest.mark.parametrize(("kind", "arguments", "status", "media_type", "text"), ANSWERS)
def test_fault_answers_instead(
    app: App, kind: str, arguments: dict[str, Any], status: int, media_type: str, text: bytes
) -> None:
    order(app, kind, {"type": "Condition"}, **arguments)
    answer = conditions(app)
    assert answer.status == status
    assert (answer.headers["Content-Type"] or "").startswith(media_type)
    assert text in answer.body
    assert answer.headers["Retry-After"] is None
    assert served(app) == []
    assert conditions(app).status == 200, "the order was for one call"


def test_fault_status_sends_its_headers(app: App) -> None:
    order(app, "status", status=503, headers={"Retry-After": "7"})
    answer = conditions(app)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "7")


def test_fault_truncated_has_a_fitting_length(app: App) -> None:
    order(app, "truncated")
    answer = conditions(app)
    assert answer.status == 200
    assert int(answer.headers["Content-Length"]) == len(answer.body)
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.body)
    assert served(app) == []


def test_fault_short_body_breaks_off(app: App) -> None:
    order(app, "short-body")
    with pytest.raises(IncompleteRead):
        conditions(app)
    app.web.connection.close()
    assert served(app) == []


def test_fault_reset_ends_the_connection(app: App) -> None:
    order(app, "reset")
    with pytest.raises(ConnectionResetError):
        conditions(app)
    app.web.connection.close()
    assert served(app) == []
    assert conditions(app).status == 200


def test_fault_drip_and_stall_take_their_time(app: App) -> None:
    order(app, "drip", bytes=300, seconds=0.03)
    start = time.monotonic()
    answer = conditions(app)
    assert len(answer.json["entry"]) == 3
    assert time.monotonic() - start > 0.06
    order(app, "stall", seconds=0.15)
    start = time.monotonic()
    assert conditions(app).status == 200
    assert time.monotonic() - start > 0.15


@pytest.mark.parametrize(
    ("entry", "sign"),
    [
        ("no-id", b'{"resourceType":"Condition","status":"final"}'),
        ("nan", b'"value":NaN'),
        ("duplicate-key", b'"status":"final","status":"draft"'),
        ("foreign-patient", b"Patient/somebody-else"),
        ("not-an-object", b'"resource":"resource"'),
    ],
)
def test_fault_bad_entry_comes_on_top(app: App, entry: str, sign: bytes) -> None:
    good = conditions(app)
    order(app, "bad-entry", entry=entry)
    answer = conditions(app)
    assert sign in answer.body
    assert len(answer.json["entry"]) == len(good.json["entry"]) + 1
    assert answer.json["entry"][:3] == good.json["entry"]
    assert sorted(served(app)) == ["c0", "c1", "c2"]


@pytest.mark.parametrize(
    ("arguments", "url"),
    [
        ({}, "http://fhir4.eclinicalworks.com/fhir/r4/AAAAAA?"),
        ({"to": "host"}, "http://elsewhere.example/fhir/r4/ABHEAD?"),
        ({"url": "file:///etc/passwd"}, "file:///etc/passwd"),
    ],
)
def test_fault_foreign_next(app: App, arguments: dict[str, Any], url: str) -> None:
    order(app, "foreign-next", **arguments)
    links = [link["url"] for link in conditions(app).json["link"] if link["relation"] == "next"]
    assert len(links) == 1
    assert links[0].startswith(url)


def test_fault_operation_outcome_entry(app: App) -> None:
    order(app, "operation-outcome-entry")
    entry = conditions(app).json["entry"][-1]
    assert entry["search"] == {"mode": "outcome"}
    assert entry["resource"]["issue"][0]["severity"] == "warning"


def test_fault_on_pages_waits_for_a_page(app: App) -> None:
    order(app, "operation-outcome-entry")

    def struck() -> int:
        return int(app.web.get("/control/faults").json["faults"][0]["struck"])

    assert app.get("Patient/p1").status == 200
    assert app.get("Immunization?patient=p1").status == 403
    assert struck() == 0, "neither was a page"
    assert len(conditions(app).json["entry"]) == 4
    assert struck() == 1


def test_fault_expire_tokens(app: App) -> None:
    order(app, "expire-tokens")
    assert conditions(app).status == 401
    assert conditions(app).status == 401
    app.sign_in(*SCOPES)
    assert conditions(app).status == 200


def test_fault_jwks_stale_after_rotation(app: App, jwks: JwksHost, keys: Keys) -> None:
    jwks.publish(public(keys.other_rsa, kid="kid-2"))
    order(app, "jwks-stale")
    for status in (401, 200):
        rotated = app.assertion(key=keys.other_rsa, header={"kid": "kid-2"})
        assert app.ask_token(client_assertion=rotated).status == status


def test_fault_narrow_scope(app: App) -> None:
    order(app, "narrow-scope", {"path": "oauth2/token"}, types=["Condition"])
    answer = app.ask_token(scope=" ".join(SCOPES))
    assert answer.json["scope"] == "system/Patient.read system/Encounter.read"
    app.bearer = answer.json["access_token"]
    assert conditions(app).status == 403


def test_fault_on_the_token_endpoint(app: App) -> None:
    order(app, "500", {"path": "oauth2/token"})
    assert conditions(app).status == 200
    assert app.ask_token().status == 500
    assert app.ask_token().status == 200


MATCHES: list[tuple[str, dict[str, Any], int | None, list[int]]] = [
    ("first call", {}, 1, [1]),
    ("two calls", {}, 2, [1, 2]),
    ("from the third on", {"nth": 3}, None, [3, 4, 5]),
    ("one type", {"type": "Encounter"}, None, [5]),
    ("second of a type", {"type": "Condition", "nth": 2}, 1, [4]),
    ("one patient, later pages too", {"patient": "p1"}, None, [1, 3, 4, 5]),
    ("second page", {"path": "page=2"}, 1, [4]),
    ("another type", {"type": "Goal"}, None, []),
]


@pytest.mark.parametrize(("match", "times", "struck"), [c[1:] for c in MATCHES], ids=[c[0] for c in MATCHES])
def test_fault_match(app: App, match: dict[str, Any], times: int | None, struck: list[int]) -> None:
    next_url = conditions(app).json["link"][1]["url"]
    order(app, "status", match, times=times, status=418)
    answers = [
        app.get("Patient/p1"),
        app.get("Patient/p2"),
        conditions(app),
        app.follow(next_url),
        app.get("Encounter?patient=p1"),
    ]
    assert [n for n, answer in enumerate(answers, start=1) if answer.status == 418] == struck


@pytest.mark.parametrize(
    "document",
    [
        {"kind": "nonsense"},
        {"kind": "500", "match": {"colour": "red"}},
        {"kind": "500", "match": {"nth": 0}},
        {"kind": "500", "match": {"type": 5}},
        {"kind": "500", "times": 0},
        {"kind": "500", "seconds": 3},
        {"kind": "stall", "seconds": "3"},
        {"kind": "stall", "seconds": -1},
        {"kind": "bad-entry", "entry": "nonsense"},
        [],
    ],
)
def test_fault_order_refused(app: App, document: Any) -> None:
    answer = app.web.post_json("/control/faults", document)
    assert answer.status == 400
    assert answer.json["error"]


def test_fault_withdrawn(app: App) -> None:
    number = order(app, "500", times=None)
    assert conditions(app).status == 500
    assert app.web.send("DELETE", f"/control/faults/{number}").status == 200
    assert app.web.send("DELETE", f"/control/faults/{number}").status == 404
    assert conditions(app).status == 200
    order(app, "500", times=None)
    assert app.web.send("DELETE", "/control/faults").status == 200
    assert conditions(app).status == 200
