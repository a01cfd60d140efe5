"""The SMART configuration of a connection, kept for a day; a host that nobody confirmed stops the connection."""

from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from emr import calls
from emr.models import Connection
from emr.wire import smart
from emr.wire.errors import NeverAgain
from emr.wire.http import Door
from emr.wire.origins import parse

LIFE = timedelta(hours=24)


class NotPending(Exception):
    """Nobody asks about this host, or not any more: discovery may have changed since the page was shown."""


def configuration(
    connection: Connection, door: Door, *, anew: bool = False, interactive: bool = False
) -> smart.SmartConfiguration:
    """The stored configuration, or the server's own when it is older than a day or asked for `anew`. interactive:
    somebody waits for it.

    A document that names hosts nobody confirmed is not stored; they wait on the connection for an admin's word.
    Raises WireError DISC_*, CFG_PRACTICE_CODE, NET_* and calls.OverBudget.
    """
    stored, at = connection.smart_configuration, connection.discovered_at
    if stored and at and at > timezone.now() - LIFE and not anew:
        return smart.SmartConfiguration.from_json(stored)
    calls.spend(connection, interactive=interactive)
    found = smart.discover(door, connection.base_url)
    allowed = _allowed_hosts(connection)
    waiting = sorted(set(_unconfirmed(found, allowed)))
    if waiting != connection.pending_hosts:
        connection.pending_hosts = waiting
        connection.save(update_fields=["pending_hosts"])
    smart.confirmed_hosts(found, allowed)
    connection.smart_configuration, connection.discovered_at = asdict(found), timezone.now()
    connection.save(update_fields=["smart_configuration", "discovered_at"])
    return found


@transaction.atomic
def confirm_host(connection: Connection, origin: str) -> None:
    """An admin's word that this origin ("https://host") is the vendor's. Raises NotPending."""
    row = Connection.objects.select_for_update().get(pk=connection.pk)
    if origin not in row.pending_hosts:
        raise NotPending(origin)
    row.pending_hosts = [other for other in row.pending_hosts if other != origin]
    row.confirmed_hosts = sorted({*row.confirmed_hosts, origin})
    row.save(update_fields=["pending_hosts", "confirmed_hosts"])


def _allowed_hosts(connection: Connection) -> frozenset[str]:
    """Hosts that may take our assertions: the vendor's, the FHIR server's own, and those an admin confirmed."""
    confirmed = (parse(origin).host_port for origin in connection.confirmed_hosts)
    return frozenset([*connection.profile.authorization_hosts, connection.base_url.split("/")[2], *confirmed])


def _unconfirmed(found: smart.SmartConfiguration, allowed: frozenset[str]) -> Iterator[str]:
    """The origins of the endpoints whose host is not allowed."""
    endpoints = (
        found.token_endpoint,
        found.authorization_endpoint,
        found.jwks_uri,
        found.introspection_endpoint,
        found.revocation_endpoint,
    )
    for url in endpoints:
        if url is not None:
            try:
                smart.confirmed_hosts(smart.SmartConfiguration(token_endpoint=url), allowed)
            except NeverAgain:
                yield parse(url).origin_url
