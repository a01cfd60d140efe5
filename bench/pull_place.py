"""Where peers live (a virtual environment of their own, made on first use) and how one is run."""

import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from django.test.utils import override_settings

from bench.practice import Bench
from emr import calls, tokens
from headachemd.demo.place import ROOT

PEERS = ROOT / "bench" / "peers"
ENVIRONMENT = ROOT / "var" / "peers"
PYTHON = ENVIRONMENT / "bin" / "python"


@dataclass(frozen=True)
class Run:
    """What one client did. cpu: of its process alone, its imports not counted where it is a program of ours."""

    resources: int
    calls: int
    cpu: float
    wall: float


class PeersMissing(Exception):
    """They cannot be installed here; the text says why."""


def install() -> None:
    """Make the environment, once. Raises PeersMissing."""
    wanted = (PEERS / "requirements.txt").read_text()
    stamp = ENVIRONMENT / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
    pip = [str(PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    done = subprocess.run([*pip, "-r", str(PEERS / "requirements.txt")], capture_output=True, text=True)
    if done.returncode:
        raise PeersMissing(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "pip failed")
    stamp.write_text(wanted)


def bearer(bench: Bench) -> str:
    """A token of our registration: no peer speaks private_key_jwt but smart-fetch, so each is handed one."""
    with override_settings(INSECURE_FHIR_HOSTS=frozenset({bench.address})), calls.door_to(bench.connection) as door:
        return tokens.system_access(bench.connection, door).bearer


def peer(name: str, bench: Bench, patients: list[str]) -> Run:
    """Run a program of bench/peers against this server."""
    token, before = bearer(bench), bench.calls()
    with tempfile.NamedTemporaryFile("w", suffix=".json") as listed:
        json.dump(patients, listed)
        listed.flush()
        command = [str(PYTHON), str(PEERS / f"{name}.py"), bench.connection.base_url, token, listed.name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{name} ended with: {done.stderr.strip().splitlines()[-1:]}")
    told = json.loads(done.stdout)
    return Run(told["resources"], bench.calls() - before, told["cpu"], told["wall"])


def smart_fetch(bench: Bench, patients: list[str], types: tuple[str, ...], seconds: float) -> tuple[Run, set[str]]:
    """A crawl over these patients into files. Also returns "type/id" of all it has written, whatever its status."""
    token, before = bearer(bench), bench.calls()
    with tempfile.TemporaryDirectory() as folder:
        secret = Path(folder, "bearer")
        secret.write_text(token)
        out = Path(folder, "out")
        command = [
            str(ENVIRONMENT / "bin" / "smart-fetch"), "crawl", "--fhir-url", bench.connection.base_url,
            "--bearer-token", str(secret), "--id-list", ",".join(patients), "--no-default-filters",
            "--no-compression", "--type", ",".join(types), str(out),
        ]  # fmt: skip
        began = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, _, usage = _waited(process, seconds)
        wall = time.perf_counter() - began
        found = {f"{one['resourceType']}/{one['id']}" for one in _written(out)}
    return Run(len(found), bench.calls() - before, usage.ru_utime + usage.ru_stime, wall), found


def _waited(process: "subprocess.Popen[bytes]", seconds: float) -> tuple[int, int, "os.struct_rusage"]:  # type: ignore[name-defined]
    """As os.wait4, ending the process after so many seconds."""
    until = time.monotonic() + seconds
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            process.returncode = os.waitstatus_to_exitcode(status)
            return pid, status, usage
        if time.monotonic() > until:
            process.kill()
        time.sleep(0.05)


def _written(folder: Path) -> list[dict[str, str]]:
    return [
        one
        for path in folder.rglob("*.ndjson")
        for line in path.read_text("utf-8").splitlines()
        if line.strip() and "id" in (one := json.loads(line)) and "log" not in path.name
    ]
