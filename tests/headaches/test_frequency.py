"""Headache days, scores and acute exposure over time. A gap is never zero."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patients.headaches.exposure import exposure
from patients.headaches.frequency import Frequency, disability, frequency, months_before
from patients.headaches.record import Assessment, Measure
from tests.headaches.facts import TODAY, ago, asked, rx, scale


def _of(*facts: Assessment | Measure) -> Frequency:
    entered = [each for each in facts if isinstance(each, Assessment)]
    return frequency(entered, [each for each in facts if isinstance(each, Measure)], TODAY)


def test_months_are_the_last_twelve_and_empty_ones_are_gaps() -> None:
    found = _of(asked("2026-11-14", headache_days=12, migraine_days=9), asked("2026-08-03", headache_days=14))
    assert [month.first for month in found.months][::11] == [date(2025, 12, 1), date(2026, 11, 1)]
    stated = {month.first.month: month.count for month in found.months if month.count}
    assert set(stated) == {8, 11}
    assert (stated[11].migraine, stated[11].other, stated[11].origin) == (9, 3, "clinic entry")
    assert (stated[8].headache, stated[8].migraine, stated[8].other) == (14, None, None)


def test_zero_days_are_a_statement() -> None:
    (count,) = _of(asked("2026-11-14", headache_days=0)).counts
    assert (count.headache, _of(asked("2026-11-14", headache_days=0)).band) == (0, "low-frequency episodic")


def test_measures_of_one_day_belong_together() -> None:
    found = _of(scale("headache-days", "2026-10-02", "15"), scale("migraine-days", "2026-10-02", "8"))
    (count,) = found.counts
    assert (count.headache, count.migraine, count.other, count.origin) == (15, 8, 7, "measured value")
    assert len(count.sources) == 2


def test_clinic_entry_goes_before_the_record_on_one_day() -> None:
    found = _of(scale("headache-days", "2026-11-14", "20"), asked("2026-11-14", headache_days=12))
    assert found.headache.latest is not None
    assert found.headache.latest.headache == 12
    assert found.months[-1].count == found.headache.latest
    assert found.headache.points == 1


@pytest.mark.parametrize(
    ("days", "period", "per_month"), [(12, 28, "12"), (12, 31, "12"), (36, 90, "12.0"), (10, 90, "3.3")]
)
def test_longer_periods_are_told_per_month(days: int, period: int, per_month: str) -> None:
    (count,) = _of(asked("2026-11-14", headache_days=days, period_days=period)).counts
    assert count.headache == Decimal(per_month)


@pytest.mark.parametrize(
    ("days", "band"),
    [
        (0, "low-frequency episodic"),
        (3, "low-frequency episodic"),
        (4, "moderate-frequency episodic"),
        (7, "moderate-frequency episodic"),
        (8, "high-frequency episodic"),
        (14, "high-frequency episodic"),
        (15, "chronic range"),
        (30, "chronic range"),
    ],
)
def test_bands(days: int, band: str) -> None:
    found = _of(asked("2026-11-14", headache_days=days))
    assert found.band == band
    assert found.band_definition


@pytest.mark.parametrize(
    ("ages", "mean", "recent", "change"),
    [
        pytest.param([(5, 12)], 12, True, None, id="one statement has no trend"),
        pytest.param([(5, 9), (60, 15)], 12, True, -6, id="fewer"),
        pytest.param([(5, 15), (100, 9)], 15, True, 6, id="more; the mean looks back 90 days"),
        pytest.param([(120, 15)], None, False, None, id="too old for a mean"),
        pytest.param([(5, 9), (200, 20)], 9, True, None, id="too old for a trend"),
    ],
)
def test_mean_and_trend(ages: list[tuple[int, int]], mean: int | None, recent: bool, change: int | None) -> None:
    level = _of(*(asked(ago(age), headache_days=days) for age, days in ages)).headache
    assert (level.mean, level.recent, level.trend.change if level.trend else None) == (mean, recent, change)


@pytest.mark.parametrize(
    ("ages", "band", "basis"),
    [
        pytest.param([(5, 9), (60, 15)], "high-frequency episodic", "mean of 2 in the last 90 days", id="mean first"),
        pytest.param([(128, 16)], "chronic range", "statement of 16-Jul-2026", id="else the latest"),
        pytest.param([(400, 16)], "", "", id="too old to name a band after"),
    ],
)
def test_what_a_band_rests_on(ages: list[tuple[int, int]], band: str, basis: str) -> None:
    found = _of(*(asked(ago(age), headache_days=days) for age, days in ages))
    assert (found.band, found.band_basis) == (band, basis)


def test_nothing_stated_is_nothing() -> None:
    found = _of()
    assert (found.headache.latest, found.headache.mean, found.band) == (None, None, "")
    assert all(month.count is None for month in found.months)


def test_future_and_impossible_statements_are_left_out() -> None:
    facts = [asked("2027-01-01", headache_days=9), scale("headache-days", "2026-11-01", "40", out_of_range=True)]
    assert _of(*facts).counts == ()


def test_more_migraine_than_headache_days_is_pointed_out() -> None:
    found = _of(scale("headache-days", "2026-10-02", "5"), scale("migraine-days", "2026-10-02", "8"))
    assert found.contradictions == ("headache-days 2026-10-02", "migraine-days 2026-10-02")
    assert found.counts[0].other is None


def test_few_diary_days_make_a_hollow_month() -> None:
    diary = [replace(asked("2026-11-14", headache_days=4), documented_days=days) for days in (19, 20, None)]
    assert [_of(each).months[-1].few_diary_days for each in diary] == [True, False, False]


@given(st.dates(date(2000, 1, 31), date(2050, 12, 31)))
def test_twelve_months_end_with_the_present_one(today: date) -> None:
    found = months_before(today)
    assert len(found) == 12
    assert found[-1] == today.replace(day=1)
    assert all((later - earlier).days in range(28, 32) for earlier, later in pairwise(found))


@given(st.dictionaries(st.integers(0, 400), st.integers(0, 31), min_size=1, max_size=12))
def test_mean_lies_between_the_extremes(stated: dict[int, int]) -> None:
    found = _of(*(asked(ago(age), headache_days=days) for age, days in stated.items()))
    near = [days for age, days in stated.items() if age < 90]
    if near:
        assert found.headache.mean is not None
        assert min(near) <= found.headache.mean <= max(near)
    assert found.headache.points == len(near)
    months = {(TODAY - timedelta(age)).replace(day=1) for age in stated}
    assert {month.first for month in found.months if month.count} == months & set(months_before(TODAY))


# Scores


def test_scores_have_bands_and_a_change() -> None:
    entered = [asked("2026-11-14", midas=24, midas_items=(10, 4, 5, 3, 2)), asked("2026-05-14", midas=9)]
    found = disability(
        "MIDAS", entered, [scale("midas", "2025-11-17", "61", band="Grade IV: severe disability")], TODAY, 37
    )
    assert [(point.value, point.band.partition(":")[0]) for point in found.points] == [
        (61, "Grade IV"),
        (9, "Grade II"),
        (24, "Grade IV"),
    ]
    assert (found.change, found.change_words) == (15, "15 points higher")
    assert found.latest is not None
    assert found.latest.items == (10, 4, 5, 3, 2)


def test_minor_has_no_midas_grade() -> None:
    entered = [asked("2026-11-14", midas=24, hit6=64)]
    assert [point.band for point in disability("MIDAS", entered, [], TODAY, 15).points] == [""]
    assert [point.band for point in disability("HIT-6", entered, [], TODAY, 15).points] == ["Severe impact"]


def test_out_of_range_score_is_shown_and_counts_for_nothing() -> None:
    measures = [scale("hit-6", "2026-10-01", "12", out_of_range=True), scale("hit-6", "2026-09-01", "64")]
    found = disability("HIT-6", [], measures, TODAY, 37)
    assert [point.value for point in found.points] == [64, 12]
    assert found.latest is not None
    assert (found.latest.value, found.change) == (64, None)


def test_six_points_fewer_on_hit6_name_the_threshold() -> None:
    found = disability("HIT-6", [], [scale("hit-6", "2026-03-01", "66"), scale("hit-6", "2026-09-01", "60")], TODAY, 37)
    assert "Houts 2020" in found.change_words
    found = disability("HIT-6", [], [scale("hit-6", "2026-03-01", "66"), scale("hit-6", "2026-09-01", "61")], TODAY, 37)
    assert found.change_words == "5 points lower"


def test_two_scores_of_one_day_are_no_change() -> None:
    scores = [scale("hit-6", day, value) for day, value in (("2026-03-01", "66"), ("2026-09-01", "60"))]
    found = disability("HIT-6", [], [*scores, scale("hit-6", "2026-09-01", "62", source="other")], TODAY, 37)
    assert found.change == -4


def test_score_kept_here_and_in_the_emr_is_one_point() -> None:
    found = disability("HIT-6", [asked("2026-09-01", hit6=64)], [scale("hit-6", "2026-09-01", "64")], TODAY, 37)
    assert [point.origin for point in found.points] == ["clinic entry"]


# Acute exposure

PRN = {"sig": "1 tablet at onset, may repeat once", "quantity": Decimal(9), "quantity_unit": "tablet", "repeats": 1}


def test_orders_and_stated_days_stay_apart() -> None:
    days = _of(asked("2026-10-14", acute_days=11))
    found = exposure([rx("Sumatriptan 100 mg tablet", "2026-10-05", **PRN)], days, TODAY)
    october = found.months[-2]
    assert october.first == date(2026, 10, 1)
    (units,) = october.units
    assert (units.product_class, units.units_per_30_days, units.threshold) == ("triptan", Fraction(18, 31) * 30, 10)
    assert (found.reported[-2].days, found.reported[-2].origin) == (11, "clinic entry")
    assert found.reported[-1].days is None
    assert found.thresholds == (("Triptan", 10),)
    assert october.sources == ("rx Sumatriptan 100 mg tablet 2026-10-05",)


def test_sentence_is_an_upper_bound() -> None:
    orders = [rx("Sumatriptan 100 mg tablet", ago(day), **PRN) for day in (3, 33, 63)]
    assert exposure(orders, _of(), TODAY).sentences == (
        "Orders allow up to 18 units of Triptan per 30 days (threshold for days of use: 10). Actual days unknown.",
    )


def test_last_year_speaks_where_the_quarter_states_no_amount() -> None:
    orders = [rx("Sumatriptan 100 mg tablet", ago(200), **PRN), rx("Sumatriptan 100 mg tablet", ago(20), sig="1 prn")]
    found = exposure(orders, _of(), TODAY)
    assert found.basis_words == "Orders of the last 365 days"
    assert found.sentences[0].startswith("Orders allow up to 2 units of Triptan per 30 days")


def test_preventives_and_void_orders_are_no_acute_exposure() -> None:
    treatments = [
        rx("Topiramate 50 mg tablet", "2026-10-05", quantity=Decimal(60)),
        rx("Sumatriptan 100 mg tablet", "2026-10-05", "cancelled", **PRN),
        rx("Sumatriptan 100 mg tablet", "2026-10-06", reported=True, **PRN),
        rx("Sumatriptan 100 mg tablet", "2026-10-07", forbidden=True, **PRN),
    ]
    found = exposure(treatments, _of(), TODAY)
    assert all(not month.units for month in found.months)
    assert found.sentences == ()


def test_range_over_classes_is_the_largest_to_the_sum() -> None:
    orders = [rx("Sumatriptan 100 mg tablet", ago(3), **PRN), rx("Naproxen 500 mg tablet", ago(3), **PRN)]
    assert exposure(orders, _of(), TODAY).quarter.bounds == (6, 12)


@given(st.lists(st.tuples(st.integers(0, 360), st.integers(1, 40)), max_size=12))
def test_units_of_the_months_add_up_to_those_ordered(ordered: list[tuple[int, int]]) -> None:
    orders = [
        rx("Sumatriptan 100 mg tablet", ago(day), key=str(place), **PRN | {"quantity": Decimal(amount), "repeats": 0})
        for place, (day, amount) in enumerate(ordered)
    ]
    found = exposure(orders, _of(), TODAY)
    months = sum(
        (units.units_per_30_days or 0) * ((month.last - month.first).days + 1) / 30
        for month in found.months
        for units in month.units
    )
    first = found.months[0].first
    assert months == sum(amount for day, amount in ordered if TODAY - timedelta(day) >= first)
    assert sorted(key for month in found.months for key in month.sources) == sorted(
        str(place) for place, (day, _) in enumerate(ordered) if TODAY - timedelta(day) >= first
    )
