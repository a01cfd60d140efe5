"""Discovery, the client assertion, the Backend Services token."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qs

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from emr.wire import smart
from emr.wire.errors import NeverAgain, Throttled, TryAgain, WireError
from tests.wire.conftest import Stub

Start = Callable[..., Stub]
Wire = Callable[..., bytes]
JSON = "application/json"

DOCUMENT = {
    "issuer": "https://fhir.example.com/fhir/r4/AAAAAA",
    "authorization_endpoint": "https://oauth.example.com/authorize",
    "token_endpoint": "https://oauth.example.com/token",
    "jwks_uri": "https://oauth.example.com/jwks",
    "capabilities": ["launch-standalone", "client-confidential-asymmetric", "sso-openid-connect"],
    "grant_types_supported": ["authorization_code", "client_credentials"],
    "token_endpoint_auth_methods_supported": ["private_key_jwt"],
    "scopes_supported": ["openid", "system/Patient.read"],
    "code_challenge_methods_supported": ["S256"],
    "something_else": {"x": 7.10},
}


def discover(server: Stub) -> smart.SmartConfiguration:
    with server.door() as door:
        return smart.discover(door, server.base)


# --- discovery ---------------------------------------------------------------------------------------------


def test_discover(stub: Start, wire: Wire) -> None:
    server = stub(wire(json.dumps(DOCUMENT), content_type=JSON))
    found = discover(server)
    assert server.requests[0].target == "/fhir/r4/AAAAAA/.well-known/smart-configuration"
    assert server.requests[0].headers["accept"] == JSON
    assert "authorization" not in server.requests[0].headers
    assert found.token_endpoint == "https://oauth.example.com/token"
    assert found.authorization_endpoint == "https://oauth.example.com/authorize"
    assert found.jwks_uri == "https://oauth.example.com/jwks"
    assert found.issuer == "https://fhir.example.com/fhir/r4/AAAAAA"
    assert found.grant_types_supported == ("authorization_code", "client_credentials")
    assert found.scopes_supported == ("openid", "system/Patient.read")
    assert found.code_challenge_methods_supported == ("S256",)
    assert found.token_endpoint_auth_methods_supported == ("private_key_jwt",)
    assert found.introspection_endpoint is None
    assert found.lacks(["launch-standalone", "permission-v2"]) == ("permission-v2",)


def test_configuration_survives_storage_as_json(stub: Start, wire: Wire) -> None:
    found = discover(stub(wire(json.dumps(DOCUMENT))))
    assert smart.SmartConfiguration.from_json(json.loads(json.dumps(asdict(found)))) == found
    assert smart.SmartConfiguration.from_json({**asdict(found), "of_a_later_version": 1}) == found


def test_relative_endpoints_are_resolved_on_the_base(stub: Start, wire: Wire) -> None:
    server = stub(wire(json.dumps({**DOCUMENT, "token_endpoint": "auth/token", "jwks_uri": "/jwks"})))
    found = discover(server)
    assert found.token_endpoint == f"{server.base}/auth/token"
    assert found.jwks_uri == f"http://{server.host_port}/jwks"


def without(*names: str) -> str:
    return json.dumps({name: value for name, value in DOCUMENT.items() if name not in names})


BAD_DISCOVERY = {
    "400": (400, "", NeverAgain, "CFG_PRACTICE_CODE"),
    "404 with HTML": (404, "<html>", NeverAgain, "CFG_PRACTICE_CODE"),
    "401": (401, "", NeverAgain, "FHIR_401"),
    "403": (403, "{}", NeverAgain, "FHIR_403"),
    "405": (405, "", NeverAgain, "FHIR_REFUSED"),
    "429": (429, "", Throttled, "FHIR_429"),
    "503": (503, "", TryAgain, "FHIR_5XX"),
    "HTML with 200": (200, "<!DOCTYPE html><html></html>", TryAgain, "DISC_NOT_JSON"),
    "list": (200, "[]", TryAgain, "DISC_NOT_JSON"),
    "truncated": (200, json.dumps(DOCUMENT)[:-5], TryAgain, "DISC_NOT_JSON"),
    "no token endpoint": (200, without("token_endpoint"), NeverAgain, "DISC_INCOMPLETE"),
    "token endpoint is a number": (
        200,
        json.dumps({**DOCUMENT, "token_endpoint": 7}),
        NeverAgain,
        "DISC_INCOMPLETE",
    ),
    "no capabilities": (200, without("capabilities"), NeverAgain, "DISC_INCOMPLETE"),
    "no grant types": (200, without("grant_types_supported"), NeverAgain, "DISC_INCOMPLETE"),
    "no PKCE methods": (200, without("code_challenge_methods_supported"), NeverAgain, "DISC_INCOMPLETE"),
    "launch without authorize": (200, without("authorization_endpoint"), NeverAgain, "DISC_INCOMPLETE"),
    "OpenID without keys": (200, without("jwks_uri"), NeverAgain, "DISC_INCOMPLETE"),
    "OpenID without issuer": (200, without("issuer"), NeverAgain, "DISC_INCOMPLETE"),
    "FHIR instead": (200, '{"resourceType": "CapabilityStatement"}', NeverAgain, "DISC_INCOMPLETE"),
    "token endpoint on plain http": (
        200,
        json.dumps({**DOCUMENT, "token_endpoint": "http://oauth.example.com/token"}),
        NeverAgain,
        "DISC_FOREIGN_HOST",
    ),
    "keys in a file": (
        200,
        json.dumps({**DOCUMENT, "jwks_uri": "file:///etc/passwd"}),
        NeverAgain,
        "DISC_FOREIGN_HOST",
    ),
    "user in an endpoint": (
        200,
        json.dumps({**DOCUMENT, "token_endpoint": "https://oauth.example.com@evil.example/token"}),
        NeverAgain,
        "DISC_FOREIGN_HOST",
    ),
    "broken brackets": (
        200,
        json.dumps({**DOCUMENT, "token_endpoint": "https://[oauth/token"}),
        NeverAgain,
        "DISC_FOREIGN_HOST",
    ),
    "larger than a quarter MiB": (
        200,
        json.dumps({**DOCUMENT, "x": "y" * 300_000}),
        NeverAgain,
        "NET_TOO_LARGE",
    ),
}


@pytest.mark.parametrize(("status", "body", "kind", "code"), BAD_DISCOVERY.values(), ids=BAD_DISCOVERY.keys())
def test_discover_refuses(stub: Start, wire: Wire, status: int, body: str, kind: type[WireError], code: str) -> None:
    with pytest.raises(kind) as refused:
        discover(stub(wire(body, status=status, content_type=JSON)))
    assert refused.value.code == code


def test_incomplete_names_what_is_missing(stub: Start, wire: Wire) -> None:
    with pytest.raises(NeverAgain, match="token_endpoint, capabilities"):
        discover(stub(wire(without("token_endpoint", "capabilities"))))


def test_backend_only_server_needs_no_authorize_or_keys(stub: Start, wire: Wire) -> None:
    document = json.loads(without("authorization_endpoint", "jwks_uri", "issuer"))
    found = discover(stub(wire(json.dumps({**document, "capabilities": ["client-confidential-asymmetric"]}))))
    assert (found.authorization_endpoint, found.jwks_uri, found.issuer) == (None, None, None)


def configuration(**endpoints: str) -> smart.SmartConfiguration:
    return smart.SmartConfiguration(**{"token_endpoint": "https://oauth.example.com/token", **endpoints})


def test_confirmed_hosts_are_origins_for_the_door() -> None:
    found = configuration(
        authorization_endpoint="https://login.example.com:8443/a", jwks_uri="https://oauth.example.com/jwks"
    )
    confirmed = smart.confirmed_hosts(found, {"OAuth.example.com", "login.example.com:8443"})
    assert confirmed == {"https://oauth.example.com", "https://login.example.com:8443"}


HOSTS = {
    "exact": ("https://oauth.example.com/t", {"oauth.example.com"}, True),
    "exact with port": ("https://oauth.example.com/t", {"oauth.example.com:443"}, True),
    "below a domain": ("https://oauth.example.com/t", {"*.example.com"}, True),
    "two below a domain": ("https://a.oauth.example.com/t", {"*.example.com"}, True),
    "plain http of the sandbox": ("http://127.0.0.1:9400/t", {"127.0.0.1:9400"}, True),
    "the domain itself": ("https://example.com/t", {"*.example.com"}, False),
    "name that ends alike": ("https://evilexample.com/t", {"*.example.com", "example.com"}, False),
    "name that begins alike": (
        "https://oauth.example.com.evil/t",
        {"*.example.com", "oauth.example.com"},
        False,
    ),
    "another port": ("https://oauth.example.com:8443/t", {"oauth.example.com", "*.example.com"}, False),
    "plain http": ("http://oauth.example.com/t", {"oauth.example.com", "*.example.com"}, False),
    "subdomain": ("https://x.oauth.example.com/t", {"oauth.example.com"}, False),
    "nothing confirmed": ("https://oauth.example.com/t", set(), False),
}


@pytest.mark.parametrize(("url", "allowed", "confirmed"), HOSTS.values(), ids=HOSTS.keys())
def test_confirmed_hosts(url: str, allowed: set[str], confirmed: bool) -> None:
    if confirmed:
        assert len(smart.confirmed_hosts(configuration(token_endpoint=url), allowed)) == 1
    else:
        with pytest.raises(NeverAgain, match="token_endpoint") as refused:
            smart.confirmed_hosts(configuration(token_endpoint=url), allowed)
        assert refused.value.code == "DISC_FOREIGN_HOST"


# --- assertion ---------------------------------------------------------------------------------------------


def pem(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


RSA = rsa.generate_private_key(65537, 2048)
P384 = ec.generate_private_key(ec.SECP384R1())


def assertion(**changes: object) -> str:
    arguments = {
        "client_id": "client-1",
        "token_endpoint": "https://oauth.example.com/token",
        "private_key_pem": pem(RSA),
        "kid": "kid-1",
        "alg": "RS384",
        "now": 1_800_000_000.9,
    }
    return smart.client_assertion(**{**arguments, **changes})


@pytest.mark.parametrize(("alg", "key"), [("RS384", RSA), ("RS256", RSA), ("ES384", P384)])
def test_assertion(alg: str, key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> None:
    signed = assertion(alg=alg, private_key_pem=pem(key))
    assert jwt.get_unverified_header(signed) == {"alg": alg, "kid": "kid-1", "typ": "JWT"}
    claims = jwt.decode(
        signed,
        key.public_key(),
        algorithms=[alg],
        options={"verify_exp": False, "verify_iat": False, "verify_aud": False},
    )
    assert claims.pop("jti")
    assert claims == {
        "iss": "client-1",
        "sub": "client-1",
        "aud": "https://oauth.example.com/token",
        "iat": 1_799_999_970,
        "exp": 1_800_000_240,
    }


def test_assertion_lives_five_minutes_at_most_by_either_count() -> None:
    for life in (1, 240, 280, 300):
        claims = jwt.decode(assertion(life=life), options={"verify_signature": False})
        assert claims["exp"] == 1_800_000_000 + life
        assert claims["exp"] - claims["iat"] <= 300
    for life in (0, -1, 301):
        with pytest.raises(ValueError, match="300"):
            assertion(life=life)


def test_every_assertion_has_its_own_jti() -> None:
    ids = {jwt.decode(assertion(), options={"verify_signature": False})["jti"] for _ in range(20)}
    assert len(ids) == 20


WRONG_KEYS = {
    "no PEM": (b"nonsense", "RS384"),
    "empty": (b"", "RS384"),
    "RSA of 1024 bits": (pem(rsa.generate_private_key(65537, 1024)), "RS384"),
    "curve for RSA": (pem(P384), "RS384"),
    "RSA for the curve": (pem(RSA), "ES384"),
    "another curve": (pem(ec.generate_private_key(ec.SECP256R1())), "ES384"),
    "Ed25519": (pem(ed25519.Ed25519PrivateKey.generate()), "ES384"),
    "algorithm none": (pem(RSA), "none"),
    "symmetric algorithm": (pem(RSA), "HS256"),
    "public key": (RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo), "RS384"),
}


@pytest.mark.parametrize(("key", "alg"), WRONG_KEYS.values(), ids=WRONG_KEYS.keys())
def test_key_that_does_not_fit_is_refused_without_quoting_it(key: bytes, alg: str) -> None:
    with pytest.raises(NeverAgain) as refused:
        assertion(private_key_pem=key, alg=alg)
    assert refused.value.code == "CFG_SIGNING_KEY"
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


def test_assertion_without_kid_is_refused() -> None:
    with pytest.raises(NeverAgain) as refused:
        assertion(kid="")
    assert refused.value.code == "TOK_KID_AMBIGUOUS"


# --- token -------------------------------------------------------------------------------------------------


def ask(server: Stub, **extra: str) -> smart.TokenAnswer:
    found = configuration(token_endpoint=f"http://{server.host_port}/token")
    with server.door() as door:
        return smart.client_credentials(
            door,
            found,
            assertion="canary-assertion",
            scope="system/Patient.read system/Group.read",
            extra=extra,
        )


def granted(**changes: object) -> str:
    members = {
        "access_token": "canary-token",
        "token_type": "Bearer",
        "expires_in": 300,
        "scope": "a b",
        **changes,
    }
    return json.dumps({name: value for name, value in members.items() if value is not None})


def test_token(stub: Start, wire: Wire) -> None:
    server = stub(wire(granted(refresh_token="canary-r"), Date="Sat, 21 Nov 2026 10:00:00 GMT"))
    answer = ask(server, practice_code="AAAAAA")
    assert answer.access_token == "canary-token"
    assert (answer.expires_in, answer.scope, answer.token_type) == (300, "a b", "Bearer")
    assert answer.raw_keys == ("access_token", "expires_in", "refresh_token", "scope", "token_type")
    assert answer.server_date == datetime(2026, 11, 21, 10, tzinfo=UTC)
    assert "canary" not in repr(answer)
    assert len(server.requests) == 1
    assert parse_qs(server.requests[0].body.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["system/Patient.read system/Group.read"],
        "client_assertion_type": ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"],
        "client_assertion": ["canary-assertion"],
        "practice_code": ["AAAAAA"],
    }


@pytest.mark.parametrize("kind", ["bearer", "BEARER", "Bearer"])
def test_token_type_in_any_case(stub: Start, wire: Wire, kind: str) -> None:
    assert ask(stub(wire(granted(token_type=kind)))).token_type == kind


LIVES = {
    "number": (3600, 3600),
    "text": ("3600", 3600),
    "text with space": (" 60 ", 60),
    "decimal": (299.5, 299),
    "missing": (None, 300),
    "words": ("soon", 300),
    "zero": (0, 300),
    "negative": (-5, 300),
    "true": (True, 300),
    "list": ([1], 300),
    "a hundred years": (3_153_600_000, 86_400),
    "more digits than a clock": (10**80, 86_400),
}


@pytest.mark.parametrize(("sent", "seconds"), LIVES.values(), ids=LIVES.keys())
def test_expires_in_is_read_tolerantly(stub: Start, wire: Wire, sent: object, seconds: int) -> None:
    assert ask(stub(wire(granted(expires_in=sent)))).expires_in == seconds


def test_scope_may_be_missing(stub: Start, wire: Wire) -> None:
    assert ask(stub(wire(granted(scope=None)))).scope is None


def said(error: str, description: str = "", **more: str) -> str:
    return json.dumps({"error": error, "error_description": description, **more})


TOKEN_REFUSALS = {
    "invalid_client 401": (401, said("invalid_client"), smart.TokenRefused, "TOK_INVALID_CLIENT"),
    "invalid_client 400": (400, said("invalid_client", "kid"), smart.TokenRefused, "TOK_INVALID_CLIENT"),
    "401 without JSON": (401, "<html>", smart.TokenRefused, "TOK_REFUSED"),
    "invalid_grant": (400, said("invalid_grant", "scope"), smart.TokenRefused, "TOK_SCOPE_BACKEND"),
    "invalid_scope": (400, said("invalid_scope"), smart.TokenRefused, "TOK_SCOPE_BACKEND"),
    "fields swapped": (400, said("400", "invalid_scope"), smart.TokenRefused, "TOK_SCOPE_BACKEND"),
    "unsupported_grant_type": (
        400,
        said("unsupported_grant_type"),
        smart.TokenRefused,
        "TOK_UNSUPPORTED_GRANT",
    ),
    "unauthorized_client": (400, said("unauthorized_client"), smart.TokenRefused, "TOK_UNSUPPORTED_GRANT"),
    "invalid_request": (400, said("invalid_request", "x"), smart.TokenRefused, "TOK_REFUSED"),
    "error with 200": (200, said("invalid_client"), smart.TokenRefused, "TOK_INVALID_CLIENT"),
    "not activated": (
        400,
        said("invalid_request", "FHIR app authentication is not enabled"),
        smart.TokenRefused,
        "AUTHZ_APP_NOT_ACTIVATED",
    ),
    "not activated, plain text": (
        400,
        "FHIR app authentication is not enabled",
        smart.TokenRefused,
        "AUTHZ_APP_NOT_ACTIVATED",
    ),
    "not activated, OperationOutcome": (
        400,
        json.dumps({"issue": [{"diagnostics": "FHIR app authentication is not enabled"}]}),
        smart.TokenRefused,
        "AUTHZ_APP_NOT_ACTIVATED",
    ),
    "access_denied 500": (500, said("access_denied"), TryAgain, "TOK_ACCESS_DENIED_500"),
    "access_denied 500, swapped": (500, said("500", "access_denied"), TryAgain, "TOK_ACCESS_DENIED_500"),
    "500": (500, "<html>", TryAgain, "FHIR_5XX"),
    "503": (503, "", TryAgain, "FHIR_5XX"),
    "429": (429, "", Throttled, "FHIR_429"),
    "HTML with 200": (200, "<html>", TryAgain, "TOK_NOT_JSON"),
    "HTML with 400": (400, "<html>", TryAgain, "TOK_NOT_JSON"),
    "empty with 200": (200, "", TryAgain, "TOK_NOT_JSON"),
    "no token": (200, granted(access_token=None), TryAgain, "TOK_NOT_JSON"),
    "empty token": (200, granted(access_token=""), TryAgain, "TOK_NOT_JSON"),
    "token with a line break": (200, granted(access_token="a\r\nb"), TryAgain, "TOK_NOT_JSON"),
    "token is a number": (200, granted(access_token=7), TryAgain, "TOK_NOT_JSON"),
    "no token type": (200, granted(token_type=None), TryAgain, "TOK_NOT_JSON"),
    "another token type": (200, granted(token_type="mac"), TryAgain, "TOK_NOT_JSON"),
    "key twice": (
        200,
        '{"access_token": "a", "access_token": "b", "token_type": "Bearer"}',
        TryAgain,
        "TOK_NOT_JSON",
    ),
}


@pytest.mark.parametrize(("status", "body", "kind", "code"), TOKEN_REFUSALS.values(), ids=TOKEN_REFUSALS.keys())
def test_token_refusals(stub: Start, wire: Wire, status: int, body: str, kind: type[WireError], code: str) -> None:
    server = stub(wire(body, status=status, X_Request_Id="r-7"))
    with pytest.raises(kind) as refused:
        ask(server)
    assert type(refused.value) is kind
    assert (refused.value.code, refused.value.status, refused.value.request_id) == (code, status, "r-7")
    assert len(server.requests) == 1, "an assertion is sent once"
    assert "canary" not in str(refused.value)


def test_refusal_keeps_the_oauth_error_from_either_field(stub: Start, wire: Wire) -> None:
    for body in (
        said("invalid_scope", "system/AllergyIntolerance.read unknown"),
        said("403", "invalid_scope"),
    ):
        with pytest.raises(smart.TokenRefused) as refused:
            ask(stub(wire(body, status=400)))
        assert refused.value.oauth_error == "invalid_scope"
    assert refused.value.description == "403"


def test_refusal_shows_scopes_but_neither_assertion_nor_token(stub: Start, wire: Wire) -> None:
    body = said("invalid_scope", "system/AllergyIntolerance.read in canary-assertion " + assertion())
    with pytest.raises(smart.TokenRefused) as refused:
        ask(stub(wire(body, status=400)))
    assert refused.value.description == "system/AllergyIntolerance.read in … …"


def test_refusal_tells_how_far_the_clocks_are_apart(stub: Start, wire: Wire) -> None:
    ahead = format_datetime(datetime.fromtimestamp(time.time(), UTC) + timedelta(seconds=600), usegmt=True)
    with pytest.raises(smart.TokenRefused) as refused:
        ask(stub(wire(said("invalid_client"), status=401, Date=ahead)))
    assert 590 < (refused.value.clock_skew or 0) < 605
    with pytest.raises(smart.TokenRefused) as refused:
        ask(stub(wire(said("invalid_client"), status=401)))
    assert refused.value.clock_skew is None


def test_assertion_goes_to_confirmed_hosts_only(stub: Start, wire: Wire) -> None:
    server, stranger = stub(wire(granted())), stub(wire(granted()))
    found = configuration(token_endpoint=f"http://{stranger.host_port}/token")
    insecure = frozenset({server.host_port, stranger.host_port})
    with server.door(insecure=insecure) as door, pytest.raises(NeverAgain) as refused:
        smart.client_credentials(door, found, assertion="canary", scope="x", extra={})
    assert refused.value.code == "DISC_FOREIGN_HOST"
    assert stranger.requests == []


def test_extra_fields_cannot_replace_the_grant(stub: Start, wire: Wire) -> None:
    server = stub(wire(granted()))
    with pytest.raises(ValueError, match="grant"):
        ask(server, grant_type="password")
    assert server.requests == []
