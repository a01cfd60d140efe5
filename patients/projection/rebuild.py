"""The one way from stored resources to a patient's rows.

Repeatable and incremental: an unchanged entry is not written, a second run writes nothing. Two runs for one
patient follow each other (they lock the Patient row); runs for different patients do not meet.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from emr.models import Resource
from patients.bindings import bindings_of
from patients.models import Entry, Patient
from patients.projection import (
    allergies,
    appointments,
    conditions,
    documents,
    encounters,
    gathering,
    medications,
    names,
    observations,
    procedures,
    questionnaires,
    reports,
)
from patients.projection.chart import Chart
from patients.projection.facts import Fact
from patients.projection.patient import demographics
from patients.projection.readers import Body, load, own_id

Key = tuple[UUID, int]
Columns = dict[str, Any]

# To project another resource type, add its function here.
READERS: dict[str, Callable[[Body, Chart], Iterable[Fact]]] = {
    "Condition": conditions.read,
    "MedicationRequest": medications.read,
    "AllergyIntolerance": allergies.read,
    "Observation": observations.read,
    "Encounter": encounters.read,
    "DiagnosticReport": reports.read,
    "Procedure": procedures.read,
    "Appointment": appointments.read,
    "QuestionnaireResponse": questionnaires.read,
    "DocumentReference": documents.read,
}

_COLUMNS = [each.name for each in Entry._meta.concrete_fields if each.name not in {"id", "source", "ordinal"}]
_IDS_PER_DELETE = 500  # SQLite limits the parameters of one statement


@dataclass(frozen=True, slots=True)
class Changes:
    """Entries that a rebuild wrote (new, changed), removed (gone) and found as they should be (same)."""

    new: int = 0
    changed: int = 0
    gone: int = 0
    same: int = 0

    def __add__(self, other: "Changes") -> "Changes":
        return Changes(
            self.new + other.new, self.changed + other.changed, self.gone + other.gone, self.same + other.same
        )

    @property
    def wrote(self) -> bool:
        return bool(self.new or self.changed or self.gone)


def rebuild(practice_id: UUID, patient_fhir_id: str) -> Changes:
    """Bring that patient's Patient and Entry rows to what the practice's resources say, in one transaction.

    Creates the Patient row when there is any resource about the patient, and never deletes it.
    """
    with transaction.atomic():
        patient = _locked_patient(practice_id, patient_fhir_id)
        if patient is None:
            return Changes()
        bodies = _bodies(patient)
        changes = _write(patient, _wanted(patient, bodies))
        named = _update_demographics(patient, bodies)
        if changes.wrote or named:
            patient.projected_at = timezone.now()
            patient.save()
        return changes


def _locked_patient(practice_id: UUID, fhir_id: str) -> Patient | None:
    patients = Patient.objects.select_for_update(of=("self",)).select_related("practice")
    patient = patients.filter(practice_id=practice_id, fhir_id=fhir_id).first()
    if patient is not None:
        return patient
    # A blank id marks resources that are about nobody.
    if not fhir_id or not Resource.objects.filter(practice_id=practice_id, patient_fhir_id=fhir_id).exists():
        return None
    return patients.get_or_create(practice_id=practice_id, fhir_id=fhir_id)[0]


def _bodies(patient: Patient) -> list[tuple[UUID, str, Body]]:
    """(resource key, type, body) of what is projected, and of the Patient resource even when no longer sent:
    a chart keeps its name when the server stops sending it."""
    current = Q(resource_type__in=READERS, no_longer_sent_at=None, entered_in_error=False)
    who = Q(resource_type="Patient", fhir_id=patient.fhir_id)
    rows = Resource.objects.filter(current | who, practice_id=patient.practice_id, patient_fhir_id=patient.fhir_id)
    return [(pk, type_, load(body)) for pk, type_, body in rows.values_list("pk", "resource_type", "body")]


def _wanted(patient: Patient, bodies: list[tuple[UUID, str, Body]]) -> dict[Key, Columns]:
    code = patient.practice.code
    orders = [body for _, type_, body in bodies if type_ == "MedicationRequest"]
    ids = {found for order in orders if (found := own_id(order.get("medicationReference"), "Medication", code))}
    read = [(type_, body) for _, type_, body in bodies if type_ in READERS]
    names.fill(read, patient.practice_id, code)
    chart = gathering.chart(read, code, _medications(patient.practice_id, ids))
    chart = replace(chart, bindings=bindings_of(patient.practice_id) if orders else {})
    return {
        (pk, ordinal): gathering.at_visit(fact, type_, body, chart).columns()
        for pk, type_, body in bodies
        if type_ in READERS
        for ordinal, fact in enumerate(READERS[type_](body, chart))
    }


def _medications(practice_id: UUID, ids: set[str]) -> dict[str, Body]:
    if not ids:
        return {}
    rows = Resource.objects.filter(practice_id=practice_id, resource_type="Medication", fhir_id__in=ids)
    return {fhir_id: load(body) for fhir_id, body in rows.values_list("fhir_id", "body")}


def _write(patient: Patient, wanted: dict[Key, Columns]) -> Changes:
    rows = Entry.objects.filter(patient=patient).values_list("pk", "source_id", "ordinal", "fingerprint")
    there = {(source, ordinal): (pk, fingerprint) for pk, source, ordinal, fingerprint in rows}
    differing = {
        key: columns for key, columns in wanted.items() if key not in there or there[key][1] != columns["fingerprint"]
    }
    # An upsert, so that a resource which moved here from another patient brings its entries along.
    Entry.objects.bulk_create(
        (
            Entry(practice_id=patient.practice_id, patient=patient, source_id=source, ordinal=ordinal, **columns)
            for (source, ordinal), columns in differing.items()
        ),
        update_conflicts=True,
        unique_fields=["source", "ordinal"],
        update_fields=_COLUMNS,
    )
    gone = [pk for key, (pk, _) in there.items() if key not in wanted]
    for ids in _chunks(gone):
        Entry.objects.filter(pk__in=ids).delete()
    new = sum(key not in there for key in differing)
    return Changes(new, len(differing) - new, len(gone), len(wanted) - len(differing))


def _chunks(ids: list[UUID]) -> Iterator[list[UUID]]:
    for start in range(0, len(ids), _IDS_PER_DELETE):
        yield ids[start : start + _IDS_PER_DELETE]


def _update_demographics(patient: Patient, bodies: list[tuple[UUID, str, Body]]) -> bool:
    """Take over what the Patient resource says; whether anything differs. Without one, all stays."""
    for pk, type_, body in bodies:
        if type_ == "Patient" and body:
            who = demographics(body, timezone.now().date(), patient.practice.code)
            said = asdict(who) | {"source_id": pk}
            differs = any(getattr(patient, name) != value for name, value in said.items())
            for name, value in said.items():
                setattr(patient, name, value)
            return differs
    return False
