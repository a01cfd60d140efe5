"""Run one leased work item: one patient through the plan, page by page.

The cursor and the counts are committed with the page they belong to, under the lease: a worker that was killed, or
that lost its lease to another, has changed nothing, and whoever comes next goes on at the last page. Vendors are
never called with a transaction open.
"""

import logging
import time
import uuid
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from emr import calls, catalogue, doctor, fields, references, schedule, signals, store, tokens
from emr.journey import Journey, Outcome, Step
from emr.models import Enrolment, Pull, TypeOutcome, WorkItem
from emr.wire import fhir, scopes
from emr.wire.http import Door, NeverAgain, Throttled, Timeouts, TryAgain, WireError

log = logging.getLogger(__name__)

TRIES_A_PAGE = 3
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
    """Take the item if it is free, and go on with it until it is done, must wait, or its time is over."""
    item = _claim(item_id)
    if item is None:
        return
    if item.attempts > WorkItem.MAX_ATTEMPTS:
        _give_up(item, "its worker stopped three times on this page")
        return
    try:
        Run(item).go()
    except (calls.OverBudget, tokens.TokenBusy, Postponed) as wait:
        _hand_back(item, wait.seconds)
    except LeaseLost:
        log.info("item %s was taken over", item.pk)


class Run:
    """One worker's hold on one item."""

    def __init__(self, item: WorkItem) -> None:
        self.item = item
        self.enrolment = item.enrolment
        self.connection = item.pull.connection
        self.journey = Journey.load(item.cursor, self.connection.profile)

    def go(self) -> None:
        until = time.monotonic() + RUN_SECONDS
        try:
            with calls.door_to(self.connection) as door:
                while (step := self._next_step()) is not None:
                    if time.monotonic() > until:
                        raise Postponed(0)
                    self._take(step, door)
        except WireError as error:
            doctor.degrade(self.connection, error.code, str(error), error.request_id)
            raise Postponed(0) from None
        except fields.SecretUnreadable as error:
            doctor.degrade(self.connection, "SECRET_UNREADABLE", str(error))
            raise Postponed(0) from None
        self._finish()

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
        access = tokens.system_access(self.connection, door)
        if not scopes.allows(access.scope, step.resource_type):
            self._end(step, Outcome.NOT_PERMITTED, "the scope was not granted")
            return
        calls.spend(self.connection)
        self._hold(step)
        try:
            page = self._ask(step, door, access)
        except Throttled as refusal:
            raise calls.throttled(self.connection, refusal) from None
        except fhir.Unauthorized:
            tokens.drop(self.connection, access)
            if self.journey.reauthorized:
                raise
            self.journey.reauthorized = True
            self._commit(called=1)
        except TryAgain as error:
            self._try_again(step, error)
        except NeverAgain as error:
            self._end(step, _REFUSALS.get(error.code, Outcome.NOT_FETCHED), _words(error), called=1)
        else:
            self._keep(step, page)

    def _hold(self, step: Step) -> None:
        """Make the lease outlast a call that may be slower than it; nobody may start the same call meanwhile."""
        longest = (step.query.read_seconds if step.query else 0) + 2 * SLACK_SECONDS
        if longest > settings.LEASE_SECONDS:
            WorkItem.objects.filter(pk=self.item.pk, lease=self.item.lease).update(lease_until=_lease_end(longest))

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

    def _try_again(self, step: Step, error: TryAgain) -> None:
        self.journey.tries += 1
        if self.journey.tries < TRIES_A_PAGE:
            self._commit(called=1)
            raise Postponed(2.0 ** (self.journey.tries - 1))
        if doctor.stops_connection(error.code):
            self.journey.tries = 0
            self._commit(called=1)
            raise error
        self._end(step, Outcome.NOT_FETCHED, _words(error), called=1)

    def _keep(self, step: Step, page: fhir.Page) -> None:
        patient = "" if step.is_reference else self.enrolment.patient_fhir_id
        with transaction.atomic():
            counts = store.keep(
                page.entries, connection=self.connection, patient_fhir_id=patient, query=step.describe()
            )
            if not step.is_reference:
                self.journey.sent({step.resource_type: [store.mark(entry.fhir_id) for entry in page.entries]})
            self.journey.page_read(page.next_url, missing=_missing(page))
            self._commit(counts, called=1, of_type=step.resource_type)

    def _end(self, step: Step, outcome: Outcome, reason: str = "", *, called: int = 0) -> None:
        self.journey.ended(outcome, reason)
        self._commit(called=called, of_type=step.resource_type)

    @transaction.atomic
    def _commit(self, counts: store.Counts = store.Counts(), *, called: int = 0, of_type: str = "") -> None:  # noqa: B008 - frozen
        """Cursor, counts and, where a type ended, its outcome: all or nothing, and only under our lease."""
        held = WorkItem.objects.filter(pk=self.item.pk, lease=self.item.lease).update(
            cursor=self.journey.dump(), lease_until=_lease_end(), attempts=0
        )
        if not held:
            raise LeaseLost
        Pull.objects.filter(pk=self.item.pull_id).update(
            calls=F("calls") + called,
            new=F("new") + counts.new,
            changed=F("changed") + counts.changed,
            same=F("same") + counts.same,
            quarantined=F("quarantined") + counts.quarantined,
        )
        if of_type and self.journey.type_ended(of_type):
            self._record(of_type)
            self._mark_gone(of_type)

    def _record(self, resource_type: str) -> None:
        outcome, reason = self.journey.verdict(resource_type)
        now = timezone.now()
        values = {"outcome": outcome, "reason": reason, "attempted_at": now}
        if outcome == Outcome.COMPLETE:
            values["confirmed_at"] = now
        TypeOutcome.objects.update_or_create(enrolment=self.enrolment, resource_type=resource_type, defaults=values)

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
        )
        now = timezone.now()
        with transaction.atomic():
            held = WorkItem.objects.filter(pk=self.item.pk, lease=self.item.lease).update(
                state=WorkItem.State.DONE, finished_at=now, lease=None, lease_until=None
            )
            if not held:
                raise LeaseLost
            Enrolment.objects.filter(pk=self.enrolment.pk, due_at=None).update(
                due_at=now + schedule.DAILY, due_reason="daily"
            )
            schedule.finish_pulls(self.item.pull_id)


def _claim(item_id: UUID) -> WorkItem | None:
    now, lease = timezone.now(), uuid.uuid4()
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    ready = Q(not_before=None) | Q(not_before__lte=now)
    taken = WorkItem.objects.filter(free, ready, pk=item_id, state=WorkItem.State.QUEUED).update(
        lease=lease, lease_until=_lease_end(), attempts=F("attempts") + 1
    )
    if not taken:
        return None
    return WorkItem.objects.select_related(
        "enrolment", "pull__connection__practice", "pull__connection__registration"
    ).get(pk=item_id, lease=lease)


def _hand_back(item: WorkItem, seconds: float) -> None:
    WorkItem.objects.filter(pk=item.pk, lease=item.lease).update(
        lease=None, lease_until=None, attempts=0, not_before=timezone.now() + timedelta(seconds=seconds)
    )


def _give_up(item: WorkItem, reason: str) -> None:
    WorkItem.objects.filter(pk=item.pk, lease=item.lease).update(
        state=WorkItem.State.FAILED, reason=reason, lease=None, lease_until=None, finished_at=timezone.now()
    )
    schedule.finish_pulls(item.pull_id)


def _lease_end(seconds: float = 0.0) -> datetime:
    return timezone.now() + timedelta(seconds=max(seconds, settings.LEASE_SECONDS))


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
