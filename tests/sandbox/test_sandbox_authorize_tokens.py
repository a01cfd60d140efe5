"""Codes, grants and refresh tokens of the sandbox, introspection, revocation, and what goes wrong by order."""

import base64
import http.client
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from joserfc.errors import BadSignatureError

from tests.launches.signing_in import control, order, send
from tests.sandbox.app import CLIENT_ID, Answer, App
from tests.sandbox.test_sandbox_authorize import REDIRECT, SCOPES, SECRET, Launch, Launched, claims, launch

__all__ = ["launch"]


def test_a_code_serves_once_and_its_second_use_ends_the_grant(launch: Launch) -> None:
    here = launch()
    code = here.consent()
    answer = here.exchange(code).json
    again = here.exchange(code)
    assert (again.status, again.json["error"]) == (400, "invalid_grant")
    assert here.rules() == ["code used twice"]
    assert here.read(f"Patient/{here.patients[0]}", answer["access_token"]).status == 401
    assert here.refresh(answer["refresh_token"]).json["error"] == "invalid_grant"


CODES: list[tuple[str, dict[str, str | None], int, str]] = [
    ("another verifier", {"code_verifier": "x" * 43}, 0, "code_verifier"),
    ("a verifier that is none", {"code_verifier": "short"}, 0, "code_verifier"),
    ("another redirect URI", {"redirect_uri": REDIRECT + "/"}, 0, "redirect_uri differs"),
    ("a made-up code", {"code": "x" * 43}, 0, "unknown code"),
    ("a minute later", {}, 60, "code expired"),
]


@pytest.mark.parametrize(("changes", "later", "rule"), [one[1:] for one in CODES], ids=[one[0] for one in CODES])
def test_a_code_is_bound(launch: Launch, changes: dict[str, str | None], later: int, rule: str) -> None:
    here = launch()
    code = here.consent()
    here.app.clock.now += later
    answer = here.exchange(**({"code": code} | changes))
    assert (answer.status, answer.json["error"]) == (400, "invalid_grant")
    assert here.rules() == [rule]
    if "code" not in changes:
        assert here.exchange(code).status == 400


def test_a_code_is_for_one_client(launch: Launch, keys: Any, jwks: Any) -> None:
    here = launch()
    code = here.consent()
    own = control(here.control, "clients")["clients"][0]
    control(here.control, "clients", own | {"client_id": "other"})
    here.app = App(here.web, here.app.clock, keys.rsa, client_id="other")
    assert here.exchange(code).json["error"] == "invalid_grant"
    assert here.rules() == ["code of another client"]


@pytest.mark.parametrize("missing", ["code", "redirect_uri", "code_verifier"])
def test_an_exchange_without_a_part(launch: Launch, missing: str) -> None:
    here = launch()
    assert here.exchange(**({"code": here.consent()} | {missing: None})).status == 500
    assert here.rules() == [f"no {missing}"]


def test_refresh_rotates_and_the_new_pair_serves(launch: Launch) -> None:
    here = launch()
    first = here.token()
    second = here.refresh(first["refresh_token"]).json
    assert second["refresh_token"] != first["refresh_token"]
    assert (second["patient"], second["scope"]) == (first["patient"], first["scope"])
    assert "id_token" not in second
    assert here.refresh(second["refresh_token"]).status == 200


def test_a_refresh_token_used_twice_ends_the_family(launch: Launch) -> None:
    here = launch()
    first = here.token()
    second = here.refresh(first["refresh_token"]).json
    assert here.refresh(first["refresh_token"]).json["error"] == "invalid_grant"
    assert here.refresh(second["refresh_token"]).json["error"] == "invalid_grant"
    assert here.rules() == ["refresh token used twice", "grant ended: refresh token used twice"]
    for token in (first["access_token"], second["access_token"]):
        assert here.read(f"Patient/{here.patients[0]}", token).status == 401


def test_refreshes_side_by_side_lose_the_grant(launch: Launch) -> None:
    here = launch()
    token = here.token()["refresh_token"]
    statuses: list[int] = []

    def ask() -> None:
        app = App(type(here.web)(here.web.port), here.app.clock, here.app.key)
        statuses.append(Launched(app).refresh(token).status)
        app.web.connection.close()

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 400, 400, 400]
    (grant,) = control(here.control, "grants")["grants"]
    assert grant["ended"] == "refresh token used twice"


def test_refresh_narrows_and_never_widens(launch: Launch) -> None:
    here = launch()
    first = here.token(without=("patient/Condition.read",))
    wider = here.refresh(first["refresh_token"], scope="patient/Condition.read")
    assert (wider.status, wider.json["error"]) == (400, "invalid_scope")
    narrower = here.refresh(first["refresh_token"], scope="patient/Patient.read").json
    assert narrower["scope"] == "patient/Patient.read"
    assert here.refresh(narrower["refresh_token"]).json["scope"] == first["scope"]


def test_a_grant_ends_after_its_days_however_often_it_is_refreshed(launch: Launch) -> None:
    here = launch(grant_life=7200)
    token = here.token()["refresh_token"]
    here.app.clock.now += 7000
    answer = here.refresh(token).json
    assert answer["expires_in"] == 200
    here.app.clock.now += 200
    assert here.refresh(answer["refresh_token"]).json["error"] == "invalid_grant"
    assert here.rules() == ["grant expired"]


def test_a_grant_lasts_90_days(launch: Launch) -> None:
    here = launch()
    here.token()
    (grant,) = control(here.control, "grants")["grants"]
    assert grant["ends_at"] - grant["issued_at"] == 90 * 86_400
    assert control(here.control, "grants", {"ends_in": 5}) == {"shortened": 1}
    here.app.clock.now += 5
    assert control(here.control, "grants")["grants"][0]["in_force"] is False


def test_online_access_is_for_apps_that_have_it_ticked(launch: Launch) -> None:
    asked = "launch/patient online_access patient/Patient.read"
    plain = launch()
    assert "invalid_scope" in send(plain.url(scope=asked))[1]
    here = launch(client={"scopes": tuple(asked.split())}, online_life=600)
    answer = here.token(request={"scope": asked})
    assert answer["expires_in"] == 600
    here.app.clock.now += 600
    assert here.refresh(answer["refresh_token"]).json["error"] == "invalid_grant"


AUTHENTICATIONS = ["client_secret_basic", "client_secret_post", "none"]


def proof(method: str) -> dict[str, Any]:
    secret = {"none": {}, "client_secret_post": {"client_secret": SECRET}}.get(method, {})
    if method == "client_secret_basic":
        pair = base64.b64encode(f"{CLIENT_ID}:{SECRET}".encode()).decode()
        return {"client_assertion": None, "headers": {"Authorization": f"Basic {pair}"}}
    return {"client_assertion": None, "client_id": CLIENT_ID, **secret}


@pytest.mark.parametrize("method", AUTHENTICATIONS)
def test_a_client_proves_itself_as_registered(launch: Launch, method: str) -> None:
    secret = "" if method == "none" else SECRET
    here = launch(client={"auth_method": method, "client_secret": secret})
    answer = here.exchange(here.consent(), **proof(method))
    assert answer.status == 200, here.rules()
    # A client that can keep no secret gets nothing to come back with.
    assert ("refresh_token" in answer.json) is (method != "none")
    if method != "none":
        assert here.refresh(answer.json["refresh_token"], **proof(method)).status == 200


@pytest.mark.parametrize(
    ("registered", "shown"),
    [(one, other) for one in [*AUTHENTICATIONS, "private_key_jwt"] for other in AUTHENTICATIONS if one != other],
)
def test_another_proof_than_the_registered_is_refused(launch: Launch, registered: str, shown: str) -> None:
    secret = SECRET if registered.startswith("client_secret") else ""
    here = launch(client={"auth_method": registered, "client_secret": secret})
    answer = here.exchange("x" * 43, **proof(shown))
    assert (answer.status, answer.json["error"]) == (401, "invalid_client")


def test_a_wrong_secret_is_refused(launch: Launch) -> None:
    here = launch(client={"auth_method": "client_secret_post", "client_secret": SECRET})
    wrong = proof("client_secret_post") | {"client_secret": SECRET + "x"}
    assert here.exchange("x" * 43, **wrong).status == 401
    assert here.exchange("x" * 43, **(wrong | {"client_secret": None})).status == 401
    both = proof("client_secret_basic") | {"client_secret": SECRET}
    assert here.exchange("x" * 43, **both).status == 401
    assert here.rules() == [
        "client secret", "client secret", "second authentication method"
    ]  # fmt: skip


def test_a_backend_app_has_no_code_grant(connect: Any) -> None:
    here = Launched(connect())
    assert here.exchange("x" * 43).json["error"] == "unauthorized_client"
    assert here.refresh("x" * 43).json["error"] == "unauthorized_client"


def introspected(here: Launched, token: str, **form: Any) -> Answer:
    return here.ask("introspect", token=token, **({"client_assertion": "sign"} | form))


def test_introspection(launch: Launch) -> None:
    here = launch()
    answer = here.token()
    told = introspected(here, answer["access_token"]).json
    assert told["active"] is True
    assert (told["scope"], told["client_id"], told["patient"]) == (SCOPES, CLIENT_ID, here.patients[0])
    assert told["exp"] == int(here.app.clock.now) + 3600
    assert told["sub"] == claims(here, answer["id_token"])["sub"]
    assert introspected(here, answer["refresh_token"]).json["active"] is True
    assert introspected(here, "made-up").json == {"active": False}
    here.refresh(answer["refresh_token"])
    assert introspected(here, answer["refresh_token"]).json == {"active": False}
    assert introspected(here, answer["access_token"], client_assertion=None, client_id=CLIENT_ID).status == 401


@pytest.mark.parametrize("which", ["access_token", "refresh_token"])
def test_revocation_ends_the_grant(launch: Launch, which: str) -> None:
    here = launch()
    answer = here.token()
    assert here.ask("revoke", token=answer[which], client_assertion="sign").status == 200
    assert introspected(here, answer["access_token"]).json == {"active": False}
    assert here.refresh(answer["refresh_token"]).json["error"] == "invalid_grant"
    assert here.ask("revoke", token="made-up", client_assertion="sign").status == 200
    assert here.ask("revoke", token=answer[which]).status == 401


def test_a_patient_takes_the_consent_back(launch: Launch) -> None:
    here = launch()
    answer = here.token()
    (account,) = [one for one in control(here.control, "accounts")["accounts"] if one["patients"] == [here.patients[0]]]
    apps = f"{here.origin}/oauth/oauth2/apps"
    assert "Sign in" in send(apps)[2]
    text = send(apps, [("username", account["username"]), ("password", account["password"])])[2]
    assert "Stop access of Headache app" in text
    visit = text.partition('name="visit" value="')[2].partition('"')[0]
    grant = text.partition('name="grant" value="')[2].partition('"')[0]
    assert "No app has access" in send(apps, [("visit", visit), ("grant", grant)])[2]
    assert send(apps, [("visit", visit), ("grant", grant)])[0] == 400
    assert here.read(f"Patient/{here.patients[0]}", answer["access_token"]).status == 401
    assert here.refresh(answer["refresh_token"]).json["error"] == "invalid_grant"
    assert control(here.control, "grants")["grants"][0]["ended"] == "revoked by the patient"


def test_nobody_takes_anothers_consent_back(launch: Launch) -> None:
    here = launch()
    here.token()
    accounts = {tuple(one["patients"] or ()): one for one in control(here.control, "accounts")["accounts"]}
    other = accounts[(here.patients[1],)]
    apps = f"{here.origin}/oauth/oauth2/apps"
    text = send(apps, [("username", other["username"]), ("password", other["password"])])[2]
    visit = text.partition('name="visit" value="')[2].partition('"')[0] or "x"
    (grant,) = control(here.control, "grants")["grants"]
    send(apps, [("visit", visit), ("grant", grant["id"])])
    assert control(here.control, "grants")["grants"][0]["in_force"] is True


def test_control_ends_one_grant_or_all(launch: Launch) -> None:
    here = launch()
    here.token()
    here.token(patient=here.patients[1])
    first = control(here.control, "grants")["grants"][0]["id"]
    assert control(here.control, f"grants/{first}", method="DELETE") == {"ended": 1}
    assert control(here.control, "grants", method="DELETE") == {"ended": 1}


def test_orders_alter_the_answer_to_one_grant_type(launch: Launch) -> None:
    here = launch()
    order(here.control, "altered-json", grant="refresh_token", remove=["scope"], set={"expires_in": "3600"})
    first = here.token()
    assert first["expires_in"] == 3600
    second = here.refresh(first["refresh_token"]).json
    assert ("scope" in second, second["expires_in"]) == (False, "3600")


def test_order_for_a_server_that_does_not_rotate(launch: Launch) -> None:
    here = launch()
    first = here.token()
    order(here.control, "no-rotation", grant="refresh_token")
    assert "refresh_token" not in here.refresh(first["refresh_token"]).json
    assert "refresh_token" in here.refresh(first["refresh_token"]).json


def test_order_for_a_server_that_commits_and_does_not_answer(launch: Launch) -> None:
    here = launch()
    first = here.token()
    order(here.control, "hang", grant="refresh_token", seconds=0.3)
    began = time.monotonic()
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        here.refresh(first["refresh_token"])
    assert time.monotonic() - began >= 0.3
    here.web.connection.close()
    assert control(here.control, "grants")["grants"][0]["refreshes"] == 1
    assert here.refresh(first["refresh_token"]).json["error"] == "invalid_grant"


@pytest.mark.parametrize("commits", [False, True])
def test_order_for_a_page_in_place_of_the_answer(launch: Launch, commits: bool) -> None:
    here = launch()
    first = here.token()
    order(here.control, "not-json", grant="refresh_token", commits=commits)
    assert b"<html>" in here.refresh(first["refresh_token"]).body
    assert control(here.control, "grants")["grants"][0]["refreshes"] == int(commits)
    order(here.control, "status", grant="refresh_token", status=408, commits=commits)
    assert here.refresh(first["refresh_token"]).status == 408


def test_orders_for_id_tokens(launch: Launch) -> None:
    here = launch()
    order(here.control, "id-token", set={"nonce": "other", "iss": "https://x.example"}, remove=["iat"])
    told = claims(here, here.token()["id_token"])
    assert (told["nonce"], told["iss"], "iat" in told) == ("other", "https://x.example", False)
    order(here.control, "id-token", alg="none")
    assert here.token()["id_token"].endswith(".")
    order(here.control, "id-token", foreign_key=True)
    with pytest.raises(BadSignatureError):
        claims(here, here.token()["id_token"])
    assert here.web.post_json("/control/faults", {"kind": "id-token", "alg": "HS256"}).status == 400


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("accounts", {"username": "Somebody Else", "patients": []}),
        ("accounts", {"username": "parent", "patients": ["nobody"]}),
        ("launches", {"patient": "nobody"}),
        ("launches", {"username": "nobody"}),
        ("grants", {"ends_in": "soon"}),
        ("clients", {"client_id": "a", "auth_method": "client_secret_post", "client_secret": "short"}),
        ("clients", {"client_id": "a", "auth_method": "password"}),
        ("clients", {"client_id": "a", "jwks_url": "https://x.example/", "redirect_uris": ["http://x.example/"]}),
        ("clients", {"client_id": "a", "auth_method": "none"}),
    ],
)
def test_control_says_what_it_cannot_do(launch: Launch, path: str, sent: dict[str, Any]) -> None:
    answer = launch().web.post_json(f"/control/{path}", sent)
    assert answer.status == 400
    assert answer.json["error"]


def test_consents_outlive_a_restart_with_a_state_file(launch: Launch, tmp_path: Path) -> None:
    first = launch(state_file=tmp_path / "clients.json")
    answer = first.token()
    spent, token = answer["refresh_token"], first.refresh(answer["refresh_token"]).json["refresh_token"]
    second = launch(state_file=tmp_path / "clients.json")
    renewed = second.refresh(token).json
    assert (renewed["patient"], renewed["scope"]) == (answer["patient"], answer["scope"])
    assert second.refresh(spent).json["error"] == "invalid_grant"
    assert (tmp_path / "clients-grants.json").stat().st_mode & 0o077 == 0
    third = launch(state_file=tmp_path / "clients.json")
    assert third.refresh(renewed["refresh_token"]).json["error"] == "invalid_grant"
