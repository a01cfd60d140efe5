"""Who owns a step of an export: found, taken for a while by a conditional UPDATE, handed back, or given up."""

import uuid
from collections import Counter
from collections.abc import Iterable, Iterator
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q, QuerySet
from django.utils import timezone

from emr import hints
from emr.models import BulkItem, BulkJob, Connection, Pull
from emr.pulling import leases

Kind, State = BulkItem.Kind, BulkItem.State
# The export's own step rests while its files and patients are worked on.
_ITS_TURN = (BulkJob.State.STARTING, BulkJob.State.EXPORTING, BulkJob.State.CLOSING)
MOST = 100
# Files of one export fetched side by side: servers answer bursts of downloads with 429 and 502.
ABREAST = 2
TASK = "emr.tasks.run_bulk_item"


def _takeable() -> QuerySet[BulkItem]:
    # No joins: PostgreSQL looks again at the item's own columns when two claims meet, not at a joined copy of them.
    jobs = BulkJob.objects.filter(pk=OuterRef("job_id"))
    running = jobs.filter(pull__state=Pull.State.RUNNING, connection__state=Connection.State.ACTIVE)
    cancelled = jobs.filter(pull__state=Pull.State.CANCELLED, state__in=BulkJob.OPEN)
    turn = Exists(running.filter(state__in=_ITS_TURN)) | Exists(cancelled)
    return BulkItem.objects.filter(
        BulkItem.free(), (Q(kind=Kind.EXPORT) & turn) | (~Q(kind=Kind.EXPORT) & Exists(running)), state=State.QUEUED
    )


def waiting_items() -> list[UUID]:
    """Steps that a worker could take now and that no recent message names; marked as published."""
    now = timezone.now()
    held = Q(job__pull__hold_until__gt=now)
    rows = _takeable().filter(hints.unsent()).exclude(held).order_by("job__created_at", "number", "pk")
    ids = list(_abreast(rows.values_list("pk", "kind", "job")[:MOST]))
    BulkItem.objects.filter(pk__in=ids).update(published_at=now)
    return ids


def _abreast(rows: Iterable[tuple[UUID, str, UUID]]) -> Iterator[UUID]:
    now = timezone.now()
    under_way = Q(lease_until__gt=now) | Q(published_at__gt=now)  # or to be tried again in a moment
    files = BulkItem.objects.filter(under_way, kind=Kind.FILE, state=State.QUEUED)
    busy = Counter(files.values_list("job", flat=True))
    for pk, kind, job in rows:
        if kind == Kind.FILE:
            busy[job] += 1
            if busy[job] > ABREAST:
                continue
        yield pk


def claim(item_id: UUID) -> BulkItem | None:
    """The item under a new lease, its attempt counted; None when it is not to be had now."""
    lease = uuid.uuid4()
    taken = _takeable().filter(pk=item_id).update(lease=lease, lease_until=leases.end(), attempts=F("attempts") + 1)
    if not taken:
        return None
    rows = BulkItem.objects.select_related("job__pull", "job__connection__practice", "job__connection__registration")
    return rows.filter(pk=item_id, lease=lease).first()


def hand_back(item: BulkItem, seconds: float) -> None:
    """As leases.hand_back."""
    leases.hand_back(item, seconds, TASK)


def hint_waiting() -> None:
    """Something ended: what waited for it may begin."""
    for item_id in waiting_items():
        hint(item_id)


def hint(item_id: UUID) -> None:
    """A worker may begin at once; without a broker the next tick says so again."""
    hints.publish(TASK, item_id)
