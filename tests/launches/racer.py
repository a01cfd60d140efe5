"""One program for what threads in a test cannot show: real processes at one grant, and some that are killed.

`python -m tests.launches.racer COMMAND ARGUMENTS` makes a practice, an invitation and a launch in a database of its
own, prints the address for the browser, reads the query it came back with, does what it is told with processes forked
from itself, and prints what came of it as JSON. tests.launches.races starts it, with a sandbox on the other side.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

import django

django.setup()

from django.core.management import call_command  # noqa: E402 - after the setup
from django.db import connections  # noqa: E402
from django.http import QueryDict  # noqa: E402
from django.utils import timezone  # noqa: E402

from emr import calls, grants, launches, refreshing  # noqa: E402
from emr.bearers import NoAccess, TokenBusy  # noqa: E402
from emr.launches import LaunchRefused  # noqa: E402
from emr.models import AuditEvent, ClientRegistration, Connection, Grant, Practice  # noqa: E402
from emr.wire import authorize  # noqa: E402
from tests.launches.apps import BROWSER, REDIRECT  # noqa: E402


def made(base_url: str, client_id: str, secret: str, scopes: str, person: dict[str, str]) -> str:
    """The authorization URL of a launch in an empty database."""
    call_command("migrate", verbosity=0, interactive=False)
    practice = Practice.objects.create(name="Alder Headache Clinic", code=base_url[-6:])
    registration = ClientRegistration.objects.create(
        name="Patient app", client_id=client_id, client_secret=secret, app_type="patient",
        auth_method="client_secret_basic", scopes=scopes, redirect_uris=REDIRECT,
    )  # fmt: skip
    connection = Connection.objects.create(practice=practice, registration=registration, base_url=base_url)
    born = date.fromisoformat(person["birth_date"])
    invitation, _ = launches.invite(
        practice, connection, None, given=person["given"], family=person["family"], birth_date=born
    )
    return launches.begin(invitation, browser_key=BROWSER)


def finish(query: str) -> str:
    try:
        return launches.finish(QueryDict(query), browser_key=BROWSER, redirect_uri=REDIRECT).grant.state
    except LaunchRefused as refused:
        return refused.code


def forked(count: int, act: Callable[[], Any]) -> list[Any]:
    """What `act` returned in each of so many processes that start together."""
    connections.close_all()
    ready, go = os.pipe(), os.pipe()
    readers = []
    for _ in range(count):
        out, into = os.pipe()
        if os.fork() == 0:
            os.write(ready[1], b".")
            os.close(go[1])
            os.read(go[0], 1)  # all start when the parent closes its end
            os.write(into, json.dumps(act()).encode())
            os._exit(0)
        os.close(into)
        readers.append(out)
    for _ in range(count):
        os.read(ready[0], 1)
    os.close(go[1])
    results = [os.fdopen(reader, "rb").read() for reader in readers]
    for _ in range(count):
        os.wait()
    for end in (*ready, go[0]):
        os.close(end)
    return [json.loads(text) for text in results if text]


def token() -> dict[str, Any]:
    """What a worker does that needs the grant's token: it asks until it has one, or none is to be had."""
    grant = Grant.objects.select_related("connection__practice", "connection__registration").get()
    with calls.door_to(grant.connection) as door:
        for _ in range(600):
            try:
                access = grants.access(grant, door)
            except TokenBusy:
                time.sleep(0.02)
            except NoAccess as without:
                return {"code": without.code}
            else:
                return {"generation": access.generation, "bearer": access.bearer}
    return {"code": "never"}


def race(workers: int, rounds: int) -> list[list[dict[str, Any]]]:
    """In each round the token has run out, and so many processes want it at once."""
    told = []
    for _ in range(rounds):
        Grant.objects.update(access_expires_at=None)
        told.append(forked(workers, token))
    return told


def stopped_before_the_call() -> None:
    authorize.refresh = wait_for_the_end  # type: ignore[assignment]
    token()


def stopped_after_the_answer() -> None:
    refreshing._persist = wait_for_the_end  # type: ignore[assignment]
    token()


def stopped_after_the_commit() -> None:
    refreshing.as_access = wait_for_the_end  # type: ignore[assignment]
    token()


POINTS = {
    "before": stopped_before_the_call,
    "answered": stopped_after_the_answer,
    "committed": stopped_after_the_commit,
}


def wait_for_the_end(*args: object, **kwargs: object) -> Any:
    os.write(3, b".")
    signal.pause()


def killed(point: str) -> list[dict[str, Any]]:
    """A worker is killed at a point of a refresh. What the row says then, to another worker, and in the end."""
    Grant.objects.update(access_expires_at=None)
    connections.close_all()
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(into, 3)
        POINTS[point]()
        os._exit(0)
    os.close(into)
    os.read(out, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    told = [state()]
    if Grant.objects.filter(refresh_started_at=None).exists():
        told.append(token() | state())
        return told
    told.append({"busy": bool(busy())} | state())
    Grant.objects.update(refresh_started_at=timezone.now() - refreshing.CLAIM_LIFE - timedelta(seconds=1))
    told.append({"due": len(grants.refresh_due())} | token() | state())
    return told


def busy() -> bool:
    grant = Grant.objects.select_related("connection__practice", "connection__registration").get()
    with calls.door_to(grant.connection) as door:
        try:
            grants.access(grant, door)
        except TokenBusy:
            return True
    return False


def state() -> dict[str, Any]:
    row = Grant.objects.get()
    return {
        "state": row.state, "reason": row.reason_code, "generation": row.generation, "uncertain": row.is_uncertain,
        "claimed": row.refresh_started_at is not None, "refresh_token": bool(row.refresh_token),
    }  # fmt: skip


def main() -> None:
    setup, command, *arguments = json.loads(sys.argv[1]), *sys.argv[2:]
    sys.stdout.write(made(**setup) + "\n")
    sys.stdout.flush()
    query = sys.stdin.readline().strip()
    told: dict[str, Any] = {"callbacks": forked(20 if command == "everything" else 1, lambda: finish(query))}
    told["audited"] = AuditEvent.objects.filter(action="launch-refused").count()
    told["race"] = race(*map(int, arguments))
    if command == "everything":
        # The last of them ends the grant: in that window the next token is known to the server alone.
        told |= {point: killed(point) for point in ("before", "committed", "answered")}
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
