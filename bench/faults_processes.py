"""Real workers, Redis and PostgreSQL, killed while they pull; what is on file in the end, and what was asked twice.

Five practices of nine patients each, so that none meets its call limit; a Celery worker of four processes and two
beats, one supervisor over them. Each scene pulls everybody anew.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from django.conf import settings
from django.db import OperationalError
from django.db import connection as database

from bench.apart import part
from bench.faults_servers import Servers, absent, restartable
from bench.figure import Figure
from bench.practice import Bench, practice, rows
from emr import hints
from emr.models import Pull, Resource, WorkItem
from headachemd.demo.place import ROOT
from headachemd.demo.supervisor import die_with_parent
from patients.models import Entry

PRACTICES, PATIENTS, WORKERS = 5, 9, 4
KILLS = int(os.environ.get("BENCH_KILLS", "20"))
FLUSHED_AT, TIMES_SENT, RESTARTS = 40, 50, 3
SCENE_SECONDS = 200.0
SANDBOX = ("--patients", str(PATIENTS), "--page-size", "200", "--limit", "100000", "--latency-ms", "60")


@contextmanager
def real_processes() -> Iterator[Iterator[Figure]]:
    """Starts the scenes; their figures come as they end, some minutes later."""
    missing = absent()
    if missing:
        yield iter([Figure(f"real processes: not measured, this machine has no {missing}", 0)])
        return
    with restartable() as servers:
        where = (servers.folder, str(servers.redis_port), str(servers.postgres_port))
        urls = {"database_url": servers.database_url, "redis_url": servers.redis_url}
        with part("bench.faults_processes", "scenes", *where, **urls) as figures:
            yield figures


def scenes(folder: str, redis_port: str, postgres_port: str) -> Iterator[Figure]:
    """Runs in a process of its own (bench.apart), on these servers."""
    servers = Servers(folder, int(redis_port), int(postgres_port))
    with ExitStack() as stack:
        clinics = [stack.enter_context(practice(*SANDBOX, "--seed", str(n + 1))) for n in range(PRACTICES)]
        for clinic in clinics:
            clinic.enrol()
        stage = Stage(clinics, servers)
        with stage.crew():
            yield from _scene(stage, "undisturbed", lambda: 0)
            yield from _scene(stage, f"{KILLS} kills of worker, child, supervisor", stage.kill_often, KILLS)
            yield from _scene(stage, f"Redis killed with {FLUSHED_AT} queued", stage.lose_redis)
            yield from _scene(stage, f"Redis flushed with {FLUSHED_AT} queued", stage.flush_redis)
            yield from _scene(stage, f"PostgreSQL restarted {RESTARTS} times", stage.restart_postgres)
            yield from _scene(stage, f"two beats, each message {TIMES_SENT} times", stage.send_often)


@dataclass(frozen=True)
class State:
    """What is on file of all clinics."""

    resources: frozenset[Any]
    entries: frozenset[Any]


class Stage:
    """The clinics, the servers, and the processes that pull."""

    def __init__(self, clinics: list[Bench], servers: Servers) -> None:
        self.clinics = clinics
        self.servers = servers
        self.chance = random.Random(4)
        self.calm = State(frozenset(), frozenset())
        self.crew_process: subprocess.Popen[bytes] | None = None
        self.killed = {"worker": 0, "child": 0, "supervisor": 0}

    # --- processes ---

    @contextmanager
    def crew(self) -> Iterator[None]:
        self.start_crew()
        try:
            yield
        finally:
            if self.crew_process is not None:
                self.crew_process.terminate()
                self.crew_process.wait(30)

    def start_crew(self) -> None:
        hosts = ",".join(clinic.address for clinic in self.clinics)
        env = {**os.environ, "INSECURE_FHIR_HOSTS": hosts}
        command = [sys.executable, "-m", "bench.crew", str(settings.VAR_DIR), str(WORKERS), "2"]
        self.crew_process = subprocess.Popen(command, cwd=ROOT, env=env, preexec_fn=die_with_parent)

    def kill_often(self) -> int:
        """SIGKILL at random moments. Returns how many processes that fetch pages it ended."""
        ended = 0
        for _ in range(KILLS):
            time.sleep(self.chance.uniform(0.3, 3.5))
            kind = self.chance.choice(("worker", "child", "child", "supervisor"))
            ended += self._kill(kind)
        return ended

    def _kill(self, kind: str) -> int:
        assert self.crew_process is not None
        crew = self.crew_process.pid
        workers, pool = self._pool(crew)
        self.killed[kind] += 1
        if kind == "child":
            _kill_process(self.chance.choice(pool))
            return 1
        if kind == "worker":
            _kill_process(workers[0])
            return len(pool)
        _kill_process(crew)
        self.crew_process.wait()
        self.start_crew()
        return len(pool)

    def _pool(self, crew: int) -> tuple[list[int], list[int]]:
        """(Celery's main process, its pool), once they are up again."""
        until = time.monotonic() + 15
        while time.monotonic() < until:
            workers = [pid for pid in _children(crew) if "worker" in _command(pid)]
            pool = [child for pid in workers for child in _children(pid)]
            if len(pool) >= WORKERS:
                return workers, pool
            time.sleep(0.1)
        raise RuntimeError("the worker did not come back")

    # --- servers ---

    def lose_redis(self) -> int:
        self._fill_queue()
        self.servers.kill_redis()
        time.sleep(2)
        self.servers.start_redis()
        return 0

    def flush_redis(self) -> int:
        self._fill_queue()
        with redis.Redis.from_url(settings.REDIS_URL) as server:
            server.flushall()
        return 0

    def restart_postgres(self) -> int:
        for _ in range(RESTARTS):
            time.sleep(self.chance.uniform(1.5, 3))
            self.servers.postgres("-m", "immediate", "restart")
            database.close()
        return RESTARTS * WORKERS

    def send_often(self) -> int:
        self._send(TIMES_SENT)
        return 0

    def _send(self, times: int) -> None:
        for item in WorkItem.objects.filter(state=WorkItem.State.QUEUED).values_list("pk", flat=True):
            for _ in range(times):
                hints.publish("emr.tasks.run_item", item)

    def _fill_queue(self) -> None:
        """A message for every item, where the engine sends only so many at a time as are of use; until they are out."""
        self._send(1)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with redis.Redis.from_url(settings.REDIS_URL) as server:
                if int(server.llen("celery")) >= FLUSHED_AT:
                    return
            time.sleep(0.02)
        raise RuntimeError(f"never were {FLUSHED_AT} messages queued")

    # --- what is seen ---

    def begin(self) -> None:
        """Forget what is on file and what was counted; make everybody due."""
        with redis.Redis.from_url(settings.REDIS_URL) as server:
            for key in server.keys("calls:*"):
                server.delete(key)
        for clinic in self.clinics:
            Resource.objects.filter(practice_id=clinic.connection.practice_id).delete()
            clinic.post("reset", {})
            clinic.ask()

    def settle(self) -> bool:
        until = time.monotonic() + SCENE_SECONDS
        while time.monotonic() < until:
            time.sleep(0.3)
            with suppress(OperationalError):
                if not Pull.objects.filter(state__in=Pull.OPEN).exists():
                    return True
        return False

    def state(self) -> State:
        entries = Entry.objects.values_list(
            "patient__fhir_id", "source__resource_type", "source__fhir_id", "ordinal", "fingerprint"
        )
        found = frozenset((clinic.code, *row) for clinic in self.clinics for row in rows(clinic.connection))
        return State(found, frozenset(entries))

    def asked_in_vain(self) -> int:
        """FHIR calls that the servers answered and no committed page accounts for."""
        served = sum(clinic.get("calls")["by_kind"].get("fhir", 0) for clinic in self.clinics)
        kept = sum(clinic.connection.pulls.latest("started_at").calls for clinic in self.clinics)
        return int(served) - kept


def _scene(stage: Stage, name: str, disturb: Callable[[], int], points: int = 0) -> Iterator[Figure]:
    stage.begin()
    began = time.monotonic()
    fetchers = disturb()
    ended = stage.settle()
    seconds = time.monotonic() - began
    found, again = stage.state(), stage.asked_in_vain()
    if name == "undisturbed":
        stage.calm = found
        yield Figure(f"{name}: resources on file", len(found.resources), "")
        yield Figure(f"{name}: pulls that ended", float(ended), "", 1, at_least=True)
        # Each practice's discovery document is a call too.
        again -= len(stage.clinics)
    else:
        unlike = len(found.resources ^ stage.calm.resources) + len(found.entries ^ stage.calm.entries)
        told = f", {stage.killed}" if points else ""
        yield Figure(f"{name}{told}: rows unlike the undisturbed run", unlike, "", 0)
    yield Figure(f"{name}: pages fetched again, {fetchers} workers ended", again, "", fetchers)
    yield Figure(f"{name}: until all was done", round(seconds, 1), "s")


def _children(pid: int) -> list[int]:
    """Of all its threads: the supervisor's watcher starts children too."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            found += [int(word) for word in task.read_text().split()]
    return found


def _command(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_text()
    return ""


def _kill_process(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
