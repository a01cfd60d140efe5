"""The token endpoint: Backend Services and the two grants of a launch, and the access tokens it has given out."""

import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from sandbox.access_scopes import GROUP_SCOPES, REGISTRABLE, is_within, parse
from sandbox.assertions import invalid_grant, oauth_refusal
from sandbox.authentication import ClientAuthentication, access_denied
from sandbox.clients import BACKEND_TYPES, RegisteredClient
from sandbox.messages import Request, Response, json_response

FORM = "application/x-www-form-urlencoded"
NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


@dataclass(frozen=True)
class AccessToken:
    """What a bearer may do, and until when (POSIX seconds).

    Attributes:
        grant_id: the consent it comes from, "" for a backend app's.
        patient: whose chart ``patient/`` scopes reach, None for nobody's.
        patients: whose charts ``user/`` scopes reach, None for everybody's.
    """

    client_id: str
    scopes: tuple[str, ...]
    expires_at: float
    grant_id: str = ""
    patient: str | None = None
    patients: tuple[str, ...] | None = None


class AccessTokens:
    """The access tokens in force."""

    def __init__(self, life: int, clock: Callable[[], float]) -> None:
        self.life = life
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, AccessToken] = {}

    def mint(self, client_id: str, scopes: tuple[str, ...]) -> str:
        """A new opaque token of a backend app."""
        return self.keep(AccessToken(client_id, scopes, self._clock() + self.life))

    def keep(self, token: AccessToken) -> str:
        """The opaque text that stands for these rights from now on."""
        text = secrets.token_urlsafe(48)
        with self._lock:
            now = self._clock()
            self._held = {key: held for key, held in self._held.items() if held.expires_at > now}
            self._held[text] = token
        return text

    def find(self, text: str) -> AccessToken | None:
        """The token's rights, None when unknown or expired."""
        held = self._held.get(text)
        return held if held is not None and held.expires_at > self._clock() else None

    def end(self, text: str) -> None:
        """Ends one token now."""
        with self._lock:
            self._held = {key: held for key, held in self._held.items() if key != text}

    def end_of_grant(self, grant_id: str) -> None:
        """Ends every token of a consent now."""
        with self._lock:
            self._held = {key: held for key, held in self._held.items() if held.grant_id != grant_id}

    def expire_all(self) -> None:
        """Ends every token now."""
        with self._lock:
            self._held = {}


Answerer = Callable[[RegisteredClient, dict[str, str], Request], dict[str, Any]]


class TokenEndpoint:
    """Answers token requests.

    Args:
        launched: what answers ``authorization_code`` and ``refresh_token``, by grant type.
        on_mint: called for every token given.
    """

    def __init__(
        self,
        authentication: ClientAuthentication,
        tokens: AccessTokens,
        launched: Mapping[str, Answerer],
        on_mint: Callable[[], None],
    ) -> None:
        self._authentication = authentication
        self._tokens = tokens
        self._launched = launched
        self._on_mint = on_mint

    def answer(self, request: Request) -> Response:
        """A token, or the refusal's answer.

        Raises:
            Refusal: a rule is broken; it carries the OAuth error and the rule's name.
        """
        form = read_form(request)
        grant_type = check_grant_type(form)
        client = self._authentication.client(request, form)
        if (grant_type == "client_credentials") != (client.app_type in BACKEND_TYPES):
            raise oauth_refusal(400, "unauthorized_client", "Client is not authorized for this grant.", "app type")
        answerer = self._launched.get(grant_type, self._backend)
        document = answerer(client, form, request)
        self._on_mint()
        return json_response(200, document, headers=NO_STORE)

    def _backend(self, client: RegisteredClient, form: dict[str, str], request: Request) -> dict[str, Any]:
        scopes = without(granted_scopes(client, form.get("scope", "")), request.withheld_types)
        token = self._tokens.mint(client.client_id, scopes)
        return {
            "access_token": token,
            "token_type": "bearer",
            "expires_in": self._tokens.life,
            "scope": " ".join(scopes),
        }


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


def check_grant_type(form: dict[str, str]) -> str:
    """One of the three grants there are."""
    if "grant_type" not in form:
        raise access_denied("no grant_type")
    if form["grant_type"] not in ("client_credentials", "authorization_code", "refresh_token"):
        raise oauth_refusal(400, "unsupported_grant_type", "Unsupported grant type.", "grant_type")
    return form["grant_type"]


def granted_scopes(client: RegisteredClient, asked: str) -> tuple[str, ...]:
    """The asked scopes when the backend app may have every one; the vendor calls any other case a bad grant.

    `system/Group.read` must be in every request of a bulk app and in none of a single-patient app.
    """
    scopes = tuple(dict.fromkeys(asked.split()))
    if not scopes:
        raise invalid_grant("no scope")
    if not all(scope in REGISTRABLE for scope in scopes):
        raise invalid_grant("scope not offered")
    has_group = bool(GROUP_SCOPES.intersection(scopes))
    if has_group != (client.app_type == "backend-bulk"):
        raise invalid_grant("Group scope rule")
    if not all(is_within(scope, client.scopes) for scope in scopes):
        raise invalid_grant("scope not registered")
    return scopes


def without(scopes: tuple[str, ...], withheld_types: frozenset[str]) -> tuple[str, ...]:
    """The scopes but for those on some resource types."""
    return tuple(scope for scope in scopes if _type_of(scope) not in withheld_types)


def _type_of(scope: str) -> str | None:
    parsed = parse(scope)
    return parsed.resource_type if parsed else None
