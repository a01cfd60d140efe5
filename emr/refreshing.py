"""The token of one grant: fresh, or renewed by one holder at a time.

A refresh token serves once. So a worker claims the grant by a conditional UPDATE on (generation, refresh_started_at)
and commits; calls; and persists the answer before anybody uses it. Others are told to come back. A holder that died, or
an answer that was lost, leaves a mark: the server may have used up the token. It is then tried once more, and after
that from time to time; only the server's own word ends a consent.

Never call this inside a transaction: a claim that is not committed holds nobody back.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from emr import audit, calls, client_auth, discovery, fields, keys
from emr.bearers import Access, NeedsConsent, NoAccess, TokenBusy
from emr.models import Connection, Grant, TypeOutcome, User
from emr.wire import authorize, scopes
from emr.wire.errors import Throttled, TryAgain, WireError
from emr.wire.http import Door
from emr.wire.token_endpoint import TokenAnswer, TokenRefused

log = logging.getLogger(__name__)

# A claim older than this is of a worker that died in the call: an answer never takes longer than 60 s.
CLAIM_LIFE = timedelta(seconds=90)
# Renewed so long before its end: a call in flight must not outlive it.
MARGIN = timedelta(seconds=60)
# After two answers lost in a row.
ASK_AGAIN = timedelta(minutes=15)
NOTE_USE = timedelta(minutes=5)

State = Grant.State
NO_TOKENS: dict[str, Any] = {"access_token": "", "refresh_token": "", "access_expires_at": None}


def access(
    grant: Grant, door: Door, *, while_held: bool = False, anew: bool = False, interactive: bool = False
) -> Access:
    """The grant's token, renewed if need be. door: to the grant's connection.

    while_held: for reading who the patient is, before staff may see anything. anew: renewed even if fresh.
    interactive: somebody waits for it. Raises
    NeedsConsent, NoAccess TOK_UNCERTAIN (answers were lost; asked again later), TokenBusy, calls.OverBudget, WireError
    (not about this grant) and fields.SecretUnreadable.
    """
    row = Grant.objects.select_related("connection__practice", "connection__registration").get(pk=grant.pk)
    if row.state != State.ACTIVE and not (while_held and row.state == State.HELD):
        raise NeedsConsent(row.reason_code or "GRANT_MISSING")
    now = timezone.now()
    if row.access_expires_at is not None and row.access_expires_at - MARGIN > now and not anew:
        if row.last_used_at is None or row.last_used_at < now - NOTE_USE:
            Grant.objects.filter(pk=row.pk).update(last_used_at=now)
        return as_access(row, row.access_token, row.scope)
    return _renewed(row, door, interactive=interactive)


def as_access(grant: Grant, bearer: str, scope: str, generation: int | None = None) -> Access:
    contexts = ("patient",) if grant.user_id is None else ("user", "patient")
    return Access(bearer, scope, grant.generation if generation is None else generation, contexts, grant.pk)


def _renewed(row: Grant, door: Door, *, interactive: bool) -> Access:
    refresh_token = row.refresh_token
    if not refresh_token:
        end(row, "GRANT_NO_REFRESH", generation=row.generation)
        raise NeedsConsent("GRANT_NO_REFRESH")
    now = timezone.now()
    if row.lost_answers > 1 and row.uncertain_at is not None and row.uncertain_at > now - ASK_AGAIN:
        raise NoAccess("TOK_UNCERTAIN")
    registration = row.connection.registration
    configuration = discovery.configuration(row.connection, door, interactive=interactive)
    extra = row.connection.extra_params(registration.extra_token_params)
    client, key = client_auth.proof(registration, configuration)
    started_at = _claim(row)
    with _claimed(row, started_at):
        calls.spend(row.connection, interactive=interactive)
        answer = authorize.refresh(door, configuration, client, refresh_token=refresh_token, extra=extra)
    persisted = _persist(row, started_at, answer)
    if key is not None:
        keys.mark_proved(key)
    return persisted


def _claim(row: Grant) -> datetime:
    """Make this worker the one that asks; committed when this returns. A dead holder's claim is taken over, marked."""
    now, before = timezone.now(), row.refresh_started_at
    if before is not None and before > now - CLAIM_LIFE:
        raise TokenBusy
    values: dict[str, Any] = {"refresh_started_at": now}
    if before is not None:
        log.warning("grant %s: a worker ended while it waited for the server's answer", row.pk)
        values |= _lost(now)
        row.lost_answers += 1
    held = Grant.objects.filter(pk=row.pk, generation=row.generation, refresh_started_at=before, state=row.state)
    if not held.update(**values):
        raise TokenBusy
    return now


def _lost(now: datetime) -> dict[str, Any]:
    return {"uncertain_at": now, "lost_answers": F("lost_answers") + 1, "reason_code": "TOK_UNCERTAIN"}


def _holding(row: Grant, started_at: datetime) -> QuerySet[Grant]:
    """The row while our claim on it holds. Staff may accept a held grant in the middle of it."""
    rows = Grant.objects.filter(pk=row.pk, generation=row.generation, refresh_started_at=started_at)
    return rows.filter(state__in=(State.HELD, State.ACTIVE))


@contextmanager
def _claimed(row: Grant, started_at: datetime) -> Iterator[None]:
    """Whatever ends the call, the row says what is known of it."""
    holding = _holding(row, started_at)
    free: dict[str, Any] = {"refresh_started_at": None}
    try:
        yield
    except Throttled as refusal:
        holding.update(**free)
        raise calls.throttled(row.connection, refusal) from None
    except TokenRefused as refusal:
        if refusal.code != "TOK_REFRESH_INVALID":
            holding.update(**free)  # it is us they refuse, not the person's consent
            raise
        # After a lost answer this is what a server says to the token it has replaced.
        code = "GRANT_ANSWER_LOST" if row.lost_answers else refusal.code
        end(row, code, refusal.detail, generation=row.generation)
        raise NeedsConsent(code) from None
    except WireError as error:
        unseen = error.sent and (isinstance(error, TryAgain) or error.status is not None)
        holding.update(**free, **(_lost(timezone.now()) if unseen else {}))
        if unseen and row.lost_answers:
            raise NoAccess("TOK_UNCERTAIN") from None
        raise
    except calls.OverBudget:
        holding.update(**free)
        raise
    except BaseException:
        # Whatever else ends the call, a worker told to end (SystemExit) among it: whether the server has answered is
        # not known, and the row must say so before the exception goes on.
        holding.update(**free, **_lost(timezone.now()))
        raise


def _persist(row: Grant, started_at: datetime, answer: TokenAnswer) -> Access:
    """Keep the new generation; only then is it used. Raises NeedsConsent when the grant was ended meanwhile."""
    now = timezone.now()
    scope = row.scope if answer.scope is None else scopes.narrowed(answer.scope, row.scope)
    values = token_values(row, answer, now) | {
        "scope": scope,
        "generation": F("generation") + 1,
        "refresh_started_at": None,
        "refreshed_at": now,
        "last_used_at": now,
        "uncertain_at": None,
        "lost_answers": 0,
    }
    if row.lost_answers and row.state == State.ACTIVE:
        values |= {"reason_code": "", "reason_detail": ""}
    if not _holding(row, started_at).update(**values):
        raise NeedsConsent("GRANT_DISCONNECTED")
    # After the answer is safe: it must not be lost for want of a row about it, nor used without one.
    audit.record(
        audit.Action.TOKEN,
        by=None,
        practice=row.connection.practice,
        patient_fhir_id=row.patient_fhir_id,
        object_id=row.pk,
        detail=f"renewed, generation {row.generation + 1}",
    )
    return as_access(row, answer.access_token, scope, row.generation + 1)


def token_values(grant: Grant, answer: TokenAnswer, now: datetime) -> dict[str, Any]:
    """Columns of what a token answer brought, sealed. Without a new refresh token the old one stays (RFC 6749, 6)."""
    values: dict[str, Any] = {
        "access_token": fields.seal(grant, "access_token", grant.pk, answer.access_token),
        "access_expires_at": now + timedelta(seconds=answer.expires_in),
    }
    if answer.refresh_token:
        values["refresh_token"] = fields.seal(grant, "refresh_token", grant.pk, answer.refresh_token)
    idle = grant.connection.profile.connecting.refresh_idle_days
    if answer.refresh_expires_in is not None:
        values["idle_ends_at"] = now + timedelta(seconds=answer.refresh_expires_in)
    elif idle:
        values["idle_ends_at"] = now + timedelta(days=idle)
    return values


def drop(grant_id: Any, generation: int) -> None:
    """The server refused this access token: nobody uses it again. A newer generation is left alone."""
    Grant.objects.filter(pk=grant_id, generation=generation).update(access_expires_at=None)


@transaction.atomic
def end(
    grant: Grant,
    code: str,
    detail: str = "",
    *,
    by: User | None = None,
    state: str = State.NEEDS_CONSENT,
    generation: int | None = None,
) -> bool:
    """The consent is over: its tokens are deleted, what was fetched is kept and dated. False: it was over already.

    code: of the catalogue, says why. generation: end it only while it is at this one.
    """
    if grant.state == State.HELD:
        state = State.REVOKED  # nobody knows yet whose it is: there is no one to ask again
    rows = Grant.objects.filter(pk=grant.pk, state__in=(State.HELD, *Grant.CURRENT)).exclude(state=state)
    if generation is not None:
        rows = rows.filter(generation=generation)
    ended = rows.update(
        **NO_TOKENS,
        state=state,
        reason_code=code,
        reason_detail=detail[:500],
        returned={},
        generation=F("generation") + 1,
        refresh_started_at=None,
        uncertain_at=None,
        lost_answers=0,
        ended_at=timezone.now(),
    )
    if not ended:
        return False
    connection = Connection.objects.select_related("practice").get(pk=grant.connection_id)
    audit.record(audit.Action.CONSENT, by=by, practice=connection.practice, object_id=grant.pk, detail=f"ended: {code}")
    if grant.user_id is None and not _others(grant).exists():
        _say_on_types(grant, code)
    return True


def _others(grant: Grant) -> QuerySet[Grant]:
    """The same patient's consents that stand."""
    same = Grant.objects.filter(connection_id=grant.connection_id, patient_fhir_id=grant.patient_fhir_id, user=None)
    return same.filter(state=State.ACTIVE).exclude(pk=grant.pk)


def _say_on_types(grant: Grant, code: str) -> None:
    """Pages say at once why nothing newer comes; the dates of what is on file stay."""
    rows = TypeOutcome.objects.filter(
        enrolment__connection_id=grant.connection_id, enrolment__patient_fhir_id=grant.patient_fhir_id
    )
    rows.update(outcome=TypeOutcome.Outcome.NOT_FETCHED, reason=NeedsConsent.reason, code=code)
