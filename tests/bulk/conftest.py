"""A group's export against a real sandbox: a bulk app on both sides, and what a beat and a worker do."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone

from emr.bulk import opening, running, waiting
from emr.models import BulkItem, BulkJob, Connection, Pull, Resource
from emr.pulling import asking, ending
from tests.emr.conftest import (  # noqa: F401
    CLIENT_ID,
    Connect,
    Control,
    connect,
    jwks_server,
    key_material,
    published,
    signing_key,
    unlimited,
)
from tests.wire.conftest import stub, wire  # noqa: F401

GROUP_SCOPE = "system/Group.read"
ConnectBulk = Callable[..., tuple[Connection, Control]]


@pytest.fixture
def connect_bulk(connect: Connect, jwks_server: Any) -> ConnectBulk:  # noqa: F811
    """`connect_bulk(patients=3, exports={"lines": 50})`: a bulk app, its group, and a sandbox that exports it."""

    def start(*, exports: dict[str, Any] | None = None, **options: Any) -> tuple[Connection, Control]:
        connection, control = connect(**options)
        registration = connection.registration
        registration.app_type, registration.scopes = "backend-bulk", f"{registration.scopes} {GROUP_SCOPE}"
        registration.save()
        app = {"client_id": CLIENT_ID, "jwks_url": jwks_server.url, "scopes": registration.scopes, "alg": "RS384"}
        control.post("clients", app | {"app_type": "backend-bulk", "active": True})
        connection.group_id = control.get("bulk")["group"]
        connection.save()
        control.post("bulk", {"retry_after": 0, "polls": 1} | (exports or {}))
        return connection, control

    return start


def tick() -> int:
    """One beat and one worker, without the waiting between two tries. Returns how many steps were taken."""
    opening.open_due()
    ending.finish_pulls()
    BulkItem.objects.filter(state="queued").update(not_before=None, published_at=None)
    Pull.objects.update(hold_until=None)
    items = waiting.waiting_items()
    for item in items:
        running.run(item)
    return len(items)


def work(connection: Connection, *, rounds: int = 60) -> BulkJob:
    """Until nothing is to be taken; the connection's latest export."""
    for _ in range(rounds):
        if not tick():
            break
    return connection.bulk_jobs.latest("created_at")


def export_again(connection: Connection, *, whole: bool = False) -> BulkJob:
    """A day later, another export is due."""
    connection.bulk_jobs.update(created_at=timezone.now() - connection.profile.freshness.shortest)
    if whole:
        asking.request_pull(connection, "test")
    return work(connection)


def on_file(connection: Connection) -> dict[tuple[str, str], tuple[str, str, bool]]:
    """Everything stored: body, whose it is, and whether it is still sent."""
    rows = Resource.objects.filter(practice=connection.practice)
    return {
        (row.resource_type, row.fhir_id): (row.body, row.patient_fhir_id, row.no_longer_sent_at is None) for row in rows
    }


def calls(control: Control) -> int:
    """What the vendor counted: FHIR, token and discovery calls."""
    return sum(sum(minute.values()) for minute in control.get("calls")["minutes"].values())
