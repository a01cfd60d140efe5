"""Generated charts as a batch to load."""

import datetime

from sandbox.charts import generate
from sandbox.loading import Batch, read_documents


def generated_batch(patients: int, seed: int, today: datetime.date) -> Batch:
    """Charts of that many patients up to ``today``; the same seed gives the same charts."""
    batch = Batch()
    read_documents(batch, generate(patients=patients, seed=seed, today=today), f"generated(seed={seed})")
    return batch
