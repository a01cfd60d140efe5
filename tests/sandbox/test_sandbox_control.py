"""Control: what was served, called and refused; clients and charts changed while running."""

import hashlib
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.app import App, JwksHost, Web

Connect = Callable[..., App]
Charts = Callable[[dict[str, str]], Path]
PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "name": [{"family": "Ames", "given": ["Ada"]}],
    "birthDate": "1980-01-02",
}


def condition(resource_id: str, **members: Any) -> dict[str, Any]:
    return {"resourceType": "Condition", "id": resource_id, "subject": {"reference": "Patient/p1"}, **members}


@pytest.fixture
def folder(charts: Charts) -> Path:
    documents = [PATIENT, *[condition(f"c{n}") for n in range(3)], {"resourceType": "Basic", "id": "b"}]
    return charts({"all.ndjson": "\n".join(map(json.dumps, documents))})


@pytest.fixture
def app(connect: Connect, folder: Path) -> App:
    app = connect(data=(folder,), page_size=2)
    app.sign_in("system/Patient.read", "system/Condition.read")
    return app


def calls(app: App) -> dict[str, Any]:
    return app.web.get("/control/calls").json


def test_patients_lists_everybody(app: App) -> None:
    assert app.web.get("/control/patients").json == {
        "patients": [{"id": "p1", "names": [{"family": "Ames", "given": ["Ada"]}], "birth_date": "1980-01-02"}]
    }


def test_ledger_holds_what_was_sent_and_no_more(app: App) -> None:
    app.get("Condition?patient=p1")
    app.get("Patient/p1")
    app.get("Patient/p1")
    app.get("Condition/unknown")
    served = app.web.get("/control/ledger").json["served"]
    assert [row[:2] for row in served] == [["Condition", "c0"], ["Condition", "c1"], ["Patient", "p1"]]
    assert served[2][2] == hashlib.sha256(json.dumps(PATIENT).encode()).hexdigest()


def test_unservable_lists_reason_and_source(app: App) -> None:
    assert app.web.get("/control/unservable").json["unservable"] == [
        {
            "resource_type": "Basic",
            "id": "b",
            "reason": "the type is not in the query plan",
            "source": "all.ndjson:5",
        }
    ]


def test_calls_counted_by_minute_and_kind(app: App) -> None:
    app.get("Patient/p1")
    app.get("Nonsense")
    app.web.get("/oauth/oauth2/authorize")
    app.web.get("/fhir/r4/ABHEAD/metadata")
    app.web.get("/fhir/r4/ZZZZZZ/metadata")
    app.web.get("/oauth/oauth2/jwks")
    app.clock.now += 60
    app.get("Patient/p1")
    counts = calls(app)
    assert list(counts["minutes"]["ABHEAD"].values()) == [5, 1]
    assert counts["by_kind"] == {"token": 1, "fhir": 4, "authorize": 1}
    assert counts["by_status"] == {"200": 4, "400": 1, "404": 1}
    assert (counts["tokens_minted"], counts["jwks_fetches"], counts["refused_429"]) == (1, 1, 0)
    assert counts["max_concurrent"] == 1


def test_limit_refuses_all_kinds_until_the_minute_turns(connect: Connect, folder: Path) -> None:
    app = connect(data=(folder,), limit=3)
    app.sign_in("system/Patient.read")
    statuses = [app.get("Patient/p1").status for _ in range(3)]
    assert statuses == [200, 200, 429]
    bare = app.ask_token()
    assert (bare.status, bare.body, bare.headers["Retry-After"]) == (429, b"", None)
    assert app.web.get("/fhir/r4/ABHEAD/.well-known/smart-configuration").status == 429
    assert app.web.get("/control/patients").status == 200
    app.clock.now += 39
    assert app.get("Patient/p1").status == 429
    app.clock.now += 1
    assert app.get("Patient/p1").status == 200
    assert calls(app)["refused_429"] == 4


def test_concurrent_calls_are_seen(connect: Connect, folder: Path) -> None:
    app = connect(data=(folder,), latency_ms=0, latency_per_type={"Condition": 1500})
    app.sign_in("system/Patient.read", "system/Condition.read")
    started = time.monotonic()
    app.get("Patient/p1")
    assert time.monotonic() - started < 1.4, "only Condition is slow"

    def ask() -> None:
        web = Web(app.web.port)
        App(web, app.clock, app.key, bearer=app.bearer).get("Condition?patient=p1")
        web.connection.close()

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert calls(app)["max_concurrent"] == 3
    assert time.monotonic() - started > 1.5


def test_reset_forgets_what_happened_and_keeps_charts_and_tokens(app: App) -> None:
    app.web.post_json("/control/faults", {"kind": "500", "times": None})
    app.ask_token(scope="system/Nothing.read")
    assert app.web.post_json("/control/reset", {}).status == 200
    assert app.web.get("/control/ledger").json == {"served": []}
    assert calls(app)["minutes"] == {"ABHEAD": {}}
    assert calls(app)["token_refusals"] == []
    assert app.get("Patient/p1").status == 200


def test_clients_registered_and_switched_off_while_running(app: App, jwks: JwksHost) -> None:
    other = {"client_id": "other", "jwks_url": jwks.url, "scopes": "system/Patient.read", "alg": "RS384"}
    newcomer = App(app.web, app.clock, app.key, client_id="other")
    assert newcomer.ask_token().status == 401
    assert app.web.post_json("/control/clients", other).status == 200
    assert newcomer.ask_token().status == 200
    assert newcomer.ask_token(scope="system/Condition.read").json["error"] == "invalid_grant"
    app.web.post_json("/control/clients", {**other, "active": False})
    assert newcomer.ask_token().status == 401
    listed = {client["client_id"]: client for client in app.web.get("/control/clients").json["clients"]}
    assert listed["other"]["active"] is False
    assert "system/Observation.read" in listed["backend-app"]["scopes"], "the headache set is the default"


@pytest.mark.parametrize(
    "change",
    [
        {"jwks_url": "http://elsewhere.example/jwks"},
        {"jwks_url": "file:///etc/passwd"},
        {"jwks_url": None},
        {"client_id": ""},
        {"alg": "RS256"},
        {"app_type": "kiosk"},
        {"scopes": ["system/Appointment.read"]},
        {"colour": "red"},
    ],
)
def test_client_refused(app: App, jwks: JwksHost, change: dict[str, Any]) -> None:
    document = {"client_id": "other", "jwks_url": jwks.url} | change
    answer = app.web.post_json("/control/clients", document)
    assert answer.status == 400
    assert answer.json["error"]


def test_clients_outlive_a_restart_with_a_state_file(connect: Connect, tmp_path: Path, jwks: JwksHost) -> None:
    state_file = tmp_path / "clients.json"
    first = connect(state_file=state_file)
    first.web.post_json("/control/clients", {"client_id": "kept", "jwks_url": jwks.url})
    second = connect(state_file=state_file)
    assert App(second.web, second.clock, second.key, client_id="kept").ask_token().status == 200


def test_charts_added_replaced_and_removed(app: App) -> None:
    new = [condition("c0", recordedDate="2026-11-21"), condition("new"), condition("bad_id")]
    answer = app.web.post_json("/control/charts", new).json
    assert (answer["added"], answer["replaced"], len(answer["rejected"])) == (1, 1, 1)
    assert app.get("Condition/c0").json["recordedDate"] == "2026-11-21"
    assert app.web.send("DELETE", "/control/charts/Condition/c1").status == 200
    assert app.web.send("DELETE", "/control/charts/Condition/c1").status == 404
    assert app.get("Condition/c1").status == 404
    rows = app.web.get("/control/charts").json["resources"]
    assert [row[1] for row in rows if row[0] == "Condition"] == ["c0", "c2", "new"]
    assert [row[4] for row in rows if row[1] in ("new", "b")] == [False, True]
    first = app.get("Condition?patient=p1").json
    assert [entry["resource"]["id"] for entry in first["entry"]] == ["c0", "c2"]


def test_charts_moved_to_another_patient(app: App) -> None:
    app.web.post_json("/control/charts", [condition("c0") | {"subject": {"reference": "Patient/p2"}}])
    for patient, there in (("p1", False), ("p2", True)):
        ids = [entry["resource"]["id"] for entry in app.get(f"Condition?patient={patient}").json.get("entry", [])]
        assert ("c0" in ids) is there


def test_charts_as_ndjson_keep_their_text(app: App) -> None:
    text = b'{"resourceType":"Condition",  "id":"n", "subject":{"reference":"Patient/p1"}, "v":1.50}'
    app.web.send("POST", "/control/charts", text, Content_Type="application/fhir+ndjson")
    assert app.get("Condition/n").body == text


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/control", b"", 404),
        ("GET", "/control/nonsense", b"", 404),
        ("PUT", "/control/charts", b"[]", 404),
        ("POST", "/control/charts", b"{}", 400),
        ("POST", "/control/charts", b"{", 400),
        ("POST", "/control/clients", b"[]", 400),
        ("DELETE", "/control/charts/Condition", b"", 400),
        ("DELETE", "/control/faults/x", b"", 404),
    ],
)
def test_control_refuses_nonsense(app: App, method: str, path: str, body: bytes, status: int) -> None:
    answer = app.web.send(method, path, body)
    assert answer.status == status
    assert answer.json
