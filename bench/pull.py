"""The pull engine: calls, limit, peers, store, memory, scale (bench/README.md says how to read it).

The limit takes its minutes whatever else runs: it runs beside counts and sizes, in processes of its own. What is
compared by time runs after it, by itself.
"""

from collections.abc import Iterator

from bench.apart import part
from bench.figure import Figure
from bench.limit import both_kinds
from bench.pull_calls import call_figures
from bench.pull_peers import peer_figures
from bench.pull_store import store_figures


def figures() -> Iterator[Figure]:
    with both_kinds() as kinds:
        yield from call_figures()
        with part("bench.pull_bulk", "bulk_figures") as memory:
            yield from memory
        with part("bench.pull_scale", "scale_figures", "400") as scale:
            yield from scale
        for found in kinds:
            yield from found
    yield from store_figures()
    yield from peer_figures()
