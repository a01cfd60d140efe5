"""Starts the demo's processes, restarts one that dies, and ends them all together."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
GRACE_SECONDS = 8.0


@dataclass
class Child:
    name: str
    command: Sequence[str]
    process: subprocess.Popen[str]
    restarts: int = 0


def die_with_parent() -> None:
    """On Linux the kernel ends a child whose supervisor was killed; elsewhere Ctrl-C and SIGTERM have to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Supervisor:
    """Context manager: everything started inside is ended on the way out."""

    MAX_RESTARTS = 20

    def __init__(self, env: Mapping[str, str], log_dir: Path) -> None:
        self.env = {**os.environ, **env}
        self.log_dir = log_dir
        self.children: dict[str, Child] = {}
        self._stopping = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Supervisor":
        self.log_dir.mkdir(parents=True, exist_ok=True)
        self._watcher.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.stop()

    def start(self, name: str, command: Sequence[str], *, first_line: bool = False) -> str:
        """Start a child, its output in a log file. With `first_line`, wait for and return what it prints first."""
        process = self._spawn(name, command, capture=first_line)
        self.children[name] = Child(name, command, process)  # before its first line: a signal may come while we wait
        line = ""
        if first_line and process.stdout is not None:
            line = process.stdout.readline()
            if not line:
                raise ChildFailed(f"{name} did not start; see {self.log_dir / name}.log")
        return line

    def _spawn(self, name: str, command: Sequence[str], *, capture: bool = False) -> subprocess.Popen[str]:
        with (self.log_dir / f"{name}.log").open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - our own commands
                command,
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE if capture else log,
                stderr=log,
                text=True,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def _watch(self) -> None:
        while not self._stopping.wait(0.5):
            for child in list(self.children.values()):
                if child.process.poll() is not None and child.restarts < self.MAX_RESTARTS:
                    child.restarts += 1
                    if not self._stopping.wait(min(child.restarts * 0.2, 5)):
                        child.process = self._spawn(child.name, child.command)

    def stop(self) -> None:
        """SIGTERM to each child's whole group, and SIGKILL to what is left after a while."""
        self._stopping.set()
        self._watcher.join(GRACE_SECONDS)  # else it could start a child that nobody ends
        for child in self.children.values():
            _signal_group(child.process, signal.SIGTERM)
        until = time.monotonic() + GRACE_SECONDS
        for child in self.children.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.1, until - time.monotonic()))
            _signal_group(child.process, signal.SIGKILL)
            child.process.wait()


class ChildFailed(Exception):
    """A process of the demo did not come up; the text says which and where its log is."""


def _signal_group(process: subprocess.Popen[str], number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


def wait_until(true: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Poll until it holds. Raises ChildFailed with `what` when the time is over."""
    until = time.monotonic() + seconds
    while not true():
        if time.monotonic() > until:
            raise ChildFailed(f"{what} within {seconds:.0f} s")
        time.sleep(0.1)
