"""A call to a connection's server: through the one door, and out of the practice's budget."""

import time

from django.conf import settings

from emr import budget
from emr.models import Connection
from emr.wire.http import Door, Throttled


class OverBudget(Exception):
    """No call may be made now. `seconds`: until one may."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no call to this practice for {seconds:.1f} s")
        self.seconds = seconds


def door_to(connection: Connection) -> Door:
    """A door to the connection's FHIR base and to the authorization hosts of its vendor."""
    return Door(
        connection.base_url,
        other_hosts=frozenset(f"https://{host}" for host in connection.profile.authorization_hosts),
        insecure=settings.INSECURE_FHIR_HOSTS,
    )


def spend(connection: Connection) -> None:
    """Count one call. Raises OverBudget, having counted nothing."""
    profile = connection.profile
    wait = budget.shared().take(connection.budget_key, limit=profile.calls_per_window, window=profile.window_seconds)
    if wait > 0:
        raise OverBudget(wait)


def throttled(connection: Connection, refusal: Throttled) -> OverBudget:
    """The server said 429: other apps may share the practice's counter. Nobody calls until its minute has turned."""
    seconds = min(refusal.retry_after or budget.seconds_to_next_minute(time.time()), 120.0)
    budget.shared().block(connection.budget_key, seconds)
    return OverBudget(seconds)
