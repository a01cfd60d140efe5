"""Totals of MIDAS and HIT-6, at and around every border."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patients.headaches import scores


@pytest.mark.parametrize(
    ("items", "total"),
    [
        pytest.param((0, 0, 0, 0, 0), 0, id="stated zeros are a total of zero"),
        pytest.param((4, 6, 3, 5, 6), 24, id="sum of five"),
        pytest.param((92, 92, 92, 92, 92), 460, id="every day on every item"),
        pytest.param((4, None, 3, 5, 6), None, id="one missing: no total"),
        pytest.param((None,) * 5, None, id="none asked: no total"),
    ],
)
def test_midas_total(items: tuple[int | None, ...], total: int | None) -> None:
    assert scores.midas_total(items) == total


@pytest.mark.parametrize(
    ("items", "total"),
    [
        pytest.param((6,) * 6, 36, id="always never"),
        pytest.param((13,) * 6, 78, id="always always"),
        pytest.param((11, 10, 10, 10, 8, 11), 60, id="mixed"),
        pytest.param((11, 10, 10, 10, 8, None), None, id="one missing: no total"),
    ],
)
def test_hit6_total(items: tuple[int | None, ...], total: int | None) -> None:
    assert scores.hit6_total(items) == total


@pytest.mark.parametrize(
    "items",
    [
        pytest.param((1, 2, 3, 4), id="four items"),
        pytest.param((1, 2, 3, 4, 5, 6), id="six items"),
        pytest.param((1, 2, 3, 4, 93), id="more days than three months have"),
        pytest.param((-1, 2, 3, 4, 5), id="negative"),
        pytest.param((None, 2, 3, 4, 93), id="out of range beside a missing one"),
    ],
)
def test_midas_refuses(items: tuple[int | None, ...]) -> None:
    with pytest.raises(ValueError, match="MIDAS has 5 items"):
        scores.midas_total(items)


@pytest.mark.parametrize(
    "items",
    [
        pytest.param((6,) * 5, id="five items"),
        pytest.param((6, 6, 6, 6, 6, 7), id="points that no answer has"),
        pytest.param((0,) * 6, id="zeros"),
        pytest.param((None, 6, 6, 6, 6, 12), id="out of range beside a missing one"),
    ],
)
def test_hit6_refuses(items: tuple[int | None, ...]) -> None:
    with pytest.raises(ValueError, match="HIT-6 has 6 items"):
        scores.hit6_total(items)


def test_hit6_points_are_those_of_the_instrument() -> None:
    assert scores.HIT6_POINTS == {6: "Never", 8: "Rarely", 10: "Sometimes", 11: "Very often", 13: "Always"}


@pytest.mark.parametrize(
    ("instrument", "total", "words"),
    [
        ("MIDAS", 0, "Grade I: little or no disability"),
        ("MIDAS", 5, "Grade I: little or no disability"),
        ("MIDAS", 6, "Grade II: mild disability"),
        ("MIDAS", 10, "Grade II: mild disability"),
        ("MIDAS", 11, "Grade III: moderate disability"),
        ("MIDAS", 20, "Grade III: moderate disability"),
        ("MIDAS", 21, "Grade IV: severe disability"),
        ("HIT-6", 36, "Little or no impact"),
        ("HIT-6", 49, "Little or no impact"),
        ("HIT-6", 50, "Some impact"),
        ("HIT-6", 55, "Some impact"),
        ("HIT-6", 56, "Substantial impact"),
        ("HIT-6", 59, "Substantial impact"),
        ("HIT-6", 60, "Severe impact"),
        ("HIT-6", 78, "Severe impact"),
        ("HIT-6", 35, ""),
        ("HIT-6", 79, ""),
    ],
)
def test_band(instrument: str, total: int, words: str) -> None:
    assert scores.band(instrument, total) == words


@given(st.lists(st.sampled_from(sorted(scores.HIT6_POINTS)), min_size=6, max_size=6))
def test_every_hit6_total_has_a_band(items: list[int]) -> None:
    total = scores.hit6_total(items)
    assert total is not None
    assert 36 <= total <= 78
    assert scores.band("HIT-6", total)


@given(st.lists(st.none() | st.integers(0, 92), min_size=5, max_size=5))
def test_midas_total_is_missing_exactly_when_an_item_is(items: list[int | None]) -> None:
    total = scores.midas_total(items)
    assert (total is None) == (None in items)
    # Five items of 92 days exceed what the instrument can mean (450): then there is no grade.
    assert total is None or bool(scores.band("MIDAS", total)) == (total <= 450)
