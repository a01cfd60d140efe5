"""Where the fetching of one patient stands, for the head of the chart: asked for, under way, or when it ended."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Case, CharField, Exists, F, OuterRef, Value, When
from django.utils import timezone

from emr.models import Connection, Enrolment, WorkItem
from patients.models import Patient
from patients.wording import moment_words


@dataclass(frozen=True, slots=True)
class Fetching:
    """enrolment: whom a Refresh asks for; words: the state; asked: one is waiting already, so that no second is."""

    enrolment: UUID
    words: str
    asked: bool


def fetching(patient: Patient, zone: ZoneInfo) -> Fetching | None:
    """None when no connection pulls this patient. One query."""
    queued = WorkItem.objects.filter(enrolment=OuterRef("pk"), state=WorkItem.State.QUEUED)
    rows = Enrolment.objects.filter(connection__practice_id=patient.practice_id, patient_fhir_id=patient.fhir_id)
    state = Case(
        When(Exists(queued.filter(lease_until__gt=timezone.now())), then=Value("running")),
        When(Exists(queued), then=Value("queued")),
        When(asked_at__isnull=False, then=Value("queued")),
        default=Value(""),
        output_field=CharField(),
    )
    found = (
        rows.exclude(connection__state=Connection.State.REVOKED)
        .annotate(state=state)
        .order_by(F("asked_at").desc(nulls_last=True), "connection__created_at")
        .values_list("pk", "state", "pulled_at")
        .first()
    )
    if found is None:
        return None
    pk, said, pulled_at = found
    return Fetching(pk, _words(said, pulled_at, zone), bool(said))


def _words(state: str, pulled_at: datetime | None, zone: ZoneInfo) -> str:
    if state == "running":
        return "Being fetched from the EMR now."
    if state == "queued":
        return "Asked for; waiting for its turn."
    return f"Last fetched {moment_words(pulled_at, zone)}." if pulled_at else "Not fetched yet."
