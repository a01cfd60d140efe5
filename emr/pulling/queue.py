"""The items of pulls that wait for a worker: which may be taken now, the most urgent first, and the hint at them."""

from datetime import datetime
from uuid import UUID

from django.db.models import F, Q, QuerySet
from django.utils import timezone

from emr import hints
from emr.hints import ITEMS_A_TICK, REPUBLISH
from emr.models import Connection, Pull, WorkItem
from emr.pulling import pace

Rank = WorkItem.Rank
TASK = "emr.tasks.run_item"


def _takeable(now: datetime) -> QuerySet[WorkItem]:
    """Items that a worker could take now, the most urgent first."""
    # What staff wait for may still have one of the calls held back for it.
    called = Q(pull__hold_until=None) | Q(pull__hold_until__lte=now) | Q(rank=Rank.ASKED)
    return WorkItem.objects.filter(
        WorkItem.free(),
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
    held_since = Q(pull__hold_until__gt=F("published_at"), pull__hold_until__lte=now)
    rows = _takeable(now).filter(hints.unsent() | held_since)
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
        hints.publish(TASK, item_id)


def ahead_of(item_id: UUID) -> UUID | None:
    """Something staff wait for on the same connection, which a worker does before this item."""
    asked = _takeable(timezone.now()).filter(rank=Rank.ASKED).exclude(pk=item_id)
    item = WorkItem.objects.filter(pk=item_id, rank__gt=Rank.ASKED).values("pull__connection")
    return asked.filter(pull__connection__in=item).values_list("pk", flat=True).first()
