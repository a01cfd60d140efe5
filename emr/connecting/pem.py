"""A private key as somebody pasted it: read strictly, or refused with what is wrong. Nothing is repaired silently.

The founding mistakes were all of this kind: line ends written as two characters, quotes around the value, a public
key or a certificate in place of the private one.
"""

import base64
import binascii
import re

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

MIN_RSA_BITS = 2048  # RFC 7518 section 3.3
MAX_TEXT = 20_000

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END ([A-Z0-9 ]+)-----", re.DOTALL)
_PRIVATE = {"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"}
_WRONG_KIND = {
    "PUBLIC KEY": "This is a public key. The private key it belongs to is needed.",
    "RSA PUBLIC KEY": "This is a public key. The private key it belongs to is needed.",
    "CERTIFICATE": "This is a certificate. The private key it was made for is needed.",
    "CERTIFICATE REQUEST": "This is a certificate request. The private key it was made for is needed.",
    "OPENSSH PRIVATE KEY": (
        "This is a key in OpenSSH's own format. Convert it: ssh-keygen -p -m PKCS8 -f FILE (on a copy of the file)."
    ),
    "DSA PRIVATE KEY": "This is a DSA key. SMART takes RSA or EC P-384 keys.",
    "EC PARAMETERS": "The text begins with EC PARAMETERS. Paste the EC PRIVATE KEY block alone.",
}


class BadPem(ValueError):
    """A sentence that says what is wrong and what to do. It quotes nothing of the text."""


def read_private_key(text: str, algorithm: str) -> PrivateKey:
    """The private key, if it is one unencrypted PEM block (RFC 7468) that `algorithm` can sign with.

    algorithm: RS384, RS256 (RSA of 2048 bits or more) or ES384 (EC P-384). Raises BadPem.
    """
    label, body = _one_block(text)
    if label == "ENCRYPTED PRIVATE KEY" or "Proc-Type: 4,ENCRYPTED" in body:
        raise BadPem("The key is encrypted with a passphrase. Decrypt it first: openssl pkey -in FILE -out NEWFILE.")
    if label not in _PRIVATE:
        raise BadPem(_WRONG_KIND.get(label, "This is not a private key. A block BEGIN PRIVATE KEY is needed."))
    _check_body(body)
    try:
        key = load_pem_private_key(text.strip().encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadPem("The block is whole, but what it holds is not a key. Export the key again.") from None
    return _fitting(key, algorithm)


def _one_block(text: str) -> tuple[str, str]:
    stripped = text.strip()
    for wrong, sentence in _LOOKS:
        if wrong(stripped):
            raise BadPem(sentence)
    match = _BLOCK.search(stripped)
    if match is None or match[1] != match[3]:
        raise BadPem("The last line, -----END …-----, is missing or does not match the first. Copy the whole file.")
    if match.start() > 0 or match.end() < len(stripped):
        more = "another block" if _BLOCK.search(stripped, match.end()) else "text"
        raise BadPem(f"There is {more} around the key. Paste the one block from BEGIN to END and nothing else.")
    return match[1], match[2]


_LOOKS = (
    (lambda text: not text, "Nothing was pasted."),
    (lambda text: len(text) > MAX_TEXT, "The text is far longer than a key. Paste the one block from BEGIN to END."),
    (lambda text: not text.isascii(), "The text holds characters no PEM has. Copy it from the file, not a document."),
    (
        lambda text: text[0] in "\"'" or text[-1] in "\"'",
        "There are quotes around the key. Remove them: the text begins with -----BEGIN.",
    ),
    (
        lambda text: "\\n" in text or "\\r" in text,
        "Line ends are written as the two characters \\n. Put real line ends in their place.",
    ),
    (lambda text: text.startswith("{"), "This is JSON, perhaps a JWK. Export the private key as PEM (PKCS #8)."),
    (
        lambda text: "-----BEGIN" not in text,
        "The first line, -----BEGIN PRIVATE KEY-----, is missing. Copy the whole file.",
    ),
)


def _check_body(body: str) -> None:
    lines = [line for line in body.splitlines() if line.strip()]
    if not body.startswith(("\n", "\r\n")) or not lines:
        raise BadPem("The lines of the key have run together. Each line of the file must stay a line of its own.")
    if any(line != line.strip() for line in lines):
        raise BadPem("Lines of the key begin or end with blanks. Copy it without indentation.")
    try:
        base64.b64decode("".join(lines), validate=True)
    except binascii.Error:
        raise BadPem("Between BEGIN and END there is something that is not base64. Copy the file again.") from None


def _fitting(key: object, algorithm: str) -> PrivateKey:
    wants_ec = algorithm == "ES384"
    if isinstance(key, rsa.RSAPrivateKey):
        if wants_ec:
            raise BadPem("This is an RSA key; ES384 signs with an EC key on the curve P-384.")
        if key.key_size < MIN_RSA_BITS:
            raise BadPem(f"The RSA key has {key.key_size} bits; {MIN_RSA_BITS} or more are needed (3072 is usual).")
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if not wants_ec:
            raise BadPem(f"This is an EC key; {algorithm} signs with an RSA key.")
        if not isinstance(key.curve, ec.SECP384R1):
            raise BadPem(f"The EC key is on the curve {key.curve.name}; ES384 needs P-384 (secp384r1).")
        return key
    raise BadPem("This is neither an RSA nor an EC key. SMART takes RSA or EC P-384.")
