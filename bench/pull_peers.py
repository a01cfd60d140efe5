"""Against clients from PyPI, each on the same loopback server, rounds interleaved (figure 5)."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

from django.utils import timezone

from bench import pull_charts, pull_place
from bench.faults_pulls import FHIR, OVERSIZE
from bench.figure import Figure
from bench.practice import Bench, practice, rows, without_broker, work
from bench.pull_place import PeersMissing, Run
from emr import schedule, signals
from emr.models import Sweep
from headachemd.celery import collect_seldom

PATIENTS, ROUNDS = 200, 3
SERVER = ("--mode", "generic", "--limit", "1000000", "--token-life", "36000")
SCOPES = " ".join(f"system/{kind}.rs" for kind in pull_charts.TYPES)
PROGRAMS = ("requests_loop", "with_fhirclient", "with_fhirpy")
OURS, ALL_AT_ONCE = "ours, patient by patient", "ours, over all patients"
FAULTY_PATIENTS, FAULT_EVERY = 20, 60
# A drip and a bare 429 keep whom they meet waiting for a minute of wall time by themselves; the others do not.
FAULTS = (
    {"kind": "status", "status": 429, "headers": {"Retry-After": "2"}},
    {"kind": "500"},
    {"kind": "truncated"},
    {"kind": "short-body"},
    {"kind": "reset"},
    {"kind": "status", "status": 200, "body": " " * OVERSIZE, "content_type": FHIR},
)


def peer_figures() -> Iterator[Figure]:
    try:
        pull_place.install()
    except PeersMissing as why:
        yield Figure(f"peers: not measured, they cannot be installed here ({why})", 0)
        return
    with tempfile.TemporaryDirectory() as folder:
        pull_charts.write(Path(folder), PATIENTS)
        yield from _unharmed(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        pull_charts.write(Path(folder), FAULTY_PATIENTS)
        yield from _with_faults(Path(folder))


# --- nothing goes wrong ---


def _unharmed(data: Path) -> Iterator[Figure]:
    collect_seldom()  # as a worker does when it starts
    ours(data, by_patient=True)  # warms up: imports and models are nobody's figure
    runs: dict[str, list[Run]] = {}
    for _ in range(ROUNDS):
        with practice(*SERVER, profile="generic", data=data, scopes=SCOPES) as bench:
            for name in PROGRAMS:
                runs.setdefault(name, []).append(pull_place.peer(name, bench, bench.patient_ids()))
        runs.setdefault(OURS, []).append(ours(data, by_patient=True))
        runs.setdefault(ALL_AT_ONCE, []).append(ours(data, by_patient=False))
    cpu = {name: _median(each, "cpu") / (PATIENTS * pull_charts.EACH) * 1e6 for name, each in runs.items()}
    wall = {name: _median(each, "wall") for name, each in runs.items()}
    for name, each in runs.items():
        short = min(run.resources for run in each) - PATIENTS * pull_charts.EACH
        told = f"{each[0].calls} calls, CPU {cpu[name]:.0f} µs a resource, wall {wall[name]:.1f} s"
        yield Figure(f"{name.replace('_', ' ')}: resources missed ({told})", -short, "", 0)
    base = cpu["with_fhirclient"]
    yield Figure("CPU a resource, pulled, validated, stored, over all patients: to fhirclient's pull alone",
                 round(cpu[ALL_AT_ONCE] / base, 2), "×", 1.6)  # fmt: skip
    yield Figure("the same patient by patient", round(cpu[OURS] / base, 2), "×")
    ratio = wall[ALL_AT_ONCE] / wall["requests_loop"]
    yield Figure("wall over all patients, validated and stored: to the requests loop", round(ratio, 2), "×")
    calls = runs[ALL_AT_ONCE][0].calls / runs["requests_loop"][0].calls
    yield Figure("calls over all patients, probe and token with them: to the requests loop", round(calls, 3), "×", 0.25)


def ours(data: Path, *, by_patient: bool) -> Run:
    """One pull by our engine; histories are not made, as no peer makes any."""
    with practice(*SERVER, profile="generic", data=data, scopes=SCOPES) as bench:
        bench.enrol()
        if by_patient:
            refuse_sweeps(bench)
        with without_broker(unlimited=True), patch.object(signals.patient_pulled, "receivers", []):
            cpu, wall = time.process_time(), time.perf_counter()
            schedule.open_pulls()
            work(bench)
            spent = time.process_time() - cpu, time.perf_counter() - wall
        return Run(len(rows(bench.connection)), bench.calls(), *spent)


def refuse_sweeps(bench: Bench) -> None:
    """As if the probe had found that this server knows no search over all patients."""
    Sweep.objects.bulk_create(
        Sweep(connection=bench.connection, resource_type=kind, works=False, reason="bench", decided_at=timezone.now())
        for kind in pull_charts.TYPES
    )


def _median(runs: list[Run], name: str) -> float:
    return statistics.median(float(getattr(run, name)) for run in runs)


# --- a fault every sixty calls ---


def _with_faults(data: Path) -> Iterator[Figure]:
    """smart-fetch and ours, each on a server that fails every sixtieth call, the kinds in turn."""
    wanted = {patient: _chart(patient) for patient in range(FAULTY_PATIENTS)}
    with practice(*SERVER, profile="generic", data=data, scopes=SCOPES) as bench:
        pull_place.bearer(bench)
        sow(bench)
        theirs, found = pull_place.smart_fetch(bench, bench.patient_ids(), pull_charts.TYPES, 200)
    with practice(*SERVER, profile="generic", data=data, scopes=SCOPES) as bench:
        bench.enrol()
        refuse_sweeps(bench)
        sow(bench)
        with without_broker(unlimited=True):
            began = time.perf_counter()
            schedule.open_pulls()
            work(bench)
            wall = time.perf_counter() - began
        kept = {f"{kind}/{fhir_id}" for kind, fhir_id, *_ in rows(bench.connection)}
        made = bench.calls()
    for name, whole, calls, seconds in (
        ("smart-fetch", _whole(wanted, found), theirs.calls, theirs.wall), ("ours", _whole(wanted, kept), made, wall)
    ):  # fmt: skip
        told = f"{name}, a fault every {FAULT_EVERY} calls: complete of {FAULTY_PATIENTS} patients"
        yield Figure(f"{told} ({calls} calls, {seconds:.0f} s)", whole)
    rate = _whole(wanted, kept) / made * 1000
    least = _whole(wanted, found) / theirs.calls * 1000
    name = f"complete patients per 1,000 calls (smart-fetch {least:.1f})"
    yield Figure(name, round(rate, 1), "", round(least, 1), at_least=True)
    yield Figure("wall time to smart-fetch's", round(wall / theirs.wall, 2), "×", 0.5)


def sow(bench: Bench) -> None:
    for number in range(12):
        order = dict(FAULTS[number % len(FAULTS)])
        match = {"path": f"/fhir/r4/{bench.code}/", "nth": (number + 1) * FAULT_EVERY}
        bench.fault(str(order.pop("kind")), match=match, **order)


def _chart(patient: int) -> set[str]:
    return {f"{one['resourceType']}/{one['id']}" for one in pull_charts.chart(patient)}


def _whole(wanted: dict[int, set[str]], found: set[str]) -> int:
    return sum(chart <= found for chart in wanted.values())
