"""All entries of one kind, grouped by what they are about: what a page's short lists leave out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from django.db.models import F
from django.urls import reverse

from patients.lines import COLUMNS, Line, line
from patients.models import Entry, Patient

Kind = Entry.Kind

TITLES = {
    Kind.DIAGNOSIS.value: "All diagnoses",
    Kind.TREATMENT.value: "All medication orders",
    Kind.MEASURE.value: "All measures and results",
    Kind.VISIT.value: "All visits",
    Kind.APPOINTMENT.value: "All appointments",
    Kind.PROCEDURE.value: "All procedures",
    Kind.REPORT.value: "All reports",
    Kind.DOCUMENT.value: "All documents",
}
_GROUPED = frozenset({Kind.DIAGNOSIS.value, Kind.TREATMENT.value, Kind.MEASURE.value})

# First to be read; other instruments follow by name.
_INSTRUMENTS = ("midas", "hit-6", "headache days", "migraine days", "acute medication days")


@dataclass(frozen=True, slots=True)
class Group:
    """The entries that are about the same thing, latest first; never none."""

    title: str
    lines: tuple[Line, ...]

    @property
    def latest(self) -> Line:
        return self.lines[0]

    @property
    def first(self) -> Line:
        """The earliest dated one, else the last of the undated."""
        return next((each for each in reversed(self.lines) if each.when), self.lines[-1])

    @property
    def count(self) -> int:
        return len(self.lines)

    @property
    def statuses(self) -> str:
        """The record's words, latest first: orders and visits may disagree."""
        return "; ".join(dict.fromkeys(each.status for each in self.lines if each.status))


@dataclass(frozen=True, slots=True)
class Part:
    """Groups under one heading."""

    title: str
    groups: tuple[Group, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """kind: an Entry's; total: entries; absent: why there is none."""

    kind: str
    title: str
    parts: tuple[Part, ...]
    total: int
    absent: str

    @property
    def grouped(self) -> bool:
        return self.kind in _GROUPED


def listing(patient: Patient, kind: str, today: date, why_none: str) -> Listing:
    """All entries of a kind of TITLES. One query, no resource's body read."""
    entries = patient.entries.filter(practice_id=patient.practice_id, kind=kind)
    rows = list(entries.order_by(F("date").desc(nulls_last=True), "id").values(*COLUMNS))
    some_source = UUID(int=0)
    address = reverse("emr:source", args=[some_source])  # once: asking for each line costs more than the line
    parted: dict[str, dict[str, list[tuple[Mapping[str, Any], Line]]]] = {}
    for row in rows:
        made = line(row, today, address.replace(str(some_source), str(row["source_id"])))
        group = parted.setdefault(_part(row), {}).setdefault(_about(row), [])
        group.append((row, made))
    parts = tuple(Part(title, tuple(_groups(parted[title].values()))) for title in _PARTS[kind] if title in parted)
    return Listing(kind, TITLES[kind], parts, len(rows), "" if rows else why_none)


_PARTS: Mapping[str, tuple[str, ...]] = dict.fromkeys(TITLES, ("",)) | {
    Kind.DIAGNOSIS.value: ("Headache diagnoses", "Other diagnoses"),
    Kind.TREATMENT.value: ("Preventive treatments", "Acute treatments", "Other and unclassified treatments"),
    Kind.MEASURE.value: ("Headache scales and days", "Other measures"),
}


def _part(row: Mapping[str, Any]) -> str:
    """Where a row belongs; a drug that may be either goes where its first role puts it."""
    names = _PARTS[row["kind"]]
    if row["kind"] == Kind.TREATMENT:
        role = row["role"].partition(" or ")[0]
        return names[("preventive", "acute").index(role)] if role in {"preventive", "acute"} else names[-1]
    return names[0] if row["about_headache"] else names[-1]


def _about(row: Mapping[str, Any]) -> str:
    """A treatment its ingredients, a diagnosis its code, a measure its instrument; each of the rest alone."""
    if row["kind"] == Kind.TREATMENT:
        return ingredients(row) or str(row["title"]).casefold()
    if row["kind"] == Kind.DIAGNOSIS:
        return str(row["code"]) or str(row["title"]).casefold()
    return str(row["group"] or row["code"]) or str(row["title"]).casefold()


def ingredients(row: Mapping[str, Any]) -> str:
    found = row["detail"].get("ingredients") if row["kind"] == Kind.TREATMENT else None
    return " + ".join(str(each) for each in found) if isinstance(found, list) else ""


def _groups(parted: Iterable[list[tuple[Mapping[str, Any], Line]]]) -> list[Group]:
    found = []
    for members in parted:
        row, latest = members[0]
        name = ingredients(row)
        title = name[:1].upper() + name[1:] if name else latest.title
        found.append((_order(row), Group(title, tuple(made for _, made in members))))
    return [group for _, group in sorted(found, key=lambda pair: pair[0])]


def _order(row: Mapping[str, Any]) -> tuple[int, str]:
    """Instruments as they are read; all else stays by date, as sorting is stable."""
    name = str(row["detail"].get("instrument", "")).lower()
    if row["kind"] != Kind.MEASURE or not row["about_headache"]:
        return 0, ""
    return (_INSTRUMENTS.index(name) if name in _INSTRUMENTS else len(_INSTRUMENTS)), name
