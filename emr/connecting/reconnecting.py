"""What the buttons Retry, Reconnect and Disconnect do, and what a changed address must not carry along."""

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.utils import timezone

from emr import refreshing
from emr.connecting import checklist
from emr.models import Connection, Grant, Pull, TypeOutcome, User
from emr.pulling import ending

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


@transaction.atomic
def disconnect(connection: Connection, by: User) -> int:
    """Disconnect: nothing is fetched any more, our tokens are deleted, what was fetched is kept, until `reopen`.

    Workers in the middle of a pull lose their leases and store nothing more. Returns how many consents ended: the EMR
    still lists this app for them, and for the practice, until somebody takes it away there.
    """
    Connection.objects.filter(pk=connection.pk).update(
        state=State.REVOKED, reason_code="", reason_detail="", reason_at=None, request_id=""
    )
    connection.refresh_from_db()
    connection.system_tokens.all().delete()
    for pull in connection.pulls.filter(state__in=Pull.OPEN):
        ending.cancel(pull.pk)
    standing = connection.grants.exclude(state=Grant.State.REVOKED)
    return sum(refreshing.end(grant, "GRANT_REVOKE_BY_HAND", by=by, state=Grant.State.REVOKED) for grant in standing)


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
