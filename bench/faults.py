"""Faults: of the vendor (figure 3 of the pull engine) and of our own processes and servers (figure 4)."""

from collections.abc import Iterator

from bench.faults_processes import process_figures
from bench.faults_pulls import fault_figures
from bench.figure import Figure


def figures() -> Iterator[Figure]:
    yield from fault_figures()
    yield from process_figures()
