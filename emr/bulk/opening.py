"""When a connection is pulled by an export of its group, and what that does to what is due."""

from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from emr.models import BulkItem, BulkJob, ClientRegistration, Connection, Pull
from emr.pulling.paths import may_export

State = BulkJob.State
# What `_since` may miss (late imports, a patient new to the group) comes with the next export of everything.
FULL_EVERY = timedelta(days=7)
DUE_REASON = "by the group's export"
FELL_BACK = "after an export that brought no data"


def open_due() -> int:
    """Open an export on every active connection that has one due and no pull under way. Returns how many."""
    rows = Connection.objects.filter(
        state=Connection.State.ACTIVE, registration__app_type=ClientRegistration.AppType.BACKEND_BULK
    )
    opened = 0
    for connection in rows.exclude(group_id="").exclude(pulls__state__in=Pull.OPEN).select_related("registration"):
        if may_export(connection) and _is_due(connection):
            opened += open_export(connection) is not None
    return opened


def _is_due(connection: Connection) -> bool:
    """The first time; when the last one is as old as what is shortest-lived; when a person asked for everybody."""
    last = connection.bulk_jobs.first()
    if last is None:
        return True
    now = timezone.now()
    if now >= last.created_at + connection.profile.freshness.shortest:
        return True
    return _asked_for_all(connection, now)


def _asked_for_all(connection: Connection, now: datetime) -> bool:
    """A person wants everybody: not one patient, who is pulled alone."""
    due = connection.enrolments.filter(due_at__lte=now, whole=True, asked_at=None)
    return due.count() > 1 and due.count() * 2 > connection.enrolments.count()


def open_export(connection: Connection) -> BulkJob | None:
    """Open a pull that is an export, now. None when another pull is under way.

    What is due patient by patient is put off for a day, except what staff wait for: should the export die, it is due
    again by itself.
    """
    now = timezone.now()
    since = _since(connection, now)
    try:
        with transaction.atomic():
            pull = Pull.objects.create(connection=connection, practice_id=connection.practice_id)
            job = BulkJob.objects.create(connection=connection, pull=pull, group_id=connection.group_id, since=since)
            BulkItem.objects.create(job=job, kind=BulkItem.Kind.EXPORT)
            put_off: dict[str, Any] = {"due_at": now + connection.profile.freshness.shortest, "due_reason": DUE_REASON}
            soon = Q(due_at=None) | Q(due_at__lte=now + connection.profile.freshness.shortest)
            connection.enrolments.filter(soon, asked_at=None).update(**put_off, whole=False)
    except IntegrityError:  # one open pull per connection is the database's rule
        return None
    return job


def _since(connection: Connection, now: datetime) -> datetime | None:
    """The clock of the last complete export, if a complete one of everything is not too old; else None."""
    if _asked_for_all(connection, now):
        return None
    jobs = connection.bulk_jobs.filter(state=State.COMPLETE, group_id=connection.group_id)
    base = jobs.filter(since=None).first()
    if base is None or base.created_at <= now - FULL_EVERY:
        return None
    last = jobs.first()
    return last.transaction_time if last is not None else None
