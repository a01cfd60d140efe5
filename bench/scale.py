"""A practice of 5,000 patients with sixty resources each, to one of 500 (bench/README.md says how to read it)."""

from collections.abc import Iterator

from bench.apart import part
from bench.figure import Figure


def figures() -> Iterator[Figure]:
    with part("bench.pull_scale", "scale_figures", "5000") as found:
        yield from found
