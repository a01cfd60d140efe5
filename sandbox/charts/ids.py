"""FHIR ids in the shape the vendor uses: long, case-sensitive, with a prefix shared by the whole practice.

Recorded servers send ids of exactly 64 characters, some of 43, holding `.` and `-`, all beginning with the
same 21 characters, so a client that shortens or lower-cases them mixes patients up.
"""

import hashlib

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-."
PREFIX_LENGTH = 21
LONG, SHORT = 64, 43
SHORT_IN_256 = 34  # about 13 of 100 ids are the short kind


def _letters(text: str, length: int) -> str:
    return "".join(ALPHABET[byte & 63] for byte in hashlib.sha512(text.encode()).digest()[:length])


def shared_prefix(seed: int) -> str:
    """The 21 characters with which every id of this practice begins; they contain a `.` and a `-`."""
    letters = _letters(f"practice {seed}", PREFIX_LENGTH - 2)
    return f"{letters[:11]}.{letters[11:15]}-{letters[15:]}"


def resource_id(seed: int, *key: object) -> str:
    """Return the id of the resource `key`: legal in FHIR (`[A-Za-z0-9.-]{1,64}`), stable for a seed."""
    name = f"{seed}/" + "/".join(str(part) for part in key)
    length = SHORT if hashlib.sha256(name.encode()).digest()[0] < SHORT_IN_256 else LONG
    return shared_prefix(seed) + _letters(name, length - PREFIX_LENGTH)
