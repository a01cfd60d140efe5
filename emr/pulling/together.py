"""Patients of whom nothing is left to be asked for, since lists of all patients brought everything: told together.

Such an item has only to find that out, to note how the types ended that no list brings, and to tell the receivers. One
lease, one look for references and one write of each table serve a few dozen, where one by itself needs some twenty
statements. Who has something left to be read goes alone, and so does whoever has stopped a worker before.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db import transaction

from emr import schedule, tokens
from emr.bearers import Access
from emr.models import Connection, Enrolment, TypeOutcome, WorkItem
from emr.pulling import ending, leases, outcomes, paths, references
from emr.pulling.journey import NOT_GRANTED
from emr.pulling.patient import WITHOUT_TOKEN, Run

# A history takes some 50 ms to rebuild, and the lease must outlast them all.
MOST = 25


@dataclass(frozen=True)
class Over:
    """A patient of whom nothing is left to be asked for. refused: types of the plan that are not granted."""

    run: Run
    refused: list[str]


def tell(item: WorkItem) -> bool:
    """End this item and others like it. False when its patient has to go alone: then nothing of it was changed."""
    access = _access(item)
    if access is None:
        return False
    runs = _runs(item, [item, *leases.claim_more(item, MOST - 1)])
    over, left = _sorted(item.pull.connection, runs, access)
    if over:
        _tell(over)
    for pk, cursor in left.items():
        if pk != item.pk:
            leases.let_go(item, pk, cursor)
    return item.pk not in left


def _access(item: WorkItem) -> Access | None:
    """The token that says which types are granted; None where this item is not of the kind, or no token is at hand."""
    connection = item.pull.connection
    new = item.enrolment is not None and item.rank > WorkItem.Rank.ASKED and item.attempts == 1 and not item.cursor
    if not new or not connection.profile.population:
        return None
    types = paths.by_population(connection)
    return tokens.held(connection) if types and not paths.left_over(connection, types) else None


def _runs(item: WorkItem, items: list[WorkItem]) -> Iterator[Run]:
    known: dict[UUID | None, list[TypeOutcome]] = {each.enrolment_id: [] for each in items}
    for row in TypeOutcome.objects.filter(enrolment__in=known):
        known[row.enrolment_id].append(row)
    swept = paths.by_population(item.pull.connection)
    for each in items:
        if each.enrolment is not None:
            yield Run(each, each.enrolment, swept=swept, known=known[each.enrolment_id])


def _sorted(
    connection: Connection, runs: Iterator[Run], access: Access
) -> tuple[list[Over], dict[UUID, dict[str, object]]]:
    """Those with nothing left; and by item, the cursor with which each of the others is taken up again."""
    over: list[tuple[Over, list[str]]] = []
    left: dict[UUID, dict[str, object]] = {}
    for run in runs:
        skip = list(run.journey.skip or [])
        refused = run.journey.not_granted(access.allows, NOT_GRANTED)
        if run.journey.plan_done:
            over.append((Over(run, refused), skip))
        else:
            left[run.item.pk] = {"skip": skip}
    missing = references.missing(connection, [one.run.enrolment.patient_fhir_id for one, _ in over])
    for one, skip in over:
        if reads := missing.get(one.run.enrolment.patient_fhir_id):
            # What is not granted is noted when its turn comes: nothing of this one was written yet.
            left[one.run.item.pk] = {"skip": skip, "references": reads}
    return [one for one, _ in over if one.run.item.pk not in left], left


def _tell(over: list[Over]) -> None:
    """Note how the types ended, send the signals, then mark done: a worker's death in between repeats them."""
    shared = over[0].run.connection.profile.read_by_reference
    found = []
    for one in over:
        for kind in shared:
            one.run.journey.end_unread(kind, WITHOUT_TOKEN)
        said, news = one.run.verdicts([*one.refused, *shared])
        one.run.enrolment.untold = one.run.enrolment.untold or news
        found += said
    with transaction.atomic():
        outcomes.record(found)
        untold = [one.run.enrolment.pk for one in over if one.run.enrolment.untold]
        Enrolment.objects.filter(pk__in=untold, untold=False).update(untold=True)
    for one in over:
        one.run.tell()
    _done([one.run for one in over])


def _done(runs: list[Run]) -> None:
    """Only those still under our lease: another worker tells of the others."""
    item = runs[0].item
    with transaction.atomic():
        own = WorkItem.objects.filter(pk__in=[run.item.pk for run in runs], lease=item.lease)
        held = set(own.select_for_update().values_list("pk", flat=True))
        WorkItem.objects.filter(pk__in=held).update(**leases.done())
        schedule.due_again([run.enrolment for run in runs if run.item.pk in held], untold=False)
    ending.finish_pulls(item.pull_id)
