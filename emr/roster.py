"""Whom we pull. EMRs list nobody for a bare /Patient, so a patient becomes known in one of a few other ways."""

from collections.abc import Iterable
from datetime import datetime

from django.utils import timezone

from emr.models import Connection, Enrolment, Practice


def enrol(
    connection: Connection,
    fhir_ids: Iterable[str],
    known_by: str,
    *,
    waited_for: bool = False,
    due_at: datetime | None = None,
    due_reason: str = "newly enrolled",
) -> int:
    """Enrol these patients, due at once; those already enrolled stay as they are. Returns how many are new.

    `waited_for`: staff want them now, before others. `due_at`: for those who are being fetched in another way.
    """
    wanted = list(dict.fromkeys(text.strip() for text in fhir_ids if text.strip()))
    known = set(connection.enrolments.filter(patient_fhir_id__in=wanted).values_list("patient_fhir_id", flat=True))
    now = timezone.now()
    rows = [
        Enrolment(
            connection=connection,
            patient_fhir_id=fhir_id,
            known_by=known_by,
            due_at=due_at or now,
            due_reason=due_reason,
            asked_at=now if waited_for else None,
        )
        for fhir_id in wanted
        if fhir_id not in known
    ]
    Enrolment.objects.bulk_create(rows, batch_size=200, ignore_conflicts=True)
    return len(rows)


def connection_of(practice: Practice) -> Connection | None:
    """The connection that pulls this practice's patients by itself, the oldest of several; None without one."""
    rows = practice.connections.select_related("registration", "practice").order_by("created_at")
    return next((row for row in rows if row.state != Connection.State.REVOKED and row.registration.is_backend), None)
