"""MedicationRequest bodies beside the treatment a clinician should read."""

from datetime import date
from typing import Any

import pytest

from patients.projection import medications
from patients.projection.chart import Chart
from patients.projection.facts import UNKNOWN_MODIFIER, Fact
from patients.projection.readers import own_id
from tests.projection.bodies import RXNORM, coded, medication, order, received

PREFIX = "http://fhir4.eclinicalworks.com/fhir/r4"


def read(chart: Chart | None = None, **elements: Any) -> list[Fact]:
    return list(medications.read(received(order(**elements)), chart or Chart("AAAAAA")))


def test_order_of_a_triptan() -> None:
    (fact,) = read()
    assert (fact.kind, fact.title) == ("treatment", "sumatriptan 50 MG Oral Tablet")
    assert (fact.group, fact.role, fact.about_headache) == ("triptan", "acute", True)
    assert (fact.code, fact.system, fact.status) == ("313161", RXNORM, "active")
    assert (fact.dated.on, fact.dated.precision, fact.dated.meaning) == (date(2024, 3, 1), "day", "ordered")
    assert fact.end_date is None
    assert fact.detail["ingredients"] == ["sumatriptan"]
    assert fact.detail["class_words"] == "Triptan"
    assert fact.detail["confidence"] == "name"
    assert fact.detail["sig"] == "1 tablet at onset, may repeat once after 2 hours"
    assert (fact.detail["quantity"], fact.detail["quantity_unit"], fact.detail["repeats"]) == (
        "9",
        "tablet",
        5,
    )
    assert fact.detail["intent"] == "order"


def by_reference(reference: Any, **elements: Any) -> dict[str, Any]:
    return {"medicationCodeableConcept": None, "medicationReference": reference} | elements


@pytest.mark.parametrize(
    "reference",
    [
        pytest.param({"reference": "Medication/med1"}, id="relative"),
        pytest.param({"reference": f"{PREFIX}/AAAAAA/Medication/med1"}, id="absolute, foreign host, our code"),
        pytest.param({"reference": "Medication/med1/_history/3"}, id="versioned"),
        pytest.param("Medication/med1", id="a string"),
    ],
)
def test_order_by_reference(reference: Any) -> None:
    body = order(**by_reference(reference))
    assert own_id(body["medicationReference"], "Medication", "AAAAAA") == "med1"
    (fact,) = medications.read(body, Chart("AAAAAA", {"med1": medication()}))
    assert (fact.title, fact.group, fact.role) == ("Topamax 50 MG Tablet", "anticonvulsant", "preventive")
    assert (fact.code, fact.system, fact.detail["confidence"]) == ("38404", RXNORM, "code")


@pytest.mark.parametrize(
    ("reference", "title"),
    [
        pytest.param({"reference": "Medication/gone", "display": "Topamax"}, "Topamax", id="display only"),
        pytest.param(
            {"reference": f"{PREFIX}/BBBBBB/Medication/med1"},
            "Not named in the record",
            id="another practice's code in the path",
        ),
        pytest.param({"reference": "#nothing"}, "Not named in the record", id="contained, but not there"),
        pytest.param({"reference": "Substance/med1"}, "Not named in the record", id="another type"),
        pytest.param({}, "Not named in the record", id="empty"),
    ],
)
def test_order_whose_medication_is_not_on_file(reference: Any, title: str) -> None:
    (fact,) = read(Chart("AAAAAA", {"med1": medication()}), **by_reference(reference))
    assert (fact.title, fact.detail["problem"]) == (title, "medication record not on file")
    assert fact.dated.on == date(2024, 3, 1)


def test_order_with_contained_medication_of_ingredients() -> None:
    box = {
        "resourceType": "Medication",
        "id": "m",
        "form": {"text": "tablet"},
        "ingredient": [
            {"itemCodeableConcept": coded(RXNORM, "161", "acetaminophen")},
            {"itemReference": {"reference": "#s"}},
            {"itemReference": {"display": "caffeine"}},
            {"itemCodeableConcept": {"text": "starch"}, "isActive": False},
        ],
        "contained": [{"resourceType": "Substance", "id": "s", "code": {"text": "butalbital"}}],
    }
    (fact,) = read(**by_reference({"reference": "#m"}, contained=[box]))
    assert fact.title == "acetaminophen / butalbital / caffeine"
    assert fact.group == "butalbital"
    assert fact.detail["ingredients"] == ["acetaminophen", "butalbital", "caffeine"]


@pytest.mark.parametrize(
    ("concept", "title", "group", "about_headache"),
    [
        pytest.param({"text": "Topamax 50mg tab"}, "Topamax 50mg tab", "anticonvulsant", True, id="free text"),
        pytest.param("Imitrex", "Imitrex", "triptan", True, id="a string"),
        pytest.param(
            {"text": "Timolol 0.5 % ophthalmic drops"},
            "Timolol 0.5 % ophthalmic drops",
            "excluded",
            False,
            id="eye drops",
        ),
        pytest.param(
            {"text": "Clarithromycin 500 mg"},
            "Clarithromycin 500 mg",
            "cyp3a4-strong",
            False,
            id="only interacts",
        ),
        pytest.param({"text": "Zyzzyvamab"}, "Zyzzyvamab", "", False, id="unclassified, shown as recorded"),
        pytest.param(
            {"coding": [{"system": RXNORM, "code": "999"}]},
            "Code 999 (no words in the record)",
            "",
            False,
            id="a code and no words",
        ),
    ],
)
def test_order_classes(concept: Any, title: str, group: str, about_headache: bool) -> None:
    (fact,) = read(medicationCodeableConcept=concept)
    assert (fact.title, fact.group, fact.about_headache) == (title, group, about_headache)
    assert fact.detail.get("unclassified", False) == (group == "")


@pytest.mark.parametrize(
    ("dosage", "end_date"),
    [
        pytest.param([("2024-03-01", "2024-03-08")], date(2024, 3, 8), id="explicit end"),
        pytest.param([("2024-03-01", "2024-03-08"), ("2024-03-09", "2024-03-20")], date(2024, 3, 20), id="a taper"),
        pytest.param([("2024-03-01", "2024-03-08"), ("2024-03-09", None)], None, id="the last step is open"),
        pytest.param([("2024-03-01", "2024-04")], None, id="a month is no day"),
        pytest.param([("2024-03-01", None)], None, id="open"),
    ],
)
def test_order_end(dosage: list[tuple[str, str | None]], end_date: date | None) -> None:
    lines = [{"timing": {"repeat": {"boundsPeriod": {"start": start, "end": end}}}} for start, end in dosage]
    (fact,) = read(dosageInstruction=lines)
    assert fact.end_date == end_date


def test_order_end_is_never_taken_from_dispensing() -> None:
    (fact,) = read(status="completed", dispenseRequest={"validityPeriod": {"end": "2025-03-01"}})
    assert fact.end_date is None
    assert fact.detail["valid_until"] == "2025-03-01"


def test_order_with_structured_dosage() -> None:
    line = {
        "timing": {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}},
        "doseAndRate": [{"doseRange": {"low": {"value": 1}, "high": {"value": 2, "unit": "tablet"}}}],
        "asNeededCodeableConcept": {"text": "migraine"},
        "route": {"text": "Oral"},
    }
    supply = {"expectedSupplyDuration": {"value": 2, "unit": "weeks", "code": "wk"}}
    (fact,) = read(dosageInstruction=[line], dispenseRequest=supply)
    assert fact.detail["sig"] == "1 – 2 tablet, 2 × per day, as needed for migraine"
    assert fact.detail["dose"] == "1 – 2 tablet"
    assert fact.detail["supply_days"] == "14"
    assert fact.detail["as_needed"] is True
    assert fact.detail["dosage"] == [
        {
            "dose_low": "1",
            "dose_high": "2",
            "dose_unit": "tablet",
            "frequency": "2",
            "period": "1",
            "period_unit": "d",
            "as_needed": True,
            "as_needed_for": "migraine",
            "route": "Oral",
        }
    ]


def test_order_facts_that_change_its_meaning() -> None:
    (fact,) = read(
        reportedBoolean=True,
        reasonCode=[{"text": "Migraine"}],
        statusReason={"text": "Side effects"},
        modifierExtension=[{"url": "urn:x"}],
    )
    assert fact.detail["reported"] is True
    assert (fact.detail["reason"], fact.detail["reason_class"]) == ("Migraine", "migraine/unspecified")
    assert fact.detail["status_reason"] == "Side effects"
    assert fact.detail["modifier"] == UNKNOWN_MODIFIER


def test_order_not_to_give_a_drug_is_no_treatment() -> None:
    (fact,) = read(doNotPerform=True)
    assert (fact.status, fact.group, fact.role, fact.about_headache) == (
        "active, do not perform",
        "",
        "",
        False,
    )
    assert fact.detail["drug_class"] == "triptan"


def test_order_without_repeats_says_zero() -> None:
    (fact,) = read(dispenseRequest={"numberOfRepeatsAllowed": 0})
    assert fact.detail["repeats"] == 0


def test_order_entered_in_error_is_not_listed() -> None:
    assert read(status="entered-in-error") == []


def test_low_dose_aspirin_by_structured_dose() -> None:
    line = {"doseAndRate": [{"doseQuantity": {"value": 81, "unit": "mg"}}]}
    (fact,) = read(medicationCodeableConcept={"text": "Aspirin"}, dosageInstruction=[line])
    assert fact.group == "excluded"
