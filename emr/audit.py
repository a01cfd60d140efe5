"""The audit trail: one row for each look at a chart, written in the same transaction as the look."""

from collections.abc import Callable
from uuid import UUID

from django.contrib.auth.models import AnonymousUser

from emr import addresses
from emr.models import AuditEvent, Practice, User

Action = AuditEvent.Action
Finder = Callable[[UUID, str], UUID | None]

_finders: list[Finder] = []


def record(
    action: AuditEvent.Action,
    *,
    by: User | AnonymousUser | None,
    practice: Practice | None = None,
    patient_id: UUID | None = None,
    patient_fhir_id: str = "",
    object_id: UUID | None = None,
    detail: str = "",
) -> AuditEvent:
    """Add one event. Raises what the database raises: a page whose read cannot be recorded must not be shown.

    The client's address is that of the request this runs for. patient_fhir_id: where the caller knows no more than
    that; the patient's row is looked up. The practice's chain is locked from here to the end of the transaction: call
    this after its other writes.
    """
    if patient_id is None and patient_fhir_id and practice is not None:
        patient_id = _patient(practice.pk, patient_fhir_id)
    return AuditEvent.objects.create(
        action=action,
        user=by if isinstance(by, User) else None,
        practice=practice,
        patient_id=patient_id,
        object_id=object_id,
        detail=_marked(by, practice, detail)[:200],
        address=addresses.current(),
    )


def _marked(by: User | AnonymousUser | None, practice: Practice | None, detail: str) -> str:
    broken = isinstance(by, User) and practice is not None and practice.pk in by.behind_glass
    return f"BREAK-GLASS {detail}".strip() if broken else detail


def find_patients_with(finder: Finder) -> None:
    """How a patient's row is found by (practice id, FHIR id); given by the application that has such rows."""
    _finders[:] = [finder]


def _patient(practice_id: UUID, fhir_id: str) -> UUID | None:
    return next((finder(practice_id, fhir_id) for finder in _finders), None)
