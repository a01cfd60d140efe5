"""The vendor's minute: eight workers, 250 calls a clock minute whose phase we do not know, 0 to 300 ms on the way.

Two kinds of budget side by side, each with a server, a database and a broker of its own: on Redis (a Celery worker
of eight processes, as in production) and in the database (eight workers of one process each on the folder broker).
"""

import os
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from django.conf import settings

from bench.apart import part
from bench.crew import celery
from bench.figure import Figure
from bench.practice import Bench, practice
from emr.pulling import asking
from headachemd.demo.supervisor import Supervisor
from tests import servers

LIMIT = 250
WORKERS = 8
PATIENTS = 130
WINDOWS = 3
# So often somebody presses "Refresh" on a chart while the background pulls.
ASKED_EVERY = 25.0
NAMES = {"redis": "on Redis", "database": "in the database"}


@contextmanager
def both_kinds() -> Iterator[list[Iterator[Figure]]]:
    """Starts both kinds at once; their figures are there after about four minutes."""
    with ExitStack() as stack:
        parts = [stack.enter_context(part("bench.limit", "minutes", "database"))]
        if servers.redis_server():
            url = stack.enter_context(servers.running_redis())
            more = {"TICK_SECONDS": "10"}  # as in production
            parts.append(stack.enter_context(part("bench.limit", "minutes", "redis", redis_url=url, **more)))
        yield parts


def minutes(kind: str) -> Iterator[Figure]:
    """Runs in a process of its own (bench.apart)."""
    phase = random.uniform(0, 60)
    sandbox = ["--patients", str(PATIENTS), "--page-size", "50", "--limit", str(LIMIT)]
    with practice(*sandbox, vendor=["--jitter-ms", "300", "--phase", f"{phase:.1f}"]) as bench:
        bench.enrol()
        with working(bench, kind):
            seen = list(_watched(bench))
        refused = bench.get("calls")["refused_429"]
    full = seen[1:-1]
    goal = 97 if kind == "redis" else 90
    where = NAMES[kind]
    yield Figure(f"full minutes seen, budget {where}: {', '.join(map(str, full))} calls", len(full), "", WINDOWS, True)
    yield Figure(f"emptiest of them, {WORKERS} workers", round(100 * min(full) / LIMIT, 1), "%", goal, at_least=True)
    yield Figure(f"answers 429, budget {where}", refused, "", 0)


@contextmanager
def working(bench: Bench, kind: str) -> Iterator[Supervisor]:
    """Workers and a beat of this process's settings."""
    with Supervisor({**os.environ, **bench.environment}, settings.VAR_DIR / "log") as processes:
        quiet = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        if kind == "redis":
            processes.start("worker", celery("worker", f"--concurrency={WORKERS}", *quiet))
        else:
            for number in range(WORKERS):
                processes.start(f"worker{number}", celery("worker", "-n", f"w{number}@%h", *quiet))
        processes.start("beat", celery("beat", f"--pidfile={settings.VAR_DIR}/beat.pid"))
        yield processes


def _watched(bench: Bench) -> Iterator[int]:
    """Calls of each of the vendor's minutes, when there are enough; the first and the last are cut short."""
    people = bench.patient_ids()
    asked = time.monotonic()
    while True:
        time.sleep(1)
        counted = list(bench.get("calls")["minutes"].get(bench.code, {}).values())
        if len(counted) >= WINDOWS + 2:
            yield from counted
            return
        if time.monotonic() - asked > ASKED_EVERY:
            asked = time.monotonic()
            asking.refresh(bench.connection.practice_id, random.choice(people), None)
