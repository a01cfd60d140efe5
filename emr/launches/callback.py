"""The way back: everything is checked before anything is done, and then done once.

Order matters. Nothing of the answer is used before `state` has named one launch of this very browser that is open, due
and not answered yet; the launch is consumed by one conditional UPDATE before its code leaves; tokens are kept before
they are used. Sources: RFC 6749 section 4.1.2, RFC 9207, RFC 9700 sections 2.1 and 4.4, SMART App Launch 2.2.
"""

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

from django.db import transaction
from django.utils import timezone

from emr import access, audit, calls, catalogue, client_auth, discovery, fields, keys, refreshing
from emr.launches import disconnecting, identity
from emr.launches.invitations import digest
from emr.launches.refusals import LaunchRefused, refusal
from emr.models import Connection, Enrolment, FhirUser, Grant, Launch, PatientInvitation, User
from emr.wire import authorize, id_token
from emr.wire.errors import Throttled, WireError
from emr.wire.http import Door
from emr.wire.id_token import Identity
from emr.wire.token_endpoint import TokenAnswer
from emr.wire.wellknown import SmartConfiguration

_CODE = re.compile(r"[\x21-\x7e]{1,4096}")
_SINGLE = ("code", "state", "iss", "error", "error_description", "error_uri")


class Params(Protocol):
    """The query of the answer; Django's QueryDict is one."""

    def getlist(self, key: str) -> list[Any]: ...


@dataclass(frozen=True)
class Finished:
    """held: waits for staff (or for the EMR to say who it is); nothing is pulled or shown until then."""

    launch: Launch
    grant: Grant
    held: bool

    @property
    def user(self) -> User | None:
        """Of an EHR launch: the clinician, who may be signed in with it."""
        return self.grant.user


def finish(params: Params, *, browser_key: str, redirect_uri: str, visitor: str = "") -> Finished:
    """Take the answer of an authorization server. redirect_uri: the address it came to, without its query.

    visitor: the network address it came from; of what belongs to no launch so many a minute are audited one by one.

    Raises LaunchRefused with a code of the catalogue for every refusal; each is audited. Never in a transaction.
    """
    said = _said(params, visitor)
    launch = _launch_of(said, visitor)
    _check(launch, browser_key, redirect_uri)
    try:
        with calls.door_to(launch.connection) as door:
            configuration = discovery.configuration(launch.connection, door)
            return _finish(launch, said, door, configuration)
    except calls.OverBudget:
        raise refusal("FHIR_429", launch) from None
    except fields.SecretUnreadable:
        raise refusal("SECRET_UNREADABLE", launch) from None
    except WireError as error:
        raise refusal(error.code, launch, detail=error.detail) from None


def _said(params: Params, visitor: str) -> dict[str, str]:
    """The parameters we read, each at most once: a doubled one may mean two things to two readers."""
    said: dict[str, str] = {}
    for name in _SINGLE:
        values = params.getlist(name)
        if name == "state" and len(values) != 1:
            raise refusal("LAUNCH_STATE_MISSING", visitor=visitor)
        if len(values) > 1:
            raise refusal("LAUNCH_ANSWER", detail=f"{name} is doubled", visitor=visitor)
        said[name] = str(values[0]) if values else ""
    if not said["state"]:
        raise refusal("LAUNCH_STATE_MISSING", visitor=visitor)
    return said


def _launch_of(said: Mapping[str, str], visitor: str) -> Launch:
    rows = Launch.objects.select_related("connection__practice", "connection__registration", "practice", "user")
    launch = rows.select_related("invitation").filter(state_digest=digest(said["state"])).first()
    if launch is None:
        raise refusal("AUTHZ_STATE", visitor=visitor)
    return launch


def _check(launch: Launch, browser_key: str, redirect_uri: str) -> None:
    """What needs no server. Another browser's answer consumes nothing: its owner may still come."""
    if not browser_key or not hmac.compare_digest(launch.browser_digest, digest(browser_key)):
        raise refusal("LAUNCH_OTHER_BROWSER", launch)
    if launch.consumed_at is not None:
        raise refusal("LAUNCH_USED", launch)
    if launch.expires_at <= timezone.now():
        raise refusal("LAUNCH_EXPIRED", launch)
    if redirect_uri != launch.redirect_uri:
        raise refusal("LAUNCH_OTHER_ADDRESS", launch)
    if launch.connection.state == Connection.State.REVOKED:
        raise refusal("LAUNCH_CLOSED", launch)
    invitation = launch.invitation
    if launch.kind == Launch.Kind.PATIENT and (invitation is None or invitation.used_at or invitation.revoked_at):
        raise refusal("LAUNCH_INVITATION", launch)


def _finish(launch: Launch, said: Mapping[str, str], door: Door, configuration: SmartConfiguration) -> Finished:
    # Counted before the launch is consumed: who has to wait for the next minute may then load the page again.
    calls.spend(launch.connection, interactive=True)
    _consume(launch)
    _check_server(launch, said["iss"], configuration)
    if said["error"] or not said["code"]:
        raise _declined(launch, said)
    if not _CODE.fullmatch(said["code"]):
        raise refusal("LAUNCH_ANSWER", launch, detail="code is not a text as RFC 6749 has it")
    answer = _exchanged(launch, said["code"], door, configuration)
    try:
        who = _identity(launch, answer, door, configuration)
        if launch.kind == Launch.Kind.EHR:
            return _clinician(launch, answer, who)
        return _patient(launch, answer, who, door)
    except (LaunchRefused, WireError):
        # What is not kept must not stay good at the server either.
        hint = "refresh_token" if answer.refresh_token else "access_token"
        disconnecting.revoke(launch.connection, answer.refresh_token or answer.access_token, hint)
        raise


def _consume(launch: Launch) -> None:
    now = timezone.now()
    if not Launch.objects.filter(pk=launch.pk, consumed_at=None, expires_at__gt=now).update(consumed_at=now):
        raise refusal("LAUNCH_USED", launch)
    launch.consumed_at = now


def _check_server(launch: Launch, iss: str, configuration: SmartConfiguration) -> None:
    """RFC 9207: the answer names the server it is of, and that is the one this launch went to."""
    expected = configuration.issuer or launch.connection.base_url
    if iss and iss != expected:
        raise refusal("LAUNCH_OTHER_SERVER", launch)
    if not iss and configuration.authorization_response_iss_parameter_supported:
        raise refusal("LAUNCH_OTHER_SERVER", launch, detail="the answer does not name its server")


def _declined(launch: Launch, said: Mapping[str, str]) -> LaunchRefused:
    """The server's own refusal, by the catalogue; its text is not kept: it may say anything."""
    if not said["error"]:
        return refusal("LAUNCH_ANSWER", launch, detail="neither code nor error")
    words = frozenset({said["error"][:100], said["error_description"][:300]})
    told = catalogue.Told("authorize", 302, text=said["error_description"][:300], oauth=words)
    return refusal(catalogue.recognise(told), launch)


def _exchanged(launch: Launch, code: str, door: Door, configuration: SmartConfiguration) -> TokenAnswer:
    """Once: what comes back of it, an answer or none, the code is spent."""
    registration = launch.connection.registration
    client, key = client_auth.proof(registration, configuration)
    try:
        answer = authorize.exchange(
            door,
            configuration,
            client,
            code=code,
            code_verifier=launch.code_verifier,
            redirect_uri=launch.redirect_uri,
            extra=launch.connection.extra_params(registration.extra_token_params),
        )
    except Throttled as refused:
        raise calls.throttled(launch.connection, refused) from None
    if key is not None:
        keys.mark_proved(key)
    return answer


def _identity(launch: Launch, answer: TokenAnswer, door: Door, configuration: SmartConfiguration) -> Identity | None:
    """Of the id_token, valid or refused; None where none was asked for or came."""
    if "openid" not in launch.scope.split() or not answer.id_token:
        return None
    return id_token.validate(
        door,
        configuration,
        answer.id_token,
        client_id=launch.connection.registration.client_id,
        nonce=launch.nonce,
    )


def _grant(launch: Launch, answer: TokenAnswer, who: Identity | None, **own: Any) -> Grant:
    """The row of a consent, its tokens in it; not saved."""
    now = timezone.now()
    grant = Grant(
        connection=launch.connection,
        patient_fhir_id=answer.patient,
        subject=who.subject if who else "",
        fhir_user=who.fhir_user if who else "",
        requested_scope=launch.scope,
        scope=launch.scope if answer.scope is None else answer.scope,
        generation=1,
        refreshed_at=now,
        last_used_at=now,
        **own,
    )
    if answer.refresh_token:
        grant.consent_ends_at = now + timedelta(days=launch.connection.profile.connecting.refresh_days)
    for name, value in refreshing.token_values(grant, answer, now).items():
        setattr(grant, name, value)
    return grant


def _patient(launch: Launch, answer: TokenAnswer, who: Identity | None, door: Door) -> Finished:
    if not answer.patient:
        raise refusal("AUTHZ_NO_PATIENT", launch)
    grant = _grant(launch, answer, who, invitation=launch.invitation, state=Grant.State.HELD)
    grant.reason_code = identity.UNREAD
    with transaction.atomic():
        # One invitation, one consent: of two launches of one link the first to come back counts.
        invitations = PatientInvitation.objects.filter(launches=launch, used_at=None, revoked_at=None)
        used = invitations.update(used_at=timezone.now())
        if used:
            _keep(launch, grant)
    if not used:
        raise refusal("LAUNCH_INVITATION", launch)
    grant = identity.identify(grant, door)
    return Finished(launch, grant, held=grant.state == Grant.State.HELD)


def _clinician(launch: Launch, answer: TokenAnswer, who: Identity | None) -> Finished:
    user = _user(launch, who)
    if not user.is_active or not access.allows(user, launch.practice, access.Act.CHARTS):
        raise refusal("LAUNCH_NOT_A_MEMBER", launch, by=user)
    grant = _grant(launch, answer, who, user=user, state=Grant.State.ACTIVE)
    with transaction.atomic():
        identity.replace_earlier(grant)
        _keep(launch, grant)
        audit.record(
            audit.Action.CONSENT, by=user, practice=launch.practice, object_id=grant.pk, detail="by EHR launch"
        )
        if answer.patient and not _pulled_otherwise(launch, answer.patient):
            identity.pull_now(launch.connection, answer.patient, Enrolment.KnownBy.LAUNCH)
    return Finished(launch, grant, held=False)


def _user(launch: Launch, who: Identity | None) -> User:
    """The clinician: as mapped by an admin. Whoever is signed in here must not be another than at the EMR."""
    mapped = None
    if who is not None and who.fhir_user:
        named = (who.fhir_user, f"{launch.connection.base_url}/{who.fhir_user}")
        rows = FhirUser.objects.select_related("user").filter(connection=launch.connection, fhir_user__in=named)
        mapped = rows.first()
    if mapped is None and launch.user is None:
        raise refusal("LAUNCH_UNKNOWN_USER", launch)
    if mapped is not None and launch.user is not None and mapped.user_id != launch.user_id:
        raise refusal("LAUNCH_OTHER_USER", launch)
    user = mapped.user if mapped is not None else launch.user
    if user is None:
        raise refusal("LAUNCH_UNKNOWN_USER", launch)
    return user


def _pulled_otherwise(launch: Launch, patient_fhir_id: str) -> bool:
    """Another connection of this practice pulls this patient already."""
    rows = Enrolment.objects.filter(connection__practice=launch.practice, patient_fhir_id=patient_fhir_id)
    return rows.filter(connection__state=Connection.State.ACTIVE).exclude(connection=launch.connection).exists()


def _keep(launch: Launch, grant: Grant) -> None:
    """Committed before anything is read with it."""
    grant.save(force_insert=True)
    Launch.objects.filter(pk=launch.pk).update(outcome_code=Launch.GRANTED, code_verifier="", launch_context="")
    if launch.kind == Launch.Kind.PATIENT:
        audit.record(
            audit.Action.CONSENT, by=None, practice=launch.practice, object_id=grant.pk, detail="by the patient"
        )
