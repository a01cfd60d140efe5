"""What people paste for a private key, and the sentence that answers it."""

import datetime
from collections.abc import Callable

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import NameOID

from emr.connecting import pem

RSA = rsa.generate_private_key(65537, 2048)
SHORT = rsa.generate_private_key(65537, 1024)
P384 = ec.generate_private_key(ec.SECP384R1())
P256 = ec.generate_private_key(ec.SECP256R1())


def pkcs8(key: object) -> str:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()  # type: ignore[attr-defined]


def traditional(key: object) -> str:
    made = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())  # type: ignore[attr-defined]
    return str(made.decode())


def certificate() -> str:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(RSA.public_key())
    made = builder.serial_number(1).not_valid_before(now).not_valid_after(now + datetime.timedelta(1))
    return made.sign(RSA, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


GOOD = pkcs8(RSA)
FIRST, *BODY, LAST = GOOD.strip().splitlines()

ACCEPTED = [
    ("PKCS #8", GOOD, "RS384"),
    ("PKCS #1", traditional(RSA), "RS384"),
    ("RS256 where the profile allows", GOOD, "RS256"),
    ("EC P-384 as PKCS #8", pkcs8(P384), "ES384"),
    ("EC P-384 as SEC 1", traditional(P384), "ES384"),
    ("line ends of Windows", GOOD.replace("\n", "\r\n"), "RS384"),
    ("blank lines around it", f"\n\n{GOOD}\n", "RS384"),
]


@pytest.mark.parametrize(("text", "algorithm"), [row[1:] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED])
def test_private_key_accepted(text: str, algorithm: str) -> None:
    assert pem.read_private_key(text, algorithm).private_numbers() in (RSA.private_numbers(), P384.private_numbers())


REFUSED = [
    ("nothing", "", "RS384", "Nothing was pasted"),
    ("blanks", "  \n ", "RS384", "Nothing was pasted"),
    ("escaped line ends", GOOD.replace("\n", "\\n"), "RS384", "two characters"),
    ("double quotes", f'"{GOOD.strip()}"', "RS384", "quotes"),
    ("single quotes", f"'{GOOD.strip()}'", "RS384", "quotes"),
    ("quotes and escapes, the quotes first", '"' + GOOD.replace("\n", "\\n") + '"', "RS384", "quotes"),
    ("a name before it", f"KEY={GOOD}", "RS384", "around the key"),
    ("words after it", f"{GOOD}\nregards", "RS384", "around the key"),
    ("two keys", GOOD + pkcs8(P384), "RS384", "another block"),
    ("the chain of a certificate after it", GOOD + certificate(), "RS384", "another block"),
    ("a public key", RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
     "RS384", "public key"),
    ("a PKCS #1 public key", RSA.public_key().public_bytes(Encoding.PEM, PublicFormat.PKCS1).decode(),
     "RS384", "public key"),
    ("a certificate", certificate(), "RS384", "certificate"),
    ("encrypted PKCS #8", RSA.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x")).decode(),
     "RS384", "passphrase"),
    ("encrypted PKCS #1",
     RSA.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"x")).decode(),
     "RS384", "passphrase"),
    ("OpenSSH's own format", RSA.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode(),
     "RS384", "ssh-keygen"),
    ("RSA of 1024 bits", pkcs8(SHORT), "RS384", "1024 bits"),
    ("RSA for ES384", GOOD, "ES384", "RSA key; ES384"),
    ("EC for RS384", pkcs8(P384), "RS384", "EC key; RS384"),
    ("the wrong curve", pkcs8(P256), "ES384", "secp256r1"),
    ("Ed25519", pkcs8(ed25519.Ed25519PrivateKey.generate()), "RS384", "neither an RSA nor an EC"),
    ("DSA", pkcs8(dsa.generate_private_key(2048)), "RS384", "neither an RSA nor an EC"),
    ("a JWK", '{"kty": "RSA", "n": "x"}', "RS384", "JSON"),
    ("no BEGIN line", "\n".join([*BODY, LAST]), "RS384", "first line"),
    ("no END line", "\n".join([FIRST, *BODY]), "RS384", "last line"),
    ("END of something else", "\n".join([FIRST, *BODY, "-----END PUBLIC KEY-----"]), "RS384", "last line"),
    ("all in one line", FIRST + "".join(BODY) + LAST, "RS384", "run together"),
    ("blanks for line ends", " ".join([FIRST, *BODY, LAST]), "RS384", "run together"),
    ("indented", "\n".join([FIRST, *("  " + line for line in BODY), LAST]), "RS384", "indentation"),
    ("a line lost", "\n".join([FIRST, *BODY[:5], *BODY[6:], LAST]), "RS384", "not a key"),
    ("a character lost", "\n".join([FIRST, *BODY[:-1], BODY[-1][1:], LAST]), "RS384", ""),
    ("a typographic dash", GOOD.replace("-----", "–––––"), "RS384", "characters no PEM has"),
    ("something that is not base64", "\n".join([FIRST, "%%%%", *BODY[1:], LAST]), "RS384", "not base64"),
    ("a whole document", "x" * 30_000, "RS384", "far longer"),
    ("random words", "my secret key", "RS384", "first line"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "algorithm", "told"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_private_key_refused_with_what_is_wrong(text: str, algorithm: str, told: str) -> None:
    with pytest.raises(pem.BadPem) as refused:
        pem.read_private_key(text, algorithm)
    sentence = str(refused.value)
    assert told in sentence
    assert sentence.endswith(".")
    assert not any(line in sentence for line in BODY)


def test_refusals_differ_enough_to_act_on() -> None:
    def sentence(text: str, algorithm: str) -> str:
        try:
            pem.read_private_key(text, algorithm)
        except pem.BadPem as error:
            return str(error)
        return ""

    said: Callable[[str, str], str] = sentence
    assert len({said(text, algorithm) for _, text, algorithm, _ in REFUSED}) >= 20
