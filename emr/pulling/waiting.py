"""What else waits for a worker, beside the items of pulls: named once, and again when its message was lost."""

from datetime import timedelta
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from emr import catalogue, hints
from emr.models import Connection, DoctorReport, LookUp, Quarantine

RECHECK = timedelta(seconds=60)


def look_ups_waiting() -> list[UUID]:
    """Look-ups that a worker could take now and that no recent message names; old ones are deleted."""
    now = timezone.now()
    LookUp.objects.filter(created_at__lt=now - timedelta(days=1)).delete()
    rows = LookUp.objects.filter(
        LookUp.free(), hints.unsent(), state=LookUp.State.QUEUED, connection__state=Connection.State.ACTIVE
    )
    ids = list(rows.values_list("pk", flat=True)[: hints.ITEMS_A_TICK])
    LookUp.objects.filter(pk__in=ids).update(published_at=now)
    return ids


def retries_waiting() -> list[UUID]:
    """Quarantined bytes that staff want tried again, asked for longer ago than a message takes."""
    asked = Quarantine.objects.filter(retry_asked_at__lt=timezone.now() - hints.REPUBLISH, released_at=None)
    ids = list(asked.values_list("pk", flat=True)[: hints.ITEMS_A_TICK])
    Quarantine.objects.filter(pk__in=ids).update(retry_asked_at=timezone.now())
    return ids


def connections_to_check() -> list[UUID]:
    """Degraded connections whose trouble may clear by itself, at most once a minute each."""
    degraded = Connection.objects.filter(
        state=Connection.State.DEGRADED, reason_at__lt=timezone.now() - RECHECK
    ).values_list("pk", "reason_code")
    return [pk for pk, code in degraded if catalogue.explain(code).retries in {"backs off", "once"}]


def self_tests_waiting() -> list[UUID]:
    """Connections whose self-test was asked for and not taken up within the time of a lost message."""
    now = timezone.now()
    sent = Q(alive_at__lt=now - hints.REPUBLISH) | Q(alive_at=None, created_at__lt=now - hints.REPUBLISH)
    waiting = DoctorReport.objects.filter(sent, state=DoctorReport.State.QUEUED)
    found = list(waiting.values_list("pk", "connection_id"))
    DoctorReport.objects.filter(pk__in=[pk for pk, _ in found]).update(alive_at=now)
    return [connection_id for _, connection_id in found]
