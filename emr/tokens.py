"""Which token serves now: claim, mint, persist before use.

One holder at a time asks for the next generation: it claims the row by a conditional UPDATE, commits, calls, and
persists the answer before anybody uses it. No lock is held across the call (on SQLite it would stop every writer);
others are told to come back.
"""

import time
from dataclasses import dataclass, field
from datetime import timedelta

from django.db.models import F, Q
from django.utils import timezone

from emr import calls, discovery, fields, keys
from emr.models import Connection, SigningKey, SystemToken
from emr.wire import smart
from emr.wire.errors import NeverAgain, Throttled
from emr.wire.http import Door

# A claim older than this is of a worker that died in the call.
CLAIM_LIFE = timedelta(seconds=90)
# Renewed so long before its end: a call in flight must not outlive it.
MARGIN = timedelta(seconds=30)


class TokenBusy(Exception):
    """Another worker is asking for this token; come back in `seconds`."""

    seconds = 1.0


@dataclass(frozen=True)
class Access:
    """A token ready for use. `scope`: what was granted, or requested where the server did not say."""

    bearer: str = field(repr=False)
    scope: str
    generation: int


def system_access(connection: Connection, door: Door) -> Access:
    """The connection's token for its registered scopes, minted if need be.

    Raises TokenBusy, calls.OverBudget, WireError (see the catalogue) or fields.SecretUnreadable.
    """
    scope = " ".join(sorted(connection.registration.scopes.split()))
    token, _ = SystemToken.objects.get_or_create(connection=connection, scope=scope)
    if token.is_fresh(MARGIN):
        return Access(token.access_token, token.granted_scope, token.generation)
    now = timezone.now()
    claimed = SystemToken.objects.filter(
        Q(claimed_at=None) | Q(claimed_at__lt=now - CLAIM_LIFE), pk=token.pk, generation=token.generation
    ).update(claimed_at=now)
    if not claimed:
        raise TokenBusy
    try:
        answer = _mint(connection, door, scope)
    except BaseException:
        SystemToken.objects.filter(pk=token.pk, claimed_at=now).update(claimed_at=None)
        raise
    return _persist(token, answer, scope)


def trial(connection: Connection, door: Door, key: SigningKey) -> None:
    """Have a token minted with this key, whatever key signs otherwise, and throw the token away.

    The key is proved by it. Raises calls.OverBudget, WireError or fields.SecretUnreadable.
    """
    _mint(connection, door, " ".join(sorted(connection.registration.scopes.split())), key)


def drop(connection: Connection, access: Access) -> None:
    """The server refused this token: nobody uses it again. A newer generation is left alone."""
    SystemToken.objects.filter(connection=connection, generation=access.generation).update(expires_at=None)


def _persist(token: SystemToken, answer: smart.TokenAnswer, scope: str) -> Access:
    granted = scope if answer.scope is None else answer.scope
    SystemToken.objects.filter(pk=token.pk, generation=token.generation).update(
        access_token=fields.seal(token, "access_token", token.pk, answer.access_token),
        granted_scope=granted,
        expires_at=timezone.now() + timedelta(seconds=answer.expires_in),
        generation=F("generation") + 1,
        claimed_at=None,
    )
    return Access(answer.access_token, granted, token.generation + 1)


def _mint(connection: Connection, door: Door, scope: str, key: SigningKey | None = None) -> smart.TokenAnswer:
    """Ask the authorization server, with an assertion made for this request alone (its jti serves once)."""
    registration = connection.registration
    if not registration.client_id:
        raise NeverAgain("CFG_CLIENT_ID", "the registration has no client id")
    configuration = discovery.configuration(connection, door)
    try:
        key = key or keys.signing_key(registration.environment, registration.signing_algorithm)
    except keys.NoSigningKey as exc:
        raise NeverAgain("KEY_MISSING", str(exc)) from None
    assertion = smart.client_assertion(
        client_id=registration.client_id,
        # As discovered, unless the vendor was found to want one fixed audience.
        token_endpoint=registration.assertion_audience or configuration.token_endpoint,
        private_key_pem=key.private_pem.encode(),
        kid=key.kid,
        alg=key.algorithm,
        now=time.time(),
    )
    extra = connection.extra_params(registration.extra_token_params)
    calls.spend(connection)
    try:
        answer = smart.client_credentials(door, configuration, assertion=assertion, scope=scope, extra=extra)
    except Throttled as refusal:
        raise calls.throttled(connection, refusal) from None
    keys.mark_proved(key)
    return answer
