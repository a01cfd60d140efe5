"""SMART on the wire: client assertion and Backend Services token; discovery comes from `wellknown`.

Sources: SMART App Launch 2.2 (backend-services, client-confidential-asymmetric), RFC 7523, RFC 6749.
"""

import re
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from emr.wire.answers import DEFAULT_TIMEOUTS, Answer, Timeouts
from emr.wire.errors import NeverAgain, TryAgain, WireError, clean
from emr.wire.http import Door
from emr.wire.wellknown import (
    MAX_DOCUMENT,
    SmartConfiguration,
    confirmed_hosts,
    discover,
    json_object,
    string,
)

__all__ = [
    "SmartConfiguration",
    "TokenAnswer",
    "TokenRefused",
    "client_assertion",
    "client_credentials",
    "confirmed_hosts",
    "discover",
]

MAX_LIFE = 300  # SMART: exp no more than five minutes in the future
DEFAULT_EXPIRES_IN = 300
LONGEST_EXPIRES_IN = 86_400

_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_TOKEN_TEXT = re.compile(r"[\x21-\x7e]{1,16384}")
_OAUTH_ERRORS = frozenset(
    {
        "access_denied",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)
_TOKEN_CODES = {
    "invalid_client": "TOK_INVALID_CLIENT",
    "invalid_grant": "TOK_SCOPE_BACKEND",  # what eClinicalWorks answers to a scope it does not grant
    "invalid_scope": "TOK_SCOPE_BACKEND",
    "unauthorized_client": "TOK_UNSUPPORTED_GRANT",
    "unsupported_grant_type": "TOK_UNSUPPORTED_GRANT",
}


def client_assertion(
    *,
    client_id: str,
    token_endpoint: str,
    private_key_pem: bytes,
    kid: str,
    alg: str,
    now: float,
    life: int = 240,
) -> str:
    """A signed assertion for one token request; its jti serves once, so every request needs a new one.

    now: seconds since 1970. life: seconds, up to 300. `iat` is up to 30 s back, for servers whose clock is
    behind. Raises NeverAgain CFG_SIGNING_KEY (unreadable, RSA under 2048 bits, or not of the kind `alg`
    needs) and TOK_KID_AMBIGUOUS (no kid); ValueError for a life out of range.
    """
    if not 0 < life <= MAX_LIFE:
        raise ValueError(f"an assertion lives up to {MAX_LIFE} seconds")
    if not kid:
        raise NeverAgain("TOK_KID_AMBIGUOUS", "the signing key has no kid")
    issued = int(now)
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": token_endpoint,
        "jti": str(uuid.uuid4()),
        "iat": issued - min(30, MAX_LIFE - life),
        "exp": issued + life,
    }
    key = _signing_key(private_key_pem, alg)
    return jwt.encode(claims, key, algorithm=alg, headers={"kid": kid, "typ": "JWT"})


def _signing_key(pem: bytes, alg: str) -> rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if alg in ("RS384", "RS256") and isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        return key
    if alg == "ES384" and isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1):
        return key
    raise NeverAgain("CFG_SIGNING_KEY", f"the signing key is not readable or not fit for {alg}")


@dataclass(frozen=True)
class TokenAnswer:
    """A token. expires_in: seconds from the answer; scope: as granted, None when not said.

    raw_keys: names of all members of the answer, sorted. server_date: its Date header, None when missing.
    """

    access_token: str = field(repr=False)
    expires_in: int
    scope: str | None
    token_type: str
    raw_keys: tuple[str, ...]
    server_date: datetime | None


class TokenRefused(NeverAgain):
    """The authorization server said no.

    oauth_error: the OAuth code, from whichever field held it, or "". description: the other field, sanitised.
    clock_skew: seconds the server's clock is ahead of ours (negative: behind); None without a Date header.
    """

    oauth_error: str = ""
    description: str = ""
    clock_skew: float | None = None


def client_credentials(
    door: Door,
    configuration: SmartConfiguration,
    *,
    assertion: str,
    scope: str,
    extra: Mapping[str, str],
    timeout: Timeouts = DEFAULT_TIMEOUTS,
) -> TokenAnswer:
    """Ask for a Backend Services token, once: the assertion is spent whatever comes back.

    extra: more form fields a vendor wants. Raises TokenRefused (TOK_INVALID_CLIENT, TOK_SCOPE_BACKEND,
    TOK_UNSUPPORTED_GRANT, AUTHZ_APP_NOT_ACTIVATED, TOK_REFUSED), TryAgain TOK_ACCESS_DENIED_500,
    TOK_NOT_JSON, FHIR_5XX, Throttled, NeverAgain DISC_FOREIGN_HOST, and all of Door.post_form.
    """
    form = {
        "grant_type": "client_credentials",
        "scope": scope,
        "client_assertion_type": _ASSERTION_TYPE,
        "client_assertion": assertion,
    }
    if not form.keys().isdisjoint(extra):
        raise ValueError("extra fields cannot replace those of the grant")
    answer = door.post_form(
        configuration.token_endpoint,
        {**form, **extra},
        headers={"Accept": "application/json"},
        timeout=timeout,
        max_bytes=MAX_DOCUMENT,
    )
    document = json_object(answer)
    if not 200 <= answer.status < 300 or (document is not None and "error" in document):
        raise _token_refusal(answer, document, echoes=(assertion,))
    return _token(answer, document or {})


def _token(answer: Answer, document: dict[str, Any]) -> TokenAnswer:
    token, kind = string(document.get("access_token")), string(document.get("token_type"))
    if token is None or not _TOKEN_TEXT.fullmatch(token) or kind is None or kind.lower() != "bearer":
        raise answer.error(TryAgain, "TOK_NOT_JSON", "the answer holds no bearer token")
    return TokenAnswer(
        access_token=token,
        expires_in=_seconds(document.get("expires_in")),
        # "" is said, too: a token that grants nothing.
        scope=document["scope"] if isinstance(document.get("scope"), str) else None,
        token_type=kind,
        raw_keys=tuple(sorted(document)),
        server_date=answer.server_date,
    )


def _seconds(value: Any) -> int:
    """expires_in as a server writes it (number, string, missing) to seconds, at most a day."""
    try:
        seconds = int(str(value)[:20].partition(".")[0])
    except ValueError:
        return DEFAULT_EXPIRES_IN
    return min(seconds, LONGEST_EXPIRES_IN) if seconds > 0 else DEFAULT_EXPIRES_IN


def _token_refusal(answer: Answer, document: dict[str, Any] | None, echoes: tuple[str, ...]) -> WireError:
    if answer.status == 429:
        return answer.throttled()
    words = [clean((document or {}).get(name, ""), echoes) for name in ("error", "error_description")]
    # eClinicalWorks has been seen to swap them: {"error": "403", "error_description": "invalid_request"}.
    oauth_error = next((word for word in words if word in _OAUTH_ERRORS), "")
    description = " ".join(word for word in words if word != oauth_error)
    said = " ".join(words) + answer.body[:4096].decode("utf-8", "replace")
    if answer.status >= 500:
        code = "TOK_ACCESS_DENIED_500" if oauth_error == "access_denied" else "FHIR_5XX"
        return answer.error(TryAgain, code, oauth_error or "the authorization server is not well")
    if "FHIR app authentication is not enabled" in said:
        code = "AUTHZ_APP_NOT_ACTIVATED"
    elif oauth_error in _TOKEN_CODES:
        code = _TOKEN_CODES[oauth_error]
    elif answer.status == 401:
        code = "TOK_INVALID_CLIENT"
    elif document is None:
        return answer.error(TryAgain, "TOK_NOT_JSON", "the answer is not a JSON object")
    else:
        code = "TOK_REFUSED"
    error = answer.error(TokenRefused, code, f"{oauth_error} {description}".strip() or "refused")
    error.oauth_error, error.description = oauth_error, description
    if answer.server_date is not None:
        error.clock_skew = answer.server_date.timestamp() - time.time()
    return error
