"""The wire (which decides whether a pull asks again) and the catalogue (which explains it) name a refusal alike.

Every sign of the catalogue at the token endpoint (for each of its three grants) and at the FHIR server becomes an
answer of a real server; then every OAuth code, alone, swapped and beside another, at every status.
"""

import json
from collections.abc import Callable, Iterator

import pytest

from emr import catalogue
from emr.doctor.watch import WatchedDoor, told
from emr.wire import authorize, fhir, smart
from emr.wire.answers import Answer
from emr.wire.errors import WireError
from emr.wire.token_endpoint import ClientAuthentication
from tests.wire.conftest import Stub

Start = Callable[..., Stub]
Wire = Callable[..., bytes]
# The class of a status: two of its members that no sign names by itself.
CLASSES: dict[int | str, tuple[int, ...]] = {"4xx": (400, 403, 422), "5xx": (500, 503)}


def body_of(at: str, sign: catalogue.Sign, oauth: str, *, swapped: bool) -> str:
    if at != "fhir":
        words = oauth or ("" if sign.text else "unheard_of")
        fields = {"error": words, "error_description": sign.text or "see our documentation"}
        if swapped:
            fields = {"error": fields["error_description"], "error_description": words}
        return f"<html>{sign.text}</html>" if sign.json is False else json.dumps(fields)
    issue = {"severity": "error", "code": "processing", "diagnostics": f"HAPI-0: {sign.text} [a, b]: c, here."}
    return json.dumps({"resourceType": "OperationOutcome", "issue": [issue]})


def cases() -> Iterator[object]:
    for entry in catalogue.entries():
        for sign in entry.signs:
            for at in {"token", "code", "refresh", "fhir"}.intersection(sign.at):
                wanted = sign.status or (400,)
                statuses = [number for each in wanted for number in CLASSES.get(each, (each,))]
                for status in statuses:
                    for oauth in sign.oauth or ("",):
                        for swapped in (False, True) if oauth else (False,):
                            told_as = body_of(at, sign, oauth, swapped=swapped)
                            name = f"{entry.code} {at} {status} {oauth}{' swapped' if swapped else ''} {sign.text}"
                            yield pytest.param(at, status, told_as, entry.code, id=name.strip())


@pytest.mark.parametrize(("at", "status", "body", "code"), sorted(cases(), key=lambda case: case.id))  # type: ignore[attr-defined]
def test_one_verdict(stub: Start, wire: Wire, at: str, status: int, body: str, code: str) -> None:
    server = stub(wire(body, status=status, content_type="application/json"))
    with WatchedDoor(server.base, insecure=frozenset({server.host_port})) as door:
        error = refused(door, server, at)
        assert door.last is not None
        assert (error.code, catalogue.recognise(told(door.last, at))) == (code, code)


CLIENT = ClientAuthentication("none", "a-client")


def ask(door: WatchedDoor, host_port: str, at: str) -> None:
    """One token request of this grant."""
    configuration = smart.SmartConfiguration(token_endpoint=f"http://{host_port}/token")
    if at == "token":
        smart.client_credentials(door, configuration, assertion="a.b.c", scope="system/Patient.read", extra={})
    elif at == "code":
        authorize.exchange(
            door, configuration, CLIENT, code="c", code_verifier="v", redirect_uri="https://app.example.org", extra={}
        )
    else:
        authorize.refresh(door, configuration, CLIENT, refresh_token="r", extra={})


def refused(door: WatchedDoor, server: Stub, at: str) -> WireError:
    try:
        if at == "fhir":
            fhir.search(door, "bearer", server.base, "Condition", [("patient", "p1")])
        else:
            ask(door, server.host_port, at)
    except WireError as error:
        return error
    raise AssertionError("the answer was taken for good")


WORDS = (
    "access_denied", "invalid_client", "invalid_grant", "invalid_request", "invalid_scope", "server_error",
    "temporarily_unavailable", "unauthorized_client", "unsupported_grant_type", "unheard_of",
)  # fmt: skip
STATUSES = (400, 401, 403, 404, 408, 418, 422, 429, 500, 503)


class Saying(WatchedDoor):
    """A server's answers without the server: some thousands are asked for."""

    answer: Answer

    def post_form(self, url: str, form: object, **options: object) -> Answer:
        return self.answer


def bodies() -> Iterator[str]:
    yield from ("", "[]", "{}", "<html>FHIR app authentication is not enabled</html>", "<html>")
    for word in WORDS:
        yield from (json.dumps({"error": word}), json.dumps({"error": "403", "error_description": word}))
        for other in WORDS:
            yield json.dumps({"error": word, "error_description": other})


@pytest.mark.parametrize("at", ["token", "code", "refresh"])
def test_one_verdict_on_whatever_a_token_endpoint_may_say(at: str) -> None:
    base = "https://fhir.example.org/fhir/r4/AAAAAA"
    parted = []
    with Saying(base) as door:
        for status in STATUSES:
            for body in bodies():
                door.answer = Answer(status, {}, body.encode(), f"{base}/token", 0.0, "")
                try:
                    ask(door, "fhir.example.org", at)
                except WireError as error:
                    if error.code != catalogue.recognise(told(door.answer, at)):
                        parted.append((status, body, error.code))
    assert parted == []


# A consent ends by the server's word about it, or by a refusal without any; never by one that is about the request.
REFRESH_REFUSALS = [
    (403, {"error": "403", "error_description": "invalid_request"}, "TOK_REFUSED"),
    (400, {"error": "invalid_request"}, "TOK_REFUSED"),
    (401, {"error": "invalid_request"}, "TOK_REFUSED"),
    (400, {"error": "temporarily_unavailable"}, "TOK_REFUSED"),
    (400, {"error": "invalid_grant", "error_description": "invalid_client"}, "TOK_REFUSED"),
    (401, {"error": "invalid_client"}, "TOK_INVALID_CLIENT"),
    (403, {"error": "403", "error_description": "invalid_grant"}, "TOK_REFRESH_INVALID"),
    (403, {"error": "token_revoked"}, "TOK_REFRESH_INVALID"),
    (403, {}, "TOK_REFRESH_INVALID"),
    (408, {"error": "invalid_grant"}, "NET_TIMEOUT"),
    (500, {"error": "invalid_grant"}, "FHIR_5XX"),
]


@pytest.mark.parametrize(("status", "body", "code"), REFRESH_REFUSALS, ids=lambda value: str(value))
def test_what_ends_a_consent(stub: Start, wire: Wire, status: int, body: dict[str, str], code: str) -> None:
    server = stub(wire(json.dumps(body), status=status, content_type="application/json"))
    with WatchedDoor(server.base, insecure=frozenset({server.host_port})) as door:
        assert refused(door, server, "refresh").code == code
