"""Celery: ids in, one call, nothing else. Every retry is a row's `not_before`, never Celery's."""

from contextlib import suppress
from uuid import UUID

from celery import shared_task

from emr import calls, doctor, pulls, schedule, tokens
from emr.models import Connection


@shared_task
def tick() -> None:
    """Open what is due and hint at what waits. Two beats, or a beat too late, change nothing."""
    schedule.open_pulls()
    schedule.finish_pulls()
    for connection_id in schedule.connections_to_check():
        schedule.publish("emr.tasks.check_connection", connection_id)
    for item_id in schedule.waiting_items():
        schedule.publish("emr.tasks.run_item", item_id)


@shared_task
def run_item(item_id: str) -> None:
    """One patient of one pull, as far as this run comes."""
    pulls.run(UUID(item_id))


@shared_task
def check_connection(connection_id: str) -> None:
    """The connection's self-test; its verdict is on the connection."""
    connection = Connection.objects.select_related("practice", "registration").filter(pk=connection_id).first()
    if connection is None:
        return
    # No call to be had, or somebody is at it: the next tick asks again.
    with suppress(calls.OverBudget, tokens.TokenBusy):
        doctor.check(connection)
