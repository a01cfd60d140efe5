"""Condition bodies beside the diagnosis a clinician should read."""

from datetime import date
from typing import Any

import pytest

from patients.projection import conditions
from patients.projection.chart import Chart
from patients.projection.facts import UNKNOWN_MODIFIER, Fact
from tests.projection.bodies import ICD10, SNOMED, coded, condition, received


def read(**elements: Any) -> list[Fact]:
    return list(conditions.read(received(condition(**elements)), Chart()))


def test_condition_as_eclinicalworks_sends_it() -> None:
    (fact,) = read()
    assert fact.kind == "diagnosis"
    assert fact.title == "Chronic migraine w/o aura"
    assert (fact.code, fact.system) == ("G43.709", ICD10)
    assert fact.group == "migraine/chronic"
    assert fact.about_headache
    assert fact.status == "active, confirmed"
    assert (fact.dated.on, fact.dated.precision, fact.dated.meaning) == (date(2024, 2, 5), "time", "recorded")
    assert fact.detail["category"] == "Problem List Item"
    assert fact.detail["matched_by"] == "icd10"
    assert fact.detail["recorded"] == "2024-02-05"
    assert fact.detail["other_codes"] == [{"system": SNOMED, "code": "124171000119105"}]
    assert fact.detail["intractable"] is False
    # The ICD code says "not intractable", the SNOMED code "intractable": both are shown.
    assert len(fact.detail["conflicts"]) == 1


@pytest.mark.parametrize(
    ("code", "title", "group"),
    [
        pytest.param({"text": "Migraine with aura"}, "Migraine with aura", "migraine/aura", id="text only"),
        pytest.param("Cluster headache", "Cluster headache", "tac/cluster", id="a string instead of an object"),
        pytest.param(
            {"coding": [{"system": ICD10, "code": "G43.709"}]},
            "Chronic migraine without aura, not intractable, without status migrainosus",
            "migraine/chronic",
            id="code without words: its official display",
        ),
        pytest.param(
            {"coding": {"system": ICD10, "code": "G43.709", "display": "Chr migraine"}},
            "Chr migraine",
            "migraine/chronic",
            id="coding as object instead of list",
        ),
        pytest.param(
            [coded(ICD10, "G43.709", "Chr migraine")],
            "Chr migraine",
            "migraine/chronic",
            id="list instead of object",
        ),
        pytest.param(
            {"coding": ["G43709"]},
            "Chronic migraine without aura, not intractable, without status migrainosus",
            "migraine/chronic",
            id="bare code in a list",
        ),
        pytest.param(coded(ICD10, "I10", "Essential hypertension"), "Essential hypertension", "", id="no headache"),
        pytest.param({"text": "Family history of migraine"}, "Family history of migraine", "", id="a relative's"),
        pytest.param(coded("urn:local", "X9"), "Code X9 (no words in the record)", "", id="only a local code"),
        pytest.param(None, "Not named in the record", "", id="nothing at all"),
    ],
)
def test_condition_names(code: Any, title: str, group: str) -> None:
    (fact,) = read(code=code)
    assert (fact.title, fact.group, fact.about_headache) == (title, group, bool(group))


@pytest.mark.parametrize(
    ("elements", "on", "precision", "meaning"),
    [
        pytest.param({"onsetDateTime": "2019-03"}, date(2019, 3, 1), "month", "onset", id="onset before recorded"),
        pytest.param({"onsetPeriod": {"start": "2018"}}, date(2018, 1, 1), "year", "onset", id="onset period"),
        pytest.param({"onsetString": "childhood"}, date(2024, 2, 5), "time", "recorded", id="onset in words"),
        pytest.param(
            {"onsetDateTime": "1899-12-30T00:00:00-05:00"},
            date(2024, 2, 5),
            "time",
            "recorded",
            id="onset is a zero date",
        ),
        pytest.param({"recordedDate": None}, None, "", "", id="no date"),
        pytest.param({"recordedDate": "02/05/2024"}, None, "", "", id="no FHIR date"),
        pytest.param({"recordedDate": {"value": 3}}, None, "", "", id="an object for a date"),
        pytest.param(
            {
                "recordedDate": None,
                "extension": [
                    {
                        "url": "http://hl7.org/fhir/StructureDefinition/condition-assertedDate",
                        "valueDateTime": "2020-01-02",
                    }
                ],
            },
            date(2020, 1, 2),
            "day",
            "asserted",
            id="US Core asserted date",
        ),
    ],
)
def test_condition_dates(elements: dict[str, Any], on: date | None, precision: str, meaning: str) -> None:
    (fact,) = read(**elements)
    assert (fact.dated.on, fact.dated.precision, fact.dated.meaning) == (on, precision, meaning)


@pytest.mark.parametrize(
    ("elements", "end_date", "words"),
    [
        pytest.param({"abatementDateTime": "2023-08-09"}, date(2023, 8, 9), None, id="a day"),
        pytest.param({"abatementDateTime": "2023"}, None, "2023", id="a year is no day"),
        pytest.param({"abatementString": "last summer"}, None, "last summer", id="words"),
        pytest.param({"abatementAge": {"value": 34, "unit": "years"}}, None, "34 years", id="an age"),
    ],
)
def test_condition_ends(elements: dict[str, Any], end_date: date | None, words: str | None) -> None:
    (fact,) = read(**elements)
    assert (fact.end_date, fact.detail.get("end")) == (end_date, words)


@pytest.mark.parametrize(
    ("verification", "shown"),
    [
        pytest.param(coded("", "refuted"), False, id="refuted"),
        pytest.param(coded("", "entered-in-error"), False, id="entered in error"),
        pytest.param({"text": "Entered in error"}, False, id="entered in error, in words"),
        pytest.param("refuted", False, id="refuted, as a string"),
        pytest.param(coded("", "provisional"), True, id="provisional"),
        pytest.param(None, True, id="not stated"),
    ],
)
def test_condition_verification(verification: Any, shown: bool) -> None:
    assert len(read(verificationStatus=verification)) == int(shown)


def test_condition_status_without_verification() -> None:
    (fact,) = read(verificationStatus=None, clinicalStatus="Resolved")
    assert fact.status == "resolved"


def test_condition_with_unknown_elements_and_modifier() -> None:
    (fact,) = read(modifierExtension=[{"url": "urn:x", "valueBoolean": True}], severityScore={"x": [1]})
    assert fact.detail["modifier"] == UNKNOWN_MODIFIER
    assert fact.group == "migraine/chronic"


@pytest.mark.parametrize(
    ("code", "comorbidity", "red_flag"),
    [
        pytest.param(coded(ICD10, "J45.909", "Asthma"), "asthma", "", id="steers the choice"),
        pytest.param(coded(ICD10, "c711"), "", "neoplasm", id="a red flag, lower case and undotted"),
        pytest.param(coded(ICD10, "O14.00"), "pregnancy", "pre-eclampsia", id="both"),
        pytest.param({"text": "Asthma (J45.909)"}, "asthma", "", id="the code in the text"),
        pytest.param(coded(ICD10, "G43.709"), "", "", id="a headache"),
        pytest.param(coded(ICD10, "L70.0"), "", "", id="acne"),
    ],
)
def test_condition_beside_headache(code: Any, comorbidity: str, red_flag: str) -> None:
    (fact,) = read(code=code)
    assert (fact.detail.get("comorbidity", ""), fact.detail.get("red_flag", "")) == (comorbidity, red_flag)
    assert ("comorbidity_why" in fact.detail) == bool(comorbidity)
    assert fact.group == ("migraine/chronic" if code == coded(ICD10, "G43.709") else "")
