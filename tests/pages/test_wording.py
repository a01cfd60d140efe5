"""Dates, ages, names and numbers as the pages write them."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from patients import wording
from tests.pages.charts import TODAY


@pytest.mark.parametrize(
    ("day", "precision", "said"),
    [
        (date(1989, 3, 7), "day", "07-Mar-1989"),
        (date(1989, 3, 7), "time", "07-Mar-1989"),
        (date(1989, 3, 7), "", "07-Mar-1989"),
        (date(1989, 3, 1), "month", "Mar-1989"),
        (date(1989, 1, 1), "year", "1989"),
        (None, "day", ""),
    ],
)
def test_date_words(day: date | None, precision: str, said: str) -> None:
    assert wording.date_words(day, precision) == said


@pytest.mark.parametrize(
    ("born", "age"),
    [
        pytest.param(date(1989, 3, 7), "(37y)", id="after this year's birthday"),
        pytest.param(date(1989, 11, 21), "(37y)", id="on the birthday"),
        pytest.param(date(1989, 11, 22), "(36y)", id="the day before it"),
        pytest.param(date(2024, 11, 21), "(2y)", id="two years"),
        pytest.param(date(2024, 11, 22), "(23m)", id="months below two years"),
        pytest.param(TODAY, "(0m)", id="today"),
        pytest.param(date(2027, 1, 1), "", id="future"),
        pytest.param(date(2004, 2, 29), "(22y)", id="leap day"),
    ],
)
def test_age_words(born: date, age: str) -> None:
    assert wording.age_words(born, TODAY) == age


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("Garcia", "María", "Dr"), "GARCIA, María (Dr)"),
        (("Garcia", "", ""), "GARCIA"),
        (("", "María", ""), "María"),
        (("", "", "Dr"), "Name not known"),
        (("  Straße ", " Jo ", " "), "STRASSE, Jo"),
    ],
)
def test_name_words(parts: tuple[str, str, str], name: str) -> None:
    assert wording.name_words(*parts) == name


@pytest.mark.parametrize(
    ("zone", "said"),
    [
        ("America/New_York", "21-Nov-2026 22:10"),
        ("UTC", "22-Nov-2026 03:10"),
        ("America/Los_Angeles", "21-Nov-2026 19:10"),
    ],
)
def test_moment_words(zone: str, said: str) -> None:
    assert wording.moment_words(datetime(2026, 11, 22, 3, 10, tzinfo=UTC), ZoneInfo(zone)) == said
