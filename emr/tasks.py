"""Celery: ids in, one call, nothing else. Every retry is a row's `not_before`, never Celery's."""

from contextlib import suppress
from uuid import UUID

from celery import shared_task

from emr import (
    audit_chain,
    calls,
    doctor,
    grants,
    hints,
    launches,
    look_ups,
    pulls,
    quarantine,
    schedule,
    tokens,
    visits,
)
from emr.bulk import opening, running
from emr.bulk import waiting as exports_waiting
from emr.connecting import rotation
from emr.models import Connection
from emr.pulling import ending, queue, waiting


@shared_task
def tick() -> None:
    """Open what is due and hint at what waits. Two beats, or a beat too late, change nothing."""
    opening.open_due()
    schedule.open_pulls()
    ending.finish_pulls()
    for connection_id in waiting.connections_to_check():
        hints.publish("emr.tasks.check_connection", connection_id)
    doctor.bury_dead()
    for connection_id in waiting.self_tests_waiting():
        hints.publish(doctor.TASK, connection_id)
    for item_id in queue.waiting_items():
        hints.publish("emr.tasks.run_item", item_id)
    for item_id in exports_waiting.waiting_items():
        hints.publish(exports_waiting.TASK, item_id)
    launches.forget_old()
    for grant_id in grants.refresh_due():
        hints.publish("emr.tasks.refresh_grant", grant_id)
    for look_up_id in waiting.look_ups_waiting():
        hints.publish("emr.tasks.look_up", look_up_id)
    for quarantined_id in waiting.retries_waiting():
        hints.publish("emr.tasks.retry_quarantined", quarantined_id)


@shared_task
def run_item(item_id: str) -> None:
    """One patient of one pull, as far as this run comes."""
    pulls.run(UUID(item_id))


@shared_task
def run_bulk_item(item_id: str) -> None:
    """One step of a group's export: the export itself, a file, or some of its patients."""
    running.run(UUID(item_id))


@shared_task
def look_up(look_up_id: str) -> None:
    """One person whom staff seek in the EMR."""
    look_ups.run(UUID(look_up_id))


@shared_task
def refresh_grant(grant_id: str) -> None:
    """One person's consent, kept alive."""
    grants.keep(UUID(grant_id))


@shared_task
def retry_quarantined(quarantined_id: str) -> None:
    """Bytes that could not be kept, once more."""
    quarantine.retry(UUID(quarantined_id))


@shared_task
def check_connection(connection_id: str) -> None:
    """The connection's quick check; its verdict is on the connection."""
    connection = Connection.objects.select_related("practice", "registration").filter(pk=connection_id).first()
    if connection is None:
        return
    # No call to be had, or somebody is at it: the next tick asks again.
    with suppress(calls.OverBudget, tokens.TokenBusy):
        doctor.check(connection)


@shared_task
def examine_connection(connection_id: str) -> None:
    """The connection's full self-test, if one was asked for and nobody has begun it."""
    doctor.run_requested(connection_id)


@shared_task
def advance_keys(key_id: str = "") -> None:
    """Take every signing key a step further that is due; with an id, try and promote that key now."""
    if key_id:
        rotation.promote(UUID(key_id))
    else:
        rotation.advance()


@shared_task
def write_audit_heads() -> None:
    """The ends of the audit chains, kept outside the database."""
    audit_chain.write_heads()


@shared_task
def tell_refusals(group: str, minute: str, *what: str) -> None:
    """The audit row of one address or person and minute with more refusals than are written down one by one."""
    visits.tell_refusals(group, int(minute), *what)
