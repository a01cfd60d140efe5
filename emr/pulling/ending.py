"""How a pull ends: with its last item, or because somebody cancels it."""

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from emr.models import BulkJob, Enrolment, Pull, TypeOutcome, WorkItem
from emr.pulling import breaker


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
