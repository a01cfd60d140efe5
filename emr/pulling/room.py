"""The database refused a write for want of room: no step's own fault, and over once somebody has made some."""

import logging

from django.db import OperationalError

from emr.models.leased import LeasedStep
from emr.pulling import leases, queue

log = logging.getLogger(__name__)

WAIT_SECONDS = 60.0
# PostgreSQL's class of errors for insufficient resources: a full disk, memory, connections (its manual, appendix A).
_SHORT = "53"


def wait_for(item: LeasedStep, error: OperationalError, task: str = queue.TASK) -> None:
    """Hand the step back for a while, without holding the error against it. task: who does such steps.

    Raises `error` again where it is not about room, and what the database raises where not even this can be written:
    the lease then runs out by itself.
    """
    if not _is_short(error):
        raise error
    log.warning("step %s waits: the database has no room", item.pk)
    leases.hand_back(item, WAIT_SECONDS, task)


def _is_short(error: OperationalError) -> bool:
    state = getattr(error.__cause__, "sqlstate", None) or ""
    return state.startswith(_SHORT) or getattr(error.__cause__, "sqlite_errorname", "") == "SQLITE_FULL"
