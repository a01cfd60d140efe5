"""Who owns a work item: taken for a while by a conditional UPDATE, handed back, or given up."""

import uuid
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from emr import hints, schedule
from emr.models import Connection, Pull, WorkItem
from emr.models.leased import LeasedStep
from emr.pulling import ending, queue

# A shorter wait than this is announced to the broker; a longer one is the tick's.
SOON_SECONDS = 5.0


def claim(item_id: UUID) -> WorkItem | None:
    """The item under a new lease, its attempt counted; None when it is not to be had now."""
    lease = uuid.uuid4()
    # No join: PostgreSQL looks again at the item's own columns when two claims meet, not at a joined copy of them.
    running = Exists(
        Pull.objects.filter(pk=OuterRef("pull_id"), state=Pull.State.RUNNING, connection__state=Connection.State.ACTIVE)
    )
    taken = _free().filter(running, pk=item_id).update(lease=lease, lease_until=end(), attempts=F("attempts") + 1)
    if not taken:
        return None
    rows = WorkItem.objects.select_related("enrolment", "pull__connection__practice", "pull__connection__registration")
    item = rows.filter(pk=item_id, lease=lease).first()
    if item is not None and item.enrolment is not None and item.enrolment.connection_id == item.pull.connection_id:
        item.enrolment.connection = item.pull.connection
    return item


def claim_more(item: WorkItem, most: int) -> list[WorkItem]:
    """Further patients of its pull under the lease of `item`, the most urgent first: such as nobody has begun.

    All that staff wait for, or that has stopped a worker, is left to be claimed by itself.
    """
    new = Q(cursor={}, attempts=0, enrolment__isnull=False, rank__gt=WorkItem.Rank.ASKED)
    rows = _free().filter(new, pull=item.pull_id).order_by("rank", "rank_order", "pk")
    ids = list(rows.values_list("pk", flat=True)[:most])
    # Asked again in the UPDATE: another worker may have taken some of them meanwhile.
    _free().filter(attempts=0, pk__in=ids).update(lease=item.lease, lease_until=item.lease_until, attempts=1)
    taken = WorkItem.objects.filter(pk__in=ids, lease=item.lease).select_related("enrolment")
    for each in taken:
        each.pull = item.pull
        if each.enrolment is not None:
            each.enrolment.connection = item.pull.connection
    return list(taken)


def _free() -> QuerySet[WorkItem]:
    return WorkItem.objects.filter(WorkItem.free(), state=WorkItem.State.QUEUED)


def hand_back(item: LeasedStep, seconds: float, task: str = queue.TASK) -> None:
    """To the queue for so long. A worker that was not stopped by this step has not failed at it.

    task: who does such steps.
    """
    not_before = timezone.now() + timedelta(seconds=seconds)
    soon = seconds <= SOON_SECONDS
    handed = (
        type(item)
        ._default_manager.filter(pk=item.pk, lease=item.lease)
        .update(
            lease=None,
            lease_until=None,
            attempts=0,
            not_before=not_before,
            published_at=not_before if soon else F("published_at"),
        )
    )
    if handed and soon:
        hints.publish_later(task, seconds, item.pk)


def let_go(item: WorkItem, pk: UUID, cursor: dict[str, object]) -> None:
    """One of those claimed with `item`, for whoever comes next, to go on from this cursor."""
    free = {"lease": None, "lease_until": None, "attempts": 0, "published_at": None}
    WorkItem.objects.filter(pk=pk, lease=item.lease).update(cursor=cursor, **free)


def give_up(item: WorkItem, reason: str) -> None:
    """The item ends here; its patient is due again as usual."""
    with transaction.atomic():
        given_up = WorkItem.objects.filter(pk=item.pk, lease=item.lease).update(
            state=WorkItem.State.FAILED, reason=reason, lease=None, lease_until=None, finished_at=timezone.now()
        )
        if given_up and item.enrolment is not None:
            schedule.due_again([item.enrolment])
    ending.finish_pulls(item.pull_id)


def done() -> dict[str, Any]:
    """What an item's row says when all of it is done."""
    return {"state": WorkItem.State.DONE, "finished_at": timezone.now(), "lease": None, "lease_until": None}


def end(seconds: float = 0.0) -> datetime:
    """When a lease taken now ends, lasting at least so long."""
    return timezone.now() + timedelta(seconds=max(seconds, settings.LEASE_SECONDS))
