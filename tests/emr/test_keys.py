"""Signing keys: what is published, in which state, and that nothing private gets out."""

import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from emr import keys
from emr.models import Environment, SigningKey

pytestmark = pytest.mark.django_db

PRIVATE_MEMBERS = {"d", "p", "q", "dp", "dq", "qi", "k", "oth"}


def test_a_key_is_published_before_it_signs_and_until_it_is_retired() -> None:
    first = keys.generate(environment=Environment.SANDBOX, algorithm="ES384")
    assert published() == {first.kid}
    with pytest.raises(keys.NoSigningKey):
        keys.signing_key(Environment.SANDBOX, "ES384")
    keys.activate(first)
    second = keys.generate(environment=Environment.SANDBOX, algorithm="ES384")
    keys.activate(second)
    first.refresh_from_db()
    assert first.state == SigningKey.State.RETIRING
    assert keys.signing_key(Environment.SANDBOX, "ES384") == second
    assert published() == {first.kid, second.kid}
    keys.retire(first)
    assert published() == {second.kid}
    assert SigningKey.objects.get(pk=first.pk).private_pem == ""


def published() -> set[str]:
    return {key["kid"] for key in keys.jwks(Environment.SANDBOX)["keys"]}


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_the_document_holds_public_members_and_verifies_what_we_sign(algorithm: str) -> None:
    key = keys.generate(environment=Environment.PRODUCTION, algorithm=algorithm)
    document = keys.jwks(Environment.PRODUCTION)
    assert not PRIVATE_MEMBERS & set(document["keys"][0])
    assert "PRIVATE" not in json.dumps(document)
    signed = jwt.encode({"a": 1}, key.private_pem, algorithm=algorithm)
    verifier = jwt.PyJWKSet.from_dict(document)[key.kid]
    assert jwt.decode(signed, verifier, algorithms=[algorithm]) == {"a": 1}
    assert document["keys"][0] | {"use": "sig", "alg": algorithm} == document["keys"][0]


def test_environments_have_key_sets_and_addresses_of_their_own() -> None:
    keys.generate(environment=Environment.SANDBOX, algorithm="ES384")
    assert keys.jwks(Environment.PRODUCTION) == {"keys": []}
    assert keys.jwks_url(Environment.PRODUCTION).endswith("/.well-known/jwks.json")
    assert keys.jwks_url(Environment.SANDBOX) != keys.jwks_url(Environment.PRODUCTION)


def test_the_kid_is_the_thumbprint_of_rfc_7638() -> None:
    """The key of RFC 7638 section 3.1 and its thumbprint as printed there."""
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
        "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA"
        "ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-"
        "kEgU8awapJzKnqDKgw"
    )
    jwk = {"kty": "RSA", "n": modulus, "e": "AQAB"}
    assert keys.thumbprint(jwk) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_two_active_keys_of_a_kind_are_refused_by_the_database() -> None:
    first = keys.generate(environment=Environment.SANDBOX, algorithm="ES384")
    keys.activate(first)
    second = keys.generate(environment=Environment.SANDBOX, algorithm="ES384")
    second.state = SigningKey.State.ACTIVE
    with pytest.raises(Exception, match=r"(?i)unique"):
        second.save()


@pytest.mark.parametrize("made", [rsa.generate_private_key(65537, 2048), ec.generate_private_key(ec.SECP384R1())])
def test_coordinates_are_padded_as_rfc_7518_asks(
    made: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey,
) -> None:
    jwk = keys.public_jwk(made.public_key())
    if jwk["kty"] == "EC":
        assert len(jwk["x"]) == len(jwk["y"]) == 64
    assert "=" not in "".join(jwk.values())
