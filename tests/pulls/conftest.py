"""Pulls against a real sandbox: the fixtures of tests/emr, and what a beat and a worker do."""

from collections.abc import Callable
from typing import Any

import pytest

from emr import pulls, roster, schedule
from emr.models import Connection, Enrolment, Pull, WorkItem
from tests.emr.conftest import (  # noqa: F401
    Connect,
    Control,
    JwksServer,
    connect,
    jwks_server,
    key_material,
    signing_key,
    unlimited,
)


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """No broker: what would have been sent to it."""
    sent: list[tuple[Any, ...]] = []
    monkeypatch.setattr("emr.schedule.publish", lambda *args: bool(sent.append(args)) or True)
    monkeypatch.setattr("emr.schedule.publish_soon", lambda *args: sent.append(args))
    return sent


ConnectGeneric = Callable[..., tuple[Connection, Control]]


@pytest.fixture
def connect_generic(connect: Connect, jwks_server: JwksServer) -> ConnectGeneric:  # noqa: F811
    """As `connect`, to a server that follows US Core, by the profile for such servers."""

    def start(scopes: str = "", **options: Any) -> tuple[Connection, Control]:
        connection, control = connect(mode="generic", **options)
        registration = connection.registration
        registration.vendor_profile = "generic"
        registration.scopes = scopes or registration.profile.default_scopes
        registration.save()
        client = {"client_id": registration.client_id, "jwks_url": jwks_server.url, "alg": "RS384"}
        control.post("clients", client | {"scopes": registration.scopes, "app_type": "backend-single", "active": True})
        return connection, control

    return start


def tick() -> list[Any]:
    """One beat and one worker, without the waiting between two tries. Returns the items taken."""
    schedule.open_pulls()
    schedule.finish_pulls()
    WorkItem.objects.filter(state="queued").update(not_before=None, published_at=None)
    Pull.objects.update(hold_until=None)
    items = schedule.waiting_items()
    for item in items:
        pulls.run(item)
    return items


def work(connection: Connection, *, rounds: int = 60) -> Pull:
    """Until nothing is queued that could be taken; the connection's latest pull."""
    for _ in range(rounds):
        if not tick():
            break
    return connection.pulls.latest("started_at")


def enrol(connection: Connection, control: Control) -> None:
    roster.enrol(connection, control.patient_ids, Enrolment.KnownBy.LIST)


def calls(control: Control) -> int:
    """What the vendor counted: FHIR, token and discovery calls."""
    return sum(sum(minute.values()) if isinstance(minute, dict) else minute for minute in _minutes(control))


def _minutes(control: Control) -> list[Any]:
    return list(control.get("calls")["minutes"].values())


Work = Callable[..., Pull]
