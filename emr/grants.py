"""The life of consents: kept alive, ended, renewed by the person, and the calendar of their ends."""

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils import timezone

from emr import calls, client_auth, discovery, doctor, fields, launches
from emr.bearers import NoAccess, TokenBusy
from emr.launches.disconnecting import Disconnected, disconnect
from emr.models import ClientRegistration, Connection, Grant, PatientInvitation, Practice, User
from emr.refreshing import ASK_AGAIN, CLAIM_LIFE, access, end
from emr.wire import authorize
from emr.wire.authorize import Introspection
from emr.wire.errors import NeverAgain, Throttled, WireError
from emr.wire.token_endpoint import TokenRefused

__all__ = [
    "CalendarEntry",
    "Disconnected",
    "Introspection",
    "access",
    "calendar",
    "disconnect",
    "end",
    "ends",
    "introspect",
    "keep",
    "reconnect",
    "refresh_due",
]

log = logging.getLogger(__name__)

# Days before an end on which staff are warned.
WARNINGS = (14, 7, 1)
# An access token that is in use is renewed so long before its end; one that is not, is not.
AHEAD = timedelta(minutes=3)
IN_USE = timedelta(minutes=15)
# A refresh token that nobody uses may end for that alone.
WEEKLY = timedelta(days=7)
BETWEEN = timedelta(minutes=10)
LOOK_AGAIN = timedelta(minutes=2)
GRANTS_A_TICK = 50

State = Grant.State


@dataclass(frozen=True)
class CalendarEntry:
    """kind: "consent" (the vendor's longest life), "idle" (ends unless it is used), "needs-consent" or "held".

    ends_at, days_left: None for the last two, which wait for a person now. warning: 14, 7 or 1 when that many days or
    fewer are left, 0 for what waits, None otherwise.
    """

    grant: Grant
    kind: str
    ends_at: datetime | None
    days_left: int | None
    warning: int | None


def calendar(practice: Practice, now: datetime | None = None) -> tuple[CalendarEntry, ...]:
    """What waits for a person, then the ends to come, the soonest first. Clinicians' grants are not in it."""
    now = now or timezone.now()
    grants = Grant.objects.filter(connection__practice=practice, user=None).select_related(
        "connection__registration", "invitation"
    )
    waiting = grants.filter(state__in=(State.HELD, State.NEEDS_CONSENT)).order_by("-ended_at", "-created_at")
    entries = [CalendarEntry(grant, grant.state, None, None, 0) for grant in waiting]
    coming = [entry for grant in grants.filter(state=State.ACTIVE) for entry in ends(grant, now)]
    return (*entries, *sorted(coming, key=lambda entry: entry.ends_at or now))


def ends(grant: Grant, now: datetime) -> list[CalendarEntry]:
    """The ends to come of one grant, the soonest first; none unless it is active."""
    known = (("consent", grant.consent_ends_at), ("idle", grant.idle_ends_at))
    coming = [_entry(grant, kind, at, now) for kind, at in known if at is not None and grant.state == State.ACTIVE]
    return sorted(coming, key=lambda entry: entry.ends_at or now)


def _entry(grant: Grant, kind: str, at: datetime, now: datetime) -> CalendarEntry:
    left = max(-((now - at) // timedelta(days=1)), 0)  # rounded up: on the last day, one is left
    warning = min((days for days in WARNINGS if left <= days), default=None)
    return CalendarEntry(grant, kind, at, left, warning)


def _due(now: datetime) -> QuerySet[Grant]:
    """Grants to be renewed, and held ones whose patient could not be read yet."""
    renewable = Grant.objects.filter(state=State.ACTIVE).exclude(refresh_token="")
    unclaimed = Q(refresh_started_at=None) | Q(refresh_started_at__lt=now - CLAIM_LIFE)
    ending = Q(access_expires_at__lt=now + AHEAD, last_used_at__gt=now - IN_USE)
    near = Q(idle_ends_at__lt=now + timedelta(days=1), refreshed_at__lt=now - BETWEEN)
    idle = Q(refreshed_at__lt=now - WEEKLY) | Q(refreshed_at=None) | near
    died = Q(refresh_started_at__lt=now - CLAIM_LIFE)
    lost = Q(uncertain_at__lt=now - LOOK_AGAIN, lost_answers=1) | Q(uncertain_at__lt=now - ASK_AGAIN)
    unread = Q(state=State.HELD, reason_code="GRANT_IDENTITY_UNREAD", last_used_at__lt=now - LOOK_AGAIN)
    working = ~Q(connection__state=Connection.State.REVOKED)
    due = renewable.filter(unclaimed, ending | idle | died | lost, working)
    return Grant.objects.filter(Q(pk__in=due.values("pk")) | (unread & working))


def refresh_due() -> list[UUID]:
    """The grants a tick should have looked after by `keep`; asking twice does no harm."""
    return list(_due(timezone.now()).order_by("access_expires_at").values_list("pk", flat=True)[:GRANTS_A_TICK])


def keep(grant_id: UUID) -> None:
    """Renew a grant that is due, or read who its patient is. What goes wrong is said on the grant or the connection."""
    rows = _due(timezone.now()).select_related("connection__practice", "connection__registration")
    grant = rows.filter(pk=grant_id).first()
    if grant is None:
        return  # looked after meanwhile
    try:
        with calls.door_to(grant.connection) as door:
            if grant.state == State.HELD:
                launches.identify(grant, door)
            else:
                access(grant, door, anew=True)
    except (TokenBusy, NoAccess, calls.OverBudget) as met:
        log.info("grant %s: %s", grant_id, type(met).__name__)
    except fields.SecretUnreadable as error:
        doctor.degrade(grant.connection, "SECRET_UNREADABLE", str(error))
    except WireError as error:
        # It is us they refuse, or our settings: every grant of the connection will meet the same.
        if isinstance(error, TokenRefused | NeverAgain) and doctor.stops_connection(error.code):
            doctor.degrade(grant.connection, error.code, str(error), error.request_id)
        log.warning("grant %s: %s", grant_id, error.code)


def introspect(grant: Grant) -> Introspection | None:
    """What the server says of the grant's token; None where it has no introspection endpoint, or we have no token.

    A refresh token that the server calls inactive ends the consent. Raises calls.OverBudget, WireError and
    fields.SecretUnreadable.
    """
    row = Grant.objects.select_related("connection__practice", "connection__registration").get(pk=grant.pk)
    connection = row.connection
    token = row.refresh_token or row.access_token
    if not token:
        return None
    with calls.door_to(connection) as door:
        configuration = discovery.configuration(connection, door)
        if configuration.introspection_endpoint is None:
            return None
        client, _ = client_auth.proof(connection.registration, configuration)
        calls.spend(connection, interactive=True)
        try:
            told = authorize.introspect(door, configuration, client, token=token)
        except Throttled as refusal:
            raise calls.throttled(connection, refusal) from None
    # Not while somebody renews it: the token we asked about may have been replaced this very moment.
    settled = Grant.objects.filter(pk=row.pk, generation=row.generation, refresh_started_at=None)
    if told is not None and not told.active and row.refresh_token and settled.exists():
        end(row, "TOK_REFRESH_INVALID", "said by introspection", generation=row.generation)
    return told


def reconnect(grant: Grant, by: User) -> tuple[PatientInvitation, str]:
    """A new invitation for the person of this grant: (invitation, token). What they gave before stays until they do.

    Raises ValueError for a grant that no invitation led to, or of an app that invites nobody.
    """
    row = Grant.objects.select_related("connection__practice", "connection__registration", "invitation").get(
        pk=grant.pk
    )
    before = row.invitation
    if before is None or row.connection.registration.app_type != ClientRegistration.AppType.PATIENT:
        raise ValueError("nobody was invited to this grant")
    return launches.invite(
        row.connection.practice,
        row.connection,
        by,
        given=before.given,
        family=before.family,
        birth_date=before.birth_date,
        patient_fhir_id=""
        if row.state == State.REVOKED and row.reason_code == "GRANT_DECLINED"
        else row.patient_fhir_id,
        language=before.language,
    )
