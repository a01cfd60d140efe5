"""Bytes that were no usable resource, tried again: after a repair of ours, or once their patient is enrolled."""

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from emr import signals, store
from emr.models import Enrolment, Quarantine
from emr.wire import fhir


def retry(pk: UUID) -> bool:
    """Keep the stored bytes as if they came now. True when they are a resource; else the reason is brought up to date.

    Bytes about another patient than the one asked for are kept as that patient's, if the same connection pulls them.
    """
    with transaction.atomic():
        row = Quarantine.objects.select_for_update().filter(pk=pk, released_at=None).first()
        if row is None or row.connection is None:
            return False
        reason, patient = _keep(row)
        row.retry_asked_at = None
        if reason:
            row.reason = reason[:200]
            row.save(update_fields=["retry_asked_at", "reason"])
            return False
        row.released_at = timezone.now()
        row.save(update_fields=["retry_asked_at", "released_at"])
        enrolments = Enrolment.objects.filter(connection=row.connection, patient_fhir_id=patient)
        enrolments.update(untold=True)
    if patient:
        signals.patient_pulled.send(sender=retry, practice_id=row.practice_id, patient_fhir_id=patient, changed=True)
        enrolments.update(untold=False)
    return True


def _keep(row: Quarantine) -> tuple[str, str]:
    """("", whose resource it is now) or (why it is none, "")."""
    assert row.connection is not None  # noqa: S101 - asked above; for the type checker
    entry = fhir.entry_of(row.body)
    patient = row.patient_fhir_id
    about = fhir.patient_of(entry.resource) if entry.resource is not None else None
    if about not in (None, patient):
        if not Enrolment.objects.filter(connection=row.connection, patient_fhir_id=about).exists():
            return row.reason, ""
        patient = about or ""
    if entry.fault or entry.resource is None:
        return entry.fault or row.reason, ""
    store.keep([entry], connection=row.connection, patient_fhir_id=patient, query=row.query)
    return "", patient
