"""The allergy title."""

import pytest

from patients.headaches.allergies import AllergyFact, status
from patients.headaches.coding import Coding

SNOMED = "http://snomed.info/sct"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
PENICILLIN = AllergyFact((Coding(RXNORM, "7984", "Penicillin V"),), "Penicillin V", "active", "confirmed")
NKA = AllergyFact((Coding(SNOMED, "716186003", "No Known Allergy (situation)"),), "NKA", "active", "confirmed")
NKDA = AllergyFact((Coding(SNOMED, "409137002"),), "NKDA", "active", "confirmed")
FOOD = AllergyFact((Coding(SNOMED, "429625007"),))
ENVIRONMENT = AllergyFact((Coding(SNOMED, "428607008"),))
LATEX = AllergyFact((Coding(SNOMED, "716184000"),), "No Known Latex Allergy")

TITLES = [
    ("complete and empty", [], "complete", "Allergies not recorded", ""),
    ("not permitted", [], "not permitted", "Allergies unavailable", "not permitted"),
    ("not supported", [], "not supported here", "Allergies unavailable", "not supported here"),
    ("not fetched", [], "not fetched", "Allergies unavailable", "not fetched"),
    ("stated none", [NKA], "complete", "No known allergies", ""),
    ("drugs only", [NKDA], "complete", "No known allergies", "no known drug allergies"),
    ("both", [NKDA, NKA], "complete", "No known allergies", ""),
    (
        "food only says nothing on drugs",
        [FOOD],
        "complete",
        "Allergies not recorded",
        "no known food allergies",
    ),
    (
        "environment only",
        [ENVIRONMENT],
        "complete",
        "Allergies not recorded",
        "no known environmental allergies",
    ),
    ("latex only", [LATEX], "complete", "Allergies not recorded", "no known latex allergies"),
    ("a real one", [PENICILLIN], "complete", "Known allergies", ""),
    ("a real one, list cut off", [PENICILLIN], "not fetched", "Known allergies", "may be incomplete"),
    ("stated none earlier, now barred", [NKA], "not permitted", "Allergies unavailable", "Received earlier"),
]

IN_PART = "The EMR's list did not come whole"
PARTIAL = [
    ("nothing beside what cannot be read", [], "Allergies unavailable", IN_PART),
    ("stated none beside it", [NKA], "Allergies unavailable", f"{IN_PART}. Received: no known allergies"),
    ("a real one beside it", [PENICILLIN], "Known allergies", IN_PART),
]


@pytest.mark.parametrize("case", PARTIAL, ids=lambda case: case[0])
def test_what_could_not_be_read_may_be_an_allergy(case: tuple[str, list[AllergyFact], str, str]) -> None:
    _, entries, title, detail = case
    found = status(entries, "may be incomplete")
    assert (found.title, found.detail) == (title, detail)


@pytest.mark.parametrize("case", TITLES, ids=lambda case: case[0])
def test_allergy_title(case: tuple[str, list[AllergyFact], str, str, str]) -> None:
    _, entries, absence, title, detail = case
    found = status(entries, absence)
    assert found.title == title
    assert detail in found.detail
    assert bool(detail) == bool(found.detail)
    assert not found.conflict


@pytest.mark.parametrize(
    ("text", "title", "detail"),
    [
        ("NKDA", "No known allergies", "no known drug allergies"),
        ("nka", "No known allergies", ""),
        ("No Known Drug Allergies", "No known allergies", "no known drug allergies"),
        ("No known allergies.", "No known allergies", ""),
        ("No known medication allergies", "No known allergies", "no known drug allergies"),
        ("No Known Allergies (NKA)", "No known allergies", ""),
        ("Patient denies allergies", "No known allergies", ""),
        ("not asked", "Allergies not recorded", ""),
        ("NKDA except penicillin", "Known allergies", ""),
        ("Penicillin", "Known allergies", ""),
        ("no known cause hives from latex", "Known allergies", ""),
    ],
)
def test_allergy_text(text: str, title: str, detail: str) -> None:
    found = status([AllergyFact(text=text)], "complete")
    assert found.title == title
    assert detail in found.detail


def test_real_allergy_beside_none_known_is_a_conflict() -> None:
    found = status([NKDA, PENICILLIN], "complete")
    assert (found.title, found.conflict, found.known) == ("Known allergies", True, (PENICILLIN,))
    assert "no known drug allergies" in found.detail


def test_no_food_allergy_beside_a_drug_allergy_is_no_conflict() -> None:
    assert not status([FOOD, PENICILLIN], "complete").conflict


def test_substance_code_with_words_none_known_is_an_allergy() -> None:
    entry = AllergyFact((Coding(RXNORM, "7984", "Penicillin V"),), "NKDA")
    assert status([entry], "complete").title == "Known allergies"


@pytest.mark.parametrize("verification", ["refuted", "entered-in-error", "Entered-In-Error "])
def test_refuted_entries_do_not_count(verification: str) -> None:
    entry = AllergyFact(PENICILLIN.codings, PENICILLIN.text, "active", verification)
    assert status([entry], "complete").title == "Allergies not recorded"
    assert status([entry, NKA], "complete").conflict is False


def test_resolved_entries_are_only_mentioned() -> None:
    found = status([AllergyFact(text="Latex", clinical_status="resolved")], "complete")
    assert (found.title, found.detail) == ("Allergies not recorded", "1 inactive or resolved entry on file")


def test_codes_count_with_their_system_only() -> None:
    entry = AllergyFact((Coding(RXNORM, "716186003"),))
    assert status([entry], "complete").title == "Known allergies"


def test_entry_without_content_is_not_hidden() -> None:
    assert status([AllergyFact()], "complete").title == "Known allergies"


def test_unknown_absence_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown absence"):
        status([], "empty")
