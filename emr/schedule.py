"""What is due, in which order, and the hint to a worker that it is. The rows decide; a message is only a hint."""

import logging
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from celery import current_app
from django.contrib.auth.models import AnonymousUser
from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone
from kombu.exceptions import OperationalError

from emr import audit, freshness
from emr.models import (
    BulkJob,
    Connection,
    Enrolment,
    Pull,
    TypeOutcome,
    User,
    WorkItem,
)
from emr.pulling import breaker, pace, paths

log = logging.getLogger(__name__)

# A message not taken up within this time is taken for lost and sent again; a second one does no harm.
REPUBLISH = timedelta(seconds=30)
ITEMS_A_TICK = 100
# So long before an appointment, what would be too old by then is fetched anew; within it, a miss is retried hourly.
AHEAD = timedelta(hours=12)
RETRY = timedelta(hours=1)
VIEWED_AGAIN = timedelta(minutes=15)

Rank = WorkItem.Rank
NOT_DUE: dict[str, Any] = {"due_at": None, "asked_at": None, "whole": False}


def publish(task: str, *args: object) -> bool:
    """Send a task by name (so that web processes never import the worker's modules). False: no broker right now."""
    return publish_later(task, 0, *args)


def publish_later(task: str, seconds: float, *args: object) -> bool:
    """As `publish`, to be run in so many seconds: a worker that gets the message keeps it until then."""
    try:
        current_app.send_task(task, args=[str(arg) for arg in args], countdown=seconds or None, retry=False)
    except (OperationalError, OSError):
        # What was to be done is a row, and the next tick publishes it again.
        log.warning("no broker for %s", task)
        return False
    return True


def publish_soon(item_id: UUID, seconds: float) -> None:
    """Hint at an item in a moment: in seconds, not minutes."""
    publish_later("emr.tasks.run_item", seconds, item_id)


# --- what people do ---


def request_pull(connection: Connection, reason: str) -> int:
    """Make every enrolled patient of the connection due now, with every type. Returns how many.

    Where lists over all patients bring them, those are asked for everything.
    """
    types = paths.by_population(connection)
    if types:
        connection.sweeps.filter(resource_type__in=types).update(next_at=timezone.now(), full_at=None)
        if not paths.left_over(connection, types):
            transaction.on_commit(lambda: publish("emr.tasks.tick"))
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
        waiting.update(rank=Rank.ASKED, rank_order=now.timestamp())
    asked = rows.update(due_at=now, due_reason=reason[:100], whole=True, asked_at=now if waited_for else None)
    taken = WorkItem.objects.filter(state=WorkItem.State.QUEUED, enrolment=OuterRef("pk"), wanted_at=None, cursor={})
    Enrolment.objects.filter(Exists(taken), pk__in=rows.values("pk")).update(**NOT_DUE)
    transaction.on_commit(lambda: publish("emr.tasks.tick"))
    return asked


def viewed(practice_id: UUID, patient_fhir_id: str) -> None:
    """Staff opened this patient's history: recently viewed patients are fetched before others. Cheap to call often."""
    now = timezone.now()
    Enrolment.objects.filter(
        Q(viewed_at=None) | Q(viewed_at__lt=now - VIEWED_AGAIN),
        connection__practice_id=practice_id,
        patient_fhir_id=patient_fhir_id,
    ).update(viewed_at=now)


def cancel(pull_id: UUID) -> bool:
    """End a pull: what it has stored stays, its other patients are due again as usual. False: it had ended.

    A worker in the middle of an item has lost its lease by this, and commits nothing more.
    """
    now = timezone.now()
    with transaction.atomic():
        pull = Pull.objects.select_for_update().filter(pk=pull_id, state__in=Pull.OPEN).first()
        if pull is None:
            return False
        Pull.objects.filter(pk=pull_id).update(
            state=Pull.State.CANCELLED, finished_at=now, probe_at=None, **breaker.CLOSED
        )
        left = WorkItem.objects.filter(pull=pull, state=WorkItem.State.QUEUED)
        due = {"due_at": now + pull.connection.profile.freshness.shortest, "due_reason": "after a cancelled pull"}
        Enrolment.objects.filter(pk__in=left.values("enrolment"), due_at=None).update(**due)
        ended = {"lease": None, "lease_until": None, "finished_at": now, "reason": "the pull was cancelled"}
        left.update(state=WorkItem.State.CANCELLED, **ended)
    return True


# --- what is due ---


def due_again(enrolment: Enrolment, **also: Any) -> None:
    """Its item has ended: due when the first of its lists has outlived itself, unless it is due already.

    also: further values of its row.
    """
    now = timezone.now()
    connection = enrolment.connection
    types = paths.by_population(connection)
    if not types or paths.left_over(connection, types):
        life = connection.profile.freshness.shortest
        Enrolment.objects.filter(pk=enrolment.pk, due_at=None).update(due_at=now + life, due_reason="daily")
    Enrolment.objects.filter(pk=enrolment.pk).update(pulled_at=now, **also)


def open_pulls() -> int:
    """Open a pull, with one item for each due patient, on every active connection that has none under way.

    Patients whom staff wait for or who come today or tomorrow join the pull that is under way. Returns how many were
    opened.
    """
    breaker.half_open()
    _before_appointments()
    opened = 0
    due = Q(enrolments__due_at__lte=timezone.now())
    due |= Q(registration__vendor_profile__in=paths.population_profiles())
    for connection in Connection.objects.filter(due, state=Connection.State.ACTIVE).distinct():
        try:
            opened += _open_pull(connection)
        except IntegrityError:
            continue  # another beat was quicker: one open pull per connection is the database's rule
    return opened


def _before_appointments() -> None:
    """Who comes within the next hours is due now if something would be too old by then. Once, then hourly at most."""
    now = timezone.now()
    waiting = WorkItem.objects.filter(enrolment=OuterRef("pk"), state=WorkItem.State.QUEUED)
    missed = TypeOutcome.objects.filter(enrolment=OuterRef("pk"), outcome=TypeOutcome.Outcome.NOT_FETCHED)
    coming = Enrolment.objects.filter(
        Q(due_at=None) | Q(due_at__gt=now),
        Q(pulled_at=None) | Q(pulled_at__lt=F("next_appointment_at") - AHEAD) | Exists(missed),
        Q(pulled_at=None) | Q(pulled_at__lt=now - RETRY),
        ~Exists(waiting),
        next_appointment_at__gt=now,
        next_appointment_at__lte=now + AHEAD,
        connection__state=Connection.State.ACTIVE,
    )
    late = [
        enrolment.pk
        for enrolment in freshness.with_outcomes(coming)
        if freshness.not_fresh(enrolment, enrolment.connection.profile, _wanted_at(enrolment, now) or now)
    ]
    Enrolment.objects.filter(pk__in=late).update(due_at=now, due_reason="before an appointment")


def _wanted_at(enrolment: Enrolment, now: datetime) -> datetime | None:
    """Until when what is on file must stay fresh not to be fetched: now, or the appointment that is near.

    None when a person asked: everything is fetched.
    """
    if enrolment.whole:
        return None
    at = enrolment.next_appointment_at
    return at if at is not None and now < at <= now + AHEAD else now


@transaction.atomic
def _open_pull(connection: Connection) -> int:
    now = timezone.now()
    # Locked, so that it is not ended while items join it.
    pull = connection.pulls.select_for_update().filter(state__in=Pull.OPEN).first()
    due = connection.enrolments.filter(~has_item(), due_at__lte=now)
    start, end = freshness.today_and_tomorrow(connection.practice, now)
    sweeping = pull is None and paths.sweep_due(connection, now)
    if sweeping:
        due = due.filter(asked_at__isnull=False)  # the others come with everybody, or after them
    elif pull is not None:
        due = due.filter(Q(asked_at__isnull=False) | Q(next_appointment_at__gte=start, next_appointment_at__lt=end))
    if not sweeping and not due.exists():
        return 0
    joined = pull is not None
    if pull is None:
        before = connection.pulls.order_by("-started_at").values_list("call_seconds", flat=True).first()
        pull = Pull.objects.create(connection=connection, practice_id=connection.practice_id, call_seconds=before)
    if sweeping:
        first = "" if paths.needs_probe(connection) else "Patient"
        WorkItem.objects.create(pull=pull, resource_type=first)
    add_items(pull, due)
    return 0 if joined else 1


def has_item() -> Exists:
    """Of an enrolment: an item of it is queued."""
    return Exists(WorkItem.objects.filter(enrolment=OuterRef("pk"), state=WorkItem.State.QUEUED))


def add_items(pull: Pull, rows: QuerySet[Enrolment]) -> None:
    """An item in the pull for each of these patients that has none; they are no longer due."""
    now = timezone.now()
    days = freshness.today_and_tomorrow(pull.connection.practice, now)
    enrolments = list(rows.filter(~has_item()))
    WorkItem.objects.bulk_create([_item(pull, enrolment, days, now) for enrolment in enrolments], batch_size=200)
    _taken(enrolments)


def _taken(enrolments: Iterable[Enrolment]) -> None:
    pks = [enrolment.pk for enrolment in enrolments]
    for start in range(0, len(pks), 500):
        Enrolment.objects.filter(pk__in=pks[start : start + 500]).update(**NOT_DUE)


def _item(pull: Pull, enrolment: Enrolment, days: tuple[datetime, datetime], now: datetime) -> WorkItem:
    rank, order = pace.rank(enrolment, days, now)
    return WorkItem(pull=pull, enrolment=enrolment, rank=rank, rank_order=order, wanted_at=_wanted_at(enrolment, now))


# --- what waits for a worker ---


def _takeable(now: datetime) -> QuerySet[WorkItem]:
    """Items that a worker could take now, the most urgent first."""
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    ready = Q(not_before=None) | Q(not_before__lte=now)
    # What staff wait for may still have one of the calls held back for it.
    called = Q(pull__hold_until=None) | Q(pull__hold_until__lte=now) | Q(rank=Rank.ASKED)
    return WorkItem.objects.filter(
        free,
        ready,
        called,
        state=WorkItem.State.QUEUED,
        pull__state=Pull.State.RUNNING,
        pull__connection__state=Connection.State.ACTIVE,
    ).order_by("rank", "rank_order", "pk")


def waiting_items(pull_id: UUID | None = None) -> list[UUID]:
    """Items (of this pull) that a worker could take now and that no recent message names; marked as published.

    No more of a pull than `width` are under way at a time, but for what staff wait for.
    """
    now = timezone.now()
    unsent = (
        Q(published_at=None)
        | Q(published_at__lt=now - REPUBLISH)
        | Q(not_before__gt=F("published_at"))
        | Q(pull__hold_until__gt=F("published_at"), pull__hold_until__lte=now)
    )
    rows = _takeable(now).filter(unsent)
    running = Pull.objects.filter(pk=pull_id) if pull_id else Pull.objects.filter(pk__in=rows.order_by().values("pull"))
    found: list[tuple[int, float, UUID]] = []
    wide = ("probing", "call_seconds", "connection__registration__vendor_profile")
    for pull in running.select_related("connection__registration").only(*wide):
        found += _of_pull(pull, rows.filter(pull=pull), now)
    ids = [pk for _, _, pk in sorted(found, key=lambda each: each[:2])[:ITEMS_A_TICK]]
    WorkItem.objects.filter(pk__in=ids).update(published_at=now)
    return ids


def _of_pull(pull: Pull, rows: QuerySet[WorkItem], now: datetime) -> list[tuple[int, float, UUID]]:
    """(rank, order, item) of those that may be under way now, beside those that are."""
    if pull.probing:
        return list(rows.values_list("rank", "rank_order", "pk")[:1])
    first = list(rows.values_list("rank", "rank_order", "pk")[:ITEMS_A_TICK])  # by rank: what staff wait for leads
    if not first:
        return []
    asked = [each for each in first if each[0] == Rank.ASKED]
    named = Q(published_at__gte=now - REPUBLISH) & ~Q(not_before__gt=F("published_at"))
    under_way = pull.items.filter(Q(lease_until__gt=now) | named, state=WorkItem.State.QUEUED).count()
    free = max(pace.width(pull) - under_way - len(asked), 0)
    return first[: len(asked) + free]


def hint_next(pull_id: UUID) -> None:
    """A worker has let go of an item: the next of the pull is hinted at without waiting for the tick."""
    for item_id in waiting_items(pull_id):
        publish("emr.tasks.run_item", item_id)


def ahead_of(item_id: UUID) -> UUID | None:
    """Something staff wait for on the same connection, which a worker does before this item."""
    asked = _takeable(timezone.now()).filter(rank=Rank.ASKED).exclude(pk=item_id)
    item = WorkItem.objects.filter(pk=item_id, rank__gt=Rank.ASKED).values("pull__connection")
    return asked.filter(pull__connection__in=item).values_list("pk", flat=True).first()


def finish_pulls(pull_id: UUID | None = None) -> None:
    """Close the running pulls (or this one) whose items are all done."""
    running = Pull.objects.filter(state=Pull.State.RUNNING)
    if pull_id is not None:
        if WorkItem.objects.filter(pull_id=pull_id, state=WorkItem.State.QUEUED).exists():
            return
        running = running.filter(pk=pull_id)
    waiting = running.exclude(items__state=WorkItem.State.QUEUED).exclude(bulk_job__state__in=BulkJob.OPEN)
    for pk in waiting.values_list("pk", flat=True):
        _finish_pull(pk)


@transaction.atomic
def _finish_pull(pull_id: UUID) -> None:
    pull = Pull.objects.select_for_update().filter(pk=pull_id, state=Pull.State.RUNNING).first()
    # Asked again under the lock: an item may have joined meanwhile.
    if pull is None or pull.items.filter(state=WorkItem.State.QUEUED).exists():
        return
    given_up = pull.items.filter(state=WorkItem.State.FAILED).exists()
    unfetched = pull.items.filter(enrolment__outcomes__outcome=TypeOutcome.Outcome.NOT_FETCHED).exists()
    not_exported = BulkJob.objects.filter(pull=pull).exclude(state=BulkJob.State.COMPLETE).exists()
    state = Pull.State.INCOMPLETE if given_up or unfetched or not_exported else Pull.State.COMPLETE
    Pull.objects.filter(pk=pull_id).update(state=state, finished_at=timezone.now(), **breaker.CLOSED)
