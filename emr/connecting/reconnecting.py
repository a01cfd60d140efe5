"""What the buttons Retry and Reconnect undo, and what a changed address must not carry along."""

from collections.abc import Iterable
from typing import Any

from django.utils import timezone

from emr import refreshing
from emr.connecting import checklist
from emr.models import Connection, Grant, TypeOutcome

State = Connection.State


def reopen(connection: Connection) -> None:
    """Reconnect: what the server gave and said is forgotten, and the trouble too; the next self-test starts anew."""
    connection.system_tokens.update(expires_at=None)
    Connection.objects.filter(pk=connection.pk).update(
        state=State.DRAFT,
        smart_configuration=None,
        discovered_at=None,
        reason_code="",
        reason_detail="",
        reason_at=None,
        request_id="",
    )
    connection.refresh_from_db()
    checklist.settle(connection)


def fetch_missing(connection: Connection) -> int:
    """Retry: every patient of whom something was not fetched is due now. Returns how many."""
    missed = connection.enrolments.filter(outcomes__outcome=TypeOutcome.Outcome.NOT_FETCHED)
    never = connection.enrolments.filter(outcomes=None)
    wanted = set(missed.values_list("pk", flat=True)) | set(never.values_list("pk", flat=True))
    now = timezone.now()
    return sum(
        connection.enrolments.filter(pk__in=chunk).update(due_at=now, due_reason="retried by an admin")
        for chunk in _chunks(sorted(wanted), 500)
    )


def _chunks(items: list[Any], size: int) -> Iterable[list[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def forget_server(connection: Connection) -> None:
    """What was issued at the old address must not travel to the new one: no bearer changes hosts.

    The connection itself is left to the caller to save.
    """
    connection.smart_configuration = connection.discovered_at = None
    connection.pending_hosts, connection.confirmed_hosts = [], []
    connection.system_tokens.all().delete()
    for grant in connection.grants.exclude(state=Grant.State.REVOKED):
        refreshing.end(grant, "GRANT_SERVER_CHANGED")
