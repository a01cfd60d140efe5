"""A consent ended from our side: revoked at the server where it offers that, deleted here, the rest said in words."""

from dataclasses import dataclass

from emr import calls, client_auth, discovery, fields, keys, refreshing
from emr.models import Connection, Grant, User
from emr.wire import authorize
from emr.wire.errors import Throttled, WireError


@dataclass(frozen=True)
class Disconnected:
    """ended: False when it was over before. revoked: the server said that the token serves no more.

    code: of the catalogue: what to do in the EMR's portal (GRANT_DISCONNECTED: nothing; GRANT_REVOKE_BY_HAND).
    """

    ended: bool
    revoked: bool
    code: str


def disconnect(grant: Grant, by: User | None, *, code: str = "GRANT_DISCONNECTED") -> Disconnected:
    """End a consent; audited. What was fetched is kept. Never raises for what a server does.

    Our tokens are deleted whatever the server says: a server that does not answer must not keep a consent alive.
    """
    row = Grant.objects.select_related("connection__practice", "connection__registration").get(pk=grant.pk)
    try:
        token, hint = row.refresh_token or row.access_token, "refresh_token" if row.refresh_token else "access_token"
    except fields.SecretUnreadable:
        token = hint = ""
    ended = refreshing.end(row, code, by=by, state=Grant.State.REVOKED)
    revoked = bool(token) and ended and revoke(row.connection, token, hint)
    by_hand = bool(token) and ended and not revoked
    return Disconnected(ended, revoked, "GRANT_REVOKE_BY_HAND" if by_hand else code)


def revoke(connection: Connection, token: str, hint: str) -> bool:
    """Tell the server that a token serves no more; False where it offers no such thing, or did not confirm it."""
    try:
        with calls.door_to(connection) as door:
            configuration = discovery.configuration(connection, door)
            if configuration.revocation_endpoint is None:
                return False
            client, key = client_auth.proof(connection.registration, configuration)
            calls.spend(connection, interactive=True)
            done = authorize.revoke(door, configuration, client, token=token, hint=hint)
            if key is not None:
                keys.mark_proved(key)
            return done
    except Throttled as refusal:
        calls.throttled(connection, refusal)
    except (WireError, calls.OverBudget, fields.SecretUnreadable):
        pass
    return False
