"""The connection's self-test, in order; the first thing that is wrong becomes the connection's state and reason."""

from contextlib import suppress

from django.utils import timezone

from emr import calls, catalogue, discovery, fields, tokens
from emr.models import Connection
from emr.wire.errors import WireError

# Codes about the connection rather than about one patient or page: it stops until it was checked.
STOPPING = ("TOK_", "CFG_", "DISC_", "KEY_", "SECRET_", "AUTHZ_", "NET_DNS", "NET_CONNECT", "NET_ADDRESS", "TLS_")


def check(connection: Connection) -> bool:
    """Discovery → token, which needs client id, key and JWKS to be right. True when well: the connection is active.

    Spends at most two calls. Raises calls.OverBudget and tokens.TokenBusy, which say nothing about the connection.
    """
    try:
        with calls.door_to(connection) as door:
            discovery.configuration(connection, door, anew=True)
            with suppress(tokens.TokenBusy):
                # A fresh token proves nothing about today's key and client id: ask for a new one.
                connection.system_tokens.update(expires_at=None)
                tokens.system_access(connection, door)
    except WireError as error:
        degrade(connection, error.code, str(error), error.request_id)
        return False
    except fields.SecretUnreadable as error:
        degrade(connection, "SECRET_UNREADABLE", str(error))
        return False
    now = timezone.now()
    Connection.objects.filter(pk=connection.pk).exclude(state=Connection.State.REVOKED).update(
        state=Connection.State.ACTIVE, active_at=now, reason_code="", reason_detail="", reason_at=None, request_id=""
    )
    return True


def degrade(connection: Connection, code: str, detail: str, request_id: str = "") -> None:
    """Say on the connection what happened. It pulls nothing until a check finds it well."""
    Connection.objects.filter(pk=connection.pk).exclude(state=Connection.State.REVOKED).update(
        state=Connection.State.DEGRADED,
        reason_code=code,
        reason_detail=detail[:500],
        reason_at=timezone.now(),
        request_id=request_id[:128],
    )


def stops_connection(code: str) -> bool:
    """True for what is wrong with the connection rather than with one patient or page."""
    return code.startswith(STOPPING)


def verdict(connection: Connection) -> catalogue.Explanation | None:
    """What to do about a degraded connection, in words."""
    return catalogue.explain(connection.reason_code) if connection.reason_code else None
