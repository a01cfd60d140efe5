"""The one probe of a connection: can its server be asked for the records of all patients at once, and for what changed?

For each type a window in which nothing can have changed must come back empty: a server that passes over _lastUpdated
in silence is found out by the rows it sends. Of Patient, a window that holds everything must come back with somebody:
some servers list nobody without a name. The answers are stored with the date (Sweep).
"""

from dataclasses import dataclass, field, fields
from typing import Any

from django.db import transaction
from django.utils import timezone

from emr.models import Sweep, WorkItem
from emr.profiles import Population
from emr.pulling import ending, leases, paths, population
from emr.pulling.holds import SLACK_SECONDS, Ask, Hold, LeaseLost, Outcome
from emr.wire import fhir
from emr.wire.http import Door, Timeouts

NEVER, ALWAYS = "gt2999-01-01T00:00:00Z", "ge1900-01-01T00:00:00Z"
IGNORES = "the server passes over _lastUpdated in silence"
NOBODY = "the server lists nobody without a name"


@dataclass
class Probe:
    """The cursor: windows still to be asked for, as [type, window]; what was found out, type by type ("": it works)."""

    left: list[list[str]] | None = None
    found: dict[str, list[str]] = field(default_factory=dict)
    tries: int = 0
    reauthorized: bool = False
    failing_from: str = ""
    undecided: bool = False

    def dump(self) -> dict[str, Any]:
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def rewind(self) -> None:
        self.tries = 0


class Probing(Hold):
    """One worker's hold on the probe."""

    def __init__(self, item: WorkItem) -> None:
        super().__init__(item)
        self.cursor = self.probe = Probe(**item.cursor)
        if self.probe.left is None:
            kinds = paths.candidates(self.connection)
            self.probe.left = [["Patient", ALWAYS], *([kind, NEVER] for kind in kinds)] if kinds else []

    def _more(self) -> bool:
        return bool(self.probe.left)

    def _take(self, door: Door) -> None:
        kind, window = self._window()
        timeouts = Timeouts(read=self._plan.query(kind).read_seconds, wall=60.0 + SLACK_SECONDS)
        params = [("_lastUpdated", window), ("_count", "1")]

        def send(bearer: str) -> fhir.Page:
            aliases = self.connection.profile.link_aliases
            return fhir.search(door, bearer, self.connection.base_url, kind, params, aliases=aliases, timeout=timeouts)

        self._ask(door, Ask(kind, timeouts.read, send))

    @property
    def _plan(self) -> Population:
        plan = self.connection.profile.population
        assert plan is not None  # noqa: S101 - no probe without one; for the type checker
        return plan

    def _window(self) -> tuple[str, str]:
        assert self.probe.left  # noqa: S101 - `_more` said so; for the type checker
        kind, window = self.probe.left[0]
        return kind, window

    def _keep(self, page: fhir.Page) -> None:
        kind, window = self._window()
        listed = any(entry.resource_type == kind for entry in page.entries)
        why = NOBODY if window == ALWAYS and not listed else IGNORES if window == NEVER and listed else ""
        self._decide(kind, why, "", answered=True)

    def _ended(self, outcome: Outcome, reason: str, code: str = "", *, called: int, answered: bool) -> None:
        kind, _ = self._window()
        if called and not answered:
            # An outage decides nothing: the next pull asks again.
            self.probe.undecided, self.probe.left = True, []
            self._commit(called=called)
            return
        self._decide(kind, reason, code, answered=answered, called=called)

    def _decide(self, kind: str, why: str, code: str, *, answered: bool, called: int = 1) -> None:
        left = (self.probe.left or [])[1:]
        self.probe.found[kind] = [why, code]
        if kind == "Patient" and why:
            left = []  # without a roster, no list of all patients is of use
        self.probe.left, self.probe.tries, self.probe.reauthorized = left, 0, False
        with transaction.atomic():
            self._commit(called=called, answered=answered)

    def _finish(self) -> None:
        with transaction.atomic():
            held = WorkItem.objects.filter(pk=self.item.pk, lease=self.item.lease).update(**leases.done())
            if not held:
                raise LeaseLost
            if not self.probe.undecided:
                self._store()
            if paths.by_population(self.connection):
                population.begin(self.item.pull)
            else:
                population.hand_over(self.item.pull)
        ending.finish_pulls(self.item.pull_id)

    def _store(self) -> None:
        why_nobody = self.probe.found.get("Patient", [""])[0]
        now = timezone.now()
        rows = []
        for kind in paths.candidates(self.connection):
            why, code = self.probe.found.get(kind, [f"Patient: {why_nobody}", ""])
            rows.append(
                Sweep(
                    connection=self.connection, resource_type=kind, works=not why, reason=why[:300], code=code,
                    decided_at=now, next_at=now,
                )
            )  # fmt: skip
        Sweep.objects.bulk_create(rows, ignore_conflicts=True)
