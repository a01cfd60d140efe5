"""The way out: a launch is remembered, then the browser is sent to the EMR's authorization server."""

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from emr import access, audit, calls, discovery
from emr.launches.invitations import digest
from emr.launches.refusals import refusal
from emr.models import ClientRegistration, Connection, Launch, PatientInvitation, User
from emr.redirects import redirect_uri
from emr.wire import authorize
from emr.wire.errors import NeverAgain, WireError
from emr.wire.http import Door
from emr.wire.origins import parse_base

AppType = ClientRegistration.AppType


def begin(invitation: PatientInvitation, *, browser_key: str, door: Door | None = None) -> str:
    """Where to send the invited person's browser. browser_key: a random value that browser alone has; door: for tests.

    Raises LaunchRefused, with FHIR_429 when the practice's calls of this minute are used up.
    """
    connection = _loaded(invitation.connection_id)
    launch = _launch(connection, Launch.Kind.PATIENT, browser_key, invitation=invitation)
    if invitation.state != PatientInvitation.State.OPEN:
        raise refusal("LAUNCH_INVITATION", launch)
    return _address(launch, browser_key, door)


def begin_ehr(
    connection: Connection, launch: str, *, user: User | None, browser_key: str, door: Door | None = None
) -> str:
    """Where to send the clinician's browser. launch: the EMR's parameter. user: None where its sign-in is to tell who.

    Raises LaunchRefused; LAUNCH_NOT_A_MEMBER for a user who may not open charts there.
    """
    connection = _loaded(connection.pk)
    begun = _launch(connection, Launch.Kind.EHR, browser_key, user=user, launch_context=launch[:2000])
    if connection.registration.app_type != AppType.PROVIDER or not launch:
        raise refusal("LAUNCH_UNKNOWN_SERVER", begun)
    if user is not None and not access.allows(user, connection.practice, access.Act.CHARTS):
        raise refusal("LAUNCH_NOT_A_MEMBER", begun)
    return _address(begun, browser_key, door)


def connection_of_server(iss: str, visitor: str = "") -> Connection:
    """The connection whose base the EMR names in `iss`, exactly. Raises LaunchRefused LAUNCH_UNKNOWN_SERVER.

    visitor: as in `finish`.

    Nothing is sent to a server we do not know: it would learn what our client may do there.
    """
    try:
        base = parse_base(iss[:500]).url
    except WireError:
        base = ""
    rows = Connection.objects.select_related("practice", "registration")
    found = rows.filter(base_url=base, registration__app_type=AppType.PROVIDER).exclude(state=Connection.State.REVOKED)
    connection = found.order_by("created_at").first() if base else None
    if connection is None:
        raise refusal("LAUNCH_UNKNOWN_SERVER", visitor=visitor)
    return connection


def _loaded(pk: UUID) -> Connection:
    return Connection.objects.select_related("practice", "registration").get(pk=pk)


def _launch(
    connection: Connection,
    kind: str,
    browser_key: str,
    *,
    invitation: PatientInvitation | None = None,
    user: User | None = None,
    launch_context: str = "",
) -> Launch:
    now = timezone.now()
    return Launch(
        connection=connection,
        practice=connection.practice,
        kind=kind,
        invitation=invitation,
        user=user,
        browser_digest=digest(browser_key),
        nonce=authorize.random_text(),
        code_verifier=authorize.random_text(),
        scope=" ".join(connection.registration.scopes.split()),
        launch_context=launch_context,
        created_at=now,
        expires_at=now + Launch.LIFE,
    )


def _address(launch: Launch, browser_key: str, door: Door | None) -> str:
    if not browser_key:
        raise refusal("LAUNCH_OTHER_BROWSER", launch)
    try:
        if door is not None:
            return _remembered(launch, door)
        with calls.door_to(launch.connection) as own:
            return _remembered(launch, own)
    except calls.OverBudget:
        raise refusal("FHIR_429", launch) from None
    except WireError as error:
        raise refusal(error.code, launch, detail=error.detail) from None


def _remembered(launch: Launch, door: Door) -> str:
    connection, registration = launch.connection, launch.connection.registration
    if connection.state == Connection.State.REVOKED:
        raise NeverAgain("LAUNCH_CLOSED", "the connection is revoked")
    if not registration.client_id:
        raise NeverAgain("CFG_CLIENT_ID", "the registration has no client id")
    launch.redirect_uri = redirect_uri(registration)
    configuration = discovery.configuration(connection, door)
    state = authorize.random_text()
    launch.state_digest = digest(state)
    request = authorize.Request(
        client_id=registration.client_id,
        redirect_uri=launch.redirect_uri,
        scope=launch.scope,
        state=state,
        nonce=launch.nonce,
        code_verifier=launch.code_verifier,
        aud=connection.base_url,
        launch=launch.launch_context,
    )
    address = authorize.address(configuration, request, connection.extra_params(registration.extra_authorize_params))
    calls.spend(connection, interactive=True)  # the vendor counts what the browser asks for
    with transaction.atomic():
        launch.save(force_insert=True)
        by, practice = launch.user, launch.practice
        audit.record(audit.Action.LAUNCH, by=by, practice=practice, object_id=launch.pk, detail=launch.kind)
    return address
