"""Authorization on the wire: the address, code and refresh exchange by every method, revocation, introspection."""

import base64
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote_plus, urlsplit

import pytest

from emr.wire import authorize
from emr.wire.authorize import Request
from emr.wire.errors import NeverAgain, Throttled, TryAgain, WireError
from emr.wire.http import Door
from emr.wire.token_endpoint import ClientAuthentication, TokenAnswer, TokenRefused
from emr.wire.wellknown import SmartConfiguration
from tests.servers import free_port
from tests.wire.conftest import Stub

TOKENS = {"access_token": "at-1", "token_type": "Bearer", "expires_in": 3600, "scope": "patient/*.rs",
          "patient": "p1", "refresh_token": "rt-2", "id_token": "h.p.s"}  # fmt: skip
SECRET = "s+cr/t: ü"
CLIENTS = {
    "private_key_jwt": ClientAuthentication("private_key_jwt", "app", assertion="signed.assertion.here"),
    "client_secret_basic": ClientAuthentication("client_secret_basic", "an app:1", secret=SECRET),
    "client_secret_post": ClientAuthentication("client_secret_post", "app", secret=SECRET),
    "none": ClientAuthentication("none", "app"),
}


def configuration(server: Stub, **more: Any) -> SmartConfiguration:
    root = f"http://{server.host_port}"
    return SmartConfiguration(token_endpoint=f"{root}/token", authorization_endpoint=f"{root}/authorize", **more)


def request(**more: Any) -> Request:
    values = {
        "client_id": "app", "redirect_uri": "https://us.example/back/?a=b", "state": "st", "nonce": "no",
        "scope": "openid fhirUser launch/patient patient/*.rs", "aud": "https://fhir.example.org/fhir/r4/AAAAAA/",
        "code_verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
    }  # fmt: skip
    return Request(**(values | more))


AT = SmartConfiguration(token_endpoint="t", authorization_endpoint="https://a.example/authorize?x=1")


def sent(address: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(address).query, keep_blank_values=True)


def test_the_address_asks_as_smart_has_it() -> None:
    address = authorize.address(AT, request(), {"practice_code": "AAAAAA"})
    assert address.startswith("https://a.example/authorize?x=1&")
    assert sent(address) == {
        "x": ["1"],
        "response_type": ["code"],
        "client_id": ["app"],
        "redirect_uri": ["https://us.example/back/?a=b"],
        "scope": ["openid fhirUser launch/patient patient/*.rs"],
        "state": ["st"],
        "nonce": ["no"],
        "aud": ["https://fhir.example.org/fhir/r4/AAAAAA"],
        # RFC 7636 appendix B.
        "code_challenge": ["E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"],
        "code_challenge_method": ["S256"],
        "practice_code": ["AAAAAA"],
    }


def test_an_ehr_launch_hands_its_context_back() -> None:
    assert sent(authorize.address(AT, request(launch="ctx/1 2"), {}))["launch"] == ["ctx/1 2"]
    assert "launch" not in sent(authorize.address(AT, request(), {}))


def test_a_nonce_is_for_openid_alone() -> None:
    assert "nonce" not in sent(authorize.address(AT, request(scope="patient/*.rs"), {}))


@pytest.mark.parametrize("name", ["state", "aud", "redirect_uri", "code_challenge", "response_type", "launch"])
def test_an_extra_parameter_cannot_replace_ours(name: str) -> None:
    with pytest.raises(ValueError, match="replace"):
        authorize.address(AT, request(), {name: "x"})


def test_a_query_of_the_endpoint_cannot_double_ours() -> None:
    at = SmartConfiguration(token_endpoint="t", authorization_endpoint="https://a.example/authorize?state=theirs")
    assert sent(authorize.address(at, request(), {}))["state"] == ["st"]


@pytest.mark.parametrize(
    "at",
    [
        pytest.param(SmartConfiguration(token_endpoint="t"), id="no authorization endpoint"),
        pytest.param(
            SmartConfiguration(
                token_endpoint="t",
                authorization_endpoint="https://a.example/",
                code_challenge_methods_supported=("plain",),
            ),
            id="plain PKCE alone",
        ),
    ],
)
def test_no_request_without_an_endpoint_and_s256(at: SmartConfiguration) -> None:
    with pytest.raises(NeverAgain) as met:
        authorize.address(at, request(), {})
    assert met.value.code == "DISC_INCOMPLETE"


def test_random_texts_are_long_and_never_the_same() -> None:
    made = {authorize.random_text() for _ in range(200)}
    assert len(made) == 200
    assert all(len(base64.urlsafe_b64decode(text + "=")) == 32 and 43 <= len(text) <= 128 for text in made)


def test_a_request_shows_nothing_secret() -> None:
    shown = repr(request(launch="canary-launch", state="canary-state", nonce="canary-n", code_verifier="canary-v"))
    assert "canary" not in shown
    assert SECRET not in repr(CLIENTS["client_secret_post"])


def exchange(server: Stub, client: ClientAuthentication = CLIENTS["none"], **extra: str) -> TokenAnswer:
    with server.door() as door:
        return authorize.exchange(
            door, configuration(server), client, code="c0de", code_verifier="v" * 43,
            redirect_uri="https://us.example/back", extra=extra,
        )  # fmt: skip


def refresh(server: Stub, client: ClientAuthentication = CLIENTS["none"]) -> TokenAnswer:
    with server.door() as door:
        return authorize.refresh(door, configuration(server), client, refresh_token="rt-1", extra={})


def form_of(server: Stub) -> dict[str, str]:
    return dict(parse_qsl(server.requests[-1].body.decode(), keep_blank_values=True, strict_parsing=True))


Wire = Callable[..., bytes]
Serve = Callable[..., Stub]


def test_a_code_is_exchanged(stub: Serve, wire: Wire) -> None:
    server = stub(wire(json.dumps(TOKENS), content_type="application/json"))
    answer = exchange(server, practice_code="AAAAAA")
    assert (answer.access_token, answer.refresh_token, answer.patient, answer.id_token) == (
        "at-1",
        "rt-2",
        "p1",
        "h.p.s",
    )
    assert form_of(server) == {
        "grant_type": "authorization_code", "code": "c0de", "redirect_uri": "https://us.example/back",
        "code_verifier": "v" * 43, "client_id": "app", "practice_code": "AAAAAA",
    }  # fmt: skip
    assert "at-1" not in repr(answer)
    assert "rt-2" not in repr(answer)


def test_a_refresh_asks_for_no_scope(stub: Serve, wire: Wire) -> None:
    server = stub(wire(json.dumps(TOKENS)))
    refresh(server)
    assert form_of(server) == {"grant_type": "refresh_token", "refresh_token": "rt-1", "client_id": "app"}


def test_a_private_key_proves_the_client(stub: Serve, wire: Wire) -> None:
    server = stub(wire(json.dumps(TOKENS)))
    refresh(server, CLIENTS["private_key_jwt"])
    form = form_of(server)
    assert form["client_assertion"] == "signed.assertion.here"
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    assert "authorization" not in server.requests[-1].headers


def test_a_secret_in_the_header_is_form_encoded_first(stub: Serve, wire: Wire) -> None:
    server = stub(wire(json.dumps(TOKENS)))
    exchange(server, CLIENTS["client_secret_basic"])
    scheme, _, credentials = server.requests[-1].headers["authorization"].partition(" ")
    user, _, secret = base64.b64decode(credentials).decode("ascii").partition(":")
    assert scheme == "Basic"
    assert (unquote_plus(user), unquote_plus(secret)) == ("an app:1", SECRET)
    assert (user, secret) == ("an+app%3A1", "s%2Bcr%2Ft%3A+%C3%BC")
    assert not {"client_id", "client_secret"} & form_of(server).keys()


def test_a_secret_in_the_body(stub: Serve, wire: Wire) -> None:
    server = stub(wire(json.dumps(TOKENS)))
    exchange(server, CLIENTS["client_secret_post"])
    assert (form_of(server)["client_id"], form_of(server)["client_secret"]) == ("app", SECRET)
    assert "authorization" not in server.requests[-1].headers


ODD = [
    ("token_type in other case", {"token_type": "bEaReR"}, {"access_token": "at-1"}),
    ("no scope", {"scope": None}, {"scope": None}),
    ("an empty scope grants nothing", {"scope": ""}, {"scope": ""}),
    ("no patient", {"patient": None}, {"patient": ""}),
    ("patient as a reference", {"patient": "Patient/p1"}, {"patient": "p1"}),
    ("patient that is no id", {"patient": "../p1"}, {"patient": ""}),
    ("no expires_in", {"expires_in": None}, {"expires_in": 300}),
    ("expires_in as text", {"expires_in": "3600"}, {"expires_in": 3600}),
    ("expires_in as text with decimals", {"expires_in": "3599.5"}, {"expires_in": 3599}),
    ("expires_in below zero", {"expires_in": -1}, {"expires_in": 300}),
    ("expires_in without end", {"expires_in": 10**12}, {"expires_in": 86_400}),
    ("no refresh_token", {"refresh_token": None}, {"refresh_token": ""}),
    ("a refresh_token that cannot be sent", {"refresh_token": "a b\n"}, {"refresh_token": ""}),
    ("the refresh token's own life", {"refresh_token_expires_in": 7_776_000}, {"refresh_expires_in": 7_776_000}),
]


@pytest.mark.parametrize(("changed", "expected"), [row[1:] for row in ODD], ids=[row[0] for row in ODD])
def test_an_odd_answer_is_read(stub: Serve, wire: Wire, changed: dict[str, Any], expected: dict[str, Any]) -> None:
    body = {name: value for name, value in (TOKENS | changed).items() if value is not None}
    answer = refresh(stub(wire(json.dumps(body))))
    assert {name: getattr(answer, name) for name in expected} == expected


def said(error: str, status: int = 400) -> tuple[int, str]:
    return status, json.dumps({"error": error})


REFUSED = [
    ("code spent", exchange, said("invalid_grant"), TokenRefused, "TOK_CODE_INVALID"),
    ("code, client not known", exchange, said("invalid_client", 401), TokenRefused, "TOK_INVALID_CLIENT"),
    ("code, another type of app", exchange, said("unauthorized_client"), TokenRefused, "AUTHZ_UNAUTHORIZED_CLIENT"),
    ("code, scope", exchange, said("invalid_scope"), TokenRefused, "AUTHZ_SCOPE"),
    ("consent over", refresh, said("invalid_grant"), TokenRefused, "TOK_REFRESH_INVALID"),
    ("consent over, said by a bare 403", refresh, (403, "{}"), TokenRefused, "TOK_REFRESH_INVALID"),
    ("consent over, fields swapped", refresh,
     (400, json.dumps({"error": "400", "error_description": "invalid_grant"})), TokenRefused, "TOK_REFRESH_INVALID"),
    ("it is the client they refuse, not the consent", refresh, said("invalid_client", 401), TokenRefused,
     "TOK_INVALID_CLIENT"),
    ("a 401 of a gateway says nothing of the consent", refresh, (401, "<html>"), TokenRefused, "TOK_REFUSED"),
    ("a 403 of a gateway says nothing of the consent", refresh, (403, "<html>"), TryAgain, "TOK_NOT_JSON"),
    ("an unknown word says nothing of the consent", refresh, said("invalid_request"), TokenRefused, "TOK_REFUSED"),
    ("200 with HTML", refresh, (200, "<html>sign in</html>"), TryAgain, "TOK_NOT_JSON"),
    ("200 without a token", refresh, (200, "{}"), TryAgain, "TOK_NOT_JSON"),
    ("408", refresh, (408, ""), TryAgain, "NET_TIMEOUT"),
    ("500", refresh, (500, ""), TryAgain, "FHIR_5XX"),
    ("the catch-all of eClinicalWorks", refresh, said("access_denied", 500), TryAgain, "TOK_ACCESS_DENIED_500"),
    ("429", refresh, (429, ""), Throttled, "FHIR_429"),
    ("a redirect", refresh, (302, ""), NeverAgain, "NET_REDIRECT"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("ask", "answered", "kind", "code"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_a_refusal_is_told_apart(
    stub: Serve, wire: Wire, ask: Any, answered: tuple[int, str], kind: type[WireError], code: str
) -> None:
    server = stub(wire(answered[1], status=answered[0]))
    with pytest.raises(kind) as met:
        ask(server)
    assert met.value.code == code
    assert met.value.sent
    assert len(server.requests) == 1, "never sent twice by itself"


def test_a_server_that_is_not_there_was_not_asked() -> None:
    nobody = f"127.0.0.1:{free_port()}"
    at = SmartConfiguration(token_endpoint=f"http://{nobody}/token")
    with Door(f"http://{nobody}/fhir/r4/AAAAAA", insecure={nobody}) as door, pytest.raises(TryAgain) as met:
        authorize.refresh(door, at, CLIENTS["none"], refresh_token="rt-1", extra={})
    assert met.value.sent is False


def test_a_refusal_echoes_nothing(stub: Serve, wire: Wire) -> None:
    body = json.dumps({"error": "invalid_grant", "error_description": f"no such token rt-1 of {SECRET}"})
    with pytest.raises(TokenRefused) as met:
        refresh(stub(wire(body, status=400)), CLIENTS["client_secret_post"])
    assert "rt-1" not in str(met.value)
    assert SECRET not in str(met.value)


def revoke(server: Stub, **more: Any) -> bool:
    at = configuration(server, revocation_endpoint=f"http://{server.host_port}/revoke")
    with server.door() as door:
        return authorize.revoke(door, at, CLIENTS["client_secret_post"], token="rt-1", hint="refresh_token", **more)


def test_a_token_is_revoked(stub: Serve, wire: Wire) -> None:
    server = stub(wire("", content_type=""))
    assert revoke(server) is True
    assert server.requests[-1].target == "/revoke"
    assert form_of(server) == {
        "token": "rt-1", "token_type_hint": "refresh_token", "client_id": "app", "client_secret": SECRET,
    }  # fmt: skip


def test_nothing_is_revoked_where_there_is_no_endpoint(stub: Serve, wire: Wire) -> None:
    server = stub(wire("{}"))
    with server.door() as door:
        assert authorize.revoke(door, configuration(server), CLIENTS["none"], token="t", hint="access_token") is False
        assert authorize.introspect(door, configuration(server), CLIENTS["none"], token="t") is None
    assert server.requests == []


def test_a_revocation_may_be_refused(stub: Serve, wire: Wire) -> None:
    with pytest.raises(TryAgain):
        revoke(stub(wire("", status=503)))
    with pytest.raises(TokenRefused) as met:
        revoke(stub(wire(json.dumps({"error": "invalid_client"}), status=401)))
    assert met.value.code == "TOK_INVALID_CLIENT"


def introspect(server: Stub) -> Any:
    at = configuration(server, introspection_endpoint=f"http://{server.host_port}/introspect")
    with server.door() as door:
        return authorize.introspect(door, at, CLIENTS["none"], token="rt-1")


def test_a_token_is_looked_into(stub: Serve, wire: Wire) -> None:
    told = introspect(stub(wire(json.dumps({"active": True, "scope": "patient/*.rs", "exp": 1, "patient": "p1"}))))
    assert (told.active, told.scope, told.expires_at, told.patient) == (True, "patient/*.rs", 1, "p1")
    told = introspect(stub(wire(json.dumps({"active": False}))))
    assert (told.active, told.scope, told.expires_at) == (False, None, None)


@pytest.mark.parametrize("body", ["<html>", "{}", '{"active": "true"}'], ids=["HTML", "silent", "a text"])
def test_an_answer_that_says_nothing_is_not_inactive(stub: Serve, wire: Wire, body: str) -> None:
    with pytest.raises(TryAgain) as met:
        introspect(stub(wire(body)))
    assert met.value.code == "TOK_NOT_JSON"
