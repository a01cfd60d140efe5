"""The public half of a signing key in the forms vendors' pages ask for: PEM, JWK, a self-signed certificate.

Aids only: the JWKS URL is what counts (SMART App Launch 2.2, client-confidential-asymmetric).
"""

import base64
import json
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from emr.models import SigningKey

CERTIFICATE_DAYS = 730
_BACK = timedelta(minutes=5)  # for servers whose clock is behind


class NoPrivateHalf(Exception):
    """A retired key can sign nothing any more, its own certificate included."""


def public_pem(key: SigningKey) -> str:
    """SubjectPublicKeyInfo as PEM (RFC 7468 section 13)."""
    return (
        public_key(key)
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )


def jwk(key: SigningKey) -> str:
    """The public JWK (RFC 7517) as it stands in the JWKS, as indented JSON."""
    return json.dumps(key.public_jwk, indent=2) + "\n"


def certificate(key: SigningKey, now: datetime | None = None) -> str:
    """A self-signed X.509 certificate (RFC 5280) as PEM, named by the kid, valid for two years.

    Raises NoPrivateHalf for a retired key, fields.SecretUnreadable when FIELD_KEYS lost its key.
    """
    if not key.private_pem:
        raise NoPrivateHalf(f"{key} has no private half any more")
    private = serialization.load_pem_private_key(key.private_pem.encode(), password=None)
    if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise NoPrivateHalf(f"{key} is of a kind that cannot sign a certificate here")
    begins = (now or datetime.now(UTC)) - _BACK
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "HeadacheMD"),
            x509.NameAttribute(NameOID.COMMON_NAME, key.kid),
        ]
    )
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + timedelta(days=CERTIFICATE_DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(private, hashes.SHA384())
    )
    return signed.public_bytes(serialization.Encoding.PEM).decode()


def public_key(key: SigningKey) -> rsa.RSAPublicKey | ec.EllipticCurvePublicKey:
    """The public half, from its JWK: the private one is not opened for it."""
    members = key.public_jwk
    if members["kty"] == "EC":
        return ec.EllipticCurvePublicNumbers(_number(members["x"]), _number(members["y"]), ec.SECP384R1()).public_key()
    return rsa.RSAPublicNumbers(_number(members["e"]), _number(members["n"])).public_key()


def size(key: SigningKey) -> str:
    """ "RSA 3072" or "EC P-384"."""
    if key.public_jwk["kty"] == "EC":
        return "EC P-384"
    return f"RSA {_number(key.public_jwk['n']).bit_length()}"


def _number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")
