"""One patient's history for other programs: entries as CSV, and the source resources as a FHIR Bundle.

Both are streamed, and say what is missing and why: a list that is not there is not an empty list.
"""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from uuid import uuid4

from django.db.models import F
from django.urls import reverse

from emr.models import Resource
from patients.absence import Completeness, TypeState
from patients.histories import Heading
from patients.models import Entry, Patient
from patients.projection.readers import load, own_id

MOST = 200_000  # rows of one export
_CHUNK = 500

COLUMNS = (
    "kind", "date", "date_precision", "date_meaning", "end_date", "title", "code", "system", "status", "class", "role",
    "about_headache", "value", "value_text", "unit", "details", "source",
)  # fmt: skip
# What a spreadsheet reads as the start of a formula (OWASP CSV injection), full-width forms included.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
# XML and spreadsheets know no other control characters than tab and line ends.
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def defused(cell: object) -> str:
    """The cell's text; an apostrophe goes before what a spreadsheet would run, as in "'=1+1"."""
    text = "" if cell is None else _CONTROL.sub("", str(cell))
    return f"'{text}" if text.startswith(_FORMULA) else text


def as_csv(patient: Patient, top: Heading, root: str) -> Iterator[str]:
    """Lines of a CSV file (RFC 4180, UTF-8 with a byte order mark for spreadsheets), newest entries first.

    The first rows, of kind "completeness", say how each kind of record stands. root: scheme and host for the
    addresses of sources.
    """
    yield "\ufeff" + _row(COLUMNS)
    for line in _lines(top.completeness):
        yield _row(_said("All kinds of records", "", line))
    for state in top.completeness.states:
        yield _row(_completeness(state))
    yield _row(_said("Allergies", top.banner.allergies, top.banner.allergies_detail))
    rows = patient.entries.filter(practice_id=patient.practice_id).order_by(F("date").desc(nulls_last=True), "pk")
    for entry in rows[:MOST].iterator(chunk_size=_CHUNK):
        yield _row(_cells(entry, root))


def as_bundle(patient: Patient, top: Heading, now: datetime) -> Iterator[str]:
    """A FHIR R4 Bundle (type collection) of the patient's resources, each with the text the EMR sent.

    Its first entry is an OperationOutcome: as of when, what is missing and why. Resources that the EMR no longer
    sends are left out and counted there. Medications that the orders refer to come last.
    """
    resources = Resource.objects.filter(practice_id=patient.practice_id, patient_fhir_id=patient.fhir_id)
    gone = resources.filter(no_longer_sent_at__isnull=False).count()
    outcome = {"fullUrl": f"urn:uuid:{uuid4()}", "resource": _outcome(top, gone)}
    head = json.dumps({"resourceType": "Bundle", "type": "collection", "timestamp": now.isoformat(timespec="seconds")})
    yield head.removesuffix("}") + ', "entry": [\n' + json.dumps(outcome, ensure_ascii=False)
    medications: set[str] = set()
    current = resources.filter(no_longer_sent_at=None).order_by("resource_type", "fhir_id")
    for resource in _read(current):
        if resource.resource_type == "MedicationRequest":
            medications.add(own_id(load(resource.body).get("medicationReference"), "Medication", patient.practice.code))
        yield _entry(resource)
    shared = Resource.objects.filter(practice_id=patient.practice_id, resource_type="Medication", patient_fhir_id="")
    for ids in _chunks(sorted(medications - {""})):
        for resource in _read(shared.filter(fhir_id__in=ids)):
            yield _entry(resource)
    yield "\n]}\n"


def _row(cells: Iterable[object]) -> str:
    out = io.StringIO()
    csv.writer(out).writerow([defused(cell) for cell in cells])
    return out.getvalue()


def _said(title: str, status: str, details: str, confirmed: str = "") -> tuple[str, ...]:
    """A row about the record itself, not of it."""
    cells = {"kind": "completeness", "title": title, "status": status, "details": details}
    if confirmed:
        cells |= {"date": confirmed, "date_meaning": "last complete"}
    return tuple(cells.get(name, "") for name in COLUMNS)


def _completeness(state: TypeState) -> tuple[str, ...]:
    told = (
        f"{state.kept} kept",
        "" if state.complete and state.kept else state.sentence,
        f"from {state.source}" if state.source else "",
    )
    confirmed = state.confirmed_at.isoformat(timespec="seconds") if state.confirmed_at else ""
    return _said(f"{state.name} ({state.resource_type})", state.label, "; ".join(filter(None, told)), confirmed)


def _cells(entry: Entry, root: str) -> tuple[object, ...]:
    detail = entry.detail if isinstance(entry.detail, dict) else {}
    return (
        entry.kind,
        _as_precise(entry),
        entry.date_precision,
        entry.date_meaning,
        entry.end_date,
        detail.get("full_title") or entry.title,
        entry.code,
        entry.system,
        entry.status,
        entry.group,
        entry.role,
        "yes" if entry.about_headache else "no",
        None if entry.value is None else f"{entry.value.normalize():f}",
        detail.get("full_value_text") or entry.value_text,
        entry.unit,
        json.dumps(detail, ensure_ascii=False, sort_keys=True) if detail else "",
        f"{root}{reverse('emr:source', args=[entry.source_id])}",
    )


def _as_precise(entry: Entry) -> str:
    """The date in ISO form, as precise as the record: 2019, 2019-03 or 2019-03-07."""
    if entry.date is None:
        return ""
    return entry.date.isoformat()[: {"year": 4, "month": 7}.get(entry.date_precision, 10)]


def _outcome(top: Heading, gone: int) -> dict[str, Any]:
    said = [*_lines(top.completeness), f"{top.banner.allergies}. {top.banner.allergies_detail}".strip()]
    issues = [_issue("information", "informational", each) for each in said]
    issues += [_of_type(state) for state in top.completeness.states]
    if gone:
        issues.append(_issue("information", "deleted", f"Left out, as the EMR no longer sends them: {gone}."))
    return {"resourceType": "OperationOutcome", "issue": issues}


def _of_type(state: TypeState) -> dict[str, Any]:
    if state.complete:
        confirmed = f"complete as of {state.confirmed}, {state.kept} kept" if state.kept else state.sentence
        return _issue("information", "informational", f"{state.resource_type}: {confirmed}")
    code = {"not permitted": "forbidden", "not supported here": "not-supported"}.get(state.word, "incomplete")
    return _issue("warning", code, f"{state.resource_type}: {state.sentence}")


def _issue(severity: str, code: str, words: str) -> dict[str, Any]:
    return {"severity": severity, "code": code, "details": {"text": words}}


def _lines(known: Completeness) -> list[str]:
    if not known.enrolled:
        return ["No connection pulls this patient; what is here came earlier."]
    sources = " and ".join(known.sources)
    as_of = f"As of {known.as_of} from {sources}." if known.as_of else f"No complete list has come yet from {sources}."
    missing = f"Not included: {', '.join(known.missing)}." if known.missing else ""
    partial = f"May be incomplete: {', '.join(known.partial)}." if known.partial else ""
    return [line for line in (as_of, missing, partial) if line]


def _read(resources: Any) -> Iterator[Resource]:
    rows = resources.select_related("connection").only("resource_type", "fhir_id", "body", "connection__base_url")[
        :MOST
    ]
    yield from rows.iterator(chunk_size=_CHUNK)


def _entry(resource: Resource) -> str:
    """One entry: the resource's own text, not read and written again. Its address makes relative references work."""
    base = resource.connection.base_url if resource.connection else ""
    url = f"{base}/{resource.resource_type}/{resource.fhir_id}" if base else f"urn:uuid:{resource.pk}"
    return f',\n{{"fullUrl": {json.dumps(url)}, "resource": {resource.body.strip()}}}'


def _chunks(ids: list[str]) -> Iterator[list[str]]:
    for start in range(0, len(ids), _CHUNK):
        yield ids[start : start + _CHUNK]
