"""What can go wrong between an authorization request and the last refresh, each made by the sandbox, and its name.

`PAGES` are refusals that nobody comes back from: the doctor asks, and names them. `ANSWERS` are what the callback
names.
`REFRESHES` are what becomes of a consent when its token is renewed.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from emr import calls, doctor, grants
from emr.bearers import NoAccess
from emr.launches import LaunchRefused
from emr.models import Connection, Grant
from emr.wire.answers import Timeouts
from emr.wire.errors import WireError
from emr.wire.id_token import KEYS
from emr.wire.token_endpoint import ask
from tests.launches import signing_in
from tests.launches.place import Place, finish, fresh

Arrange = Callable[[Place], object]
GRANTED = "GRANTED"


def order(kind: str, **arguments: Any) -> Arrange:
    return lambda place: place.order(kind, **arguments)


def app(**changed: Any) -> Arrange:
    """Our app as the vendor's portal has it."""
    return lambda place: place.register(**changed)


def ours(**changed: Any) -> Arrange:
    """Our app as we have it."""

    def arrange(place: Place) -> None:
        type(place.connection.registration).objects.update(**changed)

    return arrange


def oauth(error: str, status: int = 400, grant: str = "authorization_code", **more: str) -> Arrange:
    """A token endpoint's refusal (RFC 6749 section 5.2)."""
    body = "{" + ", ".join(f'"{name}": "{value}"' for name, value in ({"error": error} | more).items()) + "}"
    return order("status", grant=grant, status=status, body=body, content_type="application/json")


def short() -> AbstractContextManager[Any]:
    """Our patience with the token endpoint, so that a server that hangs is met quickly."""
    return patch.dict(ask.__kwdefaults__, {"timeout": Timeouts(connect=1.0, read=0.3, wall=0.6)})


@dataclass(frozen=True)
class Page:
    """arrange: what the vendor has wrong. code: of the doctor's step "authorize", "" where all is well."""

    name: str
    arrange: Arrange
    code: str


PAGES = (
    Page("all is well", lambda place: None, ""),
    Page("an unknown client id", ours(client_id="a-stranger"), "AUTHZ_401_AUD"),
    Page("a client refused before anybody signs in", order("client-refused"), "AUTHZ_401_AUD"),
    Page("an app that the practice has switched off", app(active=False), "AUTHZ_APP_NOT_ACTIVATED"),
    Page("an app not activated yet", order("not-enabled", path="/authorize"), "AUTHZ_APP_NOT_ACTIVATED"),
    Page("the swapped 403", order("swap-error-403", path="/authorize"), "AUTHZ_403_INVALID_REQUEST"),
    Page(
        "invalid_request in its right field",
        order("status", path="/authorize", status=400, body='{"error": "invalid_request"}'),
        "AUTHZ_403_INVALID_REQUEST",
    ),
    Page(
        "a redirect URI with a slash more at the portal",
        app(redirect_uris=["https://app.example.org/emr/callback/"]),
        "AUTHZ_REDIRECT",
    ),
    Page("a redirect mismatch by order", order("redirect-mismatch"), "AUTHZ_REDIRECT"),
    Page("no redirect URI of this site", ours(redirect_uris="https://other.example/x"), "CFG_REDIRECT"),
    Page("a scope not ticked at the portal", app(scopes="openid launch/patient"), "AUTHZ_SCOPE"),
    Page(
        "an app of another type at the portal", app(app_type="backend-single"), "AUTHZ_UNAUTHORIZED_CLIENT"
    ),
    Page(
        "a response type not enabled",
        order("authorize-error", error="unsupported_response_type"),
        "AUTHZ_UNAUTHORIZED_CLIENT",
    ),
    Page("an outage", order("502-html", path="/authorize"), "FHIR_5XX"),
    Page("the minute used up", order("429", path="/authorize"), "FHIR_429"),
    Page("an error that nobody listed", order("authorize-error", error="login_required"), "AUTHZ_REFUSED"),
    Page("a page that nobody listed", order("status", path="/authorize", status=418, body="tea"), "AUTHZ_REFUSED"),
)  # fmt: skip


def page_code(place: Place, page: Page) -> str:
    """What the doctor says of the sign-in page."""
    page.arrange(place)
    report = doctor.examine(Connection.objects.get(pk=place.connection.pk))
    return next(one.code for one in doctor.findings(report) if one.step == "authorize")


@dataclass(frozen=True)
class Answer:
    """before: arranged before the person is sent out. between: while the answer is on its way. code: of the catalogue.

    person: what they do at the EMR's pages. patience: for servers that hang.
    """

    name: str
    code: str
    before: Arrange = lambda place: None
    between: Arrange = lambda place: None
    person: dict[str, Any] = field(default_factory=dict)
    patience: Callable[[], AbstractContextManager[Any]] = nullcontext


def says(**values: str) -> Arrange:
    """An authorization server that sends the person back with these parameters and without a code."""
    return order("callback", set=values, remove=["code"])


def token(kind: str, **arguments: Any) -> Arrange:
    return order(kind, grant="authorization_code", **arguments)


def id_token(**arguments: Any) -> Arrange:
    return order("id-token", **arguments)


def later(seconds: int) -> Arrange:
    return lambda place: signing_in.control(place.control_url, "clock", {"seconds": seconds})


ANSWERS = (
    Answer("a patient consents", GRANTED),
    Answer("a patient who declines", "AUTHZ_DENIED", person={"refuses": True}),
    Answer("a closed page", "AUTHZ_DENIED", order("authorize-error", error="access_denied")),
    Answer("a scope not ticked", "AUTHZ_SCOPE", app(scopes="openid launch/patient")),
    Answer("invalid_scope in the other field", "AUTHZ_SCOPE", says(error="403", error_description="invalid_scope")),
    Answer("another type of app", "AUTHZ_UNAUTHORIZED_CLIENT", app(app_type="backend-single")),
    Answer("unauthorized_client", "AUTHZ_UNAUTHORIZED_CLIENT", order("authorize-error", error="unauthorized_client")),
    Answer("invalid_request", "AUTHZ_403_INVALID_REQUEST", order("authorize-error", error="invalid_request")),
    Answer(
        "the swapped 403 as an answer",
        "AUTHZ_403_INVALID_REQUEST",
        says(error="403", error_description="invalid_request"),
    ),
    Answer(
        "not activated, said in words",
        "AUTHZ_APP_NOT_ACTIVATED",
        order("authorize-error", error="server_error", description="FHIR app authentication is not enabled"),
    ),
    Answer(
        "a redirect URI complained of",
        "AUTHZ_REDIRECT",
        order("authorize-error", error="server_error", description="Redirect URI mismatch"),
    ),
    Answer("an error that nobody listed", "AUTHZ_REFUSED", order("authorize-error", error="temporarily_unavailable")),
    Answer("no state comes back", "LAUNCH_STATE_MISSING", order("callback", remove=["state"])),
    Answer("state comes back twice", "LAUNCH_STATE_MISSING", order("callback", double=["state"])),
    Answer("a state of nobody's", "AUTHZ_STATE", order("callback", set={"state": "x" * 43})),
    Answer("neither code nor error", "LAUNCH_ANSWER", order("callback", remove=["code"])),
    Answer("two codes", "LAUNCH_ANSWER", order("callback", double=["code"])),
    Answer("mix-up of two servers", "LAUNCH_OTHER_SERVER", order("callback", set={"iss": "https://evil.example"})),
    Answer("a code of nobody's", "TOK_CODE_INVALID", order("callback", set={"code": "x" * 43})),
    Answer("a code that came too late", "TOK_CODE_INVALID", between=later(61)),
    Answer("invalid_grant", "TOK_CODE_INVALID", between=oauth("invalid_grant")),
    Answer(
        "invalid_grant in the other field",
        "TOK_CODE_INVALID",
        between=oauth("400", error_description="invalid_grant"),
    ),
    Answer("an app switched off meanwhile", "TOK_INVALID_CLIENT", between=app(active=False)),
    Answer("our keys replaced meanwhile", "TOK_INVALID_CLIENT", between=app(jwks_url="http://127.0.0.1:9/jwks")),
    Answer("a request sent twice on the way", "TOK_INVALID_CLIENT", between=token("repeated")),
    Answer("another way to prove ourselves", "TOK_INVALID_CLIENT", between=app(auth_method="none")),
    Answer("the grant not enabled", "AUTHZ_UNAUTHORIZED_CLIENT", between=oauth("unauthorized_client")),
    Answer("invalid_scope at the token endpoint", "AUTHZ_SCOPE", between=oauth("invalid_scope")),
    Answer("not activated at the token endpoint", "AUTHZ_APP_NOT_ACTIVATED", between=token("not-enabled")),
    Answer("the catch-all", "TOK_ACCESS_DENIED_500", between=token("access-denied")),
    Answer("a refusal that nobody listed", "TOK_REFUSED", between=oauth("invalid_target")),
    Answer("200 with HTML", "TOK_NOT_JSON", between=token("not-json")),
    Answer("200 with HTML, the code spent", "TOK_NOT_JSON", between=token("not-json", commits=True)),
    Answer("404 with HTML", "TOK_NOT_JSON", between=token("status", status=404, body="<html>")),
    Answer("half an answer", "TOK_NOT_JSON", between=token("truncated")),
    Answer("another type of token", "TOK_NOT_JSON", between=token("altered-json", set={"token_type": "mac"})),
    Answer("no access token", "TOK_NOT_JSON", between=token("altered-json", remove=["access_token"])),
    Answer("500", "FHIR_5XX", between=token("500")),
    Answer("502 with HTML", "FHIR_5XX", between=token("502-html")),
    Answer("408", "NET_TIMEOUT", between=token("status", status=408, commits=True)),
    Answer("429", "FHIR_429", between=token("429")),
    Answer("no answer, the code spent", "NET_TIMEOUT", between=token("hang", seconds=2), patience=short),
    Answer("the connection reset, the code spent", "NET_CONNECT", between=token("reset")),
    Answer("a body cut short", "NET_CONNECT", between=token("short-body")),
    Answer("a redirect", "NET_REDIRECT", between=token("status", status=302, headers={"Location": "https://x.example"})),
    Answer("a token without a patient", "AUTHZ_NO_PATIENT", between=token("altered-json", remove=["patient"])),
    Answer("another nonce", "OIDC_INVALID", between=id_token(set={"nonce": "other"})),
    Answer("no nonce", "OIDC_INVALID", between=id_token(remove=["nonce"])),
    Answer("another issuer", "OIDC_INVALID", between=id_token(set={"iss": "https://other.example"})),
    Answer("another audience", "OIDC_INVALID", between=id_token(set={"aud": "other"})),
    Answer("an identity of last year", "OIDC_INVALID", between=id_token(set={"exp": 1, "iat": 0})),
    Answer("no signature", "OIDC_INVALID", between=id_token(alg="none")),
    Answer("an algorithm not on our list", "OIDC_INVALID", between=id_token(alg="RS512")),
    Answer("a key of somebody else's", "OIDC_INVALID", between=id_token(foreign_key=True)),
    Answer("an unknown kid", "OIDC_INVALID", between=id_token(header={"kid": "unknown"})),
    Answer("a page in place of the keys", "OIDC_KEYS", between=order("not-json", path="/jwks")),
    Answer("token_type in other case", GRANTED, between=token("altered-json", set={"token_type": "BeArEr"})),
    Answer("no scope in the answer", GRANTED, between=token("altered-json", remove=["scope"])),
    Answer("no expires_in", GRANTED, between=token("altered-json", remove=["expires_in"])),
    Answer("expires_in a text", GRANTED, between=token("altered-json", set={"expires_in": "3600"})),
    Answer("no refresh token", GRANTED, between=token("altered-json", remove=["refresh_token"])),
    Answer("fewer scopes than consented to", GRANTED, between=token("narrow-scope", types=["Condition"])),
)  # fmt: skip


def answer_code(place: Place, situation: Answer) -> str:
    """What the callback says: the code of its refusal, or GRANTED."""
    KEYS.clear()
    situation.before(place)
    invitation, _ = place.invite()
    answer = place.come_back(invitation, **situation.person)
    situation.between(place)
    try:
        with situation.patience():
            finish(answer)
    except LaunchRefused as refused:
        return refused.code
    return GRANTED


def closed_codes(place: Place) -> list[str]:
    """Codes of launches that our own side closes: taken twice, too late, withdrawn, elsewhere, after the connection."""
    told = []
    for spoil, how in (
        ({"consumed_at": "2026-01-01T00:00Z"}, {}),
        ({"expires_at": "2026-01-01T00:00Z"}, {}),
        ({}, {"at": "https://app.example.org/other"}),
        ({}, {"browser": "another"}),
    ):
        invitation, _ = place.invite()
        answer = place.come_back(invitation)
        invitation.launches.update(**spoil)
        try:
            finish(answer, **how)
        except LaunchRefused as refused:
            told.append(refused.code)
    return told


@dataclass(frozen=True)
class Refresh:
    """outcomes: of the tries one after the other: "" for a token, else the code. state: the grant's at the end.

    reason: the code on the grant at the end. arrange: done once, after the grant.
    """

    name: str
    arrange: Arrange
    outcomes: tuple[str, ...]
    state: str = Grant.State.ACTIVE
    reason: str = ""
    patience: Callable[[], AbstractContextManager[Any]] = nullcontext


def renew(kind: str, **arguments: Any) -> Arrange:
    return order(kind, grant="refresh_token", **arguments)


def refused(error: str, status: int = 400, **more: str) -> Arrange:
    return oauth(error, status, "refresh_token", **more)


def withdrawn(place: Place) -> None:
    """By the patient, at the EMR."""
    signing_in.control(place.control_url, "grants", method="DELETE")


def over(place: Place) -> None:
    """Its days are over."""
    signing_in.control(place.control_url, "grants", {"ends_in": 0})


NEEDS, LOST = Grant.State.NEEDS_CONSENT, "GRANT_ANSWER_LOST"
REFRESHES = (
    Refresh("a refresh", lambda place: None, ("", "")),
    Refresh("the patient has withdrawn", withdrawn, ("TOK_REFRESH_INVALID",), NEEDS, "TOK_REFRESH_INVALID"),
    Refresh("its 90 days are over", over, ("TOK_REFRESH_INVALID",), NEEDS, "TOK_REFRESH_INVALID"),
    Refresh("invalid_grant", refused("invalid_grant"), ("TOK_REFRESH_INVALID",), NEEDS, "TOK_REFRESH_INVALID"),
    Refresh(
        "invalid_grant in the other field",
        refused("400", error_description="invalid_grant"),
        ("TOK_REFRESH_INVALID",),
        NEEDS,
        "TOK_REFRESH_INVALID",
    ),
    Refresh("403", refused("access_denied", 403), ("TOK_REFRESH_INVALID",), NEEDS, "TOK_REFRESH_INVALID"),
    Refresh("our app switched off", app(active=False), ("TOK_INVALID_CLIENT", "TOK_INVALID_CLIENT")),
    Refresh("the grant not enabled any more", refused("unauthorized_client"), ("AUTHZ_UNAUTHORIZED_CLIENT", "")),
    Refresh("invalid_scope", refused("invalid_scope"), ("AUTHZ_SCOPE", "")),
    Refresh("not activated", renew("not-enabled"), ("AUTHZ_APP_NOT_ACTIVATED", "")),
    Refresh("the catch-all", renew("access-denied"), ("TOK_ACCESS_DENIED_500", "")),
    Refresh("the swapped 403", renew("swap-error-403"), ("TOK_REFUSED", "")),
    Refresh("a reason that nobody listed", refused("invalid_target", 422), ("TOK_REFUSED", "")),
    Refresh("429", renew("429"), ("FHIR_429", "")),
    Refresh("500", renew("500"), ("FHIR_5XX", "")),
    Refresh("408 before the work", renew("status", status=408), ("NET_TIMEOUT", "")),
    Refresh("408 after the work", renew("status", status=408, commits=True), ("NET_TIMEOUT", LOST), NEEDS, LOST),
    Refresh("500 after the work", renew("status", status=500, commits=True), ("FHIR_5XX", LOST), NEEDS, LOST),
    Refresh("200 with HTML", renew("not-json"), ("TOK_NOT_JSON", "")),
    Refresh("200 with HTML after the work", renew("not-json", commits=True), ("TOK_NOT_JSON", LOST), NEEDS, LOST),
    Refresh("no answer after the work", renew("hang", seconds=2), ("NET_TIMEOUT", LOST), NEEDS, LOST, short),
    Refresh("the connection reset after the work", renew("reset"), ("NET_CONNECT", LOST), NEEDS, LOST),
    Refresh("no refresh token in the answer", renew("no-rotation"), ("", "", "")),
    Refresh("no scope in the answer", renew("altered-json", remove=["scope"]), ("", "")),
    Refresh("no expires_in", renew("altered-json", remove=["expires_in"]), ("", "")),
    Refresh("expires_in a text", renew("altered-json", set={"expires_in": "3600"}), ("", "")),
    Refresh("token_type in other case", renew("altered-json", set={"token_type": "BEARER"}), ("", "")),
    Refresh("two answers lost", renew("not-json", times=2), ("TOK_NOT_JSON", "TOK_UNCERTAIN", "TOK_UNCERTAIN"),
            reason="TOK_UNCERTAIN"),
)  # fmt: skip


def refresh_outcomes(place: Place, situation: Refresh) -> tuple[tuple[str, ...], Grant]:
    """What the tries brought, and the grant after them."""
    grant = place.granted().grant
    situation.arrange(place)
    return tuple(_try(place, grant, situation) for _ in situation.outcomes), fresh(grant)


def _try(place: Place, grant: Grant, situation: Refresh) -> str:
    try:
        with situation.patience(), place.door() as door:
            access = grants.access(grant, door, anew=True)
    except (NoAccess, WireError) as error:
        return error.code
    except calls.OverBudget:
        return "FHIR_429"
    row = fresh(grant)
    if row.generation != access.generation or row.access_token != access.bearer:
        return "the token in use is not the one kept"
    return ""
