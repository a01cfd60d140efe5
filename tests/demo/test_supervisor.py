"""However the demo ends, no process of it is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from headachemd.demo.supervisor import Supervisor

pytestmark = pytest.mark.demo

# Waits for a first line that its child, deaf to SIGTERM, never prints.
WAITING = """
import pathlib, signal, sys
from headachemd.demo.supervisor import Supervisor
signal.signal(signal.SIGTERM, signal.default_int_handler)
Supervisor.__init__.__globals__["GRACE_SECONDS"] = 0.5
folder = pathlib.Path(sys.argv[1])
with Supervisor({}, folder) as processes:
    deaf = f"trap '' TERM; echo $$ > {folder}/pid; while :; do sleep 0.1; done"
    processes.start("deaf", ["sh", "-c", deaf], first_line=True)
"""


def runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def until(true: Callable[[], object], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_told_to_stop_while_a_child_has_not_come_up_yet(tmp_path: Path) -> None:
    waiting = subprocess.Popen([sys.executable, "-c", WAITING, str(tmp_path)], stderr=subprocess.DEVNULL)
    pid = tmp_path / "pid"
    try:
        until(lambda: pid.exists() and pid.read_text().strip())
        waiting.send_signal(signal.SIGTERM)
        waiting.wait(20)
        until(lambda: not runs(int(pid.read_text())))
    finally:
        waiting.kill()
        if runs(int(pid.read_text())):
            os.killpg(int(pid.read_text()), signal.SIGKILL)


def test_a_child_that_is_being_started_again_is_ended_too(tmp_path: Path) -> None:
    """It dies over and over; whichever of its lives the end falls into, nothing is left."""
    command = ["sh", "-c", f"echo $$ >> {tmp_path}/pids; sleep 0.3"]
    pids = tmp_path / "pids"
    for pause in (0.5, 0.7, 0.9):
        with Supervisor({}, tmp_path) as processes:
            processes.start("dying", command)
            time.sleep(pause)
        count = len(pids.read_text().split())
        assert [pid for pid in pids.read_text().split() if runs(int(pid))] == []
        time.sleep(1)
        assert len(pids.read_text().split()) == count
