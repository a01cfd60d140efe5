"""How often Python's collector of cycles runs: seldom in workers, as Python has it everywhere else."""

import subprocess
import sys

_WORKER = """
import gc, sys
import headachemd.celery
from celery import signals
before = gc.get_threshold()
getattr(signals, sys.argv[1]).send(sender=None)
print(before[0], *gc.get_threshold(), gc.get_freeze_count() > 1000)
"""


def test_workers_of_both_kinds_collect_seldom() -> None:
    """The first number is what a process has that only imports the application, such as the web's."""
    for start in ("worker_init", "worker_process_init"):
        told = subprocess.run(
            [sys.executable, "-c", _WORKER, start], capture_output=True, text=True, check=True, timeout=60
        )
        assert told.stdout.split() == ["700", "50000", "20", "20", "True"]
