"""The allergy title of a chart: an empty list is never shown as "no known allergies"."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from patients.codes import table
from patients.headaches.coding import Coding

Title = Literal["Known allergies", "No known allergies", "Allergies not recorded", "Allergies unavailable"]
PARTIAL = "may be incomplete"
IN_PART = "The EMR's list did not come whole"
ABSENCES = ("complete", PARTIAL, "not permitted", "not supported here", "not fetched")

# Whole texts only: "NKDA except penicillin" is an allergy.
_STATED_NONE = tuple(
    (scope, re.compile("|".join(wordings)))
    for scope, wordings in (
        (
            "drug",
            (
                r"nkda|nkma",
                r"no known (?:drug|medication|medicine)s? (?:allerg(?:y|ies)|intolerances?)",
                r"no (?:drug|medication) allerg(?:y|ies)(?: known)?",
                r"denies (?:any )?(?:drug|medication) allergies",
            ),
        ),
        ("food", (r"nkfa", r"no (?:known )?food allerg(?:y|ies)")),
        ("environmental", (r"nkea", r"no (?:known )?environmental allerg(?:y|ies)")),
        ("latex", (r"no (?:known )?latex allerg(?:y|ies)",)),
        (
            "all",
            (
                r"nka",
                r"no known (?:allerg(?:y|ies)|allergens?)(?: or (?:adverse reactions|intolerances))?",
                r"no allerg(?:y|ies)|allergies:? (?:none|nka)|none known",
                r"(?:patient )?denies (?:any |known )?allergies",
            ),
        ),
        (
            "not asked",
            (r"(?:patient )?not asked|allergy status unknown", r"allergies not (?:asked|assessed|reviewed)"),
        ),
    )
)


@dataclass(frozen=True, slots=True)
class AllergyFact:
    """One AllergyIntolerance: codings and text of its code, statuses as FHIR codes ("" when absent)."""

    codings: tuple[Coding, ...] = ()
    text: str = ""
    clinical_status: str = ""
    verification_status: str = ""


@dataclass(frozen=True, slots=True)
class AllergyStatus:
    """What stands above the allergy list.

    title: one of the four; detail: the sentence under it, "" when the title says all; conflict: "none known"
    and a named allergy stand side by side; known: the current allergies in the order given.
    """

    title: Title
    detail: str = ""
    conflict: bool = False
    known: tuple[AllergyFact, ...] = ()


def status(entries: Sequence[AllergyFact], absence: str) -> AllergyStatus:
    """Title for a patient's allergy entries, given how fetching AllergyIntolerance ended.

    absence: "complete", "may be incomplete", "not permitted", "not supported here" or "not fetched"; ValueError for
    another word. "No known allergies" and "Allergies not recorded" are said of complete lists alone. Refuted and
    entered-in-error entries do not count at all, inactive and resolved ones only in the detail.
    """
    if absence not in ABSENCES:
        raise ValueError(f"unknown absence {absence!r}: one of {', '.join(ABSENCES)}")
    valid = [entry for entry in entries if _code(entry.verification_status) not in ("refuted", "entered-in-error")]
    current = [entry for entry in valid if _code(entry.clinical_status) not in ("inactive", "resolved")]
    scopes = {entry: stated_none(entry) for entry in current}
    known = tuple(entry for entry in current if not scopes[entry])
    stated = sorted({scope for scope in scopes.values() if scope and scope != "not asked"})
    if known:
        return _known(known, stated, absence)
    if absence == PARTIAL:
        return _unavailable(stated, IN_PART, "Received")
    if absence != "complete":
        return _unavailable(stated, f"Allergies were {absence}", "Received earlier")
    if {"all", "drug"} & set(stated):
        return AllergyStatus("No known allergies", _scope_detail(stated))
    return AllergyStatus("Allergies not recorded", _nothing_detail(stated, len(valid) - len(current)))


def stated_none(entry: AllergyFact) -> str:
    """What the entry says there is none of: "all", "drug", "food" … or "not asked"; "" for a real allergy.

    A coding of a substance beside the words "none known" is a real allergy: the safer reading.
    """
    scopes = [_scope(coding) for coding in entry.codings if coding.code.strip()]
    if scopes and all(scopes):
        return _widest(scopes)
    if scopes and any(coding.vocabulary for coding in entry.codings):
        return ""
    texts = [entry.text, *(coding.display for coding in entry.codings)]
    found = [_text_scope(text) for text in texts if text.strip()]
    return _widest(found) if found and all(found) else ""


def _scope(coding: Coding) -> str:
    system = coding.system.strip().rstrip("/")
    return _no_known_codes().get((coding.vocabulary or system, coding.code.strip()), "")


def _text_scope(text: str) -> str:
    plain = re.sub(r"\(.*?\)|[.!*]+", " ", text.lower())
    plain = " ".join(plain.split())
    return next((scope for scope, pattern in _STATED_NONE if pattern.fullmatch(plain)), "")


def _widest(scopes: Sequence[str]) -> str:
    return next((scope for scope in ("all", "drug") if scope in scopes), scopes[0])


def _known(known: tuple[AllergyFact, ...], stated: Sequence[str], absence: str) -> AllergyStatus:
    parts = []
    if stated:
        parts.append(f"The record also states: {_scope_words(stated)}")
    if absence != "complete":
        parts.append(IN_PART if absence == PARTIAL else f"The list may be incomplete: {absence}")
    # "No known food allergies" beside a drug allergy is no contradiction.
    conflict = bool({"all", "drug"} & set(stated))
    return AllergyStatus("Known allergies", ". ".join(parts), conflict, known)


def _unavailable(stated: Sequence[str], why: str, when: str) -> AllergyStatus:
    received = f". {when}: {_scope_words(stated)}" if stated else ""
    return AllergyStatus("Allergies unavailable", f"{why}{received}")


def _scope_detail(stated: Sequence[str]) -> str:
    return "" if "all" in stated else f"The record states only: {_scope_words(stated)}"


def _nothing_detail(stated: Sequence[str], inactive: int) -> str:
    parts = []
    if stated:
        parts.append(f"The record states only: {_scope_words(stated)}")
    if inactive:
        parts.append(f"{inactive} inactive or resolved {'entry' if inactive == 1 else 'entries'} on file")
    return ". ".join(parts)


def _scope_words(stated: Sequence[str]) -> str:
    return ", ".join("no known allergies" if scope == "all" else f"no known {scope} allergies" for scope in stated)


def _code(value: str) -> str:
    return value.strip().lower()


@cache
def _no_known_codes() -> dict[tuple[str, str], str]:
    rows = table("no_known_allergy")
    return {(Coding(row["system"]).vocabulary or row["system"], row["code"]): row["scope"] for row in rows}
