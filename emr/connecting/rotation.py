"""Signing keys on their way: next → active → retiring → retired, with waiting times and a proof in between.

A new key is published first and waits until the vendor's caches and allow-lists must have seen it; then a token is
minted with it on a working connection of every registration, and only if each vendor takes it does it sign. The old
key stays published until its time is over and its successor is proved. The waits are the profiles' (24 hours each).
"""

import logging
from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from emr import audit, calls, fields, keys, tokens
from emr.connecting import key_exports
from emr.models import Algorithm, ClientRegistration, Connection, Environment, SigningKey
from emr.wire.errors import WireError
from emr.wire.http import Door

log = logging.getLogger(__name__)

DEFAULT_WAIT = timedelta(hours=24)
RETRY = timedelta(hours=1)
# Our own habit, not a vendor's rule: the calendar asks for a new key after a year.
ROTATE_AFTER = timedelta(days=365)

State = SigningKey.State


def advance(now: datetime | None = None) -> list[str]:
    """Take every key a step further that is due; two at once do no harm. Returns a sentence for each step taken."""
    now = now or timezone.now()
    said: list[str] = []
    for environment in Environment.values:
        for algorithm in Algorithm.values:
            said += _advance_set(environment, algorithm, now)
    for sentence in said:
        log.info(sentence)
    return said


def promote(key_id: UUID, now: datetime | None = None) -> str:
    """Let a next key sign now, without its wait, if every vendor takes it. Returns what came of it."""
    key = SigningKey.objects.filter(pk=key_id, state=State.NEXT).first()
    if key is None:
        return "There is no such next key."
    SigningKey.objects.filter(pk=key.pk).update(tried_at=None)
    return _promote(key, now or timezone.now()) or f"{key} is being tried already."


@transaction.atomic
def replace_at_once(key: SigningKey) -> SigningKey:
    """Emergency: a new key of the same kind signs from now on, this one leaves the JWKS. Returns the new key."""
    bits = int(key_exports.size(key).split()[1]) if key.algorithm != Algorithm.ES384 else keys.RSA_BITS
    new = keys.generate(environment=key.environment, algorithm=key.algorithm, bits=bits)
    keys.activate(new)
    keys.retire(key)
    return new


def next_step(key: SigningKey) -> tuple[str, datetime] | None:
    """What happens to the key next, and when; None when nothing is planned."""
    if key.state == State.NEXT:
        return "signs, once the vendor takes it", key.created_at + publish_wait(key.environment)
    if key.state == State.RETIRING and key.retiring_at is not None:
        return "leaves the JWKS, once its successor is proved", key.retiring_at + retire_wait(key.environment)
    if key.state == State.ACTIVE and key.activated_at is not None:
        return "a year old: generate its successor", key.activated_at + ROTATE_AFTER
    return None


def publish_wait(environment: str) -> timedelta:
    """How long a key is published before it signs: the longest wait of the vendors that fetch this JWKS."""
    hours = [registration.profile.connecting.publish_hours for registration in _signers(environment)]
    return timedelta(hours=max(hours)) if hours else DEFAULT_WAIT


def retire_wait(environment: str) -> timedelta:
    """How long a key stays published after it stopped signing."""
    hours = [registration.profile.connecting.retire_hours for registration in _signers(environment)]
    return timedelta(hours=max(hours)) if hours else DEFAULT_WAIT


def _signers(environment: str) -> Iterator[ClientRegistration]:
    method = ClientRegistration.AuthMethod.PRIVATE_KEY_JWT
    yield from ClientRegistration.objects.filter(environment=environment, auth_method=method).only("vendor_profile")


def _advance_set(environment: str, algorithm: str, now: datetime) -> list[str]:
    own = SigningKey.objects.filter(environment=environment, algorithm=algorithm)
    said: list[str] = []
    active = own.filter(state=State.ACTIVE).first()
    waiting = own.filter(state=State.NEXT).order_by("created_at").first()
    if waiting is not None and active is None:
        _activate(waiting)  # nothing else signs: there is nothing to protect by waiting
        said.append(f"{waiting} signs: no other key did.")
    elif waiting is not None and waiting.created_at + publish_wait(environment) <= now:
        said.append(_promote(waiting, now))
    elif active is not None and active.proved_at is None and own.filter(state=State.RETIRING).exists():
        said.append(_prove(active, now)[1])
    said += _retire_due(environment, algorithm, now)
    return [sentence for sentence in said if sentence]


def _promote(key: SigningKey, now: datetime) -> str:
    fine, sentence = _prove(key, now)
    if fine:
        _activate(key)
    return sentence


@transaction.atomic
def _activate(key: SigningKey) -> None:
    keys.activate(key)
    audit.record(audit.Action.KEY, by=None, object_id=key.pk, detail="signs from now on")


def _retire_due(environment: str, algorithm: str, now: datetime) -> list[str]:
    own = SigningKey.objects.filter(environment=environment, algorithm=algorithm)
    if not own.filter(state=State.ACTIVE).exclude(proved_at=None).exists():
        return []
    due = list(own.filter(state=State.RETIRING, retiring_at__lte=now - retire_wait(environment)))
    for key in due:
        with transaction.atomic():
            keys.retire(key)
            audit.record(audit.Action.KEY, by=None, object_id=key.pk, detail="left the JWKS, private half forgotten")
    return [f"{key} left the JWKS." for key in due]


def _prove(key: SigningKey, now: datetime) -> tuple[bool, str]:
    """Mint a token with the key on one working connection of each registration. True when no vendor refused.

    At most once an hour, by one process. A key that no connection can try passes: nothing depends on it yet.
    """
    free = Q(tried_at=None) | Q(tried_at__lte=now - RETRY)
    if not SigningKey.objects.filter(free, pk=key.pk).update(tried_at=now):
        return False, ""
    connections = list(_witnesses(key))
    for connection in connections:
        code = _try(key, connection)
        if code:
            SigningKey.objects.filter(pk=key.pk).update(trial_code=code[:40])
            return False, f"{key} was tried on {connection} and does not sign: {code}. The old key goes on."
    if not connections:
        return True, f"{key} signs; no working connection could prove it."
    return True, f"{key} is proved on {len(connections)} connections and signs."


def _witnesses(key: SigningKey) -> Iterator[Connection]:
    """One working connection of each registration that signs with keys of this kind."""
    seen: set[UUID] = set()
    working = Connection.objects.filter(
        state=Connection.State.ACTIVE,
        registration__environment=key.environment,
        registration__signing_algorithm=key.algorithm,
        registration__auth_method=ClientRegistration.AuthMethod.PRIVATE_KEY_JWT,
    ).select_related("practice", "registration")
    for connection in working.order_by("-active_at"):
        if connection.registration.is_backend and connection.registration_id not in seen:
            seen.add(connection.registration_id)
            yield connection


def _try(key: SigningKey, connection: Connection) -> str:
    """The code of the refusal, or "" when the vendor gave a token."""
    door: Door
    try:
        with calls.door_to(connection) as door:
            tokens.trial(connection, door, key)
    except calls.OverBudget:
        SigningKey.objects.filter(pk=key.pk).update(tried_at=None)  # said nothing about the key: ask again soon
        return "no call left this minute"
    except WireError as error:
        return error.code
    except fields.SecretUnreadable:
        return "SECRET_UNREADABLE"
    return ""
