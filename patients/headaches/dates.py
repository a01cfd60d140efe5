"""FHIR dates of any precision, read without inventing what was not said."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Literal

Precision = Literal["year", "month", "day", "time"]

_RANK: dict[str, int] = {"year": 0, "month": 1, "day": 2, "time": 3}
# FHIR R4 date, dateTime and instant (datatypes.html#dateTime). Seconds are optional and a blank may stand
# for "T": servers send both although the grammar forbids them.
_FHIR = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d{2})(?:-(?P<day>\d{2})"
    r"(?:[T ](?P<hour>\d{2}):(?P<minute>\d{2})(?::(?P<second>\d{2})(?:[.,]\d+)?)?"
    r"(?P<zone>Z|z|[+-]\d{2}:?\d{2})?)?)?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class PartialDate:
    """A date as precise as its source.

    value: first day the source allows (the local day as written, never shifted to another zone);
    precision: "time" only when a zone was given: a wall clock without one is kept in raw and counts as "day".
    """

    value: date
    precision: Precision
    raw: str

    @property
    def last(self) -> date:
        """Last day the source allows: 2024 -> 2024-12-31, 2024-02 -> 2024-02-29."""
        if self.precision == "year":
            return date(self.value.year, 12, 31)
        if self.precision == "month":
            return (self.value.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
        return self.value

    @property
    def order(self) -> tuple[date, int, str]:
        """Sort key: day, then coarse before fine, then the instant in UTC."""
        instant = _instant(self.raw) if self.precision == "time" else None
        return self.value, _RANK[self.precision], instant.isoformat() if instant else ""


def parse(raw: str | None, *, deceased: bool = False) -> PartialDate | None:
    """Read a FHIR date, dateTime or instant; None when absent, impossible or a vendor's "empty" date.

    Years before 1900 are fillers (0001-01-02, 1753-01-01, 1899-12-30); for a date of death 1900 is one too,
    so pass deceased=True there.
    """
    text = (raw or "").strip()
    found = _FHIR.fullmatch(text)
    if found is None:
        return None
    year = int(found["year"])
    if year < 1900 or (deceased and year == 1900):
        return None
    if found["hour"] and _clock(text, found["zone"]) is None:
        return None
    try:
        value = date(year, int(found["month"] or 1), int(found["day"] or 1))
    except ValueError:
        return None
    return PartialDate(value, _precision(found), text)


def _precision(found: re.Match[str]) -> Precision:
    if found["zone"]:
        return "time"
    if found["day"]:
        return "day"
    return "month" if found["month"] else "year"


def _clock(text: str, zone: str | None) -> datetime | None:
    """The date and time of a full dateTime; None when such a moment cannot exist."""
    body = text.removesuffix(zone or "").replace(",", ".")
    # A leap second (:60) is legal in FHIR and unknown to Python.
    body = re.sub(r":60(\.\d+)?$", ":59", body)
    digits = re.sub(r"\.(\d{1,6})\d*$", lambda match: "." + match[1].ljust(6, "0"), body)
    offset = "+00:00" if not zone or zone in "Zz" else zone
    try:
        return datetime.fromisoformat(digits + offset)
    except ValueError:
        return None


def _instant(text: str) -> datetime | None:
    found = _FHIR.fullmatch(text)
    moment = _clock(text, found["zone"]) if found else None
    try:
        return moment.astimezone(UTC) if moment else None
    except OverflowError:
        return None
