"""What a finished pull sets off here."""

from typing import Any
from uuid import UUID

from django.dispatch import receiver

from emr.signals import patient_pulled
from patients.projection import rebuild


@receiver(patient_pulled, dispatch_uid="patients.rebuild_history")
def rebuild_history(sender: object, *, practice_id: UUID, patient_fhir_id: str, **_: Any) -> None:
    """Repeatable, as the signal may be sent twice."""
    rebuild(practice_id, patient_fhir_id)
