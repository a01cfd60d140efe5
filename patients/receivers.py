"""What a finished pull, and what staff enter, set off here."""

from typing import Any
from uuid import UUID

from django.db.models.signals import post_save
from django.dispatch import receiver

from emr import audit
from emr.signals import patient_pulled, patients_confirmed
from patients import histories, listing
from patients.models import Assessment, Patient
from patients.projection import rebuild


def _row_of(practice_id: UUID, fhir_id: str) -> UUID | None:
    rows = Patient.objects.filter(practice=practice_id, fhir_id=fhir_id)
    return rows.values_list("pk", flat=True).first()


audit.find_patients_with(_row_of)


@receiver(patient_pulled, dispatch_uid="patients.rebuild_history")
def rebuild_history(sender: object, *, practice_id: UUID, patient_fhir_id: str, changed: bool = True, **_: Any) -> None:
    """Repeatable, as the signal may be sent twice. A pull that changed nothing confirmed what the list shows."""
    if changed:
        rebuild(practice_id, patient_fhir_id)
    patient = Patient.objects.select_related("practice").filter(practice=practice_id, fhir_id=patient_fhir_id).first()
    if patient is not None:
        if changed:
            listing.refresh(patient)
        else:
            listing.confirm(practice_id, [patient_fhir_id])
        # So that the first to open the chart after a pull does not wait for its page to be made.
        histories.refresh(patient)


@receiver(patients_confirmed, dispatch_uid="patients.confirm")
def confirm(sender: object, *, practice_id: UUID, patient_fhir_ids: list[str], **_: Any) -> None:
    """What is on file of these was confirmed, and nothing else changed."""
    listing.confirm(practice_id, patient_fhir_ids)


@receiver(post_save, sender=Patient, dispatch_uid="patients.list_by_name")
def list_by_name(sender: object, *, instance: Patient, **_: Any) -> None:
    """Nobody is on file who cannot be found."""
    listing.rename([instance])


@receiver(post_save, sender=Assessment, dispatch_uid="patients.list_by_assessment")
def list_by_assessment(sender: object, *, instance: Assessment, **_: Any) -> None:
    """A MIDAS entered or taken back is one the list filters by."""
    listing.refresh(Patient.objects.select_related("practice").get(pk=instance.patient_id))
