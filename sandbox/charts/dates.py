"""Dates as the vendor writes them: with the clinic's offset, to the year only, or not at all."""

import datetime as dt


def offset(day: dt.date) -> str:
    """UTC offset of a US Eastern clinic, by month: good enough here, and needs no tz database."""
    return "-04:00" if 4 <= day.month <= 10 else "-05:00"


def date_time(day: dt.date, minutes: int = 0) -> str:
    """FHIR dateTime at `minutes` after midnight, with offset."""
    return f"{day.isoformat()}T{minutes // 60:02d}:{minutes % 60:02d}:00{offset(day)}"


def instant(day: dt.date, minutes: int = 0) -> str:
    """FHIR instant with milliseconds, as in `meta.lastUpdated`."""
    return f"{day.isoformat()}T{minutes // 60:02d}:{minutes % 60:02d}:17.000{offset(day)}"


def midnight(day: dt.date) -> str:
    """A date widened to a dateTime at midnight, which the clinic never meant as a time."""
    return date_time(day)


def year_only(day: dt.date) -> str:
    """FHIR dateTime of which only the year was kept."""
    return f"{day.year:04d}"


def month_only(day: dt.date) -> str:
    """FHIR dateTime of which only year and month were kept."""
    return f"{day.year:04d}-{day.month:02d}"
