"""Episodes and exposure of preventive trials."""

from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patients.headaches.dates import PartialDate, parse
from patients.headaches.orders import Order
from patients.headaches.trials import Trial, trials

TODAY = date(2026, 11, 21)
MONTH = Order(
    ("topiramate",),
    "anticonvulsant",
    status="active",
    intent="order",
    quantity=Decimal(30),
    quantity_unit="tablet",
    sig="take 1 tablet daily",
    repeats=0,
    strength_mg=Decimal(50),
)
BARE = Order(("topiramate",), "anticonvulsant", status="active", intent="order")


def _on(day: str) -> PartialDate:
    read = parse(day)
    assert read is not None
    return read


def _one(orders: list[Order], today: date = TODAY) -> Trial:
    (trial,) = trials(orders, today)
    return trial


def _orders(template: Order, *days: str) -> list[Order]:
    return [replace(template, authored=_on(day)) for day in days]


def test_consecutive_fills_make_one_episode() -> None:
    trial = _one(_orders(MONTH, "2026-03-02", "2026-01-01", "2026-01-31"))
    (episode,) = trial.episodes
    assert (episode.start, episode.end, episode.end_kind) == (
        date(2026, 1, 1),
        date(2026, 3, 31),
        "estimated",
    )
    assert (episode.covered_low, episode.covered_high, episode.level) == (90, 90, "C")
    assert (trial.exposure, trial.documented_days, trial.max_daily_mg) == ("documented", 90, 50)


def test_days_in_gaps_are_not_covered() -> None:
    (episode,) = _one(_orders(MONTH, "2026-01-01", "2026-03-01")).episodes
    assert (episode.covered_low, (episode.end or TODAY) - episode.start) == (60, timedelta(88))


def test_early_refills_cover_each_day_once() -> None:
    (episode,) = _one(_orders(MONTH, "2026-01-01", "2026-01-16")).episodes
    assert episode.covered_low == 45


@pytest.mark.parametrize(("second", "episodes"), [("2026-03-02", 1), ("2026-03-03", 2)])
def test_gap_of_30_days_still_joins(second: str, episodes: int) -> None:
    assert len(_one(_orders(MONTH, "2026-01-01", second)).episodes) == episodes


def test_gap_of_half_a_long_supply_joins() -> None:
    long = replace(MONTH, quantity=Decimal(90))
    assert len(_one(_orders(long, "2026-01-01", "2026-05-16")).episodes) == 1
    assert len(_one(_orders(long, "2026-01-01", "2026-05-17")).episodes) == 2


def test_supply_after_today_is_not_exposure() -> None:
    trial = _one(_orders(replace(MONTH, repeats=11), "2026-11-01"))
    (episode,) = trial.episodes
    assert (episode.covered_low, episode.ongoing) == (21, True)
    assert trial.exposure == "unknown"


@pytest.mark.parametrize("status", ["stopped", "completed"])
def test_closed_order_is_not_ongoing(status: str) -> None:
    (episode,) = _one(_orders(replace(MONTH, status=status, repeats=11), "2026-11-01")).episodes
    assert not episode.ongoing


def test_stated_end_is_explicit_and_caps_the_days() -> None:
    (episode,) = _one(_orders(replace(MONTH, bounds_end=_on("2026-01-10")), "2026-01-01")).episodes
    assert (episode.end, episode.end_kind, episode.covered_low) == (date(2026, 1, 10), "explicit", 10)


def test_order_date_alone_is_a_start_without_end() -> None:
    trial = _one(_orders(BARE, "2026-01-01"))
    (episode,) = trial.episodes
    assert (episode.end, episode.end_kind, episode.level, episode.covered_high) == (None, "unknown", "D", 0)
    assert trial.exposure == "unknown"


@pytest.mark.parametrize(
    ("days", "exposure"),
    [
        (("2026-01-01", "2026-02-26"), "likely"),
        (("2026-01-01", "2026-02-25"), "unknown"),
        (("2020-01-01", "2026-02-25"), "unknown"),
        (("2019-01-01", "2020-03-01", "2020-05-01"), "likely"),
    ],
)
def test_order_dates_56_days_apart_are_likely(days: tuple[str, ...], exposure: str) -> None:
    assert _one(_orders(BARE, *days)).exposure == exposure


def test_only_the_upper_figure_reaching_56_days_is_likely() -> None:
    trial = _one(_orders(replace(MONTH, quantity=Decimal(60), sig="1-2 tabs daily"), "2026-01-01"))
    assert (trial.exposure, trial.documented_days, trial.episodes[0].covered_high) == ("likely", 30, 60)


def test_reported_order_counts_as_a_date_only() -> None:
    (episode,) = _one(_orders(replace(MONTH, reported=True), "2026-01-01")).episodes
    assert (episode.level, episode.covered_high) == ("D", 0)


@pytest.mark.parametrize(
    "change",
    [{"status": "entered-in-error"}, {"status": "cancelled"}, {"intent": "proposal"}, {"authored": None}],
    ids=str,
)
def test_void_orders_are_left_out(change: dict[str, object]) -> None:
    order = replace(_orders(MONTH, "2026-01-01")[0], **change)  # type: ignore[arg-type]
    assert trials([order], TODAY) == ()


def test_future_orders_are_left_out() -> None:
    assert trials(_orders(MONTH, "2027-01-01"), TODAY) == ()


def test_year_only_order_covers_no_days() -> None:
    (episode,) = _one(_orders(MONTH, "2024")).episodes
    assert (episode.start, episode.covered_high, episode.end_kind) == (date(2024, 1, 1), 0, "unknown")


def test_repeated_order_counts_once() -> None:
    assert len(_one(_orders(MONTH, "2026-01-01", "2026-01-01")).episodes[0].orders) == 1


def test_trials_are_per_ingredient_and_oldest_first() -> None:
    orders = [
        *_orders(MONTH, "2026-02-01"),
        *_orders(replace(MONTH, ingredients=("propranolol",)), "2026-01-01"),
    ]
    assert [trial.ingredient for trial in trials(orders, TODAY)] == ["propranolol", "topiramate"]


starts = st.lists(st.integers(0, 1500), min_size=1, max_size=10)


def _made(offsets: list[int], sig: str) -> list[Order]:
    return [
        replace(MONTH, sig=sig, authored=_on((date(2022, 1, 1) + timedelta(offset)).isoformat()), key=str(place))
        for place, offset in enumerate(offsets)
    ]


@given(starts, st.sampled_from(["1 tab daily", "1-2 tabs daily", "1 tab prn", ""]))
def test_covered_days_lie_inside_the_episode(offsets: list[int], sig: str) -> None:
    for episode in _one(_made(offsets, sig)).episodes:
        assert 0 <= episode.covered_low <= episode.covered_high
        last = min(episode.end or TODAY, TODAY)
        assert episode.covered_high <= (last - episode.start).days + 1


@given(starts)
def test_every_order_is_in_exactly_one_episode(offsets: list[int]) -> None:
    orders = _made(offsets, "1 tab daily")
    found = [order for episode in _one(orders).episodes for order in episode.orders]
    assert sorted(order.key for order in found) == sorted(order.key for order in orders)


@given(starts, st.randoms(use_true_random=False))
def test_result_does_not_depend_on_the_order_of_orders(offsets: list[int], random) -> None:  # type: ignore[no-untyped-def]
    orders = _made(offsets, "1 tab daily")
    shuffled = list(orders)
    random.shuffle(shuffled)
    assert trials(orders, TODAY) == trials(shuffled, TODAY)


@given(starts, st.integers(0, 1500))
def test_one_more_order_never_lowers_the_total_of_covered_days(offsets: list[int], extra: int) -> None:
    before = sum(episode.covered_low for episode in _one(_made(offsets, "1 tab daily")).episodes)
    after = sum(episode.covered_low for episode in _one(_made([*offsets, extra], "1 tab daily")).episodes)
    assert before <= after <= before + 30
