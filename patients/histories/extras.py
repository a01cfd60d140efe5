"""What the page shows beside what the rules read: allergies in full, coming appointments, a few measures."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Q

from patients.headaches.prompts import names_headache_drug
from patients.headaches.record import Allergy
from patients.histories.evidence import Evidence
from patients.histories.parts import Row
from patients.lines import COLUMNS, Line, line
from patients.models import Entry, Patient
from patients.wording import moment_words

Kind = Entry.Kind

_YEARS = timedelta(731)
# Inflammation (LOINC): asked for in a new headache after 50.
_TESTS = {"30341-2": "ESR", "4537-7": "ESR", "1988-5": "CRP", "30522-7": "CRP, high sensitivity"}
_STEERING = {"39156-5": "BMI", "8867-4": "Heart rate", "29463-7": "Body weight"}
_SCALES = {"phq-9": "PHQ-9", "gad-7": "GAD-7"}
_GONE = frozenset({"cancelled", "waitlist-cancelled", "noshow", "entered-in-error", "fulfilled"})


@dataclass(frozen=True, slots=True)
class AllergyLine:
    """for_headache: a headache drug is among the substances; stands: neither refuted, over, nor a statement of
    none."""

    line: Line
    for_headache: bool
    stands: bool


@dataclass(frozen=True, slots=True)
class Extras:
    """ahead: coming appointments, nearest first; readings, tests: latest of each kind."""

    allergies: tuple[AllergyLine, ...]
    ahead: tuple[Row, ...]
    readings: tuple[Row, ...]
    tests: tuple[Row, ...]


def rows(patient: Patient, today: date) -> list[dict[str, Any]]:
    """One query."""
    measured = Q(kind=Kind.MEASURE, date__gte=today - _YEARS)
    wanted = (
        Q(kind=Kind.ALLERGY)
        | Q(kind=Kind.APPOINTMENT, date__gte=today)
        | (measured & (Q(code__in=(*_TESTS, *_STEERING)) | Q(group__in=tuple(_SCALES))))
    )
    entries = patient.entries.filter(wanted, practice_id=patient.practice_id)
    return list(entries.order_by("-date", "id").values(*COLUMNS, "system"))


def extras(
    found: Sequence[Mapping[str, Any]], standing: Sequence[Allergy], evidence: Evidence, today: date, zone: ZoneInfo
) -> Extras:
    """found: of rows(); standing: allergies that stand, those to headache drugs first."""
    return Extras(
        allergies=_allergies([row for row in found if row["kind"] == Kind.ALLERGY], standing, evidence, today),
        ahead=tuple(_ahead([row for row in found if row["kind"] == Kind.APPOINTMENT], evidence, zone)),
        readings=tuple(_latest(found, _STEERING, evidence)) + tuple(_latest(found, _SCALES, evidence)),
        tests=tuple(_latest(found, _TESTS, evidence)),
    )


def _allergies(
    found: Sequence[Mapping[str, Any]], standing: Sequence[Allergy], evidence: Evidence, today: date
) -> tuple[AllergyLine, ...]:
    """Those that stand in the given order, then the others."""
    order = {each.source: place for place, each in enumerate(standing)}
    drugs = {each.source for each in standing if names_headache_drug(each)}
    made = [
        (
            order.get(str(row["source_id"]), len(order)),
            AllergyLine(
                line(row, today, evidence.href(str(row["source_id"]))),
                str(row["source_id"]) in drugs,
                str(row["source_id"]) in order,
            ),
        )
        for row in found
    ]
    return tuple(each for _, each in sorted(made, key=lambda pair: pair[0]))


def _ahead(found: Iterable[Mapping[str, Any]], evidence: Evidence, zone: ZoneInfo) -> Iterable[Row]:
    for row in sorted(found, key=lambda row: (row["date"], str(row["detail"].get("at", "")))):
        if row["status"] not in _GONE:
            made = line(row, row["date"], evidence.href(str(row["source_id"])))
            yield Row(
                title=made.title,
                when=_moment(row["detail"].get("at"), zone) or made.when,
                words=made.words,
                status=made.status,
                href=made.source,
            )


def _moment(raw: object, zone: ZoneInfo) -> str:
    """The instant on the practice's clock; "" for none."""
    try:
        moment = datetime.fromisoformat(str(raw))
    except ValueError:
        return ""
    return moment_words(moment, zone) if moment.tzinfo else ""


def _latest(found: Iterable[Mapping[str, Any]], names: Mapping[str, str], evidence: Evidence) -> Iterable[Row]:
    """The latest value of each name, in the order of the names."""
    latest: dict[str, Mapping[str, Any]] = {}
    for row in found:
        name = names.get(row["code"]) or names.get(row["group"])
        if row["kind"] == Kind.MEASURE and name:
            latest.setdefault(name, row)
    for name in dict.fromkeys(names.values()):
        if name in latest:
            row = latest[name]
            made = line(row, row["date"], evidence.href(str(row["source_id"])))
            yield Row(title=name, when=made.when, words=made.value or "No value", tags=made.tags, href=made.source)
