"""Dates, ages and names as the pages write them (Microsoft CUI / NHS patient banner rules, ids PAB-nnnn)."""

from datetime import date, datetime
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

NOT_KNOWN = "Not known"  # PAB-0019: never "?", never blank
_MONTHS = ("", "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def date_words(day: date | None, precision: str = "") -> str:
    """07-Mar-1989, Mar-1989 or 1989, as precise as the record was; "" for no date."""
    if day is None:
        return ""
    if precision == "year":
        return f"{day.year}"
    if precision == "month":
        return f"{_MONTHS[day.month]}-{day.year}"
    return f"{day.day:02}-{_MONTHS[day.month]}-{day.year}"


def moment_words(moment: datetime, zone: ZoneInfo) -> str:
    """21-Nov-2026 22:10, on the practice's clock."""
    local = moment.astimezone(zone)
    return f"{date_words(local.date())} {local:%H:%M}"


def age_words(born: date | None, today: date, precision: str = "") -> str:
    """(37y), or months below two years: (14m). "" when the birth date is unknown, coarse or in the future."""
    if born is None or born > today or precision in {"year", "month"}:
        return ""
    months = (today.year - born.year) * 12 + today.month - born.month - (today.day < born.day)
    return f"({months}m)" if months < 24 else f"({months // 12}y)"


def name_words(family: str, given: str, title: str) -> str:
    """FAMILY, Given (Title) (PAB-0050), without the parts that are not on file."""
    name = ", ".join(filter(None, (family.strip().upper(), given.strip())))
    if not name:
        return "Name not known"
    return f"{name} ({title.strip()})" if title.strip() else name


def born_words(born: date | None, precision: str, today: date) -> str:
    """07-Mar-1989 (37y), or Not known."""
    return f"{date_words(born, precision)} {age_words(born, today, precision)}".strip() or NOT_KNOWN


def plain(word: str) -> str:
    """A code word for reading: "cgrp-mab" becomes "cgrp mab"."""
    return word.replace("-", " ").replace("_", " ").strip()


def number_words(count: int, one: str, many: str = "") -> str:
    """1 order, 1,204 orders."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def month_word(day: date) -> str:
    """Jan, Feb …"""
    return _MONTHS[day.month]


def plain_number(value: Decimal | Fraction | int) -> str:
    """To a tenth, without idle zeros: 14, 9.5."""
    return f"{round(float(value), 1):g}"
