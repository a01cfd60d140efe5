"""A practice to pull from: the sandbox in a process of its own, our keys on a port, and an active connection."""

import json
import random
import string
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from django.db.models import Q
from django.test.utils import override_settings
from django.utils import timezone

from emr import hints, keys, pulls, roster, schedule
from emr.budget import DatabaseBudget
from emr.models import (
    ClientRegistration,
    Connection,
    Enrolment,
    Environment,
    Practice,
    Pull,
    Resource,
    SigningKey,
    WorkItem,
)
from emr.pulling import asking
from headachemd.demo import loopback
from headachemd.demo.place import ROOT
from headachemd.demo.supervisor import die_with_parent
from tests.doctor.stage import PublicAddress, private_key

CLIENT_ID = "a-bench-client"


@dataclass
class Bench:
    """connection: ours, active. control: URL of the sandbox's control endpoint. process: the sandbox."""

    connection: Connection
    control: str
    process: subprocess.Popen[str]

    @property
    def code(self) -> str:
        return self.connection.practice.code

    @property
    def address(self) -> str:
        return self.control.removeprefix("http://").partition("/")[0]

    @property
    def environment(self) -> dict[str, str]:
        """What a worker's environment must say to reach this sandbox."""
        return {"INSECURE_FHIR_HOSTS": self.address}

    def get(self, path: str) -> Any:
        return loopback.get_json(f"{self.control}/{path}")

    def post(self, path: str, value: Any) -> Any:
        return loopback.post_json(f"{self.control}/{path}", value)

    def fault(self, kind: str, **order: Any) -> None:
        self.post("faults", {"kind": kind, **order})

    def calls(self) -> int:
        """FHIR, token and discovery calls that the server counted."""
        return sum(self.get("calls")["minutes"].get(self.code, {}).values())

    def patient_ids(self) -> list[str]:
        return [patient["id"] for patient in self.get("patients")["patients"]]

    def enrol(self) -> int:
        return roster.enrol(self.connection, self.patient_ids(), Enrolment.KnownBy.LIST)

    def ask(self) -> Pull:
        """Everybody is due, and a pull is open with an item for each."""
        asking.request_pull(self.connection, "benchmark")
        schedule.open_pulls()
        return self.connection.pulls.latest("started_at")


@contextmanager
def practice(
    *options: str, vendor: Sequence[str] = (), profile: str = "ecw", data: Path | None = None, scopes: str = ""
) -> Iterator[Bench]:
    """`options`: of the sandbox, `vendor`: of bench.vendor. `scopes`: the profile's own, unless given.

    Each has a code of its own; its rows stay.
    """
    code = new_code()
    with ExitStack() as stack:
        site = stack.enter_context(PublicAddress())
        source = ["--data", str(data)] if data else []
        command = [sys.executable, "-m", "bench.vendor", *vendor, "--", "--practice", code, "--quiet"]
        process = subprocess.Popen(
            [*command, *source, *options], cwd=ROOT, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent
        )
        stack.callback(_end, process)
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        site.publish(_key().public_jwk)
        registration = ClientRegistration(
            name="Bench", client_id=CLIENT_ID, environment=Environment.SANDBOX, vendor_profile=profile
        )
        registration.scopes = scopes or registration.profile.default_scopes
        registration.save()
        owner = Practice.objects.create(code=code, name="Bench Clinic")
        connection = Connection.objects.create(
            practice=owner, registration=registration, base_url=told["fhir_base"], state=Connection.State.ACTIVE
        )
        bench = Bench(connection, told["control"], process)
        bench.post(
            "clients",
            {
                "client_id": CLIENT_ID, "jwks_url": f"{site.url}/jwks.json", "scopes": registration.scopes,
                "alg": "RS384", "app_type": registration.app_type, "active": True,
            },
        )  # fmt: skip
        stack.enter_context(override_settings(INSECURE_FHIR_HOSTS=frozenset({bench.address})))
        yield bench
        Connection.objects.filter(pk=connection.pk).update(state=Connection.State.REVOKED)


def _end(process: subprocess.Popen[str]) -> None:
    process.terminate()
    process.communicate()


def new_code() -> str:
    """A practice nobody has pulled: its budget is full and nothing of it is on file."""
    return "".join(random.choices(string.ascii_uppercase, k=6))


def _key() -> SigningKey:
    """One pair for the whole run: making one takes half a second."""
    try:
        key = keys.store(private_key(), environment=Environment.SANDBOX, algorithm="RS384")
    except keys.KnownKey:
        key = SigningKey.objects.get(environment=Environment.SANDBOX)
    keys.activate(key)
    return key


@contextmanager
def without_broker(*, unlimited: bool = False) -> Iterator[None]:
    """This process is the only worker: see `work`. `unlimited`: it may make more calls than the profile allows."""
    with ExitStack() as stack:
        stack.enter_context(patch.object(hints, "publish_later", lambda *args: True))
        if unlimited:
            stack.enter_context(patch.object(DatabaseBudget, "take", lambda *args, **kinds: 0.0))
        yield


def work(bench: Bench, seconds: float = 150.0) -> None:
    """As a worker does: the most urgent item that may be taken, until none is left."""
    until = time.monotonic() + seconds
    waiting = WorkItem.objects.filter(pull__connection=bench.connection, state=WorkItem.State.QUEUED)
    while True:
        if time.monotonic() > until:
            raise RuntimeError(f"{waiting.count()} items did not end")
        now = timezone.now()
        ready = waiting.filter(Q(not_before=None) | Q(not_before__lte=now)).filter(
            Q(pull__hold_until=None) | Q(pull__hold_until__lte=now), pull__state="running"
        )
        # Neither leased by another worker nor waited for.
        ready = ready.filter(Q(lease_until=None) | Q(lease_until__lt=now)).order_by("rank", "rank_order", "pk")
        item = ready.values_list("pk", flat=True).first()
        if item is None and not waiting.exists():
            return
        if item is None:
            bench.connection.refresh_from_db()
            if bench.connection.reason_code:
                raise RuntimeError(f"the connection does not work: {bench.connection.reason_code}")
            time.sleep(0.05)
            schedule.open_pulls()  # half-opens what the breaker has paused
            continue
        pulls.run(item)


def rows(connection: Connection) -> set[tuple[str, ...]]:
    """What is on file of a practice, as far as an undisturbed run would have the same."""
    kept = Resource.objects.filter(practice_id=connection.practice_id)
    return set(kept.values_list("resource_type", "fhir_id", "patient_fhir_id", "content_hash"))
