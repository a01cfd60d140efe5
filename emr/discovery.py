"""The SMART configuration of a connection, kept for a day; a changed host stops the connection."""

from dataclasses import asdict
from datetime import timedelta

from django.utils import timezone

from emr import calls
from emr.models import Connection
from emr.wire import smart
from emr.wire.http import Door

LIFE = timedelta(hours=24)


def configuration(connection: Connection, door: Door, *, anew: bool = False) -> smart.SmartConfiguration:
    """The stored configuration, or the server's own when it is older than a day or asked for `anew`.

    Raises WireError DISC_*, CFG_PRACTICE_CODE, NET_* and calls.OverBudget.
    """
    stored, at = connection.smart_configuration, connection.discovered_at
    if stored and at and at > timezone.now() - LIFE and not anew:
        return smart.SmartConfiguration.from_json(stored)
    calls.spend(connection)
    found = smart.discover(door, connection.base_url)
    smart.confirmed_hosts(found, _allowed_hosts(connection))
    connection.smart_configuration, connection.discovered_at = asdict(found), timezone.now()
    connection.save(update_fields=["smart_configuration", "discovered_at"])
    return found


def _allowed_hosts(connection: Connection) -> frozenset[str]:
    """Hosts that may take our assertions: the vendor's, and the FHIR server's own."""
    return frozenset([*connection.profile.authorization_hosts, connection.base_url.split("/")[2]])
