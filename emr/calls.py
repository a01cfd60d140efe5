"""A call to a connection's server: through the one door, and out of the practice's budget."""

import time
from typing import TypeVar, overload

from django.conf import settings

from emr import budget
from emr.models import Connection, WorkItem
from emr.wire.http import Door, Throttled

D = TypeVar("D", bound=Door)


class OverBudget(Exception):
    """No call may be made now. `seconds`: until one may."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no call to this practice for {seconds:.1f} s")
        self.seconds = seconds


@overload
def door_to(connection: Connection) -> Door: ...


@overload
def door_to(connection: Connection, kind: type[D]) -> D: ...


def door_to(connection: Connection, kind: type[Door] = Door) -> Door:
    """A door to the connection's FHIR base, to its vendor's authorization hosts and to those an admin confirmed."""
    known = {f"https://{host}" for host in connection.profile.authorization_hosts}
    return kind(
        connection.base_url,
        other_hosts=known.union(connection.confirmed_hosts),
        insecure=settings.INSECURE_FHIR_HOSTS,
    )


# A worker waits so long for the turn of its call; for a later one, its item goes back to the queue.
PATIENCE_SECONDS = 2.5


def outlasts_window(connection: Connection) -> bool:
    """True when what is queued needs more calls than one window has: then they are spread, and every window full."""
    profile = connection.profile
    enough = profile.calls_per_window // len(profile.plan) + 1
    queued = WorkItem.objects.filter(pull__connection=connection, state=WorkItem.State.QUEUED)
    return len(queued.values_list("pk", flat=True)[:enough]) >= enough


def spend(connection: Connection, *, interactive: bool = False, spread: bool = False) -> None:
    """Count one call. Raises OverBudget, having counted nothing. `interactive`: somebody waits for it.

    `spread`: one of so many that they fill several windows (outlasts_window).
    """
    profile = connection.profile
    wait = budget.shared().take(
        connection.budget_key,
        limit=profile.calls_per_window,
        window=profile.window_seconds,
        held_back=profile.calls_held_back,
        interactive=interactive,
        spread=spread and not interactive,
        patience=PATIENCE_SECONDS if interactive or spread else 0.0,
    )
    if wait > 0:
        raise OverBudget(wait)


def throttled(connection: Connection, refusal: Throttled) -> OverBudget:
    """The server said 429: other apps may share the practice's counter. Nobody calls until its minute has turned."""
    seconds = min(refusal.retry_after or budget.seconds_to_next_minute(time.time()), 120.0)
    budget.shared().block(connection.budget_key, seconds)
    return OverBudget(seconds)
