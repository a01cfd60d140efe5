"""What is due, in which order, and the hint to a worker that it is. The rows decide; a message is only a hint."""

import logging
from datetime import timedelta
from uuid import UUID

from celery import current_app
from django.db import IntegrityError, transaction
from django.db.models import F, Q
from django.utils import timezone
from kombu.exceptions import OperationalError

from emr import catalogue
from emr.models import Connection, Enrolment, Pull, WorkItem

log = logging.getLogger(__name__)

DAILY = timedelta(hours=24)
# A message not taken up within this time is taken for lost and sent again; a second one does no harm.
REPUBLISH = timedelta(seconds=30)
RECHECK = timedelta(seconds=60)
ITEMS_A_TICK = 100


def publish(task: str, *args: object) -> bool:
    """Send a task by name (so that web processes never import the worker's modules). False: no broker right now."""
    try:
        current_app.send_task(task, args=[str(arg) for arg in args], retry=False)
    except (OperationalError, OSError):
        # The row stays queued and the next tick publishes it again.
        log.warning("no broker for %s", task)
        return False
    return True


def request_pull(connection: Connection, reason: str) -> int:
    """Make every enrolled patient of the connection due now. Returns how many."""
    due = connection.enrolments.update(due_at=timezone.now(), due_reason=reason)
    transaction.on_commit(lambda: publish("emr.tasks.tick"))
    return due


def open_pulls() -> int:
    """Open a pull, with one item for each due patient, on every active connection that has none running."""
    opened = 0
    due = Q(enrolments__due_at__lte=timezone.now())
    idle = Connection.objects.filter(due, state=Connection.State.ACTIVE).exclude(pulls__state=Pull.State.RUNNING)
    for connection in idle.distinct():
        try:
            opened += _open_pull(connection)
        except IntegrityError:
            continue  # another beat was quicker: one running pull per connection is the database's rule
    return opened


@transaction.atomic
def _open_pull(connection: Connection) -> int:
    enrolments = connection.enrolments.filter(due_at__lte=timezone.now()).order_by("due_at", "created_at")
    pull = Pull.objects.create(connection=connection, practice_id=connection.practice_id)
    items = [WorkItem(pull=pull, enrolment=enrolment) for enrolment in enrolments]
    WorkItem.objects.bulk_create(items, batch_size=200)
    Enrolment.objects.filter(items__pull=pull).update(due_at=None)
    return 1


def waiting_items() -> list[UUID]:
    """Items that a worker could take now and that no recent message names; marked as published."""
    now = timezone.now()
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    ready = Q(not_before=None) | Q(not_before__lte=now)
    unsent = Q(published_at=None) | Q(published_at__lt=now - REPUBLISH) | Q(not_before__gt=F("published_at"))
    items = WorkItem.objects.filter(
        free, ready, unsent, state=WorkItem.State.QUEUED, pull__connection__state=Connection.State.ACTIVE
    ).order_by("pull__started_at", "enrolment__created_at", "pk")
    ids = list(items.values_list("pk", flat=True)[:ITEMS_A_TICK])
    WorkItem.objects.filter(pk__in=ids).update(published_at=now)
    return ids


def connections_to_check() -> list[UUID]:
    """Degraded connections whose trouble may clear by itself, at most once a minute each."""
    degraded = Connection.objects.filter(
        state=Connection.State.DEGRADED, reason_at__lt=timezone.now() - RECHECK
    ).values_list("pk", "reason_code")
    return [pk for pk, code in degraded if catalogue.explain(code).retries in {"backs off", "once"}]


def finish_pulls(pull_id: UUID | None = None) -> None:
    """Close the running pulls (or this one) whose items are all done."""
    running = Pull.objects.filter(state=Pull.State.RUNNING)
    if pull_id is not None:
        running = running.filter(pk=pull_id)
    for pull in running.exclude(items__state=WorkItem.State.QUEUED):
        given_up = pull.items.filter(state=WorkItem.State.FAILED).exists()
        unfetched = pull.items.filter(enrolment__outcomes__outcome="not-fetched").exists()
        state = Pull.State.INCOMPLETE if given_up or unfetched else Pull.State.COMPLETE
        Pull.objects.filter(pk=pull.pk, state=Pull.State.RUNNING).update(state=state, finished_at=timezone.now())
