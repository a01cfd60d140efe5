"""Generated charts as a batch to load."""

import datetime
from functools import lru_cache

from sandbox.charts import generate
from sandbox.loading import Batch, read_documents


def generated_batch(patients: int, seed: int, today: datetime.date, *, booked: bool = False) -> Batch:
    """Charts of that many patients up to ``today``; the same seed gives the same charts; ``booked`` with
    appointments."""
    made = _made(patients, seed, today, booked)
    return Batch(list(made.resources), dict(made.urns), list(made.rejected))


# A program that starts many sandboxes, as tests do, makes the charts once; resources are frozen.
@lru_cache(maxsize=16)
def _made(patients: int, seed: int, today: datetime.date, booked: bool) -> Batch:
    batch = Batch()
    read_documents(batch, generate(patients=patients, seed=seed, today=today, booked=booked), f"generated(seed={seed})")
    return batch
