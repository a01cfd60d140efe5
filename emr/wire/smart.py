"""SMART on the wire: client assertion and Backend Services token; discovery comes from `wellknown`.

Sources: SMART App Launch 2.2 (backend-services, client-confidential-asymmetric), RFC 7523, RFC 6749.
"""

import uuid
from collections.abc import Mapping

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from emr.wire import token_endpoint
from emr.wire.answers import DEFAULT_TIMEOUTS, Timeouts
from emr.wire.errors import NeverAgain
from emr.wire.http import Door
from emr.wire.token_endpoint import ClientAuthentication, TokenAnswer, TokenRefused
from emr.wire.wellknown import SmartConfiguration, confirmed_hosts, discover

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
# What eClinicalWorks answers to a scope it does not grant.
_CODES = {"invalid_grant": "TOK_SCOPE_BACKEND", "invalid_scope": "TOK_SCOPE_BACKEND"}


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
        # Whether its primes are prime was asked when it came in; to ask it again takes 90 ms for each token.
        key = load_pem_private_key(pem, password=None, unsafe_skip_rsa_key_validation=True)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if alg in ("RS384", "RS256") and isinstance(key, rsa.RSAPrivateKey) and key.key_size >= 2048:
        return key
    if alg == "ES384" and isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP384R1):
        return key
    raise NeverAgain("CFG_SIGNING_KEY", f"the signing key is not readable or not fit for {alg}")


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
    return token_endpoint.ask(
        door,
        configuration.token_endpoint,
        {"grant_type": "client_credentials", "scope": scope},
        ClientAuthentication("private_key_jwt", "", assertion=assertion),
        extra=extra,
        codes=_CODES,
        timeout=timeout,
    )
