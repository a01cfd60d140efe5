"""When a patient comes next, by the EMR's own Appointment resources, for the order of pulls.

Where a connection may read them they say it; elsewhere the schedule that staff upload does (emr.uploads).
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from django.utils import timezone

from emr import freshness
from emr.models import Connection, Enrolment, Resource

# FHIR R4 AppointmentStatus: those in which somebody is expected.
_EXPECTED = {"booked", "arrived", "checked-in", "pending"}
_AT_ONCE = 500


def note(connection: Connection, patient_fhir_ids: Iterable[str]) -> None:
    """Write down each of these patients' next appointment from today on, or that there is none."""
    ids = sorted(set(patient_fhir_ids))
    for start in range(0, len(ids), _AT_ONCE):
        _note(connection, ids[start : start + _AT_ONCE])


def _note(connection: Connection, ids: list[str]) -> None:
    since, _ = freshness.today_and_tomorrow(connection.practice, timezone.now())
    rows = Resource.objects.filter(
        practice_id=connection.practice_id,
        patient_fhir_id__in=ids,
        resource_type="Appointment",
        no_longer_sent_at=None,
        entered_in_error=False,
    )
    coming: dict[str, datetime] = {}
    for patient, body in rows.values_list("patient_fhir_id", "body").iterator(chunk_size=500):
        at = expected_at(json.loads(body))
        if at is not None and at >= since and at < coming.get(patient, at.max.replace(tzinfo=UTC)):
            coming[patient] = at
    enrolments = list(connection.enrolments.filter(patient_fhir_id__in=ids))
    changed = [each for each in enrolments if each.next_appointment_at != coming.get(each.patient_fhir_id)]
    for each in changed:
        each.next_appointment_at = coming.get(each.patient_fhir_id)
    Enrolment.objects.bulk_update(changed, ["next_appointment_at"], batch_size=100)


def expected_at(appointment: dict[str, Any]) -> datetime | None:
    """When somebody is expected (FHIR R4 Appointment.start, an instant); None when it is off or has no time."""
    start = appointment.get("start")
    if appointment.get("status") not in _EXPECTED or not isinstance(start, str):
        return None
    try:
        at = datetime.fromisoformat(start)
    except ValueError:
        return None
    return at if at.tzinfo else None
