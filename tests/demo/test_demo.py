"""The whole product, with its real processes: started as a newcomer would, and killed as nobody would."""

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import servers

ROOT = Path(__file__).resolve().parent.parent.parent
DATA = ROOT.parent / "shared" / "data"
DEMO = [sys.executable, "-m", "headachemd.demo"]

pytestmark = pytest.mark.demo


def clean_env() -> dict[str, str]:
    """The caller's environment without what the test settings put there."""
    ours = {"DJANGO_SETTINGS_MODULE", "HEADACHEMD_MODE", "SECRET_KEY", "FIELD_KEYS", "PUBLIC_URL", "VAR_DIR",
            "DATABASE_URL", "DEMO_PATIENTS", "DEMO_DATA"}  # fmt: skip
    return {name: value for name, value in os.environ.items() if name not in ours}


def check(*options: str) -> dict[str, float]:
    result = subprocess.run(
        [*DEMO, "--check", *options], cwd=ROOT, env=clean_env(), capture_output=True, text=True, timeout=240
    )
    assert result.returncode == 0, result.stdout + result.stderr
    told: dict[str, float] = json.loads(result.stdout.strip().splitlines()[-1])
    return told


def test_demo_check_opens_the_list_and_three_histories() -> None:
    told = check("--patients", "5")
    assert told["patients"] == 5
    assert told["pages_ok"] == 4
    assert told["resources"] > 100
    assert told["quarantined"] == 0


@pytest.mark.servers
@pytest.mark.skipif(not (servers.redis_server() and servers.postgres_bin()), reason="no Redis or PostgreSQL here")
def test_demo_check_on_redis_and_postgresql() -> None:
    with servers.running_postgres() as database, servers.running_redis() as redis:
        told = check("--patients", "5", "--database-url", database, "--redis-url", redis)
    assert (told["patients"], told["pages_ok"], told["quarantined"]) == (5, 4, 0)


@pytest.mark.shared_data
@pytest.mark.parametrize("folder", ["us-core-examples", "r4-examples-clinical"])
def test_demo_check_on_data_made_by_others(folder: str) -> None:
    if not (DATA / folder).is_dir():
        pytest.skip(f"no folder {folder} of FHIR data beside the repository")
    told = check("--data", str(DATA / folder))
    assert told["patients"] >= 4
    assert told["pages_ok"] == 4


def processes_of(folder: Path, role: str) -> list[int]:
    """Ids of the demo's processes of that role, found by the environment they were started with."""
    marker, found = f"VAR_DIR={folder}".encode(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                environ, command = (entry / "environ").read_bytes(), (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if marker in environ.split(b"\0") and role.encode() in command.split(b"\0"):
                found.append(int(entry.name))
    return found


@contextmanager
def running(folder: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    with (folder.parent / f"{folder.name}.log").open("ab") as log:
        process = subprocess.Popen(
            [*DEMO, "--folder", str(folder), *options], cwd=ROOT, env=clean_env(), stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(120)


def query(folder: Path, sql: str) -> list[tuple[object, ...]]:
    path = folder / "headachemd.sqlite3"
    if not path.exists():
        return []
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10) as db:
        try:
            return db.execute(sql).fetchall()
        except sqlite3.OperationalError:
            return []  # not migrated yet


def wait_for(folder: Path, patients: int, seconds: float = 200) -> None:
    until = time.monotonic() + seconds
    while query(folder, "SELECT count(*) FROM emr_workitem WHERE state = 'done'") != [(patients,)]:
        log = folder.parent / f"{folder.name}.log"
        assert time.monotonic() < until, log.read_text()
        time.sleep(0.2)


def final_rows(folder: Path) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    resources = query(
        folder, "SELECT resource_type, fhir_id, patient_fhir_id, body, content_hash FROM emr_resource ORDER BY 1, 2"
    )
    entries = query(
        folder,
        "SELECT r.resource_type, r.fhir_id, e.ordinal, e.kind, e.title, e.date, e.value_text, e.detail "
        "FROM patients_entry e JOIN emr_resource r ON r.id = e.source_id ORDER BY 1, 2, 3",
    )
    return resources, entries


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed") / "demo"
    with running(folder, "--patients", "4"):
        wait_for(folder, 4)
    return folder


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_workers_killed_in_mid_pull_cost_nothing(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    dice = random.Random(7)
    kills = 0
    with running(folder, "--patients", "4", "--latency", "60"):
        while kills < 4:
            time.sleep(0.3 + dice.random())
            done = query(folder, "SELECT count(*) FROM emr_workitem WHERE state = 'done'")
            started = query(folder, "SELECT count(*) FROM emr_resource")
            if done == [(4,)]:
                break
            if started and started[0] != (0,):
                for process in processes_of(folder, "worker"):
                    with contextlib.suppress(ProcessLookupError):  # its parent's end was its own
                        os.kill(process, signal.SIGKILL)
                        kills += 1
        assert kills >= 2
        wait_for(folder, 4)
    assert final_rows(folder) == final_rows(undisturbed)


@pytest.mark.skipif(sys.platform != "linux", reason="children end with their supervisor on Linux only")
def test_a_killed_demo_goes_on_where_it_was(undisturbed: Path, tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with running(folder, "--patients", "4", "--latency", "60") as first:
        until = time.monotonic() + 120
        while query(folder, "SELECT count(*) > 30 FROM emr_resource") != [(1,)]:
            assert time.monotonic() < until
            time.sleep(0.1)
        first.kill()
        first.wait()
    until = time.monotonic() + 60
    while processes_of(folder, "worker") or processes_of(folder, "beat"):
        assert time.monotonic() < until, "children outlive their supervisor"
        time.sleep(0.1)
    with running(folder, "--patients", "4"):
        wait_for(folder, 4)
    assert final_rows(folder) == final_rows(undisturbed)


def test_ctrl_c_stops_every_child(undisturbed: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("looks for processes in /proc")
    for role in ("worker", "beat", "gunicorn", "sandbox"):
        assert processes_of(undisturbed, role) == []
