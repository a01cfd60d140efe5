"""What is due, and the pulls opened for it."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from emr import freshness
from emr.models import Connection, Enrolment, Pull, TypeOutcome, WorkItem
from emr.pulling import breaker, pace, paths

# So long before an appointment, what would be too old by then is fetched anew; within it, a miss is retried hourly.
AHEAD = timedelta(hours=12)
RETRY = timedelta(hours=1)

NOT_DUE: dict[str, Any] = {"due_at": None, "asked_at": None, "whole": False}


def due_again(enrolments: Sequence[Enrolment], **also: Any) -> None:
    """Their items have ended: due when the first of their lists has outlived itself, unless they are due already.

    enrolments: of one connection. also: further values of their rows.
    """
    if not enrolments:
        return
    connection = enrolments[0].connection
    types = paths.by_population(connection)
    own = Enrolment.objects.filter(pk__in=[each.pk for each in enrolments])
    if not types or paths.left_over(connection, types):
        life = connection.profile.freshness.shortest
        own.filter(due_at=None).update(due_at=timezone.now() + life, due_reason="daily")
    own.update(pulled_at=timezone.now(), **also)


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
