"""One of MIDAS' five items is not its total: it has no grade."""

from decimal import Decimal

import pytest

from patients.headaches import instruments

ITEMS = [
    "MIDAS 1 missed work/school days",
    "MIDAS 3 missed household days",
    "MIDAS #4 household days halved",
    "MIDAS - days of reduced productivity at work",
    "MIDAS missed family/social days",
    "MIDAS item 5",
]


@pytest.mark.parametrize("title", ITEMS)
def test_an_item_has_no_total_and_no_grade(title: str) -> None:
    assert instruments.read(text=title, value_number=Decimal(3)) == ()


@pytest.mark.parametrize("words", ["MIDAS 24 - severe; missed work often", "MIDAS: 3, works full time"])
def test_a_total_beside_words_about_work_is_still_read(words: str) -> None:
    assert [measure.instrument for measure in instruments.read(value_string=words)] == ["MIDAS"]
