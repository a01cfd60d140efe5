"""The token endpoint, one case for each rule; control tells which rule refused."""

import base64
import hmac
from collections.abc import Callable
from typing import Any

import pytest

from sandbox.jwks import MAX_BYTES
from tests.sandbox.app import CLIENT_ID, App, JwksHost, Keys, encoded, public

Connect = Callable[..., App]
Build = Callable[[App, Keys], dict[str, Any]]


def refused_rules(app: App) -> list[str]:
    return app.web.get("/control/calls").json["token_refusals"]


def test_token_valid_request(connect: Connect) -> None:
    answer = connect().ask_token(scope="system/Patient.read system/Observation.rs")
    document = answer.json
    assert answer.status == 200
    assert len(document.pop("access_token")) >= 43
    assert document == {
        "token_type": "bearer",
        "expires_in": 300,
        "scope": "system/Patient.read system/Observation.rs",
    }
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Request-Id"]


def hs256_with_public_key(app: App, keys: Keys) -> str:
    """The classic confusion: our published key, used as if it were a shared secret."""
    signed = f"{encoded({'alg': 'HS256', 'kid': 'kid-1', 'typ': 'JWT'})}.{encoded(app.claims())}"
    mac = hmac.digest(keys.rsa.as_pem(private=False), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def assertion(**changes: Any) -> Build:
    return lambda app, keys: {"client_assertion": app.assertion(**changes)}


def timed(claim: str, seconds: int) -> Build:
    return lambda app, keys: {"client_assertion": app.assertion(**{claim: int(app.clock.now) + seconds})}


def tampered(app: App, keys: Keys) -> dict[str, Any]:
    head, _, signature = app.assertion().split(".")
    return {"client_assertion": f"{head}.{encoded(app.claims())}.{signature}"}


def form(**changes: str | None) -> Build:
    return lambda app, keys: changes


REFUSALS: list[tuple[str, Build, int, str, str]] = [
    ("unknown kid", assertion(header={"kid": "kid-9"}), 401, "invalid_client", "kid not in JWKS"),
    ("no kid", assertion(header={"kid": None}), 401, "invalid_client", "no kid"),
    ("RS256", assertion(header={"alg": "RS256"}), 401, "invalid_client", "algorithm"),
    (
        "HS256 keyed with the public key",
        lambda app, keys: {"client_assertion": hs256_with_public_key(app, keys)},
        401,
        "invalid_client",
        "algorithm",
    ),
    (
        "alg none",
        lambda app, keys: {"client_assertion": app.unsigned_assertion()},
        401,
        "invalid_client",
        "algorithm",
    ),
    (
        "ES384 by a client registered for RS384",
        lambda app, keys: {"client_assertion": app.assertion(key=keys.ec, header={"alg": "ES384"})},
        401,
        "invalid_client",
        "algorithm",
    ),
    ("typ missing", assertion(header={"typ": None}), 401, "invalid_client", "typ"),
    ("jku elsewhere", assertion(header={"jku": "https://x.example/jwks"}), 401, "invalid_client", "jku"),
    (
        "signed with another key",
        lambda app, keys: {"client_assertion": app.assertion(key=keys.other_rsa)},
        401,
        "invalid_client",
        "signature",
    ),
    ("claims changed after signing", tampered, 401, "invalid_client", "signature"),
    ("unknown client", assertion(iss="stranger", sub="stranger"), 401, "invalid_client", "unknown client"),
    ("sub is another", assertion(sub="stranger"), 401, "invalid_client", "sub"),
    (
        "client_id of the form is another",
        form(client_id="stranger"),
        401,
        "invalid_client",
        "client_id differs from iss",
    ),
    ("aud is the host", assertion(aud="http://127.0.0.1/"), 401, "invalid_client", "aud"),
    (
        "aud with trailing slash",
        lambda app, keys: {"client_assertion": app.assertion(aud=app.token_url + "/")},
        401,
        "invalid_client",
        "aud",
    ),
    (
        "aud in a list",
        lambda app, keys: {"client_assertion": app.assertion(aud=[app.token_url])},
        401,
        "invalid_client",
        "aud",
    ),
    ("exp 10 minutes ahead", timed("exp", 600), 400, "invalid_grant", "exp too far ahead"),
    ("exp past", timed("exp", 0), 400, "invalid_grant", "expired"),
    ("exp missing", assertion(exp=None), 400, "invalid_grant", "no exp"),
    ("exp a text", assertion(exp="soon"), 400, "invalid_grant", "no exp"),
    ("iat missing", assertion(iat=None), 400, "invalid_grant", "no iat"),
    ("iat in the future", timed("iat", 30), 400, "invalid_grant", "iat in the future"),
    ("jti missing", assertion(jti=None), 400, "invalid_grant", "no jti"),
    ("not a JWT", form(client_assertion="a.b.c"), 400, "invalid_grant", "malformed assertion"),
    ("second authentication", form(client_secret="x"), 401, "invalid_client", "second authentication method"),
    ("scope empty", form(scope=""), 400, "invalid_grant", "no scope"),
    ("scope not offered", form(scope="system/Appointment.read"), 400, "invalid_grant", "scope not offered"),
    ("scope wildcard v1", form(scope="system/*.read"), 400, "invalid_grant", "scope not offered"),
    ("scope .search", form(scope="system/Patient.search"), 400, "invalid_grant", "scope not offered"),
    (
        "scope not ticked",
        form(scope="system/Immunization.read"),
        400,
        "invalid_grant",
        "scope not registered",
    ),
    (
        "scope of a patient app",
        form(scope="patient/Patient.read"),
        400,
        "invalid_grant",
        "scope not registered",
    ),
    (
        "Group scope by a single-patient app",
        form(scope="system/Patient.read system/Group.read"),
        400,
        "invalid_grant",
        "Group scope rule",
    ),
    ("another grant", form(grant_type="password"), 400, "unsupported_grant_type", "grant_type"),
    ("no grant", form(grant_type=None), 500, "access_denied", "no grant_type"),
    ("no assertion", form(client_assertion=None), 500, "access_denied", "no client_assertion"),
    (
        "assertion type wrong",
        form(client_assertion_type="jwt"),
        500,
        "access_denied",
        "client_assertion_type",
    ),
]


@pytest.mark.parametrize(
    ("build", "status", "error", "rule"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS]
)
def test_token_refused(connect: Connect, keys: Keys, build: Build, status: int, error: str, rule: str) -> None:
    app = connect()
    answer = app.ask_token(**build(app, keys))
    assert (answer.status, answer.json["error"]) == (status, error)
    assert set(answer.json) == {"error", "error_description"}
    assert refused_rules(app) == [rule]


def test_token_error_description_tells_nothing(connect: Connect) -> None:
    app = connect()
    wrong_kid = app.ask_token(client_assertion=app.assertion(header={"kid": "kid-9"}))
    wrong_aud = app.ask_token(client_assertion=app.assertion(aud="x"))
    assert wrong_kid.body == wrong_aud.body


def test_token_not_a_form(connect: Connect) -> None:
    app = connect()
    answer = app.web.post_json("/oauth/oauth2/token", app.form())
    assert (answer.status, answer.json["error"]) == (500, "access_denied")
    assert app.web.get("/oauth/oauth2/token").status == 500
    repeated = b"grant_type=client_credentials&grant_type=client_credentials"
    content_type = "application/x-www-form-urlencoded"
    assert app.web.send("POST", "/oauth/oauth2/token", repeated, Content_Type=content_type).status == 500
    assert refused_rules(app) == ["not a form", "not a POST", "repeated field"]


def test_token_replayed_jti(connect: Connect) -> None:
    app = connect()
    assertion = app.assertion()
    assert app.ask_token(client_assertion=assertion).status == 200
    replay = app.ask_token(client_assertion=assertion)
    assert (replay.status, replay.json["error"]) == (401, "invalid_client")
    assert refused_rules(app) == ["jti replayed"]


def test_token_bad_scope_uses_the_jti_up(connect: Connect) -> None:
    app = connect()
    assertion = app.assertion()
    assert app.ask_token(client_assertion=assertion, scope="system/Nothing.read").status == 400
    assert app.ask_token(client_assertion=assertion).status == 401


def test_token_exp_five_minutes_is_the_most(connect: Connect) -> None:
    app = connect()
    assert app.ask_token(client_assertion=app.assertion(exp=int(app.clock.now) + 300)).status == 200


def test_token_es384_for_a_client_registered_for_it(connect: Connect, jwks: JwksHost, keys: Keys) -> None:
    app = connect(client={"alg": "ES384"})
    jwks.publish(public(keys.ec, alg="ES384"))
    assert app.ask_token(client_assertion=app.assertion(key=keys.ec, header={"alg": "ES384"})).status == 200
    assert app.ask_token().status == 401


KEY_SETS: list[tuple[str, Callable[[Keys], list[dict[str, Any]]], str]] = [
    ("no key", lambda keys: [], "kid not in JWKS"),
    ("kid twice", lambda keys: [public(keys.rsa), public(keys.other_rsa)], "kid twice in JWKS"),
    ("private key", lambda keys: [public(keys.rsa, d="AQAB")], "JWKS publishes a private key"),
    ("key for encryption", lambda keys: [public(keys.rsa, use="enc")], "key is for another use"),
    ("key for RS256", lambda keys: [public(keys.rsa, alg="RS256")], "key is for another use"),
    ("key of another type", lambda keys: [public(keys.ec)], "key type"),
    ("RSA of 1024 bits", lambda keys: [public(keys.rsa, n=public(keys.rsa)["n"][:171])], "RSA key too small"),
    ("key not base64", lambda keys: [public(keys.rsa, e="***")], "signature"),
]  # fmt: skip


@pytest.mark.parametrize(("build", "rule"), [case[1:] for case in KEY_SETS], ids=[case[0] for case in KEY_SETS])
def test_token_key_set_unusable(
    connect: Connect, jwks: JwksHost, keys: Keys, build: Callable[[Keys], list[dict[str, Any]]], rule: str
) -> None:
    jwks.publish(*build(keys))
    app = connect()
    answer = app.ask_token()
    assert (answer.status, answer.json["error"]) == (401, "invalid_client")
    assert refused_rules(app) == [rule]


@pytest.mark.parametrize(
    ("status", "body", "rule"),
    [
        pytest.param(404, b"", "JWKS unreachable: HTTPError", id="404"),
        pytest.param(302, b"", "JWKS unreachable: HTTPError", id="redirect"),
        pytest.param(200, b"<html>", "JWKS not JSON", id="HTML"),
        pytest.param(200, b"[]", "JWKS no list of keys", id="a list"),
        pytest.param(200, b" " * (MAX_BYTES + 1), "JWKS too big", id="too big"),
    ],
)
def test_token_key_set_not_to_be_had(connect: Connect, jwks: JwksHost, status: int, body: bytes, rule: str) -> None:
    jwks.status, jwks.body = status, body
    app = connect()
    assert app.ask_token().status == 401
    assert refused_rules(app) == [rule]
    assert jwks.hits == 1


def test_token_key_set_is_held_for_a_minute(connect: Connect, jwks: JwksHost) -> None:
    app = connect()
    app.ask_token()
    app.clock.now += 59
    app.ask_token()
    assert jwks.hits == 1
    app.clock.now += 2
    app.ask_token()
    assert jwks.hits == 2


def test_token_unknown_kid_fetches_the_key_set_again(connect: Connect, jwks: JwksHost, keys: Keys) -> None:
    app = connect()
    app.ask_token()
    jwks.publish(public(keys.rsa), public(keys.other_rsa, kid="kid-2"))
    rotated = app.assertion(key=keys.other_rsa, header={"kid": "kid-2"})
    assert app.ask_token(client_assertion=rotated).status == 200
    assert jwks.hits == 2


def test_token_inactive_client(connect: Connect) -> None:
    app = connect(client={"active": False})
    assert app.ask_token().json["error"] == "invalid_client"
    assert refused_rules(app) == ["client not active"]


def test_token_bulk_client_must_ask_for_group(connect: Connect) -> None:
    app = connect(client={"app_type": "backend-bulk"})
    assert app.ask_token(scope="system/Patient.read").json["error"] == "invalid_grant"
    assert refused_rules(app) == ["Group scope rule"]
    assert app.ask_token(scope="system/Patient.read system/Group.read").status == 200


def test_token_scope_granted_in_either_syntax_when_registered_in_the_other(connect: Connect) -> None:
    app = connect(client={"scopes": ("system/Patient.rs", "system/Condition.r")})
    assert app.ask_token(scope="system/Patient.read system/Condition.r").status == 200
    assert app.ask_token(scope="system/Condition.read").status == 400


def test_token_client_id_may_be_sent(connect: Connect) -> None:
    assert connect().ask_token(client_id=CLIENT_ID).status == 200
