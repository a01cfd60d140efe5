"""The token endpoint: Backend Services (SMART backend-services), and the tokens it has given out."""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl

from sandbox import assertions
from sandbox.access_scopes import GROUP_SCOPES, SCOPES_SUPPORTED, is_within, parse
from sandbox.assertions import SeenAssertions, invalid_client, invalid_grant, oauth_refusal
from sandbox.clients import BACKEND_TYPES, ClientRegistry, RegisteredClient
from sandbox.jwks import JwksCache
from sandbox.messages import Refusal, Request, Response, json_response

FORM = "application/x-www-form-urlencoded"
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True)
class AccessToken:
    """What a bearer may do, and until when (POSIX seconds)."""

    client_id: str
    scopes: tuple[str, ...]
    expires_at: float


class AccessTokens:
    """The access tokens in force."""

    def __init__(self, life: int, clock: Callable[[], float]) -> None:
        self.life = life
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, AccessToken] = {}

    def mint(self, client_id: str, scopes: tuple[str, ...]) -> str:
        """A new opaque token."""
        text = secrets.token_urlsafe(48)
        with self._lock:
            now = self._clock()
            self._held = {key: held for key, held in self._held.items() if held.expires_at > now}
            self._held[text] = AccessToken(client_id, scopes, now + self.life)
        return text

    def find(self, text: str) -> AccessToken | None:
        """The token's rights, None when unknown or expired."""
        held = self._held.get(text)
        return held if held is not None and held.expires_at > self._clock() else None

    def expire_all(self) -> None:
        """Ends every token now."""
        with self._lock:
            self._held = {}


def access_denied(rule: str) -> Refusal:
    """The vendor's catch-all, which comes as a server error."""
    return oauth_refusal(500, "access_denied", "Access denied.", rule)


class TokenEndpoint:
    """Answers token requests of backend apps.

    Args:
        url: the token URL as discovered, which assertions must name as audience.
        on_mint: called for every token given.
    """

    def __init__(
        self,
        url: str,
        clients: ClientRegistry,
        jwks: JwksCache,
        tokens: AccessTokens,
        clock: Callable[[], float],
        on_mint: Callable[[], None],
    ) -> None:
        self._url = url
        self._clients = clients
        self._jwks = jwks
        self._tokens = tokens
        self._clock = clock
        self._on_mint = on_mint
        self._seen = SeenAssertions(clock)

    def answer(self, request: Request) -> Response:
        """A token, or the refusal's answer.

        Raises:
            Refusal: a rule is broken; it carries the OAuth error and the rule's name.
        """
        form = read_form(request)
        check_grant_type(form)
        check_single_authentication(request, form)
        client = self._authenticate(form, stale_jwks=request.stale_jwks)
        check_app_type(client)
        scopes = granted_scopes(client, form.get("scope", ""))
        scopes = tuple(scope for scope in scopes if _type_of(scope) not in request.withheld_types)
        token = self._tokens.mint(client.client_id, scopes)
        self._on_mint()
        document = {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": self._tokens.life,
            "scope": " ".join(scopes),
        }
        return json_response(200, document, headers={"Cache-Control": "no-store", "Pragma": "no-cache"})

    def _authenticate(self, form: dict[str, str], *, stale_jwks: bool) -> RegisteredClient:
        now = self._clock()
        assertion = assertions.take_apart(assertion_text(form))
        client = assertions.find_client(self._clients, assertion)
        if form.get("client_id", client.client_id) != client.client_id:
            raise invalid_client("client_id differs from iss")
        assertions.check_algorithm(assertion, client)
        assertions.check_type(assertion)
        assertions.check_key_url(assertion, client)
        kid = assertions.key_id(assertion)
        key = assertions.find_key(self._jwks, client, kid, stale=stale_jwks)
        assertions.check_key(key, client.alg)
        assertions.check_signature(assertion, key, client.alg)
        assertions.check_subject(assertion, client)
        assertions.check_audience(assertion, self._url)
        expires = assertions.expiry(assertion, now)
        assertions.check_issued_at(assertion, now)
        # Last, so that only an assertion that is good in every other way uses its jti up.
        self._seen.claim(client.client_id, assertions.token_id(assertion), expires)
        return client


def read_form(request: Request) -> dict[str, str]:
    """The form's fields, each sent once, of a POST."""
    if request.method != "POST":
        raise access_denied("not a POST")
    if request.media_type != FORM:
        raise access_denied("not a form")
    try:
        pairs = parse_qsl(request.body.decode(), keep_blank_values=True, strict_parsing=True)
    except ValueError as error:
        raise access_denied("unreadable form") from error
    form = dict(pairs)
    if len(form) != len(pairs):
        raise access_denied("repeated field")
    return form


def check_grant_type(form: dict[str, str]) -> None:
    """A backend app has one grant."""
    if "grant_type" not in form:
        raise access_denied("no grant_type")
    if form["grant_type"] != "client_credentials":
        raise oauth_refusal(400, "unsupported_grant_type", "Unsupported grant type.", "grant_type")


def check_app_type(client: RegisteredClient) -> None:
    """Only backend apps may ask for a token without a launch."""
    if client.app_type not in BACKEND_TYPES:
        raise oauth_refusal(400, "unauthorized_client", "Client is not authorized for this grant.", "app type")


def check_single_authentication(request: Request, form: dict[str, str]) -> None:
    """No second authentication method beside the assertion (RFC 6749 section 2.3)."""
    if "Authorization" in request.headers or "client_secret" in form:
        raise invalid_client("second authentication method")


def assertion_text(form: dict[str, str]) -> str:
    """The assertion, announced as a JWT."""
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise access_denied("client_assertion_type")
    if not form.get("client_assertion"):
        raise access_denied("no client_assertion")
    return form["client_assertion"]


def granted_scopes(client: RegisteredClient, asked: str) -> tuple[str, ...]:
    """The asked scopes when the app may have every one; the vendor calls any other case a bad grant.

    `system/Group.read` must be in every request of a bulk app and in none of a single-patient app.
    """
    scopes = tuple(dict.fromkeys(asked.split()))
    if not scopes:
        raise invalid_grant("no scope")
    if not all(scope in SCOPES_SUPPORTED for scope in scopes):
        raise invalid_grant("scope not offered")
    has_group = bool(GROUP_SCOPES.intersection(scopes))
    if has_group != (client.app_type == "backend-bulk"):
        raise invalid_grant("Group scope rule")
    if not all(is_within(scope, client.scopes) for scope in scopes):
        raise invalid_grant("scope not registered")
    return scopes


def _type_of(scope: str) -> str | None:
    parsed = parse(scope)
    return parsed.resource_type if parsed else None
