"""What people ask of the engine: a whole practice, or one patient, before others."""

from datetime import timedelta
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from emr import audit, hints, schedule
from emr.models import Connection, Enrolment, User, WorkItem
from emr.pulling import paths

VIEWED_AGAIN = timedelta(minutes=15)


def request_pull(connection: Connection, reason: str) -> int:
    """Make every enrolled patient of the connection due now, with every type. Returns how many.

    Where lists over all patients bring them, those are asked for everything.
    """
    types = paths.by_population(connection)
    if types:
        connection.sweeps.filter(resource_type__in=types).update(next_at=timezone.now(), full_at=None)
        if not paths.left_over(connection, types):
            transaction.on_commit(lambda: hints.publish("emr.tasks.tick"))
            return connection.enrolments.count()
    return _ask(connection.enrolments.all(), reason, waited_for=False)


@transaction.atomic
def refresh(practice_id: UUID, patient_fhir_id: str, by: User | AnonymousUser | None) -> bool:
    """Staff want this patient now: before all others, every type; audited. False when no connection pulls them."""
    rows = Enrolment.objects.filter(connection__practice_id=practice_id, patient_fhir_id=patient_fhir_id)
    rows = rows.exclude(connection__state=Connection.State.REVOKED)
    asked = _ask(rows, "asked for by staff", waited_for=True)
    for enrolment in rows.select_related("connection__practice"):
        audit.record(
            audit.Action.PULL,
            by=by,
            practice=enrolment.connection.practice,
            patient_fhir_id=patient_fhir_id,
            object_id=enrolment.pk,
            detail="asked for a refresh",
        )
    return asked > 0


@transaction.atomic
def _ask(rows: QuerySet[Enrolment], reason: str, *, waited_for: bool) -> int:
    now = timezone.now()
    # An item nobody has begun takes the wish along; for one that is under way, the wish stays due.
    waiting = WorkItem.objects.filter(state=WorkItem.State.QUEUED, enrolment__in=rows.values("pk"))
    waiting.filter(lease=None, cursor={}).update(wanted_at=None)
    if waited_for:
        waiting.update(rank=WorkItem.Rank.ASKED, rank_order=now.timestamp())
    asked = rows.update(due_at=now, due_reason=reason[:100], whole=True, asked_at=now if waited_for else None)
    taken = WorkItem.objects.filter(state=WorkItem.State.QUEUED, enrolment=OuterRef("pk"), wanted_at=None, cursor={})
    Enrolment.objects.filter(Exists(taken), pk__in=rows.values("pk")).update(**schedule.NOT_DUE)
    transaction.on_commit(lambda: hints.publish("emr.tasks.tick"))
    return asked


def viewed(practice_id: UUID, patient_fhir_id: str) -> None:
    """Staff opened this patient's history: recently viewed patients are fetched before others. Cheap to call often."""
    now = timezone.now()
    Enrolment.objects.filter(
        Q(viewed_at=None) | Q(viewed_at__lt=now - VIEWED_AGAIN),
        connection__practice_id=practice_id,
        patient_fhir_id=patient_fhir_id,
    ).update(viewed_at=now)
