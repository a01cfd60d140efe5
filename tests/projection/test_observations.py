"""Observation bodies beside the measures they hold."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from patients.projection import observations, readers
from patients.projection.chart import Chart
from patients.projection.facts import Fact
from tests.projection.bodies import LOINC, coded, observation, pressure, received


def read(**elements: Any) -> list[Fact]:
    return list(observations.read(received(observation(**elements)), Chart()))


def lab(**elements: Any) -> list[Fact]:
    return read(**{"code": coded(LOINC, "1963-8", "Bicarbonate"), "valueString": None} | elements)


def test_blood_pressure_is_one_measure() -> None:
    (fact,) = observations.read(pressure(), Chart())
    assert (fact.title, fact.group, fact.value_text) == (
        "Blood pressure panel",
        "blood-pressure",
        "128/82 mmHg",
    )
    assert (fact.value, fact.unit, fact.about_headache) == (None, "mmHg", False)
    assert (fact.detail["systolic"], fact.detail["diastolic"]) == ("128", "82")
    assert (fact.dated.on, fact.dated.meaning, fact.status) == (date(2024, 5, 6), "measured", "final")


def test_blood_pressure_with_one_half_absent() -> None:
    body = pressure()
    del body["component"][1]["valueQuantity"]
    body["component"][1]["dataAbsentReason"] = {"text": "Cuff error"}
    (fact,) = observations.read(body, Chart())
    assert (fact.value_text, fact.detail["absent"]) == ("128/– mmHg", "Cuff error")


def test_blood_pressure_keeps_other_components() -> None:
    body = pressure()
    body["component"].append({"code": {"text": "Mean pressure"}, "valueQuantity": {"value": 97, "unit": "mmHg"}})
    both, mean = observations.read(body, Chart())
    assert both.value_text == "128/82 mmHg"
    assert (mean.title, mean.value_text, mean.detail["panel"]) == (
        "Mean pressure",
        "97 mmHg",
        "Blood pressure panel",
    )


@pytest.mark.parametrize(
    ("elements", "readings"),
    [
        pytest.param({}, [("midas", 24, "MIDAS 24 – severe")], id="score in a string"),
        pytest.param({"valueString": "24"}, [("midas", 24, "24")], id="a number as string"),
        pytest.param(
            {"valueString": None, "valueQuantity": {"value": 24, "unit": "{score}"}},
            [("midas", 24, "24")],
            id="a quantity",
        ),
        pytest.param({"valueString": None, "valueInteger": 24}, [("midas", 24, "24")], id="an integer"),
        pytest.param(
            {"valueString": "MIDAS 24; HIT-6 64", "code": {"text": "Headache scores"}},
            [("midas", 24, "MIDAS 24"), ("hit-6", 64, "HIT-6 64")],
            id="two in one string",
        ),
        pytest.param(
            {"code": {"text": "Headache days per month"}, "valueString": "12"},
            [("headache-days", 12, "12")],
            id="headache days",
        ),
        pytest.param(
            {"code": {"text": "Visit"}, "valueString": None, "note": [{"text": "HIT-6: 61 today"}]},
            [("hit-6", 61, "HIT-6: 61 today")],
            id="in a note",
        ),
        pytest.param({"note": [{"text": "MIDAS 24"}]}, [("midas", 24, "MIDAS 24 – severe")], id="note repeats it"),
        pytest.param(
            {
                "valueString": None,
                "component": [
                    {"code": {"text": "Total score"}, "valueInteger": 24},
                    {"code": {"text": "MIDAS item 1"}, "valueInteger": 6},
                ],
            },
            [("midas", 24, "24"), ("", 6, "6")],
            id="a panel: the total counts, items do not",
        ),
    ],
)
def test_headache_instruments(elements: dict[str, Any], readings: list[tuple[str, int, str]]) -> None:
    facts = read(**elements)
    assert [(fact.group, fact.value, fact.value_text) for fact in facts] == readings
    assert all(fact.about_headache == bool(fact.group) for fact in facts)


def test_headache_instrument_band() -> None:
    (fact,) = read()
    assert fact.detail["band"] == "Grade IV: severe disability"
    (outside,) = read(code={"text": "HIT-6"}, valueString="92")
    assert outside.detail["out_of_range"] is True
    assert outside.value == 92


def test_other_instruments_are_not_about_headache() -> None:
    (fact,) = read(code=coded(LOINC, "44261-6", "PHQ-9 total"), valueString="12")
    assert (fact.group, fact.value, fact.about_headache) == ("phq-9", 12, False)


@pytest.mark.parametrize(
    ("value", "text", "number", "unit"),
    [
        pytest.param({"valueQuantity": {"value": 7.10, "unit": "%"}}, "7.1 %", Decimal("7.1"), "%", id="quantity"),
        pytest.param(
            {"valueQuantity": {"value": 5, "comparator": "<", "unit": "mg"}},
            "<5 mg",
            None,
            "mg",
            id="comparator: no number",
        ),
        pytest.param({"valueQuantity": "12 mg"}, "12 mg", None, "", id="a string for a quantity"),
        pytest.param(
            {"valueQuantity": {"value": "12.5", "unit": "mg"}},
            "12.5 mg",
            Decimal("12.5"),
            "mg",
            id="a string for a number",
        ),
        pytest.param({"valueString": "12"}, "12", Decimal(12), "", id="a lab as eClinicalWorks sends it"),
        pytest.param({"valueString": "Negative"}, "Negative", None, "", id="words"),
        pytest.param({"valueString": "12-15"}, "12-15", None, "", id="a range in words"),
        pytest.param({"valueCodeableConcept": {"text": "Never smoker"}}, "Never smoker", None, "", id="coded"),
        pytest.param({"valueBoolean": False}, "No", None, "", id="boolean"),
        pytest.param(
            {"valueRange": {"low": {"value": 1}, "high": {"value": 2, "unit": "d"}}},
            "1 – 2 d",
            None,
            "",
            id="range",
        ),
        pytest.param(
            {"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 64}}},
            "1 : 64",
            None,
            "",
            id="ratio",
        ),
        pytest.param(
            {"valuePeriod": {"start": "2024-01", "end": "2024-02"}},
            "2024-01 – 2024-02",
            None,
            "",
            id="period",
        ),
        pytest.param({"valueDateTime": "1899-12-30"}, "", None, "", id="a zero date is no value"),
        pytest.param({"valueSampledData": {"data": "1 2"}}, "Recorded trace, not shown here", None, "", id="trace"),
        pytest.param({"valueNovelty": {"text": "Seen"}}, "Seen", None, "", id="an element nobody knows"),
        pytest.param({"valueQuantity": {"value": 1e300, "unit": "mg"}}, "", None, "", id="an absurd number"),
    ],
)
def test_values(value: dict[str, Any], text: str, number: Decimal | None, unit: str) -> None:
    (fact,) = lab(**value)
    assert (fact.title, fact.value_text, fact.value, fact.unit) == ("Bicarbonate", text, number, unit)


@pytest.mark.parametrize(
    ("elements", "on", "meaning"),
    [
        pytest.param({"effectiveDateTime": "2024"}, date(2024, 1, 1), "measured", id="a year"),
        pytest.param(
            {"effectiveDateTime": None, "effectivePeriod": {"start": "2024-02-03"}},
            date(2024, 2, 3),
            "measured",
            id="a period",
        ),
        pytest.param(
            {"effectiveDateTime": None, "issued": "2024-02-04T10:00:00Z"},
            date(2024, 2, 4),
            "issued",
            id="issued",
        ),
        pytest.param({"effectiveDateTime": None}, None, "", id="undated"),
    ],
)
def test_measure_dates(elements: dict[str, Any], on: date | None, meaning: str) -> None:
    (fact,) = read(**elements)
    assert (fact.dated.on, fact.dated.meaning) == (on, meaning)


@pytest.mark.parametrize("status", ["entered-in-error", "cancelled"])
def test_withdrawn_measures_are_not_listed(status: str) -> None:
    assert read(status=status) == []


def test_panel_of_other_observations_has_no_measure_of_its_own() -> None:
    assert lab(hasMember=[{"reference": "Observation/x"}]) == []


def test_measure_without_value_says_why() -> None:
    (fact,) = lab(dataAbsentReason={"text": "Not performed"})
    assert (fact.value_text, fact.detail["absent"]) == ("", "Not performed")


def test_component_does_not_take_over_the_panel_range() -> None:
    own, part = lab(
        valueInteger=13,
        referenceRange=[{"low": {"value": 13}}],
        component=[{"code": {"text": "Motor"}, "valueInteger": 5}],
    )
    assert own.detail["reference_range"] == "at least 13"
    assert "reference_range" not in part.detail


def test_decimals_are_kept_as_recorded() -> None:
    body = readers.load('{"code": {"text": "pH"}, "valueQuantity": {"value": 7.10, "unit": "1"}}')
    (fact,) = observations.read(body, Chart())
    assert (fact.value_text, fact.value, fact.unit) == ("7.10", Decimal("7.1"), "")
