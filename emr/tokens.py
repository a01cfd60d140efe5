"""Which token serves now: claim, mint, persist before use.

One holder at a time asks for the next generation: it claims the row by a conditional UPDATE, commits, calls, and
persists the answer before anybody uses it. No lock is held across the call (on SQLite it would stop every writer);
others are told to come back.
"""

from contextlib import ExitStack
from datetime import timedelta

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from emr import audit, calls, client_auth, discovery, fields, keys, refreshing
from emr.bearers import Access, NeedsConsent, NoAccess, TokenBusy
from emr.models import ClientRegistration, Connection, Enrolment, Grant, SigningKey, SystemToken
from emr.wire import smart
from emr.wire.errors import Throttled, WireError
from emr.wire.http import Door

__all__ = [
    "Access",
    "NeedsConsent",
    "NoAccess",
    "TokenBusy",
    "access_for",
    "drop",
    "grant_for",
    "held",
    "refused",
    "system_access",
    "trial",
]

# A claim older than this is of a worker that died in the call.
CLAIM_LIFE = timedelta(seconds=90)
# Renewed so long before its end: a call in flight must not outlive it.
MARGIN = timedelta(seconds=30)


def access_for(connection: Connection, enrolment: Enrolment | None, door: Door, *, interactive: bool = False) -> Access:
    """The token with which this patient is read: the connection's own, or the one that a person's consent gave.

    A patient's app reads with that patient's grant, an EHR app with that of whoever opened this very patient last.
    enrolment: None for what is about no patient, which only a backend app reads. interactive: somebody waits, so that a
    token that is asked for may cost one of the calls held back for that. Raises NeedsConsent or NoAccess
    (about this patient alone), and what `system_access` raises.
    """
    if connection.registration.is_backend:
        return system_access(connection, door, interactive=interactive)
    grant = grant_for(connection, enrolment)
    if grant is None:
        raise NeedsConsent("GRANT_MISSING")
    return refreshing.access(grant, door, interactive=interactive)


def grant_for(connection: Connection, enrolment: Enrolment | None) -> Grant | None:
    """The grant with which this patient is read over an app that persons consent to; None without one."""
    grants = connection.grants.filter(patient_fhir_id=enrolment.patient_fhir_id if enrolment else None)
    if connection.registration.app_type == ClientRegistration.AppType.PATIENT:
        grants = grants.filter(user=None)
    # Those in force first; else the latest, which says why there is none.
    ranked = sorted(grants.order_by("-created_at")[:20], key=lambda grant: grant.state != Grant.State.ACTIVE)
    return ranked[0] if ranked else None


def system_access(connection: Connection, door: Door, *, interactive: bool = False) -> Access:
    """The connection's token for its registered scopes, minted if need be. interactive: somebody waits for it.

    Raises TokenBusy, calls.OverBudget, WireError (see the catalogue) or fields.SecretUnreadable.
    """
    scope = _scope(connection)
    token, _ = SystemToken.objects.get_or_create(connection=connection, scope=scope)
    if access := _served_by(token):
        return access
    now = timezone.now()
    claimed = SystemToken.objects.filter(
        Q(claimed_at=None) | Q(claimed_at__lt=now - CLAIM_LIFE), pk=token.pk, generation=token.generation
    ).update(claimed_at=now)
    if not claimed:
        raise TokenBusy
    with ExitStack() as undo:  # also when the worker is told to end: others need not wait for the claim's life
        undo.callback(SystemToken.objects.filter(pk=token.pk, claimed_at=now).update, claimed_at=None)
        answer = _mint(connection, door, scope, interactive=interactive)
        undo.pop_all()
    return _persist(token, answer, scope)


def held(connection: Connection) -> Access | None:
    """The connection's token if one is on file that serves now; makes no call. Raises fields.SecretUnreadable."""
    token = SystemToken.objects.filter(connection=connection, scope=_scope(connection)).first()
    return _served_by(token) if token else None


def _scope(connection: Connection) -> str:
    return " ".join(sorted(connection.registration.scopes.split()))


def _served_by(token: SystemToken) -> Access | None:
    if token.expires_at is None or not token.is_fresh(MARGIN):
        return None
    fresh_until = token.expires_at - MARGIN
    return Access(token.access_token, token.granted_scope, token.generation, fresh_until=fresh_until)


def trial(connection: Connection, door: Door, key: SigningKey, *, interactive: bool = False) -> None:
    """Have a token minted with this key, whatever key signs otherwise, and throw the token away.

    The key is proved by it. Raises calls.OverBudget, WireError or fields.SecretUnreadable.
    """
    _mint(connection, door, _scope(connection), key, interactive=interactive)


def drop(connection: Connection, access: Access) -> None:
    """The server refused this token: nobody uses it again. A newer generation is left alone."""
    if access.grant_id is not None:
        refreshing.drop(access.grant_id, access.generation)
        return
    SystemToken.objects.filter(connection=connection, generation=access.generation).update(expires_at=None)


def refused(access: Access, error: WireError) -> None:
    """A renewed token was refused, too. A person's consent has then ended; a connection is at fault: raises `error`."""
    if access.grant_id is None:
        raise error
    grant = Grant.objects.get(pk=access.grant_id)
    refreshing.end(grant, "GRANT_REFUSED", error.detail, generation=access.generation)


@transaction.atomic
def _persist(token: SystemToken, answer: smart.TokenAnswer, scope: str) -> Access:
    granted = scope if answer.scope is None else answer.scope
    ends_at = timezone.now() + timedelta(seconds=answer.expires_in)
    SystemToken.objects.filter(pk=token.pk, generation=token.generation).update(
        access_token=fields.seal(token, "access_token", token.pk, answer.access_token),
        granted_scope=granted,
        expires_at=ends_at,
        generation=F("generation") + 1,
        claimed_at=None,
    )
    told = f"obtained, generation {token.generation + 1}"
    audit.record(audit.Action.TOKEN, by=None, practice=token.connection.practice, object_id=token.pk, detail=told)
    fresh_until = ends_at - MARGIN
    return Access(answer.access_token, granted, token.generation + 1, fresh_until=fresh_until)


def _mint(
    connection: Connection, door: Door, scope: str, key: SigningKey | None = None, *, interactive: bool
) -> smart.TokenAnswer:
    """Ask the authorization server, with an assertion made for this request alone (its jti serves once)."""
    registration = connection.registration
    configuration = discovery.configuration(connection, door, interactive=interactive)
    client, key = client_auth.proof(registration, configuration, key)
    extra = connection.extra_params(registration.extra_token_params)
    calls.spend(connection, interactive=interactive)
    try:
        answer = smart.client_credentials(door, configuration, assertion=client.assertion, scope=scope, extra=extra)
    except Throttled as refusal:
        raise calls.throttled(connection, refusal) from None
    if key is not None:
        keys.mark_proved(key)
    return answer
