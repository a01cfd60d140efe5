"""FHIR dates of any precision."""

from datetime import date

import pytest

from patients.headaches.dates import parse

READ = [
    ("year only", "2024", date(2024, 1, 1), "year"),
    ("month", "2024-02", date(2024, 2, 1), "month"),
    ("day", "2024-02-29", date(2024, 2, 29), "day"),
    ("instant in UTC", "2024-02-29T23:59:59.123Z", date(2024, 2, 29), "time"),
    ("local day is kept", "2024-01-01T23:30:00-05:00", date(2024, 1, 1), "time"),
    ("no seconds", "2024-01-01T10:00Z", date(2024, 1, 1), "time"),
    ("no zone is a day", "2024-01-01T10:00:00", date(2024, 1, 1), "day"),
    ("blank for T", "2024-01-01 10:00:00", date(2024, 1, 1), "day"),
    ("leap second", "2016-12-31T23:59:60Z", date(2016, 12, 31), "time"),
    ("nine digits of a second", "2016-12-31T23:59:59.123456789Z", date(2016, 12, 31), "time"),
    ("blanks around", " 2024-05-06 ", date(2024, 5, 6), "day"),
    ("a birth of 1900", "1900-01-01", date(1900, 1, 1), "day"),
]
ABSENT = [
    ("nothing", ""),
    ("30 February", "2024-02-30"),
    ("month 13", "2024-13-01"),
    ("29 February of a common year", "2023-02-29"),
    ("25 o'clock", "2024-01-01T25:00:00Z"),
    ("vendor's empty death", "1899-12-30T00:00:00-05:00"),
    ("vendor's empty expiry", "0001-01-02"),
    ("database minimum", "1753-01-01"),
    ("words", "last summer"),
    ("American order", "05/06/2024"),
    ("digits of another script", "２０２４"),
]


@pytest.mark.parametrize(("raw", "value", "precision"), [case[1:] for case in READ], ids=[case[0] for case in READ])
def test_date_is_read(raw: str, value: date, precision: str) -> None:
    read = parse(raw)
    assert read is not None
    assert (read.value, read.precision, read.raw) == (value, precision, raw.strip())


@pytest.mark.parametrize("raw", [case[1] for case in ABSENT], ids=[case[0] for case in ABSENT])
def test_date_is_absent(raw: str) -> None:
    assert parse(raw) is None


def test_date_none_is_absent() -> None:
    assert parse(None) is None


def test_date_of_death_1900_is_a_filler() -> None:
    assert parse("1900-01-01", deceased=True) is None
    assert parse("1901-01-01", deceased=True) is not None


def test_dates_sort_by_day_then_precision_then_instant() -> None:
    raws = [
        "2024",
        "2024-01",
        "2024-01-01",
        "2024-01-01T10:00:00+02:00",
        "2024-01-01T09:00:00Z",
        "2024-01-02",
    ]
    dates = [read for raw in reversed(raws) if (read := parse(raw))]
    assert [read.raw for read in sorted(dates, key=lambda read: read.order)] == raws


@pytest.mark.parametrize(
    ("raw", "last"),
    [
        ("2023", date(2023, 12, 31)),
        ("2024-02", date(2024, 2, 29)),
        ("2024-12", date(2024, 12, 31)),
        ("2024-03-04", date(2024, 3, 4)),
    ],
)
def test_last_day_of_partial_date(raw: str, last: date) -> None:
    read = parse(raw)
    assert read is not None
    assert read.last == last
