"""One patient's rows as the Record the rules read: three queries, no resource's body, only what rules need.

Entries that say the very same thing (one fact sent as several resources) leave the database once, with their
number.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from django.db.models import Count, Min, Q, Subquery, TextField
from django.db.models.functions import Cast

from emr.models import Resource
from patients import orders_of
from patients.headaches import record, scores
from patients.headaches.coding import Coding
from patients.headaches.dates import parse
from patients.headaches.record import Record
from patients.models import Assessment, Attestation, Entry, Patient
from patients.models.entered import HIT6_NAMES, MIDAS_NAMES, Outcome, Stopped
from patients.orders_of import Detail, dated, decimal

Kind = Entry.Kind
_TEXT = TextField()

_COLUMNS = (
    "kind", "title", "date", "date_precision", "date_meaning", "end_date", "code", "system", "status",
    "group", "role", "about_headache", "value", "value_text", "unit",
)  # fmt: skip
_INSTRUMENTS = ("midas", "hit-6", "headache-days", "migraine-days", "acute-medication-days")
# hCG, bicarbonate, eGFR, heart rate, temperature (LOINC): what prompts and red flags look at.
_LABS = (
    "2106-3", "2110-5", "2112-1", "1963-8", "2028-9", "98979-8", "62238-1", "69405-9", "8867-4", "8310-5",
)  # fmt: skip
_LAB_DAYS = 366
_PRESSURE_DAYS = 731
_VISIT_DAYS = 731
_INSTRUMENT_DAYS = 1827
_SEXES: dict[str, record.Sex] = {"female": "female", "male": "male"}


class Row(NamedTuple):
    """One Entry's columns. source: key of the resource, one of several that say the same."""

    kind: str
    title: str
    on: date | None
    precision: str
    meaning: str
    end_date: date | None
    code: str
    system: str
    status: str
    group: str
    role: str
    about_headache: bool
    value: Decimal | None
    value_text: str
    unit: str
    source: str
    detail: Detail


@dataclass
class _Parts:
    """Facts by the field of Record they go to."""

    found: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, name: str, fact: Any) -> None:
        self.found.setdefault(name, []).append(fact)


def facts_of(patient: Patient, today: date) -> Record:
    """The record of `patient` as of `today`. Three queries."""
    parts = _Parts()
    rows = list(_entries(patient, today))
    for *columns, source, detail, _, _ in rows:
        row = Row._make((*columns, _dashed(source), json.loads(detail)))
        name, read = _READERS[row.kind]
        parts.add(name, read(row))
    return Record(
        person=_person(patient),
        assessments=tuple(_assessments(patient)),
        attestations=tuple(_attestations(patient)),
        repeated=rows[0][-2] - len(rows) if rows else 0,
        hidden=rows[0][-1] or 0 if rows else 0,
        **{name: tuple(facts) for name, facts in parts.found.items()},
    )


def _entries(patient: Patient, today: date) -> Any:
    """What rules read. Ordinary vital signs, laboratory values and old visits stay in the database."""
    instruments = Q(group__in=_INSTRUMENTS) & (Q(date=None) | Q(date__gte=today - timedelta(_INSTRUMENT_DAYS)))
    labs = Q(code__in=_LABS, date__gte=today - timedelta(_LAB_DAYS))
    pressures = Q(group="blood-pressure", date__gte=today - timedelta(_PRESSURE_DAYS))
    measured = Q(kind=Kind.MEASURE) & (instruments | labs | pressures)
    recent = Q(date__gte=today - timedelta(_VISIT_DAYS)) | Q(group="emergency")
    visited = Q(kind__in=(Kind.VISIT, Kind.APPOINTMENT)) & recent
    told = ~Q(group="") | Q(about_headache=True) | Q(title__icontains="delivery")
    reported = Q(kind=Kind.REPORT, group="imaging") | (Q(kind=Kind.PROCEDURE) & told)
    whole = Q(kind__in=(Kind.DIAGNOSIS, Kind.TREATMENT, Kind.ALLERGY))
    wanted = patient.entries.filter(whole | measured | visited | reported, practice_id=patient.practice_id)
    firsts = wanted.order_by().values("fingerprint").annotate(first=Min(Cast("pk", _TEXT))).values("first")
    once = patient.entries.annotate(key=Cast("pk", _TEXT)).filter(key__in=firsts).order_by()
    whole_count = Subquery(wanted.order_by().values("patient_id").annotate(count=Count("pk")).values("count"))
    # The JSON as text: read without the detour of a model field.
    return once.values_list(*_COLUMNS, Cast("source_id", _TEXT), Cast("detail", _TEXT), whole_count, _hidden(patient))


def _hidden(patient: Patient) -> Subquery:
    """Number of this patient's resources that no page shows; None for zero."""
    gone = Q(entered_in_error=True) | Q(no_longer_sent_at__isnull=False)
    mine = Resource.objects.filter(gone, practice_id=patient.practice_id, patient_fhir_id=patient.fhir_id)
    return Subquery(mine.order_by().values("practice_id").annotate(count=Count("pk")).values("count"))


def _dashed(key: str) -> str:
    """A UUID as URLs have it: SQLite keeps it as bare hexadecimal digits."""
    if len(key) == 36:
        return key
    return f"{key[:8]}-{key[8:12]}-{key[12:16]}-{key[16:20]}-{key[20:]}"


def _person(patient: Patient) -> record.Person:
    sex = _SEXES.get(patient.sex.lower(), "")
    return record.Person(sex, dated(patient.birth_date, patient.birth_precision), patient.deceased)


def _condition(row: Row) -> record.Condition:
    detail = row.detail
    codings = [Coding(row.system, row.code, "")] if row.code else []
    codings += [_coding(each) for each in detail.get("other_codes", ())]
    on = dated(row.on, row.precision)
    recorded = parse(detail.get("recorded")) or (on if row.meaning in ("recorded", "asserted") else None)
    return record.Condition(
        source=row.source,
        title=row.title,
        codings=tuple(codings),
        dated=on,
        meaning=row.meaning,
        recorded=recorded,
        onset=on if row.meaning == "onset" else None,
        onset_words=detail.get("onset", ""),
        end=row.end_date,
        clinical=detail.get("clinical", ""),
        verification=detail.get("verification", ""),
        category=detail.get("category", ""),
        headache_class=row.group,
        words=detail.get("words", ""),
        comorbidity=detail.get("comorbidity", ""),
        comorbidity_words=detail.get("comorbidity_words", ""),
        conflicts=tuple(detail.get("conflicts", ())),
    )


def _coding(listed: Mapping[str, str]) -> Coding:
    return Coding(listed.get("system", ""), listed.get("code", ""), listed.get("display", ""))


def _treatment(row: Row) -> record.Treatment:
    return orders_of.treatment(
        row.source, row.title, row.on, row.precision, row.end_date, row.group, row.role, row.detail
    )


def _allergy(row: Row) -> record.Allergy:
    detail = row.detail
    listed = detail.get("codings") or ([{"system": row.system, "code": row.code}] if row.code else [])
    return record.Allergy(
        source=row.source,
        title=row.title,
        dated=dated(row.on, row.precision),
        codings=tuple(_coding(each) for each in listed),
        clinical=detail.get("clinical", ""),
        verification=detail.get("verification", ""),
        type=detail.get("type", ""),
        criticality=detail.get("criticality", ""),
        reactions=tuple(detail.get("reactions", ())),
        none_known=detail.get("scope", "") or row.group,
    )


def _measure(row: Row) -> record.Measure:
    detail = row.detail
    return record.Measure(
        source=row.source,
        title=row.title,
        group=row.group,
        code=row.code,
        dated=dated(row.on, row.precision),
        value=_shortest(row.value),
        value_text=row.value_text,
        unit=row.unit,
        band=detail.get("band", ""),
        out_of_range=bool(detail.get("out_of_range")),
        systolic=decimal(detail.get("systolic")),
        diastolic=decimal(detail.get("diastolic")),
        note=bool(detail.get("from_note")),
    )


def _shortest(value: Decimal | None) -> Decimal | None:
    """The column's six decimals without their zeros: 24, not 24.000000 and not 2.4E+1."""
    if value is None:
        return None
    return value.quantize(Decimal(1)) if value == value.to_integral_value() else value.normalize()


def _happening(row: Row) -> record.Happening:
    detail = row.detail
    return record.Happening(
        source=row.source,
        kind=row.kind,
        title=row.title,
        dated=dated(row.on, row.precision),
        end=row.end_date,
        group=row.group,
        code=row.code,
        status=row.status,
        about_headache=row.about_headache,
        words=detail.get("conclusion") or detail.get("reason") or "",
        modality=detail.get("modality", ""),
        region=detail.get("region", ""),
        attended=detail.get("attended", ""),
        excluded_reason=detail.get("excluded_reason", ""),
    )


_READERS: dict[str, tuple[str, Callable[[Row], Any]]] = {
    Kind.DIAGNOSIS.value: ("conditions", _condition),
    Kind.TREATMENT.value: ("treatments", _treatment),
    Kind.ALLERGY.value: ("allergies", _allergy),
    Kind.MEASURE.value: ("measures", _measure),
    Kind.VISIT.value: ("visits", _happening),
    Kind.APPOINTMENT.value: ("appointments", _happening),
    Kind.REPORT.value: ("reports", _happening),
    Kind.PROCEDURE.value: ("procedures", _happening),
}


def _assessments(patient: Patient) -> list[record.Assessment]:
    rows = Assessment.objects.current().filter(patient=patient, practice_id=patient.practice_id).order_by("date", "id")
    names = (
        "id", "date", "period_days", "headache_days", "migraine_days", "acute_medication_days",
        "entered_by__full_name", "entered_by__email", *MIDAS_NAMES, *HIT6_NAMES,
    )  # fmt: skip
    return [_assessment(row) for row in rows.values(*names)]


def _assessment(row: dict[str, Any]) -> record.Assessment:
    items = [row[name] for name in MIDAS_NAMES]
    return record.Assessment(
        source=f"assessment:{row['id']}",
        on=row["date"],
        period_days=row["period_days"],
        headache_days=row["headache_days"],
        migraine_days=row["migraine_days"],
        acute_days=row["acute_medication_days"],
        midas=scores.midas_total(items),
        midas_items=tuple(item for item in items if item is not None) if None not in items else (),
        hit6=scores.hit6_total([row[name] for name in HIT6_NAMES]),
        by=row["entered_by__full_name"] or row["entered_by__email"],
    )


def _attestations(patient: Patient) -> list[record.Attestation]:
    rows = Attestation.objects.current().filter(patient=patient, practice_id=patient.practice_id)
    names = (
        "id", "ingredient", "drug_class", "outcome", "stopped", "stopped_words", "dose_reached", "target_dose",
        "for_headache", "started", "started_precision", "ended", "ended_precision", "entered_at",
        "entered_by__full_name", "entered_by__email",
    )  # fmt: skip
    return [_attestation(row) for row in rows.order_by("entered_at", "id").values(*names)]


def _attestation(row: dict[str, Any]) -> record.Attestation:
    stopped = "" if row["stopped"] == Stopped.UNKNOWN else str(Stopped(row["stopped"]).label)
    return record.Attestation(
        source=f"attestation:{row['id']}",
        ingredient=row["ingredient"],
        drug_class=row["drug_class"],
        for_headache=row["for_headache"],
        outcome=row["outcome"],
        outcome_words=str(Outcome(row["outcome"]).label),
        reason=": ".join(filter(None, (stopped, row["stopped_words"]))),
        dose=row["dose_reached"],
        target_dose=row["target_dose"],
        started=dated(row["started"], row["started_precision"]),
        ended=dated(row["ended"], row["ended_precision"]),
        on=row["entered_at"].date(),
        by=row["entered_by__full_name"] or row["entered_by__email"],
    )
