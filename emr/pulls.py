"""Run one leased work item: one patient through the plan, page by page.

The cursor and the counts are committed with the page they belong to, under the lease: a worker that was killed, or
that lost its lease to another, has changed nothing, and whoever comes next goes on at the last page. Vendors are
never called with a transaction open.
"""

import logging
import time
from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from emr import (
    breaker,
    calls,
    catalogue,
    doctor,
    fields,
    freshness,
    leases,
    merges,
    references,
    schedule,
    signals,
    store,
    tokens,
)
from emr.journey import Journey, Outcome, Step
from emr.models import Enrolment, Pull, TypeOutcome, WorkItem
from emr.wire import fhir, scopes
from emr.wire.http import Door, NeverAgain, Throttled, Timeouts, TryAgain, WireError

log = logging.getLogger(__name__)

# How often a page is asked for that may come by itself, by what the catalogue says of the failure; else once.
TRIES = {"once": 2, "backs off": 3}
# A run hands its item back after this long, so that a task stays far below its time limit and a lease can be short.
RUN_SECONDS = 20.0
SLACK_SECONDS = 5.0

# What a refusal means for the type it was about; anything else means that it was not fetched.
_REFUSALS = {
    "FHIR_403": Outcome.NOT_PERMITTED,
    "FHIR_UNSUPPORTED_SEARCH": Outcome.NOT_SUPPORTED,
    "FHIR_BUILD_TOO_OLD": Outcome.NOT_SUPPORTED,
}


class LeaseLost(Exception):
    """Another worker owns the item now; what this one holds is worth nothing."""


class Postponed(Exception):
    """The item goes back to the queue for `seconds`."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def run(item_id: UUID) -> None:
    """Go on with this item until it is done, must wait, or its time is over; with one staff wait for before it."""
    for pk in (schedule.ahead_of(item_id), item_id):
        item = leases.claim(pk) if pk else None
        if item is not None:
            _run(item)


def _run(item: WorkItem) -> None:
    if item.attempts > WorkItem.MAX_ATTEMPTS:
        leases.give_up(item, "its worker stopped three times on this page")
        return
    try:
        Run(item).go()
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


class Run:
    """One worker's hold on one item."""

    def __init__(self, item: WorkItem) -> None:
        self.item = item
        self.enrolment = item.enrolment
        self.connection = item.pull.connection
        self.journey = Journey.load(item.cursor, self.connection.profile)
        self.stopped = False

    def go(self) -> None:
        until = time.monotonic() + RUN_SECONDS
        if self.journey.skip is None:
            self.journey.skip = self._fresh_types()
        try:
            with calls.door_to(self.connection) as door:
                while (step := self._next_step()) is not None:
                    if self.stopped or time.monotonic() > until:
                        self._stop()
                    self._take(step, door)
        except WireError as error:
            doctor.degrade(self.connection, error.code, str(error), error.request_id)
            raise Postponed(0) from None
        except fields.SecretUnreadable as error:
            doctor.degrade(self.connection, "SECRET_UNREADABLE", str(error))
            raise Postponed(0) from None
        self._finish()

    def _fresh_types(self) -> list[str]:
        wanted_at = self.item.wanted_at
        if wanted_at is None:
            return []
        return freshness.fresh_types(self.enrolment.outcomes.all(), self.connection.profile, wanted_at)

    def _stop(self) -> None:
        """Hand the item back. A pull that was paused meanwhile may have been paused for what our last calls met."""
        if self.stopped:
            self.journey.rewind()
            self._commit()
        raise Postponed(0)

    def _next_step(self) -> Step | None:
        if self.journey.plan_done and self.journey.references is None:
            self.journey.references = references.missing(self.connection, self.enrolment.patient_fhir_id)
            self._commit()
        return self.journey.next_step()

    def _take(self, step: Step, door: Door) -> None:
        """Make one call and commit what came of it. Raises WireError only for what is wrong with the connection."""
        if step.is_reference and references.is_known(self.connection, step.resource_type, step.fhir_id or ""):
            self._end(step, Outcome.COMPLETE)  # another patient's item was quicker
            return
        try:
            access = tokens.system_access(self.connection, door)
        except TryAgain as error:
            self._try_again(step, error, called=0)
            return
        if not scopes.allows(access.scope, step.resource_type):
            self._end(step, Outcome.NOT_PERMITTED, "the scope was not granted")
            return
        calls.spend(self.connection, interactive=self.item.rank == WorkItem.Rank.ASKED)
        self._hold(step)
        try:
            page = self._ask(step, door, access)
        except Throttled as refusal:
            raise calls.throttled(self.connection, refusal) from None
        except fhir.Unauthorized as error:
            self._authorize_anew(access, error)
        except TryAgain as error:
            self._try_again(step, error, called=1)
        except NeverAgain as error:
            self._refused(step, error)
        else:
            self._keep(step, page)

    def _authorize_anew(self, access: tokens.Access, error: fhir.Unauthorized) -> None:
        """One new token and one more try, then the connection is at fault."""
        tokens.drop(self.connection, access)
        if self.journey.reauthorized:
            raise error
        self.journey.reauthorized = True
        self._commit(called=1)

    def _hold(self, step: Step) -> None:
        """Make the lease outlast a call that may be slower than it; nobody may start the same call meanwhile."""
        longest = (step.query.read_seconds if step.query else 0) + 2 * SLACK_SECONDS
        if longest > settings.LEASE_SECONDS:
            WorkItem.objects.filter(pk=self.item.pk, lease=self.item.lease).update(lease_until=leases.end(longest))

    def _ask(self, step: Step, door: Door, access: tokens.Access) -> fhir.Page:
        base, aliases = self.connection.base_url, self.connection.profile.link_aliases
        if step.query is None:
            return _page_of(fhir.read(door, access.bearer, base, step.resource_type, step.fhir_id or ""))
        timeouts = Timeouts(read=step.query.read_seconds, wall=step.query.read_seconds + SLACK_SECONDS)
        if step.next_url:
            return fhir.follow(door, access.bearer, base, step.next_url, aliases=aliases, timeout=timeouts)
        patient = self.enrolment.patient_fhir_id
        if not step.query.parameters:
            return _page_of(fhir.read(door, access.bearer, base, step.resource_type, patient, timeout=timeouts))
        params = [(name, value.format(patient=patient)) for name, value in step.query.parameters]
        return fhir.search(door, access.bearer, base, step.resource_type, params, aliases=aliases, timeout=timeouts)

    def _try_again(self, step: Step, error: TryAgain, *, called: int) -> None:
        """It may work later. `called`: 0 when it was the token that did not come, without which nothing does."""
        self.journey.tries += 1
        if called and self.item.pull.probing and not self.journey.failing_from:
            # Half open: the next type tells whether it is this one or the server.
            self._give_up(step, error)
            return
        if breaker.failed(self.item.pull, error.code, step.resource_type):
            self.journey.rewind()
            self._commit(called=called)
            raise Postponed(0)
        if self.journey.tries < TRIES.get(catalogue.explain(error.code).retries, 1):
            self._commit(called=called)
            raise Postponed(2.0 ** (self.journey.tries - 1))
        if not called or doctor.stops_connection(error.code):
            self.journey.tries = 0
            self._commit(called=called)
            raise error
        self._give_up(step, error)

    def _give_up(self, step: Step, error: TryAgain) -> None:
        self.journey.failed()
        self._end(step, Outcome.NOT_FETCHED, _words(error), error.code, called=1)

    def _answered(self) -> None:
        if self.journey.failing_from:
            breaker.spare(self.item.pull, self.journey.failing_from)
            self.journey.failing_from = ""

    def _refused(self, step: Step, error: NeverAgain) -> None:
        """Asking the same again brings the same: this type ends in words, unless the whole connection is meant."""
        if doctor.stops_connection(error.code):
            self._commit(called=1)
            raise error
        self._answered()
        outcome = _REFUSALS.get(error.code, Outcome.NOT_FETCHED)
        self._end(step, outcome, _words(error), error.code, called=1, answered=True)

    def _keep(self, step: Step, page: fhir.Page) -> None:
        patient = "" if step.is_reference else self.enrolment.patient_fhir_id
        with transaction.atomic():
            counts = store.keep(
                page.entries, connection=self.connection, patient_fhir_id=patient, query=step.describe()
            )
            if not step.is_reference:
                self.journey.sent({step.resource_type: [store.mark(entry.fhir_id) for entry in page.entries]})
            self._answered()
            if step.resource_type == "Patient":
                merges.follow(self.connection, self.enrolment, page.entries)
            self.journey.page_read(page.next_url, missing=_missing(page))
            self._commit(counts, called=1, of_type=step.resource_type, answered=True)

    def _end(
        self, step: Step, outcome: Outcome, reason: str = "", code: str = "", *, called: int = 0, answered: bool = False
    ) -> None:
        self.journey.ended(outcome, reason, code)
        self._commit(called=called, of_type=step.resource_type, answered=answered)

    @transaction.atomic
    def _commit(
        self,
        counts: store.Counts = store.Counts(),  # noqa: B008 - frozen
        *,
        called: int = 0,
        of_type: str = "",
        answered: bool = False,
    ) -> None:
        """Cursor, counts and, where a type ended, its outcome: all or nothing, and only under our lease."""
        held = WorkItem.objects.filter(pk=self.item.pk, lease=self.item.lease).update(
            cursor=self.journey.dump(), lease_until=leases.end(), attempts=0
        )
        if not held:
            raise LeaseLost
        pull = Pull.objects.filter(pk=self.item.pull_id)
        counted = {name: F(name) + number for name, number in vars(counts).items()} | {"calls": F("calls") + called}
        if not pull.filter(state=Pull.State.RUNNING).update(**counted, **(breaker.CLOSED if answered else {})):
            # Paused: what this call brought is kept all the same, and no further one is made.
            pull.update(**counted)
            self.stopped = True
        if counts.new or counts.changed:
            self._note_change()
        if of_type and self.journey.type_ended(of_type):
            self._record(of_type)
            self._mark_gone(of_type)

    def _note_change(self) -> None:
        """The receivers have something to hear, now or after the next worker's death."""
        if not self.enrolment.untold:
            self.enrolment.untold = True
            Enrolment.objects.filter(pk=self.enrolment.pk).update(untold=True)

    def _record(self, resource_type: str) -> None:
        outcome, reason = self.journey.verdict(resource_type)
        now = timezone.now()
        said = {"outcome": outcome, "reason": reason, "code": self.journey.code(resource_type)}
        when = {"attempted_at": now} | ({"confirmed_at": now} if outcome == Outcome.COMPLETE else {})
        row = TypeOutcome.objects.filter(enrolment=self.enrolment, resource_type=resource_type)
        if not row.filter(**said).update(**when):
            self._note_change()
            TypeOutcome.objects.update_or_create(
                enrolment=self.enrolment, resource_type=resource_type, defaults=said | when
            )

    def _mark_gone(self, resource_type: str) -> None:
        seen = set(self.journey.seen.pop(resource_type, []))
        if not self.journey.whole(resource_type) or resource_type in self.connection.profile.read_by_reference:
            return
        gone = store.mark_gone(
            self.connection,
            patient_fhir_id=self.enrolment.patient_fhir_id,
            resource_type=resource_type,
            seen=seen,
        )
        if gone:
            self._note_change()
            Pull.objects.filter(pk=self.item.pull_id).update(gone=F("gone") + gone)

    def _finish(self) -> None:
        """Tell the receivers, then mark done: if we die in between, the next worker tells them again."""
        with transaction.atomic():
            self._commit()
            for resource_type in self.connection.profile.read_by_reference:
                self._record(resource_type)
        signals.patient_pulled.send(
            sender=Run,
            practice_id=self.connection.practice_id,
            patient_fhir_id=self.enrolment.patient_fhir_id,
            changed=self.enrolment.untold,
        )
        now = timezone.now()
        with transaction.atomic():
            held = WorkItem.objects.filter(pk=self.item.pk, lease=self.item.lease).update(
                state=WorkItem.State.DONE, finished_at=now, lease=None, lease_until=None
            )
            if not held:
                raise LeaseLost
            Enrolment.objects.filter(pk=self.enrolment.pk, untold=True).update(untold=False)
            schedule.due_again(self.enrolment)
        schedule.finish_pulls(self.item.pull_id)


def _missing(page: fhir.Page) -> str:
    """Why a list is not whole although this page of it is good; blank when nothing says so."""
    if page.next_refused:
        return f"{catalogue.explain('FHIR_LINK_FOREIGN').title} (FHIR_LINK_FOREIGN)"
    if any(outcome.severity in {"fatal", "error", "warning"} for outcome in page.outcomes):
        return f"{catalogue.explain('FHIR_PARTIAL').title} (FHIR_PARTIAL)"
    return ""


def _page_of(result: fhir.ReadResult) -> fhir.Page:
    return fhir.Page((result.entry,), None, (), result.request_id, result.status)


def _words(error: WireError) -> str:
    """The catalogue's title, with the code: what the page and the print say of a type that is missing."""
    return f"{catalogue.explain(error.code).title} ({error.code})"
