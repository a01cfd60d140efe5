"""Identity tokens (OpenID Connect Core section 2) and the key set that verifies them."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from joserfc import jws
from joserfc.jwk import RSAKey

ALGORITHMS = ("RS256", "RS384")
# What a fault may have it signed with; "none" leaves the signature out (RFC 7515 section 6).
SIGNABLE = (*ALGORITHMS, "RS512", "PS256", "none")
LIFE = 3600
KEY_SIZE = 2048


@dataclass(frozen=True)
class Alteration:
    """How a fault changes an id_token: claims set and removed, another algorithm, header members, an unknown key."""

    claims: Mapping[str, Any] = field(default_factory=dict)
    remove: frozenset[str] = frozenset()
    alg: str | None = None
    header: Mapping[str, Any] = field(default_factory=dict)
    foreign_key: bool = False


@cache
def signing_key(number: int) -> RSAKey:
    """Key 0 of this process, or 1, which is never published. Made on first use: it takes a while."""
    return RSAKey.generate_key(KEY_SIZE)


def key_set() -> dict[str, Any]:
    """The JWKS that verifies id_tokens (RFC 7517 section 5): one RSA key, for RS256 and RS384 alike."""
    key = signing_key(0)
    return {"keys": [{**key.as_dict(private=False), "kid": key.thumbprint(), "use": "sig"}]}


def subject(issuer: str, username: str) -> str:
    """``sub``: opaque, and the same for a user at every sign-in."""
    return hashlib.sha256(f"{issuer} {username}".encode()).hexdigest()[:32]


def claims(
    *, issuer: str, client_id: str, username: str, fhir_user: str | None, nonce: str | None, now: float
) -> dict[str, Any]:
    """The claims of one sign-in."""
    made: dict[str, Any] = {
        "iss": issuer,
        "sub": subject(issuer, username),
        "aud": client_id,
        "iat": int(now),
        "exp": int(now) + LIFE,
        "nonce": nonce,
        "fhirUser": fhir_user,
    }
    return {name: value for name, value in made.items() if value is not None}


def sign(payload: Mapping[str, Any], alg: str, alteration: Alteration | None = None) -> str:
    """A compact JWS of the claims."""
    change = alteration or Alteration()
    key = signing_key(int(change.foreign_key))
    algorithm = change.alg or alg
    header = {"alg": algorithm, "kid": signing_key(0).thumbprint(), "typ": "JWT", **change.header}
    kept = {name: value for name, value in {**payload, **change.claims}.items() if name not in change.remove}
    if algorithm == "none":
        return f"{_part(header)}.{_part(kept)}."
    return jws.serialize_compact(header, json.dumps(kept).encode(), key, algorithms=[algorithm])


def _part(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()
