"""Who is asking at the token endpoint: exactly one way of proving it, and the registered one (RFC 6749 section 2.3)."""

import base64
import binascii
import hmac
from collections.abc import Callable
from urllib.parse import unquote_plus

from sandbox import assertions
from sandbox.assertions import SeenAssertions, invalid_client, oauth_refusal
from sandbox.clients import ClientRegistry, RegisteredClient
from sandbox.jwks import JwksCache
from sandbox.messages import Refusal, Request

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def access_denied(rule: str) -> Refusal:
    """The vendor's catch-all, which comes as a server error."""
    return oauth_refusal(500, "access_denied", "Access denied.", rule)


class ClientAuthentication:
    """Proves clients.

    Args:
        url: the token URL as discovered, which assertions must name as audience, at whatever endpoint they come.
    """

    def __init__(self, url: str, clients: ClientRegistry, jwks: JwksCache, clock: Callable[[], float]) -> None:
        self._url = url
        self._clients = clients
        self._jwks = jwks
        self._clock = clock
        self._seen = SeenAssertions(clock)

    def client(self, request: Request, form: dict[str, str]) -> RegisteredClient:
        """The active client that sent the form.

        Raises:
            Refusal: invalid_client mostly, as the vendor does; it carries the rule's name.
        """
        method = presented_method(request, form)
        if method == "private_key_jwt":
            client = self._by_assertion(form, stale_jwks=request.stale_jwks)
        else:
            client_id, secret = _basic(request) if method == "client_secret_basic" else _posted(form)
            client = self._by_secret(client_id, secret)
            if form.get("client_id", client_id) != client_id:
                raise invalid_client("client_id differs from the Authorization header")
        if client.auth_method != method:
            raise invalid_client("not the registered authentication method")
        return client

    def _by_secret(self, client_id: str, secret: str) -> RegisteredClient:
        client = self._clients.get(client_id)
        if client is None:
            raise invalid_client("unknown client")
        if not client.active:
            raise invalid_client("client not active")
        if not hmac.compare_digest(client.client_secret.encode(), secret.encode()):
            raise invalid_client("client secret")
        return client

    def _by_assertion(self, form: dict[str, str], *, stale_jwks: bool) -> RegisteredClient:
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


def presented_method(request: Request, form: dict[str, str]) -> str:
    """The one method that the request uses; a backend app that shows nothing is told that its assertion is missing."""
    shown = []
    if "client_assertion" in form or "client_assertion_type" in form:
        shown.append("private_key_jwt")
    if "Authorization" in request.headers:
        shown.append("client_secret_basic")
    if "client_secret" in form:
        shown.append("client_secret_post")
    if len(shown) > 1:
        raise invalid_client("second authentication method")
    if not shown and form.get("grant_type") == "client_credentials":
        return "private_key_jwt"
    return shown[0] if shown else "none"


def assertion_text(form: dict[str, str]) -> str:
    """The assertion, announced as a JWT."""
    if form.get("client_assertion_type") != ASSERTION_TYPE:
        raise access_denied("client_assertion_type")
    if not form.get("client_assertion"):
        raise access_denied("no client_assertion")
    return form["client_assertion"]


def _posted(form: dict[str, str]) -> tuple[str, str]:
    if not form.get("client_id"):
        raise invalid_client("no client_id")
    return form["client_id"], form.get("client_secret", "")


def _basic(request: Request) -> tuple[str, str]:
    """Id and secret of the Authorization header, each form-urlencoded before they were joined."""
    sent = request.headers.get_all("Authorization", [])
    scheme, _, text = sent[0].partition(" ")
    if len(sent) != 1 or scheme.lower() != "basic":
        raise invalid_client("Authorization is not Basic")
    try:
        client_id, colon, secret = base64.b64decode(text, validate=True).decode("ascii").partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise invalid_client("unreadable Authorization") from error
    if not colon:
        raise invalid_client("unreadable Authorization")
    return unquote_plus(client_id), unquote_plus(secret)
