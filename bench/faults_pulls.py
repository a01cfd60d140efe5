"""Faults on the way, one kind at a time: what is lost, what is asked for twice, how long the next try waits.

The engine runs in this process, as two workers would run it: each item when it may be taken, again when it says so.
"""

import random
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch
from uuid import UUID

from django.db import connection as database

from bench.figure import Figure
from bench.practice import Bench, practice, rows, without_broker, work
from emr import pulls, schedule
from emr.models import Quarantine
from emr.pulling.journey import Step
from emr.wire.http import WireError
from patients.models import Entry

PATIENTS = 5
SANDBOX = ("--patients", str(PATIENTS), "--page-size", "20", "--limit", "100000")
FHIR = "application/fhir+json"
OVERSIZE = 21 * 1024 * 1024


@dataclass(frozen=True)
class Kind:
    """A fault as the sandbox knows it, and how many are sown over a pull."""

    name: str
    order: Mapping[str, Any]
    times: int = 4
    waits: bool = False  # a 429: it has a time of its own

    @property
    def goal(self) -> float | None:
        return None if self.waits else 2.0


KINDS = (
    Kind("429 with Retry-After", {"kind": "status", "status": 429, "headers": {"Retry-After": "2"}}, 2, waits=True),
    Kind("429 without Retry-After", {"kind": "429"}, 1, waits=True),
    Kind("500", {"kind": "500"}),
    Kind("truncated JSON", {"kind": "truncated"}),
    Kind("short body", {"kind": "short-body"}),
    Kind("connection reset", {"kind": "reset"}),
    Kind("slow drip", {"kind": "drip", "bytes": 8, "seconds": 1.5}, 1),
    Kind("page over the cap", {"kind": "status", "status": 200, "body": " " * OVERSIZE, "content_type": FHIR}, 2),
)


@dataclass
class Told:
    """What a pull did: when each call failed or was made again."""

    rows: set[tuple[str, ...]]
    entries: int
    calls: int
    struck: int = 0
    waits: list[float] = field(default_factory=list)


def fault_figures(kinds: tuple[Kind, ...] = KINDS) -> Iterator[Figure]:
    calm = pull(None)
    for kind in kinds:
        told = pull(kind)
        lost = len({row[:2] for row in calm.rows} - {row[:2] for row in told.rows})
        yield Figure(f"{kind.name}: faults struck", told.struck, "", kind.times, at_least=True)
        yield Figure(f"{kind.name}: resources lost of {len(calm.rows)}", lost, "", 0)
        more = len(told.rows) - len(calm.rows) + lost + told.entries - calm.entries
        yield Figure(f"{kind.name}: rows or entries too many", more, "", 0)
        yield Figure(f"{kind.name}: calls more", told.calls - calm.calls, "", told.struck)
        longest = round(max(told.waits, default=0.0), 2)
        yield Figure(f"{kind.name}: longest wait for the first retry", longest, "s", kind.goal)


def pull(kind: Kind | None, seed: int = 1) -> Told:
    """One pull of the same charts by a practice of its own, with or without faults at random calls."""
    with practice(*SANDBOX) as bench, watched() as waits:
        bench.enrol()
        for nth in sorted(random.Random(seed).sample(range(3, 60), kind.times)) if kind else ():
            order = dict(kind.order) if kind else {}
            bench.fault(order.pop("kind"), match={"path": f"/fhir/r4/{bench.code}/", "nth": nth}, **order)
        schedule.open_pulls()
        _two_workers(bench)
        struck = sum(order["struck"] for order in bench.get("faults")["faults"])
        found = rows(bench.connection)
        if Quarantine.objects.filter(practice=bench.connection.practice).exists():
            raise RuntimeError("whole resources were put into quarantine")
        entries = Entry.objects.filter(patient__practice=bench.connection.practice).count()
        return Told(found, entries, bench.calls(), struck, waits)


def _two_workers(bench: Bench) -> None:
    def worker() -> None:
        try:
            work(bench)
        finally:
            database.close()

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(worker) for _ in range(2)]:
            done.result()


@contextmanager
def watched() -> Iterator[list[float]]:
    """Seconds between a call that brought nothing and the next one of the same step, of pulls in this process."""
    failed: dict[tuple[UUID, str, str], float] = {}
    waits: list[float] = []
    send = pulls.Run._send

    def sent(run: pulls.Run, step: Step, *rest: Any) -> Any:
        key = (run.item.pk, step.describe(), step.next_url or step.fhir_id or "")
        if key in failed:
            waits.append(time.monotonic() - failed.pop(key))
        try:
            return send(run, step, *rest)
        except WireError:
            failed[key] = time.monotonic()
            raise

    with patch.object(pulls.Run, "_send", sent), without_broker():
        yield waits
