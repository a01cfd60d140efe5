"""The main job: from nothing to a readable history, what is lost on the way, and what a page costs."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.figure import Figure
from bench.page import page_figures
from headachemd.demo.place import ROOT

DATA = ROOT.parent / "shared" / "data"
DEMO = [sys.executable, "-m", "headachemd.demo"]


def figures() -> Iterator[Figure]:
    yield from install_time()
    yield from starts()
    yield from losses()
    yield from page_figures()


def install_time() -> Iterator[Figure]:
    """A fresh virtual environment with the runtime requirements, from whatever index pip is set up with."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        pip = [f"{folder}/bin/python", "-m", "pip", "install", "-q", "-r", str(ROOT / "requirements.txt")]
        if subprocess.run(pip, stderr=subprocess.DEVNULL).returncode == 0:
            yield Figure("install (venv and requirements)", round(time.monotonic() - began, 1), "s")


def starts() -> Iterator[Figure]:
    folder = Path(tempfile.mkdtemp(prefix="headachemd-starts-"))
    try:
        began = time.monotonic()
        told = subprocess.run([*DEMO, "--check"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        seconds = time.monotonic() - began
        pages = json.loads(told.strip().splitlines()[-1])["pages_ok"]
        yield Figure("installed to list and three readable histories, stopped again", round(seconds, 1), "s", 60)
        yield Figure("pages that opened as they should", pages, "", 4, at_least=True)
        with running(folder):
            pass
        with running(folder) as seconds:
            yield Figure("second start", round(seconds, 1), "s", 15)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running(folder: Path, *options: str) -> Iterator[float]:
    """A demo, up to the line that gives its address; yields the seconds that took."""
    began = time.monotonic()
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [*DEMO, "--folder", str(folder), *options], cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "HeadacheMD is at" in line:
                break
        else:
            raise RuntimeError("the demo ended before it was up")
        yield time.monotonic() - began
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate()


def losses() -> Iterator[Figure]:
    """Real workers pull each folder; what the sandbox sent and is neither on file nor in quarantine is lost."""
    for data in sorted(DATA.iterdir()) if DATA.is_dir() else []:
        folder = Path(tempfile.mkdtemp(prefix="headachemd-data-"))
        with running(folder, "--data", str(data)):
            port = json.loads((folder / "demo.json").read_text())["sandbox_port"]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/control/ledger") as answer:
                served = {(kind, fhir_id) for kind, fhir_id, _ in json.load(answer)["served"]}
        with sqlite3.connect(folder / "headachemd.sqlite3") as db:
            kept = set(db.execute("SELECT resource_type, fhir_id FROM emr_resource"))
            kept |= set(db.execute("SELECT resource_type, fhir_id FROM emr_quarantine WHERE reason <> ''"))
        shutil.rmtree(folder, ignore_errors=True)
        yield Figure(f"{data.name}: resources served", len(served), "")
        yield Figure(f"{data.name}: resources lost", len(served - kept), "", 0)
