"""The authorization request, checked rule by rule (SMART App Launch 2.2 step 4, RFC 6749 section 4.1.1, RFC 7636).

What is wrong with the app itself is said on a page: nobody is sent to an address that was not registered. What is
wrong with the request goes back to the app.
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

from sandbox import pages
from sandbox.access_scopes import REGISTRABLE, is_within, parse
from sandbox.authorize_launches import LaunchContext
from sandbox.clients import BACKEND_TYPES, RegisteredClient
from sandbox.messages import TEXT, CallbackChange, Refusal, Request, Response, json_response
from sandbox.state import SandboxState

# 128 bits, base64url.
MIN_STATE = 22
CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")
FORM = "application/x-www-form-urlencoded"
NOT_ENABLED = b"FHIR app authentication is not enabled"
ERROR_URI = "http://fhir4.eclinicalworks.com/smart-app-launch/"


@dataclass(frozen=True)
class AuthorizationRequest:
    """A request that is good, with what its ``launch`` stood for."""

    client: RegisteredClient
    redirect_uri: str
    scopes: tuple[str, ...]
    state: str
    nonce: str | None
    challenge: str
    launch: LaunchContext | None
    change: CallbackChange

    @property
    def wants_patient(self) -> bool:
        """True when the answer has to name a chart."""
        asked = [scope for scope in map(parse, self.scopes) if scope is not None]
        return "launch/patient" in self.scopes or any(scope.context == "patient" for scope in asked)


def read(state: SandboxState, request: Request) -> AuthorizationRequest:
    """The request, every rule kept.

    Raises:
        Refusal: with a page, or with the way back to the app; it carries the rule's name.
    """
    sent = _parameters(request)
    client = _client(state, sent)
    redirect_uri = _redirect_uri(client, sent)
    token = sent.get("state", "")
    if len(token) < MIN_STATE:
        raise swapped_refusal("state" if token else "no state")
    _check_audience(state, sent)
    try:
        _check_kind(client, sent)
        scopes = _scopes(client, sent)
        nonce = _nonce(scopes, sent)
        challenge = _challenge(sent)
        launch = _launch(state, client, scopes, sent)
    except _SentBack as problem:
        answer = send_back(redirect_uri, {"error": problem.error, "error_description": problem.rule, "state": token})
        raise Refusal(answer, problem.rule) from problem
    change = request.callback or CallbackChange()
    return AuthorizationRequest(client, redirect_uri, scopes, token, nonce, challenge, launch, change)


class _SentBack(Exception):
    """An error that the app is told at its redirect URI (RFC 6749 section 4.1.2.1)."""

    def __init__(self, error: str, rule: str) -> None:
        super().__init__(rule)
        self.error = error
        self.rule = rule


def send_back(
    redirect_uri: str, answer: dict[str, str], change: CallbackChange | None = None, status: int = 302
) -> Response:
    """The browser's way back to the app, with the answer in the query."""
    change = change or CallbackChange()
    pairs = [(name, value) for name, value in {**answer, **change.values}.items() if name not in change.remove]
    pairs += [pair for pair in pairs if pair[0] in change.double]
    joint = "&" if "?" in redirect_uri else "?"
    headers = (("Location", f"{redirect_uri}{joint}{urlencode(pairs)}"), *pages.NEVER_KEPT)
    return Response(status, headers=headers)


def swapped_response() -> Response:
    """The vendor's 403 with the OAuth code in the wrong field."""
    document = {"error": "403", "error_description": "invalid_request", "error_uri": ERROR_URI}
    return json_response(403, document)


def swapped_refusal(rule: str) -> Refusal:
    """The vendor's answer to an authorization request that it cannot make sense of."""
    return Refusal(swapped_response(), rule)


def not_enabled() -> Response:
    """What the vendor says where the practice has not activated the app."""
    return Response(400, NOT_ENABLED, TEXT)


def redirect_mismatch() -> Response:
    """The page that people are stuck on when the app comes with a redirect URI of its own."""
    return pages.error_page(400, "The redirect URI of this request is not registered for this app.")


def client_refused() -> Response:
    """The answer to a client id that this practice does not know."""
    return pages.error_page(401, "This app cannot be used here.")


def _parameters(request: Request) -> dict[str, str]:
    if request.method not in ("GET", "POST"):
        raise Refusal(pages.error_page(405, "Use GET or POST."), "method")
    pairs = request.parameters
    if request.method == "POST":
        if request.media_type != FORM or request.query:
            raise swapped_refusal("not a form")
        pairs = parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True)
    sent = dict(pairs)
    if len(sent) != len(pairs):
        raise swapped_refusal("repeated parameter")
    return sent


def _client(state: SandboxState, sent: dict[str, str]) -> RegisteredClient:
    if not sent.get("client_id"):
        raise Refusal(pages.error_page(400, "The request does not say which app it is from."), "no client_id")
    client = state.clients.get(sent["client_id"])
    if client is None:
        raise Refusal(client_refused(), "unknown client")
    if not client.active:
        raise Refusal(not_enabled(), "client not active")
    return client


def _redirect_uri(client: RegisteredClient, sent: dict[str, str]) -> str:
    redirect_uri = sent.get("redirect_uri", "")
    if redirect_uri not in client.redirect_uris:
        raise Refusal(redirect_mismatch(), "redirect_uri")
    return redirect_uri


def _check_audience(state: SandboxState, sent: dict[str, str]) -> None:
    audience = sent.get("aud", "")
    if audience == f"{state.fhir_base}/":
        raise swapped_refusal("aud with trailing slash")
    if audience != state.fhir_base:
        raise swapped_refusal("aud" if audience else "no aud")


def _check_kind(client: RegisteredClient, sent: dict[str, str]) -> None:
    if client.app_type in BACKEND_TYPES:
        raise _SentBack("unauthorized_client", "app type")
    if sent.get("response_type") != "code":
        raise _SentBack("unsupported_response_type", "response_type")
    for name in ("request", "request_uri"):
        if name in sent:
            raise _SentBack(f"{name}_not_supported", name)
    if sent.get("response_mode", "query") != "query":
        raise _SentBack("invalid_request", "response_mode")


def _scopes(client: RegisteredClient, sent: dict[str, str]) -> tuple[str, ...]:
    scopes = tuple(dict.fromkeys(sent.get("scope", "").split()))
    if not scopes:
        raise _SentBack("invalid_scope", "no scope")
    if not all(scope in REGISTRABLE for scope in scopes):
        raise _SentBack("invalid_scope", "scope not offered")
    if any(scope.startswith("system/") for scope in scopes):
        raise _SentBack("invalid_scope", "system scope in a launch")
    if not all(is_within(scope, client.scopes) for scope in scopes):
        raise _SentBack("invalid_scope", "scope not registered")
    if {"offline_access", "online_access"} <= {*scopes}:
        raise _SentBack("invalid_scope", "offline_access and online_access")
    # The vendor lets only apps that can keep a secret come back without the person.
    return scopes if client.is_confidential else tuple(scope for scope in scopes if scope != "offline_access")


def _nonce(scopes: tuple[str, ...], sent: dict[str, str]) -> str | None:
    if "openid" in scopes and not sent.get("nonce"):
        raise _SentBack("invalid_request", "no nonce")
    if "fhirUser" in scopes and "openid" not in scopes:
        raise _SentBack("invalid_scope", "fhirUser without openid")
    return sent.get("nonce") or None


def _challenge(sent: dict[str, str]) -> str:
    if sent.get("code_challenge_method") != "S256":
        raise _SentBack("invalid_request", "code_challenge_method")
    if not CHALLENGE.fullmatch(sent.get("code_challenge", "")):
        raise _SentBack("invalid_request", "code_challenge")
    return sent["code_challenge"]


def _launch(
    state: SandboxState, client: RegisteredClient, scopes: tuple[str, ...], sent: dict[str, str]
) -> LaunchContext | None:
    """What the ``launch`` parameter stands for. Last of the checks, because it uses the handle up."""
    if ("launch" in scopes) != bool(sent.get("launch")):
        raise _SentBack("invalid_request", "launch and its scope belong together")
    if not sent.get("launch"):
        return None
    context = state.launches.claim(sent["launch"], client.client_id)
    if context is None:
        raise _SentBack("invalid_request", "launch")
    return context
