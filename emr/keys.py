"""Our signing keys: made here, sealed at rest, published as a JWKS while next, active and retiring.

Key life (reference: SMART App Launch 2.2, client-confidential-asymmetric, and RFC 7517): a key is published before
it signs and stays published after it stopped. `kid` is the RFC 7638 thumbprint.
"""

import base64
import hashlib
import json
from contextlib import suppress
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import F, QuerySet
from django.urls import reverse
from django.utils import timezone

from emr.models import Algorithm, Environment, JwksHit, SigningKey

RSA_BITS = 3072
RSA_SIZES = (2048, 3072, 4096)
_PATHS = {Environment.PRODUCTION: "emr:jwks", Environment.SANDBOX: "emr:jwks_sandbox"}
# RFC 7638 section 3.2: exactly these members, in this order, go into the thumbprint.
_THUMBPRINT_MEMBERS = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y")}


class NoSigningKey(Exception):
    """There is no active key for this environment and algorithm."""


class KnownKey(Exception):
    """This very key is here already: a key pair has one life, in one environment."""


def generate(*, environment: str, algorithm: str = Algorithm.RS384, bits: int = RSA_BITS) -> SigningKey:
    """A new key pair in state `next`: published at once, signing after `activate`.

    bits: 2048, 3072 or 4096 for RSA; ES384 keys are on P-384. Raises ValueError for another size.
    """
    if algorithm == Algorithm.ES384:
        return store(ec.generate_private_key(ec.SECP384R1()), environment=environment, algorithm=algorithm)
    if bits not in RSA_SIZES:
        raise ValueError(f"an RSA key has {', '.join(map(str, RSA_SIZES))} bits")
    private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return store(private, environment=environment, algorithm=algorithm)


def store(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, *, environment: str, algorithm: str) -> SigningKey:
    """Keep a key pair in state `next`, its private half sealed. Raises KnownKey when it is here already."""
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    jwk = public_jwk(private.public_key())
    kid = thumbprint(jwk)
    if (known := SigningKey.objects.filter(kid=kid).first()) is not None:
        raise KnownKey(f"this key is here already: {known}")
    return SigningKey.objects.create(
        environment=environment,
        algorithm=algorithm,
        kid=kid,
        private_pem=pem,
        public_jwk=jwk | {"kid": kid, "alg": algorithm, "use": "sig"},
    )


@transaction.atomic
def activate(key: SigningKey) -> None:
    """Let this key sign; the one that signed before stays published as `retiring`."""
    now = timezone.now()
    SigningKey.objects.filter(
        environment=key.environment, algorithm=key.algorithm, state=SigningKey.State.ACTIVE
    ).exclude(pk=key.pk).update(state=SigningKey.State.RETIRING, retiring_at=now)
    key.state, key.activated_at, key.retiring_at = SigningKey.State.ACTIVE, now, None
    key.save(update_fields=["state", "activated_at", "retiring_at"])


def retire(key: SigningKey) -> None:
    """Take the key out of the JWKS and forget its private half."""
    key.state, key.retired_at, key.private_pem = SigningKey.State.RETIRED, timezone.now(), ""
    key.save(update_fields=["state", "retired_at", "private_pem"])


def mark_proved(key: SigningKey) -> None:
    """A vendor gave a token for what this key signed; noted the first time."""
    if key.proved_at is None or key.trial_code:
        key.proved_at, key.trial_code = key.proved_at or timezone.now(), ""
        SigningKey.objects.filter(pk=key.pk).update(proved_at=key.proved_at, trial_code="")


def signing_key(environment: str, algorithm: str) -> SigningKey:
    """The key that signs. Raises NoSigningKey."""
    key = SigningKey.objects.filter(environment=environment, algorithm=algorithm, state=SigningKey.State.ACTIVE).first()
    if key is None:
        raise NoSigningKey(f"no active {algorithm} key for {environment}: generate one and activate it")
    return key


def jwks(environment: str) -> dict[str, list[dict[str, Any]]]:
    """The JWKS document (RFC 7517 section 5) of an environment, newest first."""
    keys = SigningKey.objects.filter(environment=environment, state__in=SigningKey.PUBLISHED).order_by("-created_at")
    return {"keys": [key.public_jwk for key in keys.only("public_jwk")]}


def jwks_url(environment: str) -> str:
    """The address to give to the vendor for this environment."""
    return settings.PUBLIC_URL + reverse(_PATHS[Environment(environment)])


def public_jwk(key: rsa.RSAPublicKey | ec.EllipticCurvePublicKey) -> dict[str, str]:
    """Public members only (RFC 7518 sections 6.2.1 and 6.3.1); nothing private can get in, being never read."""
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"kty": "RSA", "n": _b64(numbers.n), "e": _b64(numbers.e)}
    point = key.public_numbers()
    return {"kty": "EC", "crv": "P-384", "x": _b64(point.x, 48), "y": _b64(point.y, 48)}


def thumbprint(jwk: dict[str, str]) -> str:
    """RFC 7638 SHA-256 thumbprint, base64url without padding."""
    members = {name: jwk[name] for name in _THUMBPRINT_MEMBERS[jwk["kty"]]}
    digest = hashlib.sha256(json.dumps(members, separators=(",", ":"), sort_keys=True).encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _b64(number: int, size: int | None = None) -> str:
    data = number.to_bytes(size or (number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def note_hit(environment: str, address: str, user_agent: str) -> None:
    """Count who fetched the JWKS: one row a reader, the rows of the least recent given up beyond JwksHit.KEPT."""
    now = timezone.now()
    reader = {"environment": environment, "address": address, "user_agent": user_agent[:200]}
    if JwksHit.objects.filter(**reader).update(count=F("count") + 1, last_at=now):
        return
    with suppress(IntegrityError), transaction.atomic():  # another process noted this reader at the same moment
        JwksHit.objects.create(**reader)
    kept = JwksHit.objects.order_by("-last_at").values("pk")[: JwksHit.KEPT]
    if JwksHit.objects.count() > JwksHit.KEPT:
        JwksHit.objects.exclude(pk__in=list(kept.values_list("pk", flat=True))).delete()


def vendor_hits(environment: str) -> QuerySet[JwksHit]:
    """Who fetched this environment's JWKS, our own self-tests left out; the latest first."""
    return JwksHit.objects.filter(environment=environment).exclude(user_agent=JwksHit.OWN_AGENT)
