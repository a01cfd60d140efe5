"""Run one leased work item, of whichever kind: one patient, one type over all patients, or the probe."""

import logging
from datetime import timedelta
from uuid import UUID

from django.db import OperationalError
from django.utils import timezone

from emr import calls, tokens
from emr.models import Pull, WorkItem
from emr.pulling import leases, population, probing, queue, room, together
from emr.pulling.holds import Hold, LeaseLost, Postponed
from emr.pulling.patient import Run

log = logging.getLogger(__name__)

GIVEN_UP = "its worker stopped three times on this page"


def run(item_id: UUID) -> None:
    """Go on with this item until it is done, must wait, or its time is over; with one staff wait for before it."""
    for pk in (queue.ahead_of(item_id), item_id):
        item = leases.claim(pk) if pk else None
        if item is not None:
            try:
                if not together.tell(item):
                    _run(item)
            except OperationalError as error:
                room.wait_for(item, error)
                return  # the next item would meet the same, and cost a call
            queue.hint_next(item.pull_id)


def _run(item: WorkItem) -> None:
    if item.attempts > WorkItem.MAX_ATTEMPTS:
        leases.give_up(item, GIVEN_UP)
        if item.enrolment is None:
            population.given_up(item)
        return
    try:
        _hold(item).go()
    except calls.OverBudget as wait:
        if item.rank != WorkItem.Rank.ASKED:
            # The others of this pull need not find out one by one.
            until = timezone.now() + timedelta(seconds=wait.seconds)
            Pull.objects.filter(pk=item.pull_id).update(hold_until=until)
        leases.hand_back(item, wait.seconds)
    except (tokens.TokenBusy, Postponed) as wait:
        leases.hand_back(item, wait.seconds)
    except LeaseLost:
        log.info("item %s was taken over", item.pk)


def _hold(item: WorkItem) -> Hold:
    if item.enrolment is not None:
        return Run(item, item.enrolment)
    return population.Sweeping(item) if item.resource_type else probing.Probing(item)
