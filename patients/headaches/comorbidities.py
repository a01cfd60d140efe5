"""Other diagnoses that bear on headache: those that steer the choice of treatment, and red flags.

By ICD-10-CM prefix (codelists/comorbidities.csv), with or without the dot; words are not read, except for a code
that stands in them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

from patients.codes import Row, split, table
from patients.headaches.coding import ICD10, Coding

Kind = Literal["steers", "red-flag"]

_SHAPE = re.compile(r"[A-Z]\d[0-9A-Z]{1,5}")
# "Asthma (J45.909)": billing templates put the code into the text.
_IN_WORDS = re.compile(r"[(\[]\s*([A-Z]\d[0-9A-Z](?:\.[0-9A-Z]{1,4})?)\s*[)\]]")


@dataclass(frozen=True, slots=True)
class Comorbidity:
    """What a diagnosis code says beside the headache.

    key, words, why, kind: of codelists/comorbidities.csv; code: as received; from_words: it stood in the text
    only.
    """

    key: str
    words: str
    why: str
    kind: Kind
    code: str
    from_words: bool = False


def find(codings: Sequence[Coding], text: str = "") -> tuple[Comorbidity, ...]:
    """What the codes state, those that steer before red flags, each key once.

    Of several rows that cover a code the one with the longest prefix counts, per kind. A code without a system
    is read as ICD-10-CM when it has the dot: short local codes look like undotted ones. Codes in brackets in
    the text are read when no coding is ICD-10-CM.
    """
    return _find(tuple(codings), text or "")


@lru_cache(maxsize=4096)
def _find(codings: tuple[Coding, ...], text: str) -> tuple[Comorbidity, ...]:
    codes = [
        each.code for each in codings if each.vocabulary == ICD10 or (not each.system.strip() and "." in each.code)
    ]
    written = [] if any(map(_bare, codes)) else [each for each in _IN_WORDS.findall(text) if _is_surely_icd(each)]
    found: dict[tuple[str, str], Comorbidity] = {}
    for code, from_words in [*((each, False) for each in codes), *((each, True) for each in written)]:
        for row in _rows(_bare(code)):
            match = Comorbidity(row["key"], row["words"], row["why"], _kind(row), code.strip(), from_words)
            found.setdefault((match.kind, match.key), match)
    return tuple(sorted(found.values(), key=lambda each: each.kind != "steers"))


def _bare(code: str) -> str:
    """Upper case without dots and blanks; "" for what has not the shape of an ICD-10-CM code."""
    bare = re.sub(r"[.\s]", "", code).upper()
    return bare if _SHAPE.fullmatch(bare) else ""


def _is_surely_icd(code: str) -> bool:
    """“(B12)” in a text is a vitamin; only a code with its dot, or a category that the table names, is a code."""
    return "." in code or any(code in by_prefix for by_prefix in _prefixes().values())


def _rows(bare: str) -> Iterator[Row]:
    """Of each kind the row with the longest prefix of that code."""
    for by_prefix in _prefixes().values():
        for length in range(len(bare), 0, -1):
            row = by_prefix.get(bare[:length])
            if row is not None and not bare.startswith(_excepted(row)):
                yield row
                break


def _excepted(row: Row) -> tuple[str, ...]:
    return tuple(each.replace(".", "") for each in split(row["except"]))


def _kind(row: Row) -> Kind:
    return "red-flag" if row["kind"] == "red-flag" else "steers"


@cache
def _prefixes() -> dict[Kind, dict[str, Row]]:
    found: dict[Kind, dict[str, Row]] = {"steers": {}, "red-flag": {}}
    for row in table("comorbidities"):
        found[_kind(row)][row["prefix"].replace(".", "").upper()] = row
    return found
