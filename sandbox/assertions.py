"""Client assertions, checked rule by rule (SMART client-confidential-asymmetric, RFC 7523 section 3).

Every rule is one function that returns what it established or raises :class:`Refusal`. The client is
told as little as the vendor tells; the name of the broken rule goes to the sandbox's own report.
"""

import json
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from sandbox.clients import ClientRegistry, RegisteredClient
from sandbox.jwks import Jwk, JwksCache, JwksError
from sandbox.messages import Refusal, json_response

MAX_LIFE = 300
MIN_RSA_BITS = 2048
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
KEY_TYPES = {"RS384": ("RSA", None), "ES384": ("EC", "P-384")}


@dataclass(frozen=True)
class Assertion:
    """A JWT taken apart, nothing in it proved yet."""

    text: str
    header: dict[str, Any]
    claims: dict[str, Any]


def oauth_refusal(status: int, error: str, description: str, rule: str) -> Refusal:
    """An OAuth error answer (RFC 6749 section 5.2), never to be cached."""
    document = {"error": error, "error_description": description}
    headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
    return Refusal(json_response(status, document, headers=headers), rule)


def invalid_client(rule: str) -> Refusal:
    """The vendor's answer to any doubt about who is asking."""
    return oauth_refusal(401, "invalid_client", "Client authentication failed.", rule)


def invalid_grant(rule: str) -> Refusal:
    """The vendor's answer to a bad scope, and to an expired or malformed assertion."""
    return oauth_refusal(400, "invalid_grant", "The provided authorization grant is not valid.", rule)


def take_apart(text: str) -> Assertion:
    """Reads header and claims without believing them."""
    try:
        parts = jws.extract_compact(text.encode())
        claims = json.loads(parts.payload)
    except (JoseError, ValueError, RecursionError) as error:
        raise invalid_grant("malformed assertion") from error
    if not isinstance(claims, dict):
        raise invalid_grant("claims are not an object")
    return Assertion(text, dict(parts.headers()), claims)


def find_client(registry: ClientRegistry, assertion: Assertion) -> RegisteredClient:
    """The active client that ``iss`` names."""
    client = registry.get(assertion.claims.get("iss"))
    if client is None:
        raise invalid_client("unknown client")
    if not client.active:
        raise invalid_client("client not active")
    return client


def check_algorithm(assertion: Assertion, client: RegisteredClient) -> None:
    """The header's algorithm is the registered one: never RS256, HS* or none."""
    if assertion.header.get("alg") != client.alg:
        raise invalid_client("algorithm")


def check_type(assertion: Assertion) -> None:
    """``typ`` is fixed to JWT."""
    if assertion.header.get("typ") != "JWT":
        raise invalid_client("typ")


def check_key_url(assertion: Assertion, client: RegisteredClient) -> None:
    """``jku`` may be left out; if sent it is the registered URL."""
    if assertion.header.get("jku", client.jwks_url) != client.jwks_url:
        raise invalid_client("jku")


def key_id(assertion: Assertion) -> str:
    """``kid`` is required."""
    kid = assertion.header.get("kid")
    if not isinstance(kid, str) or not kid:
        raise invalid_client("no kid")
    return kid


def find_key(cache: JwksCache, client: RegisteredClient, kid: str, *, stale: bool) -> Jwk:
    """The one key of the client's set with that kid; none or several prove nothing."""
    try:
        found = cache.matching(client.jwks_url, kid, stale=stale)
    except JwksError as error:
        raise invalid_client(f"JWKS {error}") from error
    if len(found) != 1:
        raise invalid_client("kid not in JWKS" if not found else "kid twice in JWKS")
    return found[0]


def check_key(key: Jwk, alg: str) -> None:
    """A public signature key of the algorithm's type, and strong enough."""
    key_type, curve = KEY_TYPES[alg]
    if PRIVATE_MEMBERS & key.keys():
        raise invalid_client("JWKS publishes a private key")
    if key.get("kty") != key_type or key.get("crv") != curve:
        raise invalid_client("key type")
    if key.get("alg", alg) != alg or key.get("use", "sig") != "sig":
        raise invalid_client("key is for another use")
    if key_type == "RSA" and _base64url_bits(key.get("n")) < MIN_RSA_BITS:
        raise invalid_client("RSA key too small")


def _base64url_bits(text: object) -> int:
    """Bits that a base64url text without padding stands for, 0 for anything but a text."""
    return len(text) * 6 // 8 * 8 if isinstance(text, str) else 0


def check_signature(assertion: Assertion, key: Jwk, alg: str) -> None:
    """The signature verifies with that key and no other algorithm."""
    try:
        public: RSAKey | ECKey = RSAKey.import_key(key) if alg == "RS384" else ECKey.import_key(key)
        jws.deserialize_compact(assertion.text, public, algorithms=[alg])
    except (JoseError, ValueError, TypeError, KeyError) as error:
        raise invalid_client("signature") from error


def check_subject(assertion: Assertion, client: RegisteredClient) -> None:
    """``sub`` repeats ``iss``."""
    if assertion.claims.get("sub") != client.client_id:
        raise invalid_client("sub")


def check_audience(assertion: Assertion, token_url: str) -> None:
    """``aud`` is the token URL, character for character."""
    if assertion.claims.get("aud") != token_url:
        raise invalid_client("aud")


def expiry(assertion: Assertion, now: float) -> float:
    """``exp``: ahead of now, by five minutes at most."""
    expires = _number(assertion.claims.get("exp"))
    if expires is None:
        raise invalid_grant("no exp")
    if expires <= now:
        raise invalid_grant("expired")
    if expires > now + MAX_LIFE:
        raise invalid_grant("exp too far ahead")
    return expires


def check_issued_at(assertion: Assertion, now: float) -> None:
    """``iat`` is there, and in the past but for a second of rounding."""
    issued = _number(assertion.claims.get("iat"))
    if issued is None:
        raise invalid_grant("no iat")
    if issued > now + 1:
        raise invalid_grant("iat in the future")


def token_id(assertion: Assertion) -> str:
    """``jti`` is required."""
    jti = assertion.claims.get("jti")
    if not isinstance(jti, str) or not jti:
        raise invalid_grant("no jti")
    return jti


def _number(value: object) -> float | None:
    """A finite NumericDate (RFC 7519 section 2), None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value


class SeenAssertions:
    """The ``jti`` of every accepted assertion, until it would have expired anyway."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: dict[tuple[str, str], float] = {}

    def claim(self, client_id: str, jti: str, expires: float) -> None:
        """Takes the jti; of two requests with the same, one is refused."""
        with self._lock:
            now = self._clock()
            self._seen = {key: until for key, until in self._seen.items() if until > now}
            if (client_id, jti) in self._seen:
                raise invalid_client("jti replayed")
            self._seen[(client_id, jti)] = expires
