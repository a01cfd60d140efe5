"""The audit trail: one row for each look at a chart, written in the same transaction as the look."""

from uuid import UUID

from django.contrib.auth.models import AnonymousUser

from emr.models import AuditEvent, Practice, User

Action = AuditEvent.Action


def record(
    action: AuditEvent.Action,
    *,
    by: User | AnonymousUser | None,
    practice: Practice | None = None,
    patient_id: UUID | None = None,
    object_id: UUID | None = None,
    detail: str = "",
) -> AuditEvent:
    """Add one event. Raises what the database raises: a page whose read cannot be recorded must not be shown."""
    return AuditEvent.objects.create(
        action=action,
        user=by if isinstance(by, User) else None,
        practice=practice,
        patient_id=patient_id,
        object_id=object_id,
        detail=detail[:200],
    )
