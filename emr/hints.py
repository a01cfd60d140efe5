"""The hint to a worker that something is due. What is due is a row: a message may be lost, doubled or late."""

import logging
from datetime import timedelta

from celery import current_app
from django.db.models import F, Q
from django.utils import timezone
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)

# A message not taken up within this time is taken for lost and sent again; a second one does no harm.
REPUBLISH = timedelta(seconds=30)
ITEMS_A_TICK = 100


def unsent() -> Q:
    """Of a row with a lease (emr.models.leased): no recent message names it."""
    late = timezone.now() - REPUBLISH
    return Q(published_at=None) | Q(published_at__lt=late) | Q(not_before__gt=F("published_at"))


def publish(task: str, *args: object) -> bool:
    """Send a task by name (so that web processes never import the worker's modules). False: no broker right now."""
    return publish_later(task, 0, *args)


def publish_later(task: str, seconds: float, *args: object) -> bool:
    """As `publish`, to be run in so many seconds: a worker that gets the message keeps it until then."""
    try:
        current_app.send_task(task, args=[str(arg) for arg in args], countdown=seconds or None, retry=False)
    except (OperationalError, OSError):
        # What was to be done is a row, and the next tick publishes it again.
        log.warning("no broker for %s", task)
        return False
    return True
