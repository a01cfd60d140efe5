"""The circuit breaker of a practice: the same failure again and again, over several items, pauses its pulls.

Nothing is tried for a minute, then one item is let through (half open). If two types of it meet a failure, the minute
starts anew; the first answer closes the circuit. A type that fails while the next one is answered is that type's
trouble and no outage: its failures do not count in this pull again. A person's Resume closes the circuit at once.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from emr.models import Pull, WorkItem

TRIPS_AT = 5
PROBE_AFTER = timedelta(seconds=60)


@transaction.atomic
def failed(pull: Pull, code: str, resource_type: str) -> bool:
    """Count a failure that may pass by itself. True when the practice's pulls are paused because of it."""
    row = Pull.objects.select_for_update().filter(pk=pull.pk, state=Pull.State.RUNNING).first()
    if row is None or resource_type in row.spared_types:
        return False
    row.failing_calls = row.failing_calls + 1 if row.failing_code == code else 1
    row.failing_code = code
    row.save(update_fields=["failing_code", "failing_calls"])
    if row.failing_calls < TRIPS_AT and not row.probing:
        return False
    # What one pull has found out of a server holds for the practice's other connections to it.
    others = Pull.objects.filter(practice_id=row.practice_id, connection__base_url=pull.connection.base_url)
    others.filter(state=Pull.State.RUNNING).update(
        state=Pull.State.PAUSED, probe_at=timezone.now() + PROBE_AFTER, probing=False, failing_code=code
    )
    return True


@transaction.atomic
def spare(pull: Pull, resource_type: str) -> None:
    """This type failed, and the call after it was answered: the server is well."""
    row = Pull.objects.select_for_update().get(pk=pull.pk)
    if resource_type not in row.spared_types:
        Pull.objects.filter(pk=pull.pk).update(spared_types=[*row.spared_types, resource_type])


# What a pull's row says when its server answers; part of the UPDATE that counts the call.
CLOSED: dict[str, Any] = {"failing_code": "", "failing_calls": 0, "probing": False}


def half_open() -> None:
    """Let one item of each pull through whose minute is over."""
    Pull.objects.filter(state=Pull.State.PAUSED, probe_at__lte=timezone.now()).update(
        state=Pull.State.RUNNING, probe_at=None, probing=True
    )


def pause(pull_id: UUID) -> bool:
    """A person's pause, which no probe ends. False: it was not running."""
    by_breaker = Q(state=Pull.State.PAUSED, probe_at__isnull=False)
    return bool(
        Pull.objects.filter(by_breaker | Q(state=Pull.State.RUNNING), pk=pull_id).update(
            state=Pull.State.PAUSED, probe_at=None, **CLOSED
        )
    )


def resume(pull_id: UUID) -> bool:
    """Go on at once, whoever or whatever paused it. False: it was not paused."""
    now = timezone.now()
    resumed = Pull.objects.filter(pk=pull_id, state=Pull.State.PAUSED).update(
        state=Pull.State.RUNNING, probe_at=None, **CLOSED
    )
    if resumed:  # messages of before the pause found nothing to do
        WorkItem.objects.filter(pull_id=pull_id, state=WorkItem.State.QUEUED).update(published_at=None)
        # Until now it was held: a long pause is no silence of the workers.
        Pull.objects.filter(Q(hold_until=None) | Q(hold_until__lt=now), pk=pull_id).update(hold_until=now)
    return bool(resumed)
