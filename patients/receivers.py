"""What a finished pull, and what staff enter, set off here."""

from typing import Any
from uuid import UUID

from django.db.models.signals import post_save
from django.dispatch import receiver

from emr.signals import patient_pulled
from patients import histories, listing
from patients.models import Assessment, Patient
from patients.projection import rebuild


@receiver(patient_pulled, dispatch_uid="patients.rebuild_history")
def rebuild_history(sender: object, *, practice_id: UUID, patient_fhir_id: str, **_: Any) -> None:
    """Repeatable, as the signal may be sent twice. The list follows the history: also a pull that changed nothing
    confirmed it."""
    rebuild(practice_id, patient_fhir_id)
    patient = Patient.objects.select_related("practice").filter(practice=practice_id, fhir_id=patient_fhir_id).first()
    if patient is not None:
        listing.refresh(patient)
        # So that the first to open the chart after a pull does not wait for its page to be made.
        histories.refresh(patient)


@receiver(post_save, sender=Patient, dispatch_uid="patients.list_by_name")
def list_by_name(sender: object, *, instance: Patient, **_: Any) -> None:
    """Nobody is on file who cannot be found."""
    listing.rename([instance])


@receiver(post_save, sender=Assessment, dispatch_uid="patients.list_by_assessment")
def list_by_assessment(sender: object, *, instance: Assessment, **_: Any) -> None:
    """A MIDAS entered or taken back is one the list filters by."""
    listing.refresh(Patient.objects.select_related("practice").get(pk=instance.patient_id))
