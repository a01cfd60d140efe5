"""Pulls against a real sandbox: the fixtures of tests/emr, and what a beat and a worker do."""

from collections.abc import Callable
from typing import Any

import pytest

from emr import pulls, roster, schedule
from emr.models import ClientRegistration, Connection, Enrolment, Practice, Pull, WorkItem
from emr.pulling import ending, queue
from tests.emr.conftest import (  # noqa: F401
    Connect,
    Control,
    JwksServer,
    connect,
    jwks_server,
    key_material,
    published,
    signing_key,
    unlimited,
)

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


@pytest.fixture
def connection(practice_a: Practice) -> Connection:
    """Active, to a server that is never asked."""
    registration = ClientRegistration.objects.create(name="Backend app", client_id="ours")
    return Connection.objects.create(
        practice=practice_a, registration=registration, state=Connection.State.ACTIVE,
        base_url="https://fhir.example.org/fhir/r4/AAAAAA",
    )  # fmt: skip


def tick() -> list[Any]:
    """One beat and one worker, without the waiting between two tries. Returns the items taken."""
    schedule.open_pulls()
    ending.finish_pulls()
    WorkItem.objects.filter(state="queued").update(not_before=None, published_at=None)
    Pull.objects.update(hold_until=None)
    items = queue.waiting_items()
    for item in items:
        pulls.run(item)
    return items


def work(connection: Connection, *, rounds: int = 60) -> Pull:
    """Until nothing is queued that could be taken; the connection's latest pull."""
    for _ in range(rounds):
        if not tick():
            break
    return connection.pulls.latest("started_at")


class Killed(BaseException):
    """Stands for SIGKILL: nothing after it runs."""


def work_with_a_death(monkeypatch: pytest.MonkeyPatch, place: object, name: str, nth: int) -> None:
    """`tick` until nothing is left, where the worker that makes the nth call of this function does not survive it."""
    original, seen = getattr(place, name), []

    def dies(*args: Any, **kwargs: Any) -> Any:
        seen.append(1)
        if len(seen) == nth:
            raise Killed
        return original(*args, **kwargs)

    monkeypatch.setattr(place, name, dies)
    work_through_deaths()


def work_through_deaths(rounds: int = 30) -> None:
    """`tick` until nothing is left; whoever is Killed is followed by another worker."""
    for _ in range(rounds):
        try:
            if not tick():
                break
        except Killed:
            WorkItem.objects.update(lease_until=None)  # the lease of the dead runs out


def enrol(connection: Connection, control: Control) -> None:
    roster.enrol(connection, control.patient_ids, Enrolment.KnownBy.LIST)


def calls(control: Control) -> int:
    """What the vendor counted: FHIR, token and discovery calls."""
    return sum(sum(minute.values()) if isinstance(minute, dict) else minute for minute in _minutes(control))


def _minutes(control: Control) -> list[Any]:
    return list(control.get("calls")["minutes"].values())


Work = Callable[..., Pull]
