"""Authorised supply: levels, intervals, units per 30 days."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patients.headaches.dates import PartialDate, parse
from patients.headaches.orders import Order, Timing
from patients.headaches.supply import authorised_units, cadence, days_range, supply

DAILY = Timing(frequency=Decimal(1), period=Decimal(1), period_unit="d")
TRIPTAN = Order(
    ("sumatriptan",),
    "triptan",
    quantity=Decimal(9),
    quantity_unit="tablet",
    sig="1 tab prn migraine",
    repeats=1,
)


def _on(day: str) -> PartialDate:
    read = parse(day)
    assert read is not None
    return read


def _days(order: Order) -> tuple[str, Fraction | None, Fraction | None]:
    found = supply(order)
    return found.level, found.days_low, found.days_high


CASES = [
    (
        "QI-Core example: 100, 2 repeats, 5 a dose, 3 a day",
        Order(
            (),
            quantity=Decimal(100),
            repeats=2,
            dose_low=Decimal(5),
            timing=replace(DAILY, frequency=Decimal(3)),
        ),
        ("B", 20, 20),
    ),
    (
        "expected duration counts first",
        Order((), supply_days=Decimal(30), repeats=2, quantity=Decimal(1)),
        ("A", 90, 90),
    ),
    (
        "parsed sig",
        Order((), quantity=Decimal(60), quantity_unit="tablet", sig="1 tab BID"),
        ("C", 30, 30),
    ),
    (
        "range of doses gives an interval",
        Order((), quantity=Decimal(60), quantity_unit="tab", sig="take 1-2 tabs daily"),
        ("C", 30, 60),
    ),
    (
        "structured range",
        Order(
            (),
            quantity=Decimal(60),
            dose_low=Decimal(1),
            dose_high=Decimal(2),
            timing=replace(DAILY, frequency_max=Decimal(2)),
        ),
        ("B", 15, 60),
    ),
    (
        "boxes cannot be divided",
        Order((), quantity=Decimal(1), quantity_unit="box", sig="1 tab daily"),
        ("D", None, None),
    ),
    (
        "mL are no tablets",
        Order((), quantity=Decimal(60), quantity_unit="mL", sig="1 tab daily"),
        ("D", None, None),
    ),
    (
        "mg against tablets without a strength",
        Order((), quantity=Decimal(1), quantity_unit="each", sig="inject 70 mg monthly"),
        ("D", None, None),
    ),
    (
        "mg against tablets of a known strength",
        Order((), quantity=Decimal(1), quantity_unit="each", sig="inject 70 mg monthly", strength_mg=Decimal(70)),
        ("C", 30, 30),
    ),
    ("as needed has no days", Order((), quantity=Decimal(9), sig="1 tab daily prn"), ("C", None, None)),
    ("only a date", Order((), authored=_on("2026-01-01")), ("D", None, None)),
    (
        "changing dose",
        Order((), quantity=Decimal(60), sig="1 tab daily, then 2 tabs daily"),
        ("D", None, None),
    ),
    (
        "bounds cap the days",
        Order((), quantity=Decimal(90), dose_low=Decimal(1), timing=DAILY, bounds_days=Decimal(14)),
        ("B", 14, 14),
    ),
    (
        "end date caps the days, both ends counted",
        Order(
            (),
            authored=_on("2026-01-01"),
            quantity=Decimal(90),
            dose_low=Decimal(1),
            timing=DAILY,
            bounds_end=_on("2026-01-10"),
        ),
        ("B", 10, 10),
    ),
    (
        "number of administrations caps the days",
        Order((), quantity=Decimal(90), dose_low=Decimal(1), timing=replace(DAILY, count=Decimal(5))),
        ("B", 5, 5),
    ),
    ("implausible quantity", Order((), quantity=Decimal(9000), sig="1 tab daily"), ("D", None, None)),
    (
        "zero frequency",
        Order((), quantity=Decimal(9), dose_low=Decimal(1), timing=replace(DAILY, frequency=Decimal(0))),
        ("D", None, None),
    ),
    (
        "every 28 days",
        Order(
            (),
            quantity=Decimal(3),
            dose_low=Decimal(1),
            timing=Timing(Decimal(1), None, Decimal(4), None, "wk"),
        ),
        ("B", 84, 84),
    ),
]


@pytest.mark.parametrize(("order", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_supply_of_one_order(order: Order, expected: tuple[str, int | None, int | None]) -> None:
    assert _days(order) == expected


def test_missing_repeats_are_told() -> None:
    assert not supply(Order((), quantity=Decimal(9))).repeats_stated
    assert supply(Order((), quantity=Decimal(9), repeats=0)).repeats_stated


@pytest.mark.parametrize(
    ("order", "daily"),
    [
        (Order((), sig="take 50 mg twice daily"), 100),
        (Order((), sig="1-2 tabs daily", strength_mg=Decimal(25)), 50),
        (Order((), sig="1 tab daily"), None),
        (Order((), sig="1 tab daily prn", strength_mg=Decimal(25)), None),
    ],
)
def test_daily_dose(order: Order, daily: int | None) -> None:
    assert supply(order).daily_mg == daily


def test_units_per_30_days_of_a_window() -> None:
    orders = [replace(TRIPTAN, authored=_on(day), key=day) for day in ("2026-09-01", "2026-10-01", "2026-11-01")]
    (found,) = authorised_units(orders, date(2026, 8, 24), date(2026, 11, 21))
    assert found.units_per_30_days == Fraction(54, 90) * 30
    assert (found.orders, found.uncounted, found.threshold, found.earlier_repeats) == (3, 0, 10, False)
    assert found.sentence == (
        "Orders allow up to 18 units of Triptan per 30 days (threshold for days of use: 10). Actual days unknown."
    )


def test_upper_bound_is_rounded_up() -> None:
    (found,) = authorised_units(
        [replace(TRIPTAN, repeats=0, authored=_on("2026-01-01"))], date(2026, 1, 1), date(2026, 1, 26)
    )
    assert "up to 11 units" in found.sentence


def test_earlier_repeats_are_told_and_not_counted() -> None:
    (found,) = authorised_units([replace(TRIPTAN, authored=_on("2025-12-01"))], date(2026, 1, 1), date(2026, 3, 31))
    assert (found.units_per_30_days, found.earlier_repeats) == (None, True)
    assert found.sentence == "Triptan: orders of this period state no amount. Actual days unknown."


@pytest.mark.parametrize(
    "change",
    [
        {"status": "entered-in-error"},
        {"status": "cancelled"},
        {"intent": "plan"},
        {"intent": "proposal"},
        {"reported": True},
    ],
    ids=str,
)
def test_what_is_no_order_authorises_nothing(change: dict[str, object]) -> None:
    order = replace(TRIPTAN, authored=_on("2026-01-01"), **change)  # type: ignore[arg-type]
    assert authorised_units([order], date(2026, 1, 1), date(2026, 3, 31)) == ()


def test_liquid_with_a_dose_is_counted_in_administrations() -> None:
    order = replace(TRIPTAN, quantity=Decimal(3), quantity_unit="mL", sig="inject 0.5 mL prn", repeats=0)
    assert (supply(order).units, supply(order).unit) == (6, "piece")


def test_unusable_amounts_are_told() -> None:
    order = replace(TRIPTAN, quantity_unit="box", authored=_on("2026-01-01"))
    (found,) = authorised_units([order], date(2026, 1, 1), date(2026, 3, 31))
    assert (found.units_per_30_days, found.uncounted) == (None, 1)


def test_several_classes_give_a_range_not_a_sum() -> None:
    other = replace(TRIPTAN, ingredients=("ibuprofen",), product_class="nsaid", quantity=Decimal(30), repeats=0)
    orders = [replace(each, authored=_on("2026-01-01")) for each in (TRIPTAN, other)]
    found = authorised_units(orders, date(2026, 1, 1), date(2026, 1, 30))
    assert days_range(found) == (30, 48)
    assert days_range([]) is None


def test_window_that_ends_before_it_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="window"):
        authorised_units([], date(2026, 1, 2), date(2026, 1, 1))


def test_cadence_from_order_dates() -> None:
    days = ("2026-01-01", "2026-02-15", "2026-04-01")
    found = cadence([replace(TRIPTAN, repeats=0, authored=_on(day)) for day in days], "sumatriptan")
    assert found is not None
    assert (found.units_per_30_days, found.orders) == (6, 3)


@pytest.mark.parametrize("days", [("2026-01-01", "2026-04-01"), ("2026-01-01", "2026-01-15", "2026-02-01")])
def test_cadence_needs_three_orders_over_90_days(days: tuple[str, ...]) -> None:
    assert cadence([replace(TRIPTAN, authored=_on(day)) for day in days], "sumatriptan") is None


quantities = st.decimals(min_value=1, max_value=500, places=1)
doses = st.decimals(min_value=Decimal("0.5"), max_value=4, places=1)


@given(quantities, doses, doses, st.integers(1, 4), st.integers(1, 4), st.integers(0, 5))
def test_interval_holds_every_single_reading(
    quantity: Decimal, dose: Decimal, more: Decimal, often: int, oftener: int, repeats: int
) -> None:
    timing = replace(DAILY, frequency=Decimal(often), frequency_max=Decimal(oftener))
    order = Order(
        (),
        quantity=quantity,
        dose_low=min(dose, more),
        dose_high=max(dose, more),
        timing=timing,
        repeats=repeats,
    )
    found = supply(order)
    if found.days_low is None or found.days_high is None:
        assert found.level == "D"
        return
    single = Fraction(quantity) / (Fraction(dose) * often) * (1 + repeats)
    assert found.days_low <= single <= found.days_high


@given(quantities, st.integers(0, 5))
def test_repeats_multiply_the_days(quantity: Decimal, repeats: int) -> None:
    one = supply(Order((), quantity=quantity, sig="2 tabs daily", quantity_unit="tab", repeats=0)).days_low
    all_fills = supply(Order((), quantity=quantity, sig="2 tabs daily", quantity_unit="tab", repeats=repeats)).days_low
    assert one is not None
    assert all_fills in (one * (1 + repeats), None)


@given(st.lists(st.integers(0, 400), min_size=1, max_size=8), st.integers(1, 400))
def test_units_do_not_depend_on_order_of_orders(offsets: list[int], window: int) -> None:
    start = date(2025, 1, 1)
    orders = [
        replace(TRIPTAN, authored=_on((start + timedelta(offset)).isoformat()), key=str(n))
        for n, offset in enumerate(offsets)
    ]
    end = start + timedelta(window)
    assert authorised_units(orders, start, end) == authorised_units(orders[::-1], start, end)
