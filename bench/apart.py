"""A part of an area in a process of its own, with a database and broker of its own.

`python -m bench.apart MODULE FUNCTION [ARGUMENT…]` sets Django up as the environment says and prints the figures
that MODULE.FUNCTION yields, one JSON object a line.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import django
from django.core.management import call_command

from bench.figure import Figure
from headachemd.demo.place import ROOT, prepare
from headachemd.demo.supervisor import die_with_parent


@contextmanager
def part(
    module: str, function: str, *arguments: str, database_url: str = "", redis_url: str = "", **more: str
) -> Iterator[Iterator[Figure]]:
    """Starts the part; the figures come as it prints them. `more`: further settings of its environment."""
    with tempfile.TemporaryDirectory(prefix="headachemd-part-", ignore_cleanup_errors=True) as folder:
        place, _ = prepare(Path(folder), any_port=True, database_url=database_url, redis_url=redis_url)
        command = [sys.executable, "-m", "bench.apart", module, function, *arguments]
        env = {**os.environ, **place.environment, **more}
        process = subprocess.Popen(
            command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent
        )
        try:
            yield _figures(process)
        finally:
            process.terminate()
            process.communicate()


def _figures(process: subprocess.Popen[str]) -> Iterator[Figure]:
    assert process.stdout is not None
    for line in process.stdout:
        yield Figure(**json.loads(line))
    if process.wait() != 0:
        raise RuntimeError(f"a part of the benchmark ended with status {process.returncode}")


def highest_memory() -> float:
    """MB that this process has held at most (Linux). Not ru_maxrss: a child begins with its parent's."""
    told = Path("/proc/self/status").read_text("ascii")
    return int(next(line for line in told.splitlines() if line.startswith("VmHWM:")).split()[1]) / 1024


def main(module: str, function: str, *arguments: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what runs inside is ended too
    django.setup()
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    for figure in getattr(importlib.import_module(module), function)(*arguments):
        print(json.dumps(figure.fields()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
