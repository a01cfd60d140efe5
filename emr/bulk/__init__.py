"""Pulling a whole Group by bulk export: when that is possible and due, and one leased step of it after the other.

`open_due` opens exports, `waiting_items` names the steps that a worker could take, `run` takes one. Refused once, it is
not asked for again until something changed (`paths.export_refusal`), and the plan is followed patient by patient.
"""

from emr.bulk.opening import open_due, open_export
from emr.bulk.running import run
from emr.bulk.waiting import TASK, waiting_items

__all__ = ["TASK", "open_due", "open_export", "run", "waiting_items"]
