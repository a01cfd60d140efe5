"""What is new since the last visit: dated since then, or sent or changed by the EMR since then."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Q

from patients.headaches.record import Happening, day_of
from patients.histories.evidence import Evidence
from patients.histories.parts import Row
from patients.lines import COLUMNS, line
from patients.models import Entry, Patient
from patients.wording import date_words

SHOWN, MOST = 12, 200
_WINDOW = timedelta(90)
_FIRST_LOAD = timedelta(days=1)

Kind = Entry.Kind


@dataclass(frozen=True, slots=True)
class Changes:
    """since: in words, with what it is; note: what cannot be told; count: of all, at most MOST;
    rows: the latest."""

    since: str
    note: str
    rows: tuple[Row, ...]
    count: int
    absent: str

    @property
    def hidden(self) -> int:
        return self.count - len(self.rows)


def since_when(visits: Iterable[Happening], today: date) -> tuple[date, str]:
    """The last visit before today, else 90 days ago; with its words."""
    days = [day for each in visits if (day := day_of(each)) and day < today]
    if days:
        return max(days), f"the visit of {date_words(max(days))}"
    return today - _WINDOW, f"{date_words(today - _WINDOW)} (90 days; no earlier visit on file)"


def changes(
    patient: Patient, since: tuple[date, str], first_seen: datetime, today: date, evidence: Evidence
) -> Changes:
    """first_seen: when this patient's record was first fetched. One query."""
    day, words = since
    zone = ZoneInfo(patient.practice.time_zone)
    moment = datetime.combine(day, time.max, zone)
    # What came within a day of the first resource came with it, and is no news.
    told_from = max(moment, first_seen + _FIRST_LOAD)
    found = _rows(patient, day, told_from, today)
    rows = tuple(_row(row, _said(row, day, told_from), today, evidence) for row in found[:SHOWN])
    late = first_seen > moment
    note = (
        f"First fetched {date_words(first_seen.astimezone(zone).date())}, after that: "
        "only what is dated later can be told, not what was added or changed since."
    )
    none = "Nothing on file is dated since then." if late else "Nothing on file is dated, sent or changed since then."
    return Changes(words, note if late else "", rows, len(found), "" if rows else none)


def _rows(patient: Patient, day: date, told_from: datetime, today: date) -> list[dict[str, Any]]:
    dated = Q(date__gt=day, date__lte=today)
    sent = Q(source__changed_at__gt=told_from)
    plain_measures = Q(kind=Kind.MEASURE, about_headache=False)
    entries = patient.entries.filter(dated | sent, practice_id=patient.practice_id).exclude(plain_measures)
    names = (*COLUMNS, "source__first_seen_at")
    return list(entries.order_by("-date", "id").values(*names)[:MOST])


def _said(row: Mapping[str, Any], day: date, told_from: datetime) -> str:
    """How a row that is not dated since then came to be listed."""
    if row["date"] is not None and row["date"] > day:
        return ""
    return "added to the record since" if row["source__first_seen_at"] > told_from else "changed in the record since"


def _row(row: Mapping[str, Any], said: str, today: date, evidence: Evidence) -> Row:
    key: UUID = row["source_id"]
    made = line(row, today, evidence.href(str(key)))
    return Row(
        title=made.title,
        when=made.when or "No date",
        meaning=made.meaning,
        about=str(Kind(row["kind"]).label),
        words=" · ".join(filter(None, (made.value, made.words))),
        status=made.status,
        tags=(said,) if said else (),
        href=made.source,
    )
