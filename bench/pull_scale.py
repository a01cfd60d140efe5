"""A practice of many patients, stored and projected, and a second pull in which nothing has changed (figures 7 and 8).

A tenth of the patients is what the cost of all is compared with.
"""

import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from bench import pull_charts
from bench.apart import highest_memory
from bench.figure import Figure
from bench.practice import Bench, practice, without_broker, work
from bench.pull_peers import SERVER
from bench.pull_place import bearer
from emr import schedule, store, validate
from emr.models import Connection, Resource, Sweep
from emr.pulling import asking
from headachemd.celery import collect_seldom
from patients.models import Entry

LATER = 1000.0


@dataclass
class Cost:
    cpu: float
    wall: float
    resources: int
    entries: int

    @property
    def each(self) -> float:
        """µs of CPU a resource."""
        return self.cpu / self.resources * 1e6


def scale_figures(size: str) -> Iterator[Figure]:
    """size: how many patients. Runs in a process of its own (bench.apart)."""
    count = int(size)
    collect_seldom()  # as a worker does when it starts
    few: list[float] = []
    for patients in (
        10,
        count // 10,
        count,
        count // 10,
    ):  # the first warms up; the last says whether the machine changed
        with tempfile.TemporaryDirectory() as folder:
            pull_charts.write(Path(folder), patients)
            with practice(*SERVER, profile="generic", data=Path(folder)) as bench, without_broker(unlimited=True):
                # What the server loaded is older than the next window's overlap. The token is had before, as an
                # assertion of ours is not yet good by a clock so far ahead.
                bearer(bench)
                bench.post("clock", {"seconds": LATER})
                found = _pulled(bench)
                if patients == count // 10:
                    few.append(found.each)
                if patients == count:
                    many, again = found, list(_again(bench, found))
                    memory = highest_memory()
    told = f"{count} patients: {many.resources} resources, {many.entries} entries, {many.wall:.0f} s"
    yield Figure(f"{told}: resources missed", count * pull_charts.EACH - many.resources, "", 0)
    yield Figure(f"CPU a resource pulled, validated, stored and projected, of {count} patients",
                 round(many.each), "µs")  # fmt: skip
    told = f"the same, to that of {count // 10} patients (before {few[0]:.0f}, after {few[1]:.0f} µs)"
    yield Figure(told, round(many.each / statistics.mean(few), 2), "×", 1.2)
    yield from again
    yield Figure("memory of the worker at its highest", round(memory), "MB", 300)


def _pulled(bench: Bench) -> Cost:
    """One pull of everybody, with histories."""
    bench.enrol()
    cpu, wall = time.process_time(), time.perf_counter()
    asking.request_pull(bench.connection, "benchmark")
    schedule.open_pulls()
    work(bench, seconds=3000)
    spent = time.process_time() - cpu, time.perf_counter() - wall
    owner = bench.connection.practice
    kept = Resource.objects.filter(practice=owner).count()
    return Cost(*spent, kept, Entry.objects.filter(patient__practice=owner).count())


def _again(bench: Bench, first: Cost) -> Iterator[Figure]:
    """The next two passes: one asks for what changed since, and nothing has; in the other, everything is sent again."""
    for full in (False, True):
        spent, calls, written = _pass(bench, full=full)
        told = f"second pull, nothing changed, {'everything sent again' if full else 'asked since'} ({calls} calls)"
        yield Figure(f"{told}: rows written and resources validated", written, "", 0)
        ratio = round(first.cpu / spent, 1)
        yield Figure(f"{told}: CPU a resource on file, the first time to this", ratio, "×", 10, at_least=True)


def _pass(bench: Bench, *, full: bool) -> tuple[float, int, int]:
    """(CPU seconds, calls, rows written) of one pass over all patients."""
    written: list[int] = []
    write = store._write

    def counted(found: list[dict[str, Any]], *rest: Any) -> None:
        written.append(len(found))
        write(found, *rest)

    sweeps = Sweep.objects.filter(connection=bench.connection)
    sweeps.update(next_at="2026-01-01T00:00Z", **({"full_at": None} if full else {}))
    Connection.objects.get(pk=bench.connection.pk).enrolments.update(due_at=None)
    calls = bench.calls()
    with (
        patch.object(store, "_write", counted),
        patch.object(validate, "problems", _refuse),
    ):
        cpu = time.process_time()
        schedule.open_pulls()
        work(bench)
        spent = time.process_time() - cpu
    return spent, bench.calls() - calls, sum(written)


def _refuse(body: dict[str, object]) -> str:
    raise RuntimeError("an unchanged resource was validated")
