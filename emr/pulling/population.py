"""The population path: each type asked for over all patients at once, page by page.

A pass asks for everything, or for what changed since the last complete pass began on the server's own clock, less an
overlap, so that nothing falls between two windows. Only a complete pass over everything shows what is gone. Patient
comes first and fills the roster; when the last type has ended, patients of whom something changed get an item of their
own, which reads what was only referred to and tells their history.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from emr import roster, schedule, store
from emr.models import Enrolment, Pull, Sweep, SweptPage, WorkItem
from emr.profiles import Query
from emr.pulling import appointments, ending, leases, merges, paths, references, swept
from emr.pulling.holds import SLACK_SECONDS, Ask, Hold, LeaseLost, Outcome, missing, unread
from emr.pulling.journey import ENDLESS, loops
from emr.wire import fhir
from emr.wire.errors import NeverAgain, WireError
from emr.wire.http import Door, Timeouts

MOST_RESTARTS = 3
MOST_PAGES = 20_000
# Refusals that for one patient mean that nothing came, and for all that they cannot be asked for together.
# An answer that is too large even with the smallest pages is of a server that passes over their size.
_REFUSALS = {"FHIR_404_RESOURCE", "FHIR_REFUSED", "NET_TOO_LARGE"}
# So many enrolments in one statement.
_AT_ONCE = 500


@dataclass
class Pass:
    """The cursor of a type: which page of which window.

    since: the window's lower edge, "" for a pass over everything. server_at: the server's clock at the first page.
    unread: entries came that could not be read, so nothing is called gone. nobodys: records came, and none so far says
    whose it is ("no" once one did).
    plain: without the profile's further parameters, which the server refused. pages: marks of the links followed.
    """

    begun_at: str = ""
    since: str = ""
    server_at: str = ""
    next_url: str | None = None
    pages: list[str] = field(default_factory=list)
    count: int = 0
    plain: bool = False
    restarts: int = 0
    missing: str = ""
    unread: bool = False
    nobodys: str = ""
    tries: int = 0
    reauthorized: bool = False
    failing_from: str = ""
    outcome: str = ""
    reason: str = ""
    code: str = ""

    def dump(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def rewind(self) -> None:
        """After an outage the page at hand is asked for again."""
        self.tries = 0

    def restart(self) -> None:
        """From the first page: what is stored already is found unchanged."""
        self.next_url, self.pages, self.tries, self.server_at = None, [], 0, ""
        self.restarts += 1


class Sweeping(Hold):
    """One worker's hold on one type over all patients."""

    def __init__(self, item: WorkItem) -> None:
        super().__init__(item)
        self.cursor = self.at = Pass(**item.cursor)
        plan = self.connection.profile.population
        assert plan is not None  # noqa: S101 - no such item without one; for the type checker
        self.plan = plan
        self.query: Query = plan.query(item.resource_type)
        if not self.at.begun_at:
            self.at.begun_at, self.at.count = timezone.now().isoformat(), plan.count
            self.at.since = swept.window(self.connection, item.resource_type)

    @property
    def _parameters(self) -> list[tuple[str, str]]:
        """Of the search, without its window and page size."""
        return [] if self.at.plain else list(self.query.parameters)

    def _more(self) -> bool:
        return not self.at.outcome

    def _take(self, door: Door) -> None:
        timeouts = Timeouts(read=self.query.read_seconds, wall=self.query.read_seconds + SLACK_SECONDS)
        base, aliases = self.connection.base_url, self.connection.profile.link_aliases

        def send(bearer: str) -> fhir.Page:
            if self.at.next_url:
                return fhir.follow(door, bearer, base, self.at.next_url, aliases=aliases, timeout=timeouts)
            window = [("_lastUpdated", f"ge{self.at.since}")] if self.at.since else []
            params = [*self._parameters, *window, ("_count", str(self.at.count))]
            return fhir.search(door, bearer, base, self.item.resource_type, params, aliases=aliases, timeout=timeouts)

        self._ask(door, Ask(self.item.resource_type, self.query.read_seconds, send))

    def _keep(self, page: fhir.Page) -> None:
        kind = self.item.resource_type
        shared = references.nobodys(self.connection)
        if not self.at.next_url and page.server_date:
            # Of a server whose clock is ahead of ours, what it writes from now on would fall before its own time.
            self.at.server_at = min(page.server_date, timezone.now()).isoformat()
        with transaction.atomic():
            kept = store.keep_of_many(
                page.entries,
                connection=self.connection,
                owner=lambda entry: swept.owner(entry, self.connection, shared),
                query=Query(kind, tuple(self._parameters), 0).describe_all(),
            )
            listed = [entry for entry in page.entries if entry.resource_type == kind]
            named = swept.patients(listed, self.connection)
            roster.enrol(self.connection, named, Enrolment.KnownBy.POPULATION)
            self.at.nobodys = "no" if named else self.at.nobodys or ("yes" if listed else "")
            self._note_touched(kept.touched)
            if kind == "Patient":
                merges.follow_all(self.connection, listed)
            if not self.at.since:
                SweptPage.objects.create(item=self.item, marks=" ".join(store.mark(entry.fhir_id) for entry in listed))
            self._page_read(page)
            self._commit(kept.counts, called=1, answered=True)

    def _note_touched(self, patients: Iterable[str]) -> None:
        ids = sorted(patients)
        for start in range(0, len(ids), _AT_ONCE):
            rows = self.connection.enrolments.filter(patient_fhir_id__in=ids[start : start + _AT_ONCE])
            rows.filter(untold=False).update(untold=True)
        if self.item.resource_type == "Appointment":
            appointments.note(self.connection, ids)

    def _page_read(self, page: fhir.Page) -> None:
        self.at.tries, self.at.reauthorized = 0, False
        self.at.missing = self.at.missing or missing(page)
        self.at.unread = self.at.unread or bool(unread(page))
        if page.next_url is None and self.at.nobodys == "yes":
            self._say(Outcome.NOT_SUPPORTED, swept.NOBODYS)
        elif page.next_url is None:
            self._say(Outcome.NOT_FETCHED if self.at.missing else Outcome.COMPLETE, self.at.missing)
        elif loops(page.next_url, self.at.pages, MOST_PAGES):
            self._say(Outcome.NOT_FETCHED, ENDLESS)
        else:
            self.at.next_url = page.next_url

    def _say(self, outcome: Outcome, reason: str = "", code: str = "") -> None:
        self.at.outcome, self.at.reason, self.at.code = str(outcome), reason, code

    def _refused(self, resource_type: str, error: NeverAgain) -> None:
        """A link that is no longer held is no refusal of the search; nor is one of a parameter beside it."""
        if self.at.next_url and not isinstance(error, fhir.Forbidden) and self._again():
            return
        if isinstance(error, fhir.UnsupportedSearch) and self._parameters:
            self.at.plain = True
            self._commit(called=1, answered=True)
            return
        super()._refused(resource_type, error)

    def _again(self) -> bool:
        """From the first page, unless that was done too often."""
        if self.at.restarts >= MOST_RESTARTS:
            return False
        self.at.restart()
        self._commit(called=1, answered=True)
        return True

    def _give_up(self, error: WireError) -> None:
        """A page that fails again and again may be too big for the server."""
        if self.at.count > self.plan.least_count and not self.item.pull.probing:
            self.at.count = max(self.at.count // 4, self.plan.least_count)
            if self._again():
                return
        super()._give_up(error)

    def _ended(self, outcome: Outcome, reason: str, code: str = "", *, called: int, answered: bool) -> None:
        self._say(outcome, reason, code)
        self._commit(called=called, answered=answered)

    def _finish(self) -> None:
        outcome, pull = Outcome(self.at.outcome), self.item.pull
        with transaction.atomic():
            # Locked, so that of two types ending together one sees that all have.
            Pull.objects.select_for_update().get(pk=pull.pk)
            if not WorkItem.objects.filter(pk=self.item.pk, lease=self.item.lease).update(**leases.done()):
                raise LeaseLost
            if outcome in {Outcome.NOT_PERMITTED, Outcome.NOT_SUPPORTED} or self.at.code in _REFUSALS:
                paths.refuse(self.connection, self.item.resource_type, self.at.reason, self.at.code)
            else:
                self._close(outcome)
            SweptPage.objects.filter(item=self.item).delete()
            _next(pull, self.item.resource_type)
        ending.finish_pulls(pull.pk)

    def _close(self, outcome: Outcome) -> None:
        begun = datetime.fromisoformat(self.at.begun_at)
        told = swept.Ended(outcome, self.at.reason, self.at.code, begun, full=not self.at.since)
        swept.record(self.connection, self.item.resource_type, told)
        if outcome == Outcome.COMPLETE and told.full and not self.at.unread:
            gone = swept.mark_gone(self.connection, self.item, begun)
            Pull.objects.filter(pk=self.item.pull_id).update(gone=F("gone") + gone)
        if outcome == Outcome.COMPLETE and self.item.resource_type == "Appointment":
            appointments.note(self.connection, swept.awaited(self.connection))
        swept.advance(self.connection, self.item.resource_type, told, self.at.server_at)


def begin(pull: Pull) -> None:
    """All patients are asked for: first who they are."""
    WorkItem.objects.bulk_create([WorkItem(pull=pull, resource_type="Patient")], ignore_conflicts=True)


def _next(pull: Pull, ended: str) -> None:
    """After Patient, however it ended, the other types side by side; after the last of them, who is to be told.

    Where Patient was refused for good, no type is asked for over all patients any more.
    """
    connection = pull.connection
    if ended == "Patient":
        types = [kind for kind in paths.candidates(connection) if kind in paths.by_population(connection)]
        rows = [WorkItem(pull=pull, resource_type=kind, rank_order=n) for n, kind in enumerate(types) if kind != ended]
        WorkItem.objects.bulk_create(rows, ignore_conflicts=True)
    if not pull.items.filter(enrolment=None, state=WorkItem.State.QUEUED).exists():
        hand_over(pull)


def given_up(item: WorkItem) -> None:
    """A type's item stopped three times: it is tried again in an hour, and the others go on without it."""
    rows = Sweep.objects.filter(connection=item.pull.connection_id, resource_type=item.resource_type)
    rows.update(next_at=timezone.now() + schedule.RETRY)
    with transaction.atomic():
        pull = Pull.objects.select_for_update().select_related("connection__registration").get(pk=item.pull_id)
        _next(pull, item.resource_type)
    ending.finish_pulls(item.pull_id)


def hand_over(pull: Pull) -> None:
    """An item for each patient of whom something changed, or of whom something comes by no list of all patients.

    The others are as fresh as the lists: two statements for all of them. Inside the transaction that ended the last.
    """
    connection, now = pull.connection, timezone.now()
    types = paths.by_population(connection)
    rest = paths.left_over(connection, types)
    due = Q(due_at__lte=now)
    wanted = due if not types else Q(untold=True) | (due if rest else due & Q(asked_at__isnull=False))
    schedule.add_items(pull, connection.enrolments.filter(wanted))
    if types:
        swept.settle(pull, all_by_population=not rest)
