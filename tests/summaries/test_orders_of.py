"""From an Entry's columns and detail to an Order."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from patients.headaches.record import Treatment
from patients.headaches.supply import supply
from patients.orders_of import dated, decimal, strength_mg, treatment

LINE = {
    "text": "1 tablet twice daily", "dose": "1", "dose_unit": "tablet", "frequency": "2", "period": "1",
    "period_unit": "d",
}  # fmt: skip


def _treatment(title: str = "Topiramate 50 mg tablet", **detail: Any) -> Treatment:
    known = {"ingredients": ["topiramate"], "status": "active", "intent": "order"}
    return treatment("key", title, date(2026, 3, 1), "day", None, "anticonvulsant", "preventive", known | detail)


def test_structured_dosage_gives_days_and_dose() -> None:
    found = _treatment(quantity="60", quantity_unit="tablet", repeats=2, dosage=[LINE], sig="1 tablet twice daily")
    read = supply(found.order)
    assert (read.level, read.days_low, read.daily_mg) == ("B", 90, 100)
    assert (found.order.key, found.source, found.dated) == ("key", "key", dated(date(2026, 3, 1), "day"))


def test_doses_that_change_are_no_dose() -> None:
    found = _treatment(dosage=[LINE, LINE | {"dose": "2"}], sig="1 tablet daily then 2 tablets daily", quantity="60")
    assert (found.order.dose_low, found.order.timing.frequency) == (None, None)
    assert supply(found.order).level == "D"


@pytest.mark.parametrize(
    ("detail", "name", "value"),
    [
        ({"dosage": [{"dose_low": "1", "dose_high": "2", "dose_unit": "tablet"}]}, "dose_high", Decimal(2)),
        ({"dosage": [{"days": "30"}]}, "bounds_days", Decimal(30)),
        ({"supply_days": "30"}, "supply_days", Decimal(30)),
        ({"as_needed": True}, "as_needed", True),
        ({}, "as_needed", None),
        ({"reported": True}, "reported", True),
        ({"quantity": "<5"}, "quantity", None),
        ({"repeats": 0}, "repeats", 0),
        ({}, "repeats", None),
        ({"status": "on-hold"}, "status", "on-hold"),
        ({"intent": "plan"}, "intent", "plan"),
    ],
)
def test_what_the_record_states(detail: dict[str, Any], name: str, value: Any) -> None:
    assert getattr(_treatment(**detail).order, name) == value


def test_end_of_the_dosage_is_the_end_of_the_order() -> None:
    ends = _treatment(dosage=[LINE | {"from": "2026-03-01", "until": "2026-04-30"}]).order.bounds_end
    assert ends is not None
    assert ends.value == date(2026, 4, 30)


@pytest.mark.parametrize(
    ("title", "strength"),
    [
        ("Topiramate 50 mg tablet", "50"),
        ("TOPAMAX 50MG TAB", "50"),
        ("topiramate 25 MG Oral Tablet [Topamax]", "25"),
        ("Levothyroxine 50 mcg tablet", "0.05"),
        ("Magnesium 1 g", "1000"),
        ("Aimovig 140 mg/mL autoinjector", None),
        ("Norco 5-325 mg tablet", "325"),
        ("Titration pack 25 mg, 50 mg", None),
        ("Topiramate", None),
        ("Insulin 100 mgdl", None),
    ],
)
def test_strength_in_a_name(title: str, strength: str | None) -> None:
    assert strength_mg(title) == (Decimal(strength) if strength else None)


def test_strength_of_a_combination_is_not_one_ingredients() -> None:
    found = _treatment("Norco 5-325 mg tablet", ingredients=["acetaminophen", "hydrocodone"])
    assert found.order.strength_mg is None


@pytest.mark.parametrize(
    ("precision", "raw"), [("year", "2026"), ("month", "2026-03"), ("day", "2026-03-01"), ("time", "2026-03-01")]
)
def test_dates_are_as_precise_as_the_record(precision: str, raw: str) -> None:
    found = dated(date(2026, 3, 1), precision)
    assert found is not None
    assert (found.precision, found.raw) == (precision, raw)
    assert dated(None, precision) is None


@pytest.mark.parametrize(("said", "number"), [("12.5", "12.5"), ("<5", None), ("", None), (None, None), ("NaN", None)])
def test_numbers_in_detail(said: str | None, number: str | None) -> None:
    assert decimal(said) == (Decimal(number) if number else None)
