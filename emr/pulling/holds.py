"""One worker's hold on one work item: it asks, one call at a time, and commits each answer under its lease.

A worker that was killed, or that lost its lease to another, has changed nothing, and whoever comes next goes on at the
last page. Vendors are never called with a transaction open.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from django.conf import settings
from django.db.models import F, Value
from django.db.models.functions import Coalesce
from django.utils import timezone

from emr import calls, catalogue, doctor, fields, store, tokens
from emr.models import Pull, TypeOutcome, WorkItem
from emr.pulling import breaker, leases
from emr.pulling.journey import NOT_GRANTED, UNREAD
from emr.wire import fhir
from emr.wire.http import Door, NeverAgain, Throttled, TryAgain, WireError

Outcome = TypeOutcome.Outcome

# How often a page is asked for that may come by itself, by what the catalogue says of the failure; else once.
TRIES = {"once": 2, "backs off": 3}
# So long until the first of them, waited for under the lease: back in the queue, the page would wait for a worker that
# is free, and a run takes up to RUN_SECONDS. Twice as long each further time, in the queue.
FIRST_WAIT = 0.5
# A run hands its item back after this long, so that a task stays far below its time limit and a lease can be short.
RUN_SECONDS = 20.0
SLACK_SECONDS = 5.0
# The weight of the latest call in the moving mean of their durations.
_LATEST = 0.2

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


class Cursor(Protocol):
    """How far the item is. tries: of the current page. reauthorized: a new token was had for it."""

    tries: int
    reauthorized: bool
    failing_from: str

    def dump(self) -> dict[str, Any]: ...
    def rewind(self) -> None: ...


@dataclass(frozen=True)
class Ask:
    """One call to make. seconds: between two bytes of its answer."""

    resource_type: str
    seconds: float
    send: Callable[[str], fhir.Page]


class Hold(ABC):
    """What every kind of item has in common. A subclass says what to ask, and what becomes of the answers."""

    cursor: Cursor

    def __init__(self, item: WorkItem) -> None:
        self.item = item
        self.connection = item.pull.connection
        self.stopped = self.spread = False
        self._sent_at = 0.0
        self._held: tokens.Access | None = None
        # What the lease is renewed for with each page: the longest that a call like the last one may take.
        self._longest = 0.0
        self._leased_until = item.lease_until or timezone.now()

    def go(self) -> None:
        """Until the item is done; raises Postponed when it must wait or its time is over."""
        until = time.monotonic() + RUN_SECONDS
        self.spread = calls.outlasts_window(self.connection)
        try:
            with calls.door_to(self.connection) as door:
                while self._more():
                    # A page that is to be tried again is this worker's still, however long its first try took.
                    if self.stopped or (time.monotonic() > until and not self.cursor.tries):
                        self._stop()
                    self._take(door)
        except WireError as error:
            doctor.degrade(self.connection, error.code, str(error), error.request_id)
            raise Postponed(0) from None
        except fields.SecretUnreadable as error:
            doctor.degrade(self.connection, "SECRET_UNREADABLE", str(error))
            raise Postponed(0) from None
        self._finish()

    @abstractmethod
    def _more(self) -> bool:
        """Whether there is a further call to make."""

    @abstractmethod
    def _take(self, door: Door) -> None:
        """Make it, by `_ask`, and commit what came of it."""

    @abstractmethod
    def _keep(self, page: fhir.Page) -> None:
        """An answer came: store and commit it."""

    @abstractmethod
    def _ended(self, outcome: Outcome, reason: str, code: str = "", *, called: int, answered: bool) -> None:
        """No answer will come: a refusal, or the last try failed."""

    @abstractmethod
    def _finish(self) -> None:
        """No call is left."""

    def _stop(self) -> None:
        """Hand the item back. A pull that was paused meanwhile may have been paused for what our last calls met."""
        if self.stopped:
            self.cursor.rewind()
            self._commit()
        raise Postponed(0)

    @property
    def waited_for(self) -> bool:
        """Whether somebody waits for this item: then its calls and its token come before the background's."""
        return self.item.rank == WorkItem.Rank.ASKED

    def _access(self, door: Door) -> tokens.Access:
        """The connection's own token is looked up once a run: when it ends is known, and a refusal says the rest.

        A person may withdraw a consent at any moment: theirs is looked up for each call.
        """
        held = self._held
        if held is None or held.fresh_until is None or held.fresh_until <= timezone.now():
            self._held = held = tokens.access_for(
                self.connection, self.item.enrolment, door, interactive=self.waited_for
            )
        return held

    def _ask(self, door: Door, ask: Ask) -> None:
        """One call, counted. Raises WireError only for what is wrong with the connection."""
        try:
            access = self._access(door)
        except tokens.NoAccess as without:
            self._ended(Outcome.NOT_FETCHED, without.reason, without.code, called=0, answered=False)
            return
        except TryAgain as error:
            self._try_again(ask.resource_type, error, called=0)
            return
        if not access.allows(ask.resource_type):
            self._not_granted(access)
            return
        calls.spend(self.connection, interactive=self.waited_for, spread=self.spread)
        self._outlast(ask.seconds)
        self._sent_at = time.monotonic()
        try:
            page = ask.send(access.bearer)
        except Throttled as refusal:
            raise calls.throttled(self.connection, refusal) from None
        except fhir.Unauthorized as error:
            self._authorize_anew(access, error)
        except TryAgain as error:
            self._try_again(ask.resource_type, error, called=1)
        except NeverAgain as error:
            self._refused(ask.resource_type, error)
        else:
            self._keep(page)

    def _not_granted(self, access: tokens.Access) -> None:
        """The token is not good for what is to be asked next."""
        self._ended(Outcome.NOT_PERMITTED, NOT_GRANTED, called=0, answered=False)

    def _authorize_anew(self, access: tokens.Access, error: fhir.Unauthorized) -> None:
        """One new token and one more try, then the connection is at fault."""
        self._held = None
        tokens.drop(self.connection, access)
        if self.cursor.reauthorized:
            tokens.refused(access, error)
        self.cursor.reauthorized = True
        self._commit(called=1)

    def _outlast(self, seconds: float) -> None:
        """Make the lease outlast a call that may be slower than it; nobody may start the same call meanwhile."""
        self._longest = seconds + 2 * SLACK_SECONDS
        needed = timezone.now() + timedelta(seconds=seconds + SLACK_SECONDS)
        if self._longest > settings.LEASE_SECONDS and self._leased_until < needed:
            self._leased_until = leases.end(self._longest)
            WorkItem.objects.filter(pk=self.item.pk, lease=self.item.lease).update(lease_until=self._leased_until)

    def _try_again(self, resource_type: str, error: WireError, *, called: int) -> None:
        """It may work later. `called`: 0 when it was the token that did not come, without which nothing does."""
        self.cursor.tries += 1
        if called and self.item.pull.probing and not self.cursor.failing_from:
            # Half open: the next type tells whether it is this one or the server.
            self._give_up(error)
            return
        if breaker.failed(self.item.pull, error.code, resource_type):
            self.cursor.rewind()
            self._commit(called=called)
            raise Postponed(0)
        if self.cursor.tries < TRIES.get(catalogue.explain(error.code).retries, 1):
            self._commit(called=called)
            if self.cursor.tries > 1:
                raise Postponed(FIRST_WAIT * 2 ** (self.cursor.tries - 1))
            if not self.stopped:
                time.sleep(FIRST_WAIT)
            return
        if not called or doctor.stops_connection(error.code):
            self.cursor.tries = 0
            self._commit(called=called)
            raise error
        self._give_up(error)

    def _give_up(self, error: WireError) -> None:
        self._ended(Outcome.NOT_FETCHED, words(error), error.code, called=1, answered=False)

    def _refused(self, resource_type: str, error: NeverAgain) -> None:
        """Asking the same again brings the same: this type ends in words, unless the whole connection is meant.

        An oversized answer is the exception: it may be one of a gateway in trouble, and the next one whole.
        """
        if catalogue.explain(error.code).retries in TRIES and not doctor.stops_connection(error.code):
            self._try_again(resource_type, error, called=1)
            return
        if doctor.stops_connection(error.code):
            self._commit(called=1)
            raise error
        if not isinstance(error, fhir.Forbidden) and self._begun_anew():
            self._commit(called=1, answered=True)
            return
        outcome = _REFUSALS.get(error.code, Outcome.NOT_FETCHED)
        self._ended(outcome, words(error), error.code, called=1, answered=True)

    def _begun_anew(self) -> bool:
        """True when the refused call was for a further page, and its list is asked for again from the first one."""
        return False

    def _commit(
        self,
        counts: store.Counts = store.Counts(),  # noqa: B008 - frozen
        *,
        called: int = 0,
        answered: bool = False,
    ) -> None:
        """Cursor and counts, only under our lease. Call it inside the transaction of what they belong to."""
        self._leased_until = leases.end(self._longest)
        # Only what was asked and answered is progress: who stops its worker without that is stopped at three.
        tried = {"attempts": 0} if called else {}
        held = WorkItem.objects.filter(pk=self.item.pk, lease=self.item.lease).update(
            cursor=self.cursor.dump(), lease_until=self._leased_until, **tried
        )
        if not held:
            raise LeaseLost
        counted: dict[str, Any] = {name: F(name) + number for name, number in vars(counts).items() if number}
        if called:
            counted |= {"calls": F("calls") + called, "call_seconds": self._mean()}
        elif not counted and not answered:
            return
        pull = Pull.objects.filter(pk=self.item.pull_id)
        if not pull.filter(state=Pull.State.RUNNING).update(**counted, **(breaker.CLOSED if answered else {})):
            # Paused: what this call brought is kept all the same, and no further one is made.
            if counted:
                pull.update(**counted)
            self.stopped = True

    def _mean(self) -> Any:
        """The pull's moving mean with the call just kept."""
        latest = time.monotonic() - self._sent_at
        return Coalesce(F("call_seconds"), Value(latest)) * (1 - _LATEST) + Value(latest * _LATEST)


def missing(page: fhir.Page) -> str:
    """Why a list is not whole although this page of it is good; blank when nothing says so."""
    if page.next_refused:
        return f"{catalogue.explain('FHIR_LINK_FOREIGN').title} (FHIR_LINK_FOREIGN)"
    if any(outcome.severity in {"fatal", "error", "warning"} for outcome in page.outcomes):
        return f"{catalogue.explain('FHIR_PARTIAL').title} (FHIR_PARTIAL)"
    return ""


def unread(page: fhir.Page) -> str:
    """Why a list is not known whole though it came: an entry of it may have been about anything on file; or blank."""
    if any(entry.fault for entry in page.entries):
        return f"{catalogue.explain(UNREAD).title} ({UNREAD})"
    return ""


def words(error: WireError) -> str:
    """The catalogue's title, with the code: what the page and the print say of a type that is missing."""
    return f"{catalogue.explain(error.code).title} ({error.code})"
