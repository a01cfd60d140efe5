"""The identity token (OpenID Connect Core 1.0 section 3.1.3.7; SMART App Launch 2.2, "Scopes for identity data").

Nothing of a token is believed before its signature: the key comes from the issuer's own JWKS, through our door, and
from nowhere the token itself points to (jku, jwk, x5u and x5c are not read).
"""

import hmac
import math
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from emr.wire.errors import NeverAgain, TryAgain
from emr.wire.http import Door
from emr.wire.origins import parse, parse_base, under_base
from emr.wire.strictjson import BadJSON, decode, loads
from emr.wire.wellknown import MAX_DOCUMENT, SmartConfiguration, json_object

# SMART: servers shall support RS256. None of these can be checked with a public key used as a shared secret.
ALGORITHMS = {"RS256": "RSA", "RS384": "RSA", "ES384": "EC"}
MIN_RSA_BITS = 2048
LEEWAY = 60.0
# Made for this very exchange: older than a launch can last, it is another's.
MAX_AGE = 900.0
MAX_LENGTH = 16_384
MAX_KEYS = 50
KEYS_LIFE = 300.0
# An unknown kid may mean a new key: looked for again, but not more often than so.
REFETCH_AFTER = 30.0

_PART = re.compile(r"[A-Za-z0-9_-]+")
_FHIR_USER = re.compile(r"(?:Patient|Practitioner|PractitionerRole|RelatedPerson|Person)/[A-Za-z0-9.-]{1,64}")


@dataclass(frozen=True)
class Identity:
    """Who signed in. fhir_user: "Practitioner/123", "" when not said."""

    issuer: str
    subject: str = field(repr=False)
    fhir_user: str = field(default="", repr=False)


@dataclass
class _Kept:
    keys: tuple[dict[str, Any], ...]
    fetched: float


class KeySets:
    """The issuers' keys, kept for some minutes. Shared by threads; what it keeps is public."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}
        self._lock = threading.Lock()

    def key(self, door: Door, uri: str, kid: str | None, algorithm: str) -> dict[str, Any]:
        """The one key that fits. Raises NeverAgain OIDC_INVALID, and WireError when the keys cannot be had."""
        with self._lock:
            kept = self._kept.get(uri)
        now = time.monotonic()
        if kept is None or now - kept.fetched > KEYS_LIFE:
            kept = self._fetch(door, uri, now)
        found = _fitting(kept.keys, kid, algorithm)
        if not found and now - kept.fetched > REFETCH_AFTER:
            found = _fitting(self._fetch(door, uri, now).keys, kid, algorithm)
        if len(found) != 1:
            raise _invalid("no key of the issuer fits" if not found else "several keys of the issuer fit")
        return found[0]

    def _fetch(self, door: Door, uri: str, now: float) -> _Kept:
        # The door goes to the base's host and to confirmed ones alone.
        answer = door.get(uri, headers={"Accept": "application/json"}, max_bytes=MAX_DOCUMENT)
        document = json_object(answer) if 200 <= answer.status < 300 else None
        keys = (document or {}).get("keys")
        if not isinstance(keys, list) or len(keys) > MAX_KEYS:
            raise answer.error(TryAgain, "OIDC_KEYS", "the issuer's keys cannot be read")
        kept = _Kept(tuple(key for key in keys if isinstance(key, dict)), now)
        with self._lock:
            self._kept[uri] = kept
        return kept

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()


KEYS = KeySets()


def validate(
    door: Door,
    configuration: SmartConfiguration,
    token: str,
    *,
    client_id: str,
    nonce: str,
    now: float | None = None,
    keys: KeySets = KEYS,
) -> Identity:
    """The identity a token proves. Arguments and errors are those of `proven_claims`."""
    claims = proven_claims(door, configuration, token, client_id=client_id, nonce=nonce, now=now, keys=keys)
    return Identity(str(claims["iss"]), _subject(claims), _fhir_user(claims.get("fhirUser"), door.base_url))


def proven_claims(
    door: Door,
    configuration: SmartConfiguration,
    token: str,
    *,
    client_id: str,
    nonce: str,
    now: float | None = None,
    keys: KeySets = KEYS,
) -> dict[str, Any]:
    """Everything a token says, once it is proven. nonce: as sent; now: seconds since 1970.

    The algorithm is on our list, `kid` names exactly one signing key of the issuer's JWKS (without kid there must be
    one such key only), RSA keys have 2048 bits or more; iss is the discovered issuer, aud this client alone, azp this
    client where given; exp, iat and nbf within 60 s of leeway, iat within 15 minutes; nonce as sent. Raises NeverAgain
    OIDC_INVALID with the reason, and OIDC_KEYS, FHIR_LINK_FOREIGN or NET_* when the issuer's keys cannot be had.
    """
    if not configuration.issuer or not configuration.jwks_uri:
        raise NeverAgain("DISC_INCOMPLETE", "the SMART configuration lacks issuer or jwks_uri")
    header, claims = _opened(token)
    algorithm, kid = _header(header)
    key = _public_key(keys.key(door, configuration.jwks_uri, kid, algorithm), algorithm)
    _verify(token, key, algorithm)
    _check_issue(claims, configuration.issuer, client_id)
    _check_times(claims, time.time() if now is None else now)
    sent = claims.get("nonce")
    if not nonce or not isinstance(sent, str) or not hmac.compare_digest(sent.encode(), nonce.encode()):
        raise _invalid("nonce is not the one we sent")
    _subject(claims)
    return claims


def _invalid(reason: str) -> NeverAgain:
    return NeverAgain("OIDC_INVALID", f"identity token: {reason}")


def _opened(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, not yet believed. Strict JSON: a doubled member could mean two things to two readers."""
    parts = token.split(".")
    if len(token) > MAX_LENGTH or len(parts) != 3 or not all(map(_PART.fullmatch, parts[:2])):
        raise _invalid("not a signed token in compact form")
    return _object(parts[0]), _object(parts[1])


def _object(part: str) -> dict[str, Any]:
    try:
        value = loads(decode(jwt.utils.base64url_decode(part)))
    except (BadJSON, ValueError):
        value = None
    if not isinstance(value, dict):
        raise _invalid("not JSON objects")
    return value


def _header(header: Mapping[str, Any]) -> tuple[str, str | None]:
    algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ", "JWT")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise _invalid("signed with an algorithm that is not on our list")
    if "crit" in header or "b64" in header:
        raise _invalid("it asks for extensions")
    if not isinstance(kind, str) or kind.lower() != "jwt":
        raise _invalid("another type of token")
    if kid is not None and (not isinstance(kid, str) or not kid):
        raise _invalid("kid is not a text")
    return algorithm, kid


def _fitting(keys: tuple[dict[str, Any], ...], kid: str | None, algorithm: str) -> list[dict[str, Any]]:
    """The keys a token may have been signed with. One kid on two keys is never resolved by trying both."""
    if kid is not None:
        return [key for key in keys if key.get("kid") == kid]
    return [key for key in keys if key.get("kty") == ALGORITHMS[algorithm] and key.get("use", "sig") == "sig"]


def _public_key(jwk: dict[str, Any], algorithm: str) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    """Of the algorithm's own kind, for signatures, and long enough."""
    purpose = (jwk.get("kty"), jwk.get("use", "sig"), jwk.get("alg", algorithm))
    if purpose != (ALGORITHMS[algorithm], "sig", algorithm):
        raise _invalid("the issuer's key is not for this algorithm")
    operations = jwk.get("key_ops")
    if operations is not None and (not isinstance(operations, list) or "verify" not in operations):
        raise _invalid("the issuer's key is not for verifying")
    try:
        key = jwt.PyJWK(jwk, algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        key = None
    if isinstance(key, rsa.RSAPublicKey) and key.key_size >= MIN_RSA_BITS and algorithm != "ES384":
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1) and algorithm == "ES384":
        return key
    raise _invalid("the issuer's key cannot be read, or is too short")


def _verify(token: str, key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey, algorithm: str) -> None:
    try:
        jwt.PyJWS().decode(token, key, algorithms=[algorithm])
    except (jwt.PyJWTError, ValueError, TypeError):
        broken = True
    else:
        broken = False
    if broken:
        raise _invalid("the signature is not the issuer's")


def _check_issue(claims: Mapping[str, Any], issuer: str, client_id: str) -> None:
    if claims.get("iss") != issuer:
        raise _invalid("another issuer")
    audience = claims.get("aud")
    # OIDC Core 3.1.3.7 (3): audiences we do not trust are refused, and we trust nobody else with our sign-ins.
    if audience not in (client_id, [client_id]):
        raise _invalid("not for this client alone")
    if claims.get("azp", client_id) != client_id:
        raise _invalid("authorized for another client")


def _check_times(claims: Mapping[str, Any], now: float) -> None:
    expires, issued = _moment(claims, "exp"), _moment(claims, "iat")
    starts = _moment(claims, "nbf") if "nbf" in claims else issued
    if expires + LEEWAY <= now:
        raise _invalid("expired")
    if issued - LEEWAY > now or starts - LEEWAY > now:
        raise _invalid("issued in the future")
    if issued + MAX_AGE < now:
        raise _invalid("issued long before this launch")
    if expires <= issued:
        raise _invalid("it ends before it begins")


def _moment(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    try:
        seconds = math.nan if isinstance(value, bool | str) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise _invalid(f"{name} is missing, or not a time")
    return seconds


def _subject(claims: Mapping[str, Any]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise _invalid("no subject")
    return subject


def _fhir_user(value: Any, base: str) -> str:
    """The reference without its server, which is the connection's own. Raises for another server's or another type."""
    if value is None:
        return ""
    return reference(value, base)


def reference(value: Any, base: str) -> str:
    """A fhirUser, absolute or relative, as "Practitioner/123". Raises NeverAgain OIDC_INVALID."""
    if isinstance(value, str) and "://" in value and under_base(value, base):
        value = parse(value).path.removeprefix(parse_base(base).path).lstrip("/")
    if not isinstance(value, str) or not _FHIR_USER.fullmatch(value):
        raise _invalid("fhirUser is not a person of this server")
    return value
