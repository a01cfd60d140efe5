"""Which lists of codelists/condition_lists.csv a condition belongs to.

ICD-10-CM by prefix, SNOMED CT by code, headache classes by name. Words count only for a condition without a
code of either, and not when they deny it, doubt it or are about relatives.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache

from patients.codes import split, table
from patients.headaches.coding import ICD10, SNOMED, Coding
from patients.headaches.record import Condition

_LOOKS_LIKE_ICD = re.compile(r"[A-Z]\d[0-9A-Z](?:[0-9A-Z]{0,4})")
_DOUBT = re.compile(
    r"\b(?:no|not|denies|denied|without|negative|rule out|ruled out|r/o|possible|suspected|family|fam|fh|fhx|mother|"
    r"father|sister|brother|risk|screen(?:ing)?|vaccin\w*)\b|\?",
    re.I,
)


@dataclass(frozen=True, slots=True)
class _Lists:
    prefixes: dict[str, tuple[str, ...]]
    excepted: tuple[tuple[str, str], ...]
    snomed: dict[str, tuple[str, ...]]
    classes: dict[str, tuple[str, ...]]
    texts: tuple[tuple[re.Pattern[str], str], ...]


def lists_of(condition: Condition) -> frozenset[str]:
    """Names of all lists the condition belongs to."""
    return _lists_of(condition.codings, condition.title, condition.headache_class)


@lru_cache(maxsize=4096)
def _lists_of(codings: tuple[Coding, ...], title: str, headache_class: str) -> frozenset[str]:
    lists = _lists()
    found = set(lists.classes.get(headache_class, ()))
    coded = False
    for coding in codings:
        bare = re.sub(r"[.\s]", "", coding.code).upper()
        if coding.vocabulary == SNOMED:
            coded = True
            found |= set(lists.snomed.get(bare, ()))
        elif coding.vocabulary == ICD10 or (not coding.system.strip() and _LOOKS_LIKE_ICD.fullmatch(bare)):
            coded = True
            found |= _by_icd10(bare)
    return frozenset(found if coded else found | _by_words(title))


def _by_icd10(bare: str) -> set[str]:
    lists = _lists()
    named = {name for end in range(1, len(bare) + 1) for name in lists.prefixes.get(bare[:end], ())}
    return named - {name for prefix, name in lists.excepted if bare.startswith(prefix)}


def _by_words(title: str) -> set[str]:
    if _DOUBT.search(title):
        return set()
    return {name for pattern, name in _lists().texts if pattern.search(title)}


@cache
def _lists() -> _Lists:
    rows = table("condition_lists")
    return _Lists(
        prefixes=_grouped((_bare(each), row["list"]) for row in rows for each in split(row["icd10"])),
        excepted=tuple((_bare(each), row["list"]) for row in rows for each in split(row["icd10_except"])),
        snomed=_grouped((each, row["list"]) for row in rows for each in split(row["snomed"])),
        classes=_grouped((each, row["list"]) for row in rows for each in split(row["headache_classes"])),
        texts=tuple((re.compile(rf"\b(?:{row['text']})\b", re.I), row["list"]) for row in rows if row["text"]),
    )


def _bare(code: str) -> str:
    return code.replace(".", "")


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for key, name in pairs:
        found[key] = (*found.get(key, ()), name)
    return found
