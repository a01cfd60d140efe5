"""The doctor: what is wrong with a connection, who can put it right, and how.

`check` is quick (two calls) and decides whether the connection pulls. `request`, `examine` and `latest` are the
ordered self-test with its findings kept as reports.
"""

from contextlib import suppress

from emr import calls, catalogue, discovery, fields, tokens
from emr.doctor.findings import Finding, Verdict, advice
from emr.doctor.reports import TASK, as_json, bury_dead, examine, findings, last_healthy, latest, request, run_requested
from emr.doctor.state import activate, degrade, stops_connection
from emr.doctor.watch import WatchedDoor, code_of
from emr.models import Connection
from emr.wire.errors import WireError

__all__ = [
    "TASK",
    "Finding",
    "Verdict",
    "advice",
    "as_json",
    "bury_dead",
    "check",
    "degrade",
    "examine",
    "findings",
    "last_healthy",
    "latest",
    "request",
    "run_requested",
    "stops_connection",
    "verdict",
]


def check(connection: Connection) -> bool:
    """Discovery → token, which needs client id, key and JWKS to be right. True when well: the connection is active.

    Spends at most two calls. Raises calls.OverBudget and tokens.TokenBusy, which say nothing about the connection.
    """
    door: WatchedDoor | None = None
    at = "discovery"
    try:
        with calls.door_to(connection, WatchedDoor) as door:
            discovery.configuration(connection, door, anew=True)
            at = "token"
            if connection.registration.is_backend:
                with suppress(tokens.TokenBusy):
                    # A fresh token proves nothing about today's key and client id: ask for a new one.
                    connection.system_tokens.update(expires_at=None)
                    tokens.system_access(connection, door)
    except WireError as error:
        degrade(connection, code_of(error, door, at), str(error), error.request_id)
        return False
    except fields.SecretUnreadable as error:
        degrade(connection, "SECRET_UNREADABLE", str(error))
        return False
    activate(connection)
    return True


def verdict(connection: Connection) -> catalogue.Explanation | None:
    """What to do about a degraded connection, in words."""
    return catalogue.explain(connection.reason_code) if connection.reason_code else None
