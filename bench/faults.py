"""Faults: of the vendor (figure 3 of the pull engine) and of our own processes and servers (figure 4)."""

from collections.abc import Iterator

from bench.faults_processes import real_processes
from bench.faults_pulls import fault_figures
from bench.figure import Figure


def figures() -> Iterator[Figure]:
    # One after the other: beside a dozen processes of our own, waits of a second would be theirs.
    yield from fault_figures()
    with real_processes() as scenes:
        yield from scenes
