"""The demo's journey: everything a practice does once, done for the visitor, with the product's own pieces."""

import sys
import time
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import Sum

from emr import catalogue, hints, keys, roster
from emr.accounts import second_factor
from emr.models import (
    ClientRegistration,
    Connection,
    Enrolment,
    Environment,
    Membership,
    Practice,
    Pull,
    Quarantine,
    Resource,
    SigningKey,
    User,
    WorkItem,
)
from headachemd.demo import loopback
from headachemd.demo.place import Place
from headachemd.demo.supervisor import ChildFailed, wait_until

PRACTICE_CODE = "ABHEAD"
CLIENT_ID = "demo-backend-client"
STAFF_EMAIL, ADMIN_EMAIL = "staff@demo.example", "admin@demo.example"


@dataclass(frozen=True)
class Sandbox:
    """What the sandbox printed when it started."""

    fhir_base: str
    control: str
    patients: int
    resources: int
    unservable: int
    more: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def parse(cls, told: dict[str, Any]) -> "Sandbox":
        names = ("fhir_base", "control", "patients", "resources", "unservable")
        more = {name: value for name, value in told.items() if name not in names}
        return cls(**{name: told[name] for name in names}, more=more)


@transaction.atomic
def furnish(place: Place, sandbox: Sandbox) -> Connection:
    """The demo's practice, people, registration, signing key and connection; found again on a later visit."""
    practice, _ = Practice.objects.get_or_create(code=PRACTICE_CODE, defaults={"name": "Demo Headache Clinic"})
    staff = _user(STAFF_EMAIL, "Demo Staff", place)
    Membership.objects.get_or_create(user=staff, practice=practice, defaults={"role": Membership.Role.CLINICIAN})
    _user(ADMIN_EMAIL, "Demo Admin", place, is_staff=True, is_superuser=True)
    registration, _ = ClientRegistration.objects.get_or_create(
        client_id=CLIENT_ID,
        defaults={"name": "Demo backend app", "portal": "Sandbox", "environment": Environment.SANDBOX},
    )
    registration.scopes = registration.profile.default_scopes
    registration.save()
    if not SigningKey.objects.filter(environment=Environment.SANDBOX, state=SigningKey.State.ACTIVE).exists():
        keys.activate(keys.generate(environment=Environment.SANDBOX))
    connection, _ = Connection.objects.get_or_create(practice=practice, registration=registration)
    connection.base_url = sandbox.fhir_base
    connection.save()
    return connection


def _user(email: str, name: str, place: Place, **flags: bool) -> User:
    """With the place's password and, as every staff user must have one, its authenticator app."""
    user = User.objects.filter(email=email).first() or User(email=email, full_name=name, **flags)
    if not user.check_password(place.password):
        user.set_password(place.password)
        user.save()
    second_factor.enrol_totp(user, place.totp_secret)
    return user


def register_at_sandbox(sandbox: Sandbox) -> None:
    """What the vendor's portal does for a real app: client id, our JWKS URL, scopes. It fetches the keys itself."""
    registration = ClientRegistration.objects.get(client_id=CLIENT_ID)
    loopback.post_json(
        f"{sandbox.control}/clients",
        {
            "client_id": CLIENT_ID,
            "jwks_url": keys.jwks_url(Environment.SANDBOX),
            "scopes": registration.scopes,
            "alg": registration.signing_algorithm,
            "app_type": registration.app_type,
            "active": True,
        },
    )


def connect(connection: Connection) -> None:
    """Let a worker test the connection. Raises ChildFailed with what is wrong."""
    Connection.objects.filter(pk=connection.pk).update(state=Connection.State.REGISTERED, reason_code="")
    hints.publish("emr.tasks.check_connection", connection.pk)

    def settled() -> bool:
        connection.refresh_from_db()
        return connection.state in {Connection.State.ACTIVE, Connection.State.DEGRADED}

    wait_until(settled, seconds=45, what="no worker tested the connection")
    if connection.state != Connection.State.ACTIVE:
        why = catalogue.explain(connection.reason_code)
        raise ChildFailed(f"the connection does not work: {why.title}. {connection.reason_detail}")


def enrol(connection: Connection, sandbox: Sandbox, *, without: str = "") -> int:
    """Enrol every patient the sandbox lists for the demo, but for one. Returns how many are new."""
    listed = [patient["id"] for patient in loopback.get_json(f"{sandbox.control}/patients")["patients"]]
    return roster.enrol(connection, [one for one in listed if one != without], Enrolment.KnownBy.LIST)


def expected_seconds(connection: Connection, patients: int) -> float:
    """How long the call limit alone makes a first pull of so many patients take."""
    calls = patients * len(connection.profile.plan)
    return max(0.0, calls / connection.profile.calls_per_window - 1) * connection.profile.window_seconds


def wait_for_first_pull(connection: Connection, *, seconds: float, quiet: bool = False) -> None:
    """Wait until every enrolled patient was pulled once, with a line that tells how far it is."""
    until = time.monotonic() + seconds
    total = connection.enrolments.count()
    while True:
        done = connection.enrolments.filter(items__state=WorkItem.State.DONE).distinct().count()
        if not quiet:
            _progress(connection, done, total)
        if done >= total:
            break
        if time.monotonic() > until:
            raise ChildFailed(f"{done} of {total} patients were pulled within {seconds:.0f} s")
        time.sleep(0.5)
    if not quiet:
        sys.stdout.write("\n")


def _progress(connection: Connection, done: int, total: int) -> None:
    calls = Pull.objects.filter(connection=connection).aggregate(calls=Sum("calls"))["calls"] or 0
    resources = Resource.objects.filter(practice=connection.practice).count()
    bar = "█" * (20 * done // max(total, 1))
    connection.refresh_from_db()
    trouble = f" · {connection.reason_code}, trying again" if connection.reason_code else ""
    line = f"\rPulling {bar:<20} {done}/{total} patients · {resources} records · {calls} calls{trouble}"
    sys.stdout.write(line.ljust(100))
    sys.stdout.flush()


def counts(connection: Connection) -> dict[str, int]:
    return {
        "patients": connection.practice.patients.count(),
        "resources": Resource.objects.filter(practice=connection.practice).count(),
        "quarantined": Quarantine.objects.filter(practice=connection.practice).count(),
    }
