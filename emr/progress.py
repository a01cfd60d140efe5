"""How far a pull is, for staff: counts by resource type, calls of the minute, and when it may end. No patients."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from django.db.models import Count, Max
from django.utils import timezone

from emr import budget, catalogue
from emr.bulk import standing
from emr.models import BulkItem, Connection, Pull, TypeOutcome, WorkItem
from emr.pulling import breaker, paths
from emr.pulling.journey import Journey

Outcome = TypeOutcome.Outcome
# The pace is that of the last minutes: longer than the window of the call limit, so that its bursts even out.
PACE_OVER = timedelta(minutes=5)
PACE_FROM = 3  # patients done; before, a pace says nothing
# Without a sign of a worker for so long, none is at it: what waits is named to them again each half minute.
SILENT = timedelta(minutes=3)
# Of patients that a pull ended without, what it had not come to.
_NEVER_ASKED = (
    (WorkItem.State.CANCELLED, "The pull was cancelled"),
    (WorkItem.State.FAILED, "Given up before this was asked"),
)


@dataclass(frozen=True)
class TypeLine:
    """One resource type over the patients of a pull. reasons: (how many patients, reason), the commonest first.

    fresh: left out, because what is on file is fresh enough.
    """

    resource_type: str
    queued: int
    fetching: int
    complete: int
    fresh: int
    not_permitted: int
    not_supported: int
    not_fetched: int
    reasons: tuple[tuple[int, str], ...]

    @property
    def word(self) -> str:
        """The state of the type as a whole, in one word or two."""
        if self.fetching:
            return "fetching"
        if self.queued:
            return "queued"
        if self.not_fetched:
            return "not fetched"
        if self.complete or self.fresh:
            return "complete"
        return "not permitted" if self.not_permitted else "not supported here" if self.not_supported else "no patients"

    @property
    def mark(self) -> str:
        """How its tag looks; the word says the same."""
        marks = {"complete": "good", "not fetched": "bad", "not permitted": "warn", "not supported here": "warn"}
        return marks.get(self.word, "")


@dataclass(frozen=True)
class SweepLine:
    """One resource type over all patients. full: everything is asked for, not only what changed."""

    resource_type: str
    word: str
    mark: str
    full: bool
    pages: int
    reason: str
    ended: bool


@dataclass(frozen=True)
class Progress:
    """A pull now. done, given_up, left: patients. ends_at: by the measured pace, None when none was measured.

    silent_since: the last sign of a worker, if that is long ago and it takes one to go on.
    """

    pull: Pull
    types: tuple[TypeLine, ...]
    done: int
    given_up: int
    cancelled: int
    left: int
    calls_used: int
    calls_limit: int
    ends_at: datetime | None
    silent_since: datetime | None
    waits_for: str
    sweeps: tuple[SweepLine, ...]
    path: str
    export: standing.Standing | None

    @property
    def patients(self) -> int:
        return self.done + self.given_up + self.cancelled + self.left

    @property
    def state(self) -> str:
        """The state in words: a pull that no worker is at does not run."""
        return "Standing still" if self.silent_since else self.pull.get_state_display()

    @property
    def spoken(self) -> str:
        """One line that changes seldom: a screen reader reads it out each time."""
        return " ".join(part for part in (f"{self.state}{self._far}", self.waits_for) if part)

    @property
    def _far(self) -> str:
        if self.export is not None:
            return f". {self.export.spoken}"
        if self.pull.state == Pull.State.INCOMPLETE:
            return ": not everything was fetched. Which kinds of record, and why, stands below."
        if self.patients:
            return f": {10 * (10 * (self.done + self.given_up) // self.patients)} % of the patients are fetched."
        if self.sweeps:
            ended = sum(line.ended for line in self.sweeps)
            return f": {ended} of {len(self.sweeps)} kinds of record are fetched, over all patients at once."
        return ": nothing is fetched yet." if self.pull.is_open else "."

    @property
    def mark(self) -> str:
        """Short, and another one when `spoken` is."""
        return hashlib.sha256(self.spoken.encode()).hexdigest()[:12]

    @property
    def steps(self) -> str:
        """Another one when other steps can be taken, so that no button is replaced while somebody is at it."""
        return f"{self.pull.state}-by-itself" if self.pull.probe_at else str(self.pull.state)

    @property
    def poll_seconds(self) -> int:
        """How often a page asks again: seldom when it takes a person to go on."""
        return 60 if self.pull.state == Pull.State.PAUSED and self.pull.probe_at is None else 3


def of(pull: Pull) -> Progress:
    """How this pull stands. A few queries, whatever the number of its patients."""
    own = pull.items.filter(enrolment__isnull=False)
    items = Counter(dict(own.values_list("state").annotate(count=Count("pk")).order_by()))
    connection, profile = pull.connection, pull.connection.profile
    left = items[WorkItem.State.QUEUED]
    silent_since = _silent_since(pull, connection)
    return Progress(
        pull=pull,
        types=tuple(_types(pull, items)),
        done=items[WorkItem.State.DONE],
        given_up=items[WorkItem.State.FAILED],
        cancelled=items[WorkItem.State.CANCELLED],
        left=left,
        calls_used=budget.shared().used(connection.budget_key, window=profile.window_seconds),
        calls_limit=profile.calls_per_window,
        ends_at=_ends_at(pull, left),
        silent_since=silent_since,
        waits_for=_waits_for(pull, connection, silent_since),
        sweeps=tuple(_sweeps(pull)),
        path=paths.choose(connection).words,
        export=standing.of(pull),
    )


def _types(pull: Pull, items: Counter[str]) -> Iterator[TypeLine]:
    """Open items: what they have not ended is queued, or being fetched. Ended ones: what they did not ask was fresh."""
    # `pull` here is a reverse path: outcomes of the patients whom this pull has an item for, written since it began.
    rows = (
        TypeOutcome.objects.filter(enrolment__items__pull=pull, attempted_at__gte=pull.started_at)
        .values_list("resource_type", "outcome", "reason", "enrolment__items__state")
        .annotate(count=Count("pk"))
        .order_by()
    )
    counts: dict[str, Counter[str]] = {}
    reasons: dict[str, Counter[str]] = {}
    for resource_type, outcome, reason, state, count in rows:
        kind = counts.setdefault(resource_type, Counter())
        kind[outcome] += count
        kind["open" if state == WorkItem.State.QUEUED else state] += count
        if reason:
            reasons.setdefault(resource_type, Counter())[reason] += count
    fetching = Counter(_fetching(pull))
    for name in pull.connection.profile.planned_types:
        kind = counts.get(name, Counter())
        open_left = max(items[WorkItem.State.QUEUED] - kind["open"], 0)
        now = min(fetching[name], open_left)
        never_asked = Counter({words: max(items[state] - kind[state], 0) for state, words in _NEVER_ASKED})
        why = reasons.get(name, Counter()) + never_asked
        yield TypeLine(
            resource_type=name,
            queued=open_left - now,
            fetching=now,
            complete=kind[Outcome.COMPLETE],
            fresh=max(items[WorkItem.State.DONE] - kind[WorkItem.State.DONE], 0),
            not_permitted=kind[Outcome.NOT_PERMITTED],
            not_supported=kind[Outcome.NOT_SUPPORTED],
            not_fetched=kind[Outcome.NOT_FETCHED] + never_asked.total(),
            reasons=tuple((count, reason) for reason, count in why.most_common(3)),
        )


def _fetching(pull: Pull) -> Iterable[str]:
    """The types that workers are at: as many as there are workers."""
    leased = pull.items.filter(state=WorkItem.State.QUEUED, lease_until__gt=timezone.now(), enrolment__isnull=False)
    for cursor in leased.values_list("cursor", flat=True)[:100]:
        step = Journey.load(cursor, pull.connection.profile).next_step()
        if step is not None:
            yield step.resource_type


def _sweeps(pull: Pull) -> Iterator[SweepLine]:
    """The types asked for over all patients, in the order they were begun."""
    rows = pull.items.filter(enrolment=None).exclude(resource_type="").order_by("rank_order", "resource_type")
    for item in rows:
        word = str(item.cursor.get("outcome") or item.get_state_display()).replace("-", " ").lower()
        if item.state == WorkItem.State.QUEUED and item.cursor:
            word = "fetching"
        yield SweepLine(
            resource_type=item.resource_type,
            word=word,
            mark={"complete": "good", "not fetched": "bad", "given up": "bad"}.get(word, ""),
            full=not item.cursor.get("since"),
            pages=len(item.cursor.get("pages", [])) + bool(item.cursor.get("outcome")),
            reason=str(item.cursor.get("reason", "")) or item.reason,
            ended=item.state != WorkItem.State.QUEUED,
        )


def _ends_at(pull: Pull, left: int) -> datetime | None:
    """From the patients done in the last minutes: what the server says of totals is not asked."""
    if pull.state != Pull.State.RUNNING or not left:
        return None
    now = timezone.now()
    since = max(pull.started_at, now - PACE_OVER)
    done = pull.items.filter(state=WorkItem.State.DONE, finished_at__gte=since, enrolment__isnull=False).count()
    return now + (now - since) / done * left if done >= PACE_FROM else None


def _silent_since(pull: Pull, connection: Connection) -> datetime | None:
    """Items taken, put off, done, or named to the workers (which a worker does, each tick) are signs of one."""
    by_person = pull.state == Pull.State.PAUSED and pull.probe_at is None
    if not pull.is_open or by_person or connection.state != Connection.State.ACTIVE:
        return None
    signs: list[datetime | None] = [pull.started_at, pull.hold_until, pull.probe_at]
    names = ("lease_until", "not_before", "published_at", "finished_at")
    for items in (pull.items.all(), BulkItem.objects.filter(job__pull=pull)):
        signs += items.aggregate(*map(Max, names)).values()
    last = max(sign for sign in signs if sign is not None)
    return last if last < timezone.now() - SILENT else None


def _waits_for(pull: Pull, connection: Connection, silent_since: datetime | None) -> str:
    """Why nothing moves, if so."""
    now = timezone.now()
    if not pull.is_open:
        return ""
    if connection.state != Connection.State.ACTIVE:
        why = f": {catalogue.explain(connection.reason_code).title}" if connection.reason_code else ""
        said = f"The connection is {connection.get_state_display().lower()}{why}."
        return f"{said} Nothing is fetched until it works again; an admin of this site sees what to do."
    if silent_since is not None:
        at = silent_since.astimezone(ZoneInfo(pull.practice.time_zone))
        return f"No worker has been at it since {at:%d-%b-%Y %H:%M}. It goes on when one runs; tell who runs this site."
    if pull.state == Pull.State.PAUSED:
        return _paused(pull)
    if pull.probing:
        return f"Trying again after {breaker.TRIPS_AT} failures: {_failure(pull)}."
    if pull.hold_until is not None and pull.hold_until > now:
        return "Waiting for calls: the practice's share of the minute is used up. It goes on by itself."
    return ""


def _paused(pull: Pull) -> str:
    if pull.probe_at is None:
        return "Paused by a person; it goes on when somebody presses Resume."
    return f"Paused by the same failure again and again: {_failure(pull)}. Tried again within a minute."


def _failure(pull: Pull) -> str:
    return f"{catalogue.explain(pull.failing_code).title} ({pull.failing_code})"
