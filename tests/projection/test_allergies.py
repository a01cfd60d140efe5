"""AllergyIntolerance bodies beside the line of the allergy list."""

from datetime import date
from typing import Any

import pytest

from patients.projection import allergies
from patients.projection.chart import Chart
from patients.projection.facts import UNKNOWN_MODIFIER, Fact
from tests.projection.bodies import RXNORM, SNOMED, allergy, coded, received


def read(**elements: Any) -> list[Fact]:
    return list(allergies.read(received(allergy(**elements)), Chart()))


def test_allergy_recorded_as_intolerance() -> None:
    (fact,) = read()
    assert (fact.kind, fact.title, fact.status, fact.group) == ("allergy", "Topiramate", "active", "")
    assert (fact.dated.on, fact.dated.meaning) == (date(2022, 6, 1), "recorded")
    assert fact.detail == {
        "text": "Topiramate",
        "clinical": "active",
        "type": "intolerance",
        "category": "medication",
        "criticality": "low",
        "reactions": ["Paresthesia, Word finding (mild)"],
        "recorded": "2022-06-01",
    }


@pytest.mark.parametrize(
    ("code", "title", "group"),
    [
        pytest.param(coded(RXNORM, "7980", "Penicillin G"), "Penicillin G", "", id="coded"),
        pytest.param("Penicillin", "Penicillin", "", id="a string"),
        pytest.param(
            coded("urn:oid:2.16.840.1.113883.13.80", "1234"),
            "Code 1234 (no words in the record)",
            "",
            id="only a vendor's code",
        ),
        pytest.param({"text": "NKDA"}, "NKDA", "no-known", id="NKDA"),
        pytest.param(
            coded(SNOMED, "716186003", "No Known Allergy (situation)"),
            "No Known Allergy (situation)",
            "no-known",
            id="SNOMED no known allergy",
        ),
        pytest.param({"text": "NKDA except penicillin"}, "NKDA except penicillin", "", id="an exception"),
        pytest.param(
            coded(RXNORM, "7980", "Penicillin G", "No known allergies"),
            "No known allergies",
            "",
            id="a substance beside the words: an allergy",
        ),
        pytest.param(
            coded(SNOMED, "1631000175102", "Patient not asked"),
            "Patient not asked",
            "not-asked",
            id="not asked",
        ),
    ],
)
def test_allergy_titles(code: Any, title: str, group: str) -> None:
    (fact,) = read(code=code)
    assert (fact.title, fact.group) == (title, group)


@pytest.mark.parametrize(
    ("elements", "title"),
    [
        pytest.param({"code": None}, "Not named in the record", id="nothing but a reaction"),
        pytest.param({"code": {}, "note": [{"text": "Hives after Botox"}]}, "Hives after Botox", id="a note"),
        pytest.param(
            {"code": {"coding": [{}]}, "reaction": {"substance": {"text": "Peanut"}}},
            "Peanut",
            id="the reaction's substance",
        ),
        pytest.param(
            {"code": True, "clinicalStatus": [], "reaction": "hives"},
            "Not named in the record",
            id="wrong types everywhere",
        ),
        pytest.param({"substance": {"text": "Latex"}, "unheardOf": {"x": 1}}, "Topiramate", id="unknown elements"),
    ],
)
def test_allergy_is_never_hidden(elements: dict[str, Any], title: str) -> None:
    (fact,) = read(**elements)
    assert fact.title == title


@pytest.mark.parametrize("verification", ["refuted", "entered-in-error"])
def test_allergy_that_is_none_is_not_listed(verification: str) -> None:
    assert read(verificationStatus=coded("", verification)) == []


def test_allergy_status_words() -> None:
    (fact,) = read(clinicalStatus=coded("", "inactive", "Inactive"), verificationStatus=coded("", "unconfirmed"))
    assert fact.status == "inactive, unconfirmed"
    assert (fact.detail["clinical"], fact.detail["verification"]) == ("inactive", "unconfirmed")


@pytest.mark.parametrize(
    ("reaction", "words"),
    [
        ([{"description": "Collapse", "severity": "severe"}], ["Collapse (severe)"]),
        ([{"manifestation": "Hives"}, {"manifestation": [{"text": "Wheeze"}]}], ["Hives", "Wheeze"]),
        (["hives"], ["hives"]),
        ([{}, None, 5], ["5"]),
    ],
)
def test_allergy_reactions(reaction: Any, words: list[str]) -> None:
    (fact,) = read(reaction=reaction)
    assert fact.detail["reactions"] == words


def test_allergy_with_unknown_modifier_says_so() -> None:
    (fact,) = read(modifierExtension=[{"url": "urn:x"}])
    assert fact.detail["modifier"] == UNKNOWN_MODIFIER
