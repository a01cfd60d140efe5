"""Procedures that belong to a headache history: toxin sessions, nerve blocks, punctures, infusions, imaging.

CPT wording is licensed: the tables hold codes and labels of our own.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from patients.codes import Row, table
from patients.headaches import imaging
from patients.headaches.coding import Coding

HCPCS_SYSTEMS = frozenset(
    {
        "urn:oid:2.16.840.1.113883.6.285",
        "urn:oid:2.16.840.1.113883.6.14",
        "http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
        "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets",
        "http://terminology.hl7.org/CodeSystem/HCPCS-all-codes",
    }
)
_TOXIN = "botox-procedure"
# Onabotulinumtoxin for something else than headache; of the trunk, limbs, face or skin.
_OTHER_USE = re.compile(
    r"cosmetic|glabellar|wrinkle|crow'?s feet|bladder|detrusor|axilla|hyperhidrosis|blepharo|dystonia|spastic"
    r"|torticollis|strabism|sialorrh|drool|achalasia|anal |fissure|hemifacial|masseter|bruxism|vocal",
    re.I,
)
_LUMBAR_PUNCTURE = re.compile(r"\bLP\b")  # in capitals only


@dataclass(frozen=True, slots=True)
class Recognised:
    """What a procedure is to a headache history.

    group: of codelists/procedures.csv and procedure_texts.csv, or "imaging"; label: ours; modality, region: of an
    imaging study; also: groups that further codes of the same procedure state; matched_by: "code" or "text";
    excluded_reason: why a toxin session is not one for headache, "" otherwise.
    """

    group: str
    label: str
    about_headache: bool
    matched_by: str
    modality: str = ""
    region: str = ""
    also: tuple[str, ...] = ()
    excluded_reason: str = ""


def recognise(codings: Sequence[Coding], text: str = "") -> Recognised | None:
    """What codes (CPT, HCPCS, LOINC) or, failing them, words state; None for any other procedure."""
    return _recognise(tuple(codings), text or "")


@lru_cache(maxsize=4096)
def _recognise(codings: tuple[Coding, ...], text: str) -> Recognised | None:
    keys = {_key(coding) for coding in codings}
    rows = [row for key, row in _by_code().items() if key in keys]  # in the table's order: the session before its drug
    words = [text, *(coding.display for coding in codings)]
    if rows:
        groups = tuple(dict.fromkeys(row["group"] for row in rows))
        return _from_row(rows[0], "code", " ".join(words), groups[1:])
    if study := imaging.study(codings, text):
        return Recognised("imaging", study.label, True, study.matched_by, study.modality, study.region)
    for each in filter(None, words):
        for pattern, row in _patterns():
            if pattern.search(each):
                return _from_row(row, "text", each, ())
        if _LUMBAR_PUNCTURE.search(each):
            return Recognised("lumbar-puncture", "Lumbar puncture", True, "text")
    return None


def _from_row(row: Row, matched_by: str, words: str, also: tuple[str, ...]) -> Recognised:
    other = _OTHER_USE.search(words) if row["group"] in {_TOXIN, "botox-drug"} else None
    # The chronic migraine code says what the session is for, whatever else the words mention.
    if other and row.get("code") != "64615":
        reason = f"for another use: {other[0].strip().lower()}"
        return Recognised("other-toxin", row["label"], False, matched_by, excluded_reason=reason, also=also)
    return Recognised(row["group"], row["label"], row["about_headache"] == "yes", matched_by, also=also)


def _key(coding: Coding) -> tuple[str, str]:
    code, system = coding.code.strip().upper(), coding.system.strip().rstrip("/")
    if system in HCPCS_SYSTEMS or (not system and code[:1] == "J"):
        return "hcpcs", code
    if system in imaging.CPT_SYSTEMS or not system:
        # Servers file HCPCS codes under CPT, as both stand on one claim.
        return ("hcpcs" if code[:1] == "J" else "cpt"), code
    return "", code


@cache
def _by_code() -> dict[tuple[str, str], Row]:
    return {(row["system"], row["code"]): row for row in table("procedures")}


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], Row], ...]:
    return tuple((re.compile(row["pattern"], re.I), row) for row in table("procedure_texts"))
