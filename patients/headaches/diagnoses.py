"""Headache diagnoses from the codes and words of a Condition (or a reason code)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Literal

from patients.codes import Row, table
from patients.headaches.coding import ICD9, ICD10, SNOMED, Coding

MatchedBy = Literal["icd10", "snomed", "icd9", "text"]

_VOCABULARY_RANK = {"icd10": 3, "snomed": 2, "icd9": 1, "text": 0}
_ICD10_HEADACHE = re.compile(r"(?:G43|G44)[0-9A-Z]{0,4}|R51[0-9A-Z]?")
_NOT_INTRACTABLE = re.compile(r"\b(?:not |non-?)(?:intractable|refractory)\b", re.I)
_UNSTATED = re.compile(r"\bwithout mention of intractable\b", re.I)  # ICD-9 knows "so stated" or nothing
_INTRACTABLE = re.compile(r"\b(?:intractable|refractory)\b", re.I)
_NO_AURA = re.compile(r"\bwithout aura\b|\bw/?o aura\b", re.I)
_AURA = re.compile(r"\bwith (?:typical |prolonged |visual )?aura\b", re.I)
# Words that, earlier in the same clause, mean the headache is not (or not surely, not here) the patient's.
_NEGATION = re.compile(
    r"\b(?:family|fam|fh|f/h|fhx|mother|father|sister|brother|maternal|paternal|parental"
    r"|(?:no|not|non)(?! (?:intractable|refractory|otherwise|familial)\b)"
    r"|denies|denied|deny|negative for|without"
    r"|absence of|never had|rule out|ruled out|r/o|possible|suspected|questionable|screen(?:ing)? for"
    r"|at risk (?:of|for))\b|\?\s*$",
    re.I,
)
_NEGATED_AFTER = re.compile(
    r"\s*(?:has been |was |were )?(?:ruled out|r/o|denied|absent|not present|in family)\b", re.I
)
_CLAUSE_END = re.compile(r"[.;\n]|\bbut\b", re.I)


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """A headache diagnosis as recorded.

    headache_class: "family/kind" of codelists/headache_classes.csv, e.g. "migraine/chronic";
    family: the part before the slash; words: the class for people; label: the official display of the code
    (the record's own words when matched by text or when the code is unknown); chronic, aura, intractable:
    None when neither code nor words say; code and system as received; assumption: what was supposed, "" for
    nothing; conflicts: sentences on codings that disagree, empty when they agree.
    """

    headache_class: str
    family: str
    words: str
    label: str
    chronic: bool | None
    aura: bool | None
    intractable: bool | None
    matched_by: MatchedBy
    code: str = ""
    system: str = ""
    assumption: str = ""
    conflicts: tuple[str, ...] = ()


def classify(codings: Sequence[Coding], text: str) -> Diagnosis | None:
    """The headache diagnosis that codings and text state, or None when they state none.

    Codes are read with their system; a code without one is read as ICD-10-CM when it looks like G43, G44 or
    R51. Of several headache codings the most specific is returned and disagreements are listed in conflicts.
    Words count only when no coding is a headache code; displays of other codings are words too.
    """
    return _classify(tuple(codings), text or "")


@lru_cache(maxsize=4096)
def _classify(codings: tuple[Coding, ...], text: str) -> Diagnosis | None:
    read = [found for coding in codings if (found := _from_coding(coding))]
    if not read:
        for words in (text, *(coding.display for coding in codings)):
            if found := from_text(words):
                return found
        return None
    best = max(read, key=_rank)
    conflicts = [line for other in read if (line := _disagreement(best, other))]
    conflicts += [line for coding in codings if (line := _display_disagreement(coding))]
    return replace(best, conflicts=tuple(dict.fromkeys(conflicts)))


@lru_cache(maxsize=4096)
def from_text(text: str) -> Diagnosis | None:
    """The first, most specific headache named in free text; None when absent, denied or about relatives."""
    plain = re.sub(r"[\s\-\u2010-\u2013_]+", " ", text.strip())
    for pattern, headache_class in _text_patterns():
        for match in pattern.finditer(plain):
            if not _negated(plain, match):
                return _diagnosis(headache_class, text.strip(), "text")
    return None


def _from_coding(coding: Coding) -> Diagnosis | None:
    vocabulary = coding.vocabulary
    bare = re.sub(r"[.\s]", "", coding.code).upper()
    if vocabulary == ICD10:
        return _from_icd10(coding, bare, "")
    if vocabulary == SNOMED:
        row = _by_code("snomed_headache").get(bare)
        return _diagnosis(row["class"], row["display"], "snomed", coding) if row else None
    if vocabulary == ICD9:
        row = _by_code("icd9cm_headache").get(bare)
        return _diagnosis(row["class"], row["display"], "icd9", coding) if row else None
    if not coding.system.strip():
        return _from_icd10(coding, bare, "code system not stated; read as ICD-10-CM")
    return None


def _from_icd10(coding: Coding, bare: str, assumption: str) -> Diagnosis | None:
    if not _ICD10_HEADACHE.fullmatch(bare):
        return None
    row = _by_code("icd10cm_headache").get(bare) or _by_code("icd10cm_headings").get(bare)
    if row:
        return _diagnosis(row["class"], row["display"], "icd10", coding, assumption)
    leaves = [leaf for code, leaf in _by_code("icd10cm_headache").items() if code.startswith(bare)]
    if leaves:
        # A heading such as G43.71: what all its leaves share is what it says.
        return _diagnosis(leaves[0]["class"], _shared_display(leaves), "icd10", coding, assumption)
    return _unknown_leaf(coding, bare, assumption)


def _unknown_leaf(coding: Coding, bare: str, assumption: str) -> Diagnosis:
    headache_class = {"G43": "migraine/other", "G44": "other", "R51": "symptom/unspecified"}[bare[:3]]
    note = f"{coding.code.strip()} is not in the ICD-10-CM table; read by its category"
    label = coding.display.strip() or coding.code.strip()
    return _diagnosis(headache_class, label, "icd10", coding, "; ".join(filter(None, (assumption, note))))


def _shared_display(leaves: Sequence[Row]) -> str:
    parts = [leaf["display"].split(", ") for leaf in leaves]
    shared = [same[0] for same in zip(*parts, strict=False) if len(set(same)) == 1]
    return ", ".join(shared)


def _diagnosis(
    headache_class: str,
    label: str,
    matched_by: MatchedBy,
    coding: Coding | None = None,
    assumption: str = "",
) -> Diagnosis:
    row = _classes()[headache_class]
    return Diagnosis(
        headache_class=headache_class,
        family=row["family"],
        words=row["words"],
        label=label,
        chronic=_flag(row["chronic"]),
        aura=_stated_aura(label, _flag(row["aura"])),
        intractable=_stated_intractable(label),
        matched_by=matched_by,
        code=coding.code if coding else "",
        system=coding.system if coding else "",
        assumption=assumption,
    )


def _flag(cell: str) -> bool | None:
    return {"yes": True, "no": False}.get(cell)


def _stated_aura(label: str, of_class: bool | None) -> bool | None:
    if of_class is not None:
        return of_class
    if _NO_AURA.search(label):
        return False
    return True if _AURA.search(label) else None


def _stated_intractable(label: str) -> bool | None:
    """Read from the official words, never from the digits: G43 and G44 number them in opposite ways."""
    if _UNSTATED.search(label):
        return None
    if _NOT_INTRACTABLE.search(label):
        return False
    return True if _INTRACTABLE.search(label) else None


def _rank(diagnosis: Diagnosis) -> tuple[int, int, int]:
    details = sum(flag is not None for flag in (diagnosis.chronic, diagnosis.aura, diagnosis.intractable))
    specificity = int(_classes()[diagnosis.headache_class]["specificity"])
    return specificity, details, _VOCABULARY_RANK[diagnosis.matched_by]


def _disagreement(best: Diagnosis, other: Diagnosis) -> str:
    """A sentence when two readings cannot both be the whole truth; "" when one only says less."""
    both = f"{_cite(best)} and {_cite(other)}"
    general = "headache" in (best.family, other.family)
    if best.family != other.family:
        return "" if general else f"{both} name different headaches"
    for word in ("chronic", "aura", "intractable"):
        pair = {getattr(best, word), getattr(other, word)}
        if pair == {True, False}:
            return f"{both} disagree on {word}"
    low = min(_rank(best)[0], _rank(other)[0])
    if best.headache_class != other.headache_class and low >= 4:
        return f"{both} name different kinds"
    return ""


def _display_disagreement(coding: Coding) -> str:
    coded, shown = _from_coding(coding), from_text(coding.display)
    if coded is None or shown is None or "headache" in (coded.family, shown.family):
        return ""
    if coded.family == shown.family and {coded.chronic, shown.chronic} != {True, False}:
        return ""
    return f"{coding.code.strip()} ({coded.label}) came with the display “{coding.display.strip()}”"


def _cite(diagnosis: Diagnosis) -> str:
    return f"{diagnosis.code.strip()} ({diagnosis.label})" if diagnosis.code else f"“{diagnosis.label}”"


def _negated(plain: str, match: re.Match[str]) -> bool:
    before = _CLAUSE_END.split(plain[: match.start()])[-1]
    return bool(_NEGATION.search(before)) or bool(_NEGATED_AFTER.match(plain, match.end()))


@cache
def _by_code(name: str) -> dict[str, Row]:
    return {row["code"].replace(".", "").upper(): row for row in table(name)}


@cache
def _classes() -> dict[str, Row]:
    return {row["class"]: row for row in table("headache_classes")}


@cache
def _text_patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(rf"\b(?:{row['pattern']})\b", re.I), row["class"]) for row in table("diagnosis_texts"))
