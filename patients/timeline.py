"""Everything on file about one patient in the order of time: by visit, latest first, what has no date at the end.

Filters are words of ours and years, so that an address can be passed on inside the practice.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from django.db.models import Case, Count, F, Max, Q, QuerySet, TextField, Value, When
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast, Coalesce, Concat
from django.http import QueryDict
from django.urls import reverse
from django.utils.http import urlencode

from patients.lines import COLUMNS, Line, line
from patients.models import Entry, Patient
from patients.wording import date_words

Kind = Entry.Kind

LINES = 80  # lines of a page, more when its last group is larger
GROUP = 200  # lines of one group that are shown
_EARLIEST, _LATEST = 1901, 2200
_NAMES = {
    Kind.DIAGNOSIS: "Diagnoses", Kind.TREATMENT: "Treatments", Kind.MEASURE: "Measures", Kind.ALLERGY: "Allergies",
    Kind.VISIT: "Visits", Kind.REPORT: "Reports", Kind.PROCEDURE: "Procedures", Kind.APPOINTMENT: "Appointments",
    Kind.DOCUMENT: "Documents",
}  # fmt: skip
KINDS = {kind.value: words for kind, words in _NAMES.items()}
# What is read first within a visit.
_ORDER = [
    kind.value
    for kind in (
        Kind.VISIT, Kind.APPOINTMENT, Kind.DIAGNOSIS, Kind.TREATMENT, Kind.PROCEDURE, Kind.REPORT, Kind.MEASURE,
        Kind.ALLERGY, Kind.DOCUMENT,
    )
]  # fmt: skip
_DATELESS = "undated"
_VISIT = "visit:"


@dataclass(frozen=True, slots=True)
class Choice:
    """Filters. kinds: of KINDS, none for all; first, last: years, None for no limit."""

    kinds: tuple[str, ...] = ()
    headache: bool = False
    first: int | None = None
    last: int | None = None

    @classmethod
    def read(cls, asked: QueryDict) -> "Choice":
        """From a query string; what is no choice of ours is passed over. Years in the wrong order are turned."""
        kinds = tuple(kind for kind in KINDS if kind in asked.getlist("kind"))
        first, last = (_year(asked.get(name, "")) for name in ("from", "to"))
        if first and last and first > last:
            first, last = last, first
        return cls(kinds, asked.get("headache") == "1", first, last)

    @property
    def query(self) -> str:
        """The query string that says the same; "" for no filter."""
        said = [("kind", kind) for kind in self.kinds]
        said += [("headache", "1")] if self.headache else []
        said += [(name, str(year)) for name, year in (("from", self.first), ("to", self.last)) if year]
        return urlencode(said)

    @property
    def matches(self) -> Q:
        found = Q()
        if self.kinds:
            found &= Q(kind__in=self.kinds)
        if self.headache:
            found &= Q(about_headache=True)
        if self.first:
            found &= Q(date__gte=date(self.first, 1, 1))
        if self.last:
            found &= Q(date__lte=date(self.last, 12, 31))
        return found


@dataclass(frozen=True, slots=True)
class Item:
    """One fact. kind: in words; line: as a table prints it."""

    kind: str
    line: Line


@dataclass(frozen=True, slots=True)
class Group:
    """A visit with what belongs to it, or a day, or (day "") what has no date.

    title: of the visit, "" for a day without one; hidden: items of the group that are left out.
    """

    day: str
    title: str
    future: bool
    items: tuple[Item, ...]
    hidden: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """Groups of page `number` of `pages`; total: facts that fit the filters, on all pages; on_file: facts in all."""

    groups: tuple[Group, ...]
    number: int
    pages: int
    total: int
    on_file: int

    @property
    def previous(self) -> int:
        return self.number - 1

    @property
    def next(self) -> int:
        return self.number + 1 if self.number < self.pages else 0


def timeline(patient: Patient, choice: Choice, *, number: int, today: date) -> Timeline:
    """Page `number` (from 1; a later one than there is gives the last). Four queries, no resource's body read."""
    entries: QuerySet[Any] = patient.entries.filter(practice_id=patient.practice_id).annotate(where=_where())
    heads = _heads(entries, choice)
    pages = _paged(heads)
    number = min(max(number, 1), len(pages))
    shown = pages[number - 1]
    rows = _rows(entries, choice, [key for key, _, _ in shown])
    visits = _visits(patient, [key.removeprefix(_VISIT) for key, _, _ in shown if key.startswith(_VISIT)])
    return Timeline(
        groups=tuple(_group(head, rows.get(head[0], []), visits, today) for head in shown),
        number=number,
        pages=len(pages),
        total=sum(count for _, _, count in heads),
        on_file=entries.count(),
    )


def years(patient: Patient) -> tuple[int, ...]:
    """Years with a fact, latest first. One query."""
    dated = patient.entries.filter(practice_id=patient.practice_id, date__isnull=False)
    return tuple(each.year for each in dated.dates("date", "year", order="DESC"))


Head = tuple[str, date | None, int]  # group, its day, how many facts fit


def _where() -> Case:
    """The group an entry belongs to: its visit, else its day."""
    text = TextField()
    visit = Concat(Value(_VISIT), KeyTextTransform("encounter", "detail"), output_field=text)
    return Case(
        When(detail__has_key="encounter", then=visit),
        When(date__isnull=False, then=Cast("date", text)),
        default=Value(_DATELESS),
        output_field=text,
    )


def _heads(entries: QuerySet[Any], choice: Choice) -> list[Head]:
    """All groups with anything that fits, latest first. A visit's day is its own, else that of its latest fact."""
    day = Coalesce(Max("date", filter=Q(kind=Kind.VISIT)), Max("date"))
    found = (
        entries.values_list("where")
        .annotate(day=day, count=Count("pk", filter=choice.matches))
        .filter(count__gt=0)
        .order_by(F("day").desc(nulls_last=True), "where")
    )
    return [(where, on, count) for where, on, count in found]


def _paged(heads: Sequence[Head]) -> list[list[Head]]:
    """Groups by page, each group whole."""
    pages: list[list[Head]] = [[]]
    lines = 0
    for head in heads:
        if lines >= LINES:
            pages.append([])
            lines = 0
        pages[-1].append(head)
        lines += min(head[2], GROUP)
    return pages


def _rows(entries: QuerySet[Any], choice: Choice, keys: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    rows = entries.filter(choice.matches, where__in=list(keys)).values(*COLUMNS, "where")
    for row in rows.order_by(F("date").desc(nulls_last=True), "title", "pk"):
        found.setdefault(row["where"], []).append(row)
    for group in found.values():
        group.sort(key=lambda row: _ORDER.index(row["kind"]))
    return found


def _visits(patient: Patient, ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Title and status of the visits, also where the filters leave them out."""
    rows = patient.entries.filter(practice_id=patient.practice_id, kind=Kind.VISIT, detail__encounter__in=ids)
    return {
        visit: (title, status)
        for visit, title, status in rows.values_list(KeyTextTransform("encounter", "detail"), "title", "status")
    }


def _group(head: Head, rows: Sequence[dict[str, Any]], visits: dict[str, tuple[str, str]], today: date) -> Group:
    key, day, count = head
    some = UUID(int=0)
    address = reverse("emr:source", args=[some])  # once: asking for each line costs more than the line
    items = tuple(
        Item(str(Kind(row["kind"]).label), line(row, today, address.replace(str(some), str(row["source_id"]))))
        for row in rows[:GROUP]
    )
    title, status = visits.get(key.removeprefix(_VISIT), ("", ""))
    if key.startswith(_VISIT) and not title:
        title = "Visit that is not on file"
    return Group(
        day=date_words(day),
        title=", ".join(filter(None, (title, status))),
        future=day is not None and day > today,
        items=items,
        hidden=count - len(items),
    )


def _year(said: str) -> int | None:
    if not (said.isascii() and said.isdigit() and len(said) == 4):
        return None
    return int(said) if _EARLIEST <= int(said) <= _LATEST else None
