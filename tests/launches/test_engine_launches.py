"""From an invitation to a consent: the way there and back, and every way in which it is refused."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.http import QueryDict
from django.utils import timezone

from emr import calls, catalogue, launches
from emr.launches import InvitationClosed, LaunchRefused
from emr.models import AuditEvent, Connection, Enrolment, Grant, Launch, PatientInvitation, Practice, User
from tests.launches.apps import BROWSER, PATIENT_SCOPES, REDIRECT
from tests.launches.place import Place, finish, fresh

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]


def changed(answer: QueryDict, **values: str | list[str] | None) -> QueryDict:
    """The answer with parameters replaced, doubled (a list) or left out (None)."""
    copy = answer.copy()
    for name, value in values.items():
        if value is None:
            copy.pop(name, None)
        else:
            copy.setlist(name, [value] if isinstance(value, str) else value)
    return copy


def audited(action: str) -> list[str]:
    return list(AuditEvent.objects.filter(action=action).order_by("at").values_list("detail", flat=True))


# --- invitations ---


def test_an_invitation_opens_by_its_link_alone(place: Place, alice: User) -> None:
    invitation, token = place.invite(language="es")
    assert launches.open_invitation(token) == invitation
    assert invitation.state == "open"
    assert len(token) >= 43
    assert token not in "".join(map(str, PatientInvitation.objects.values_list().get()))
    with pytest.raises(InvitationClosed, match="unknown"):
        launches.open_invitation(invitation.token_digest)
    assert launches.revoke_invitation(invitation, alice) is True
    assert launches.revoke_invitation(invitation, alice) is False
    with pytest.raises(InvitationClosed, match="revoked"):
        launches.open_invitation(token)
    assert audited("invite") == ["invited", "withdrawn"]


def test_an_invitation_ends_by_itself(place: Place) -> None:
    invitation, token = place.invite()
    PatientInvitation.objects.update(expires_at=timezone.now())
    with pytest.raises(InvitationClosed, match="expired"):
        launches.open_invitation(token)
    with pytest.raises(LaunchRefused, match="LAUNCH_INVITATION"):
        launches.begin(fresh_invitation(invitation), browser_key=BROWSER)


def fresh_invitation(invitation: PatientInvitation | None) -> PatientInvitation:
    assert invitation is not None
    return PatientInvitation.objects.get(pk=invitation.pk)


def test_a_second_invitation_withdraws_the_first(place: Place) -> None:
    first, _ = place.invite()
    second, _ = place.invite()
    other, _ = place.invite(1)
    states = [fresh_invitation(one).state for one in (first, second, other)]
    assert states == ["revoked", "open", "open"]


def test_nobody_is_invited_to_another_practices_connection(place: Place, practice_b: Practice) -> None:
    born = date(1980, 1, 1)
    with pytest.raises(ValueError, match="another practice"):
        launches.invite(practice_b, place.connection, None, given="A", family="B", birth_date=born)


# --- there and back ---


def test_the_request_is_as_smart_has_it(place: Place) -> None:
    invitation, _ = place.invite()
    sent = parse_qs(urlsplit(launches.begin(invitation, browser_key=BROWSER)).query)
    launch = Launch.objects.get()
    assert sent["aud"] == [place.connection.base_url]
    assert sent["redirect_uri"] == [REDIRECT] == [launch.redirect_uri]
    assert sent["scope"] == [PATIENT_SCOPES]
    assert sent["code_challenge_method"] == ["S256"]
    assert len(sent["state"][0]) >= 43
    stored = "".join(map(str, Launch.objects.values_list().get()))
    assert sent["state"][0] not in stored
    assert BROWSER not in stored
    assert launch.code_verifier not in stored
    assert audited("launch") == ["patient"]


def test_a_patient_consents(place: Place, published: list[Any]) -> None:
    finished = place.granted()
    grant, patient = fresh(finished.grant), place.people()[0]
    assert finished.held is False
    assert (grant.state, grant.patient_fhir_id, grant.generation) == ("active", patient["id"], 1)
    assert grant.fhir_user == f"Patient/{patient['id']}"
    assert grant.subject
    assert grant.access_token
    assert grant.refresh_token
    assert grant.returned == {}
    assert grant.consent_ends_at is not None
    assert timedelta(days=89) < grant.consent_ends_at - timezone.now() <= timedelta(days=90)
    enrolment = Enrolment.objects.get()
    assert (enrolment.known_by, enrolment.patient_fhir_id) == ("consent", patient["id"])
    assert enrolment.asked_at is not None
    assert ("emr.tasks.tick",) in published
    assert Connection.objects.get().state == Connection.State.ACTIVE
    assert fresh_invitation(finished.grant.invitation).state == "used"
    launch = Launch.objects.get()
    assert (launch.outcome_code, launch.code_verifier) == ("GRANTED", "")
    assert audited("consent") == ["by the patient", "accepted"]
    raw = "".join(map(str, Grant.objects.values_list().get()))
    assert grant.access_token not in raw
    assert grant.refresh_token not in raw
    assert place.seen()["authorize_refusals"] == []
    assert place.seen()["token_refusals"] == []


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none"])
def test_every_way_for_an_app_to_prove_itself(place: Place, method: str) -> None:
    secret = "s+cret/with: odd&characters=" if method != "none" else ""
    registration = place.connection.registration
    registration.auth_method, registration.client_secret = method, secret
    registration.save()
    place.register(**({"client_secret": secret} if secret else {}), jwks_url="")
    assert place.granted().held is False


def test_every_call_is_counted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[bool] = []
    spend = calls.spend

    def counting(connection: Connection, **more: bool) -> None:
        counted.append(more.get("interactive", False))
        spend(connection, **more)

    monkeypatch.setattr(calls, "spend", counting)
    place.granted()
    # Discovery, then those a person waits for: authorize, the code, the patient's name.
    assert counted == [False, True, True, True]


def test_when_the_minutes_calls_are_used_up_nothing_is_lost(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    invitation, _ = place.invite()
    answer = place.come_back(invitation)
    with monkeypatch.context() as patch:
        patch.setattr("emr.budget.DatabaseBudget.take", lambda *args, **more: 7.0)
        with pytest.raises(LaunchRefused, match="FHIR_429"):
            finish(answer)
        with pytest.raises(LaunchRefused, match="FHIR_429"):
            launches.begin(invitation, browser_key=BROWSER)
    assert finish(answer).held is False


# --- what comes back may be wrong ---

ABUSE: list[tuple[str, str, Callable[[QueryDict], QueryDict], dict[str, str]]] = [
    ("no state", "LAUNCH_STATE_MISSING", lambda a: changed(a, state=None), {}),
    ("an empty state", "LAUNCH_STATE_MISSING", lambda a: changed(a, state=""), {}),
    ("two states", "LAUNCH_STATE_MISSING", lambda a: changed(a, state=[str(a["state"]), "other"]), {}),
    ("the same state twice", "LAUNCH_STATE_MISSING", lambda a: changed(a, state=[str(a["state"])] * 2), {}),
    ("a state nobody gave out", "AUTHZ_STATE", lambda a: changed(a, state="x" * 43), {}),
    ("a state in other case", "AUTHZ_STATE", lambda a: changed(a, state=str(a["state"]).swapcase()), {}),
    ("another browser", "LAUNCH_OTHER_BROWSER", lambda a: a, {"browser": "another"}),
    ("no browser value", "LAUNCH_OTHER_BROWSER", lambda a: a, {"browser": ""}),
    ("another practice's or app's address", "LAUNCH_OTHER_ADDRESS", lambda a: a, {"at": REDIRECT + "/other"}),
    ("another server's answer (mix-up)", "LAUNCH_OTHER_SERVER",
     lambda a: changed(a, iss="https://other.example/fhir/r4/AAAAAA"), {}),
    ("another practice's answer (mix-up)", "LAUNCH_OTHER_SERVER",
     lambda a: changed(a, iss=a.get("iss", "http://x/fhir/r4/BBBBBB").replace("AAAAAA", "BBBBBB")), {}),
    ("two codes", "LAUNCH_ANSWER", lambda a: changed(a, code=[str(a["code"]), "other"]), {}),
    ("neither code nor error", "LAUNCH_ANSWER", lambda a: changed(a, code=None), {}),
    ("a code that is no code", "LAUNCH_ANSWER", lambda a: changed(a, code="a b\r\nc"), {}),
    ("a code nobody gave out (injection)", "TOK_CODE_INVALID", lambda a: changed(a, code="injected"), {}),
    ("declined", "AUTHZ_DENIED", lambda a: changed(a, code=None, error="access_denied"), {}),
    ("a scope refused", "AUTHZ_SCOPE", lambda a: changed(a, code=None, error="invalid_scope"), {}),
    ("fields swapped", "AUTHZ_403_INVALID_REQUEST",
     lambda a: changed(a, code=None, error="403", error_description="invalid_request"), {}),
    ("an error nobody knows", "AUTHZ_REFUSED", lambda a: changed(a, code=None, error="<script>"), {}),
    ("an error beside a code", "AUTHZ_DENIED", lambda a: changed(a, error="access_denied"), {}),
]  # fmt: skip


@pytest.mark.parametrize(("code", "spoil", "how"), [row[1:] for row in ABUSE], ids=[row[0] for row in ABUSE])
def test_an_abused_callback_is_refused(
    place: Place, code: str, spoil: Callable[[QueryDict], QueryDict], how: dict[str, str]
) -> None:
    invitation, _ = place.invite()
    answer = place.come_back(invitation)
    with pytest.raises(LaunchRefused) as met:
        finish(spoil(answer), **how)
    assert met.value.code == code
    assert catalogue.explain(code).title != catalogue.explain("UNKNOWN").title
    assert len(audited("launch-refused")) == 1
    assert audited("launch-refused")[0].startswith(code)
    assert not Grant.objects.exists()
    assert not Enrolment.objects.exists()
    assert fresh_invitation(invitation).state == "open"


def test_an_answer_of_anothers_browser_costs_its_owner_nothing(place: Place) -> None:
    invitation, _ = place.invite()
    answer = place.come_back(invitation)
    with pytest.raises(LaunchRefused):
        finish(answer, browser="another")
    assert finish(answer).held is False


def test_a_code_of_another_launch_is_refused(place: Place) -> None:
    mine, theirs = place.invite(0)[0], place.invite(1)[0]
    stolen, own = place.come_back(theirs, 1), place.come_back(mine, 0)
    with pytest.raises(LaunchRefused, match="TOK_CODE_INVALID"):
        finish(changed(own, code=str(stolen["code"])))
    assert not Grant.objects.exists()


def test_an_answer_serves_once(place: Place) -> None:
    invitation, _ = place.invite()
    answer = place.come_back(invitation)
    finish(answer)
    with pytest.raises(LaunchRefused, match="LAUNCH_USED"):
        finish(answer)
    assert Launch.objects.get().outcome_code == "GRANTED"
    assert Grant.objects.get().state == "active"


def test_an_answer_that_comes_late_is_refused(place: Place) -> None:
    invitation, _ = place.invite()
    answer = place.come_back(invitation)
    Launch.objects.update(expires_at=timezone.now())
    with pytest.raises(LaunchRefused, match="LAUNCH_EXPIRED"):
        finish(answer)
    assert Launch.objects.get().outcome_code == "LAUNCH_EXPIRED"


@pytest.mark.parametrize("how", ["used_at", "revoked_at"])
def test_an_invitation_that_ended_meanwhile_gives_nothing(place: Place, how: str) -> None:
    invitation, _ = place.invite()
    answer = place.come_back(invitation)
    PatientInvitation.objects.update(**{how: timezone.now()})
    with pytest.raises(LaunchRefused, match="LAUNCH_INVITATION"):
        finish(answer)
    assert not Grant.objects.exists()


def test_of_two_launches_of_one_link_one_counts(place: Place) -> None:
    invitation, _ = place.invite()
    first, second = place.come_back(invitation), place.come_back(invitation)
    finish(first)
    with pytest.raises(LaunchRefused, match="LAUNCH_INVITATION"):
        finish(second)
    assert Grant.objects.count() == 1


# --- what the server's pages and token endpoint may do ---

SERVER: list[tuple[str, str, dict[str, Any]]] = [
    ("a token without a patient", "AUTHZ_NO_PATIENT", {"kind": "altered-json", "remove": ["patient"]}),
    ("200 with HTML", "TOK_NOT_JSON", {"kind": "not-json"}),
    ("500", "FHIR_5XX", {"kind": "status", "status": 500}),
    ("408", "NET_TIMEOUT", {"kind": "status", "status": 408}),
    ("the catch-all", "TOK_ACCESS_DENIED_500", {"kind": "access-denied"}),
    ("the connection reset", "NET_CONNECT", {"kind": "reset"}),
    ("an id_token of another nonce", "OIDC_INVALID", {"kind": "id-token", "set": {"nonce": "other"}}),
    ("an id_token signed by somebody else", "OIDC_INVALID", {"kind": "id-token", "foreign_key": True}),
    ("an id_token for another app", "OIDC_INVALID", {"kind": "id-token", "set": {"aud": "other"}}),
    ("an id_token without a signature", "OIDC_INVALID", {"kind": "id-token", "alg": "none"}),
]


@pytest.mark.parametrize(("code", "fault"), [row[1:] for row in SERVER], ids=[row[0] for row in SERVER])
def test_a_code_exchange_that_goes_wrong_gives_nothing(place: Place, code: str, fault: dict[str, Any]) -> None:
    invitation, _ = place.invite()
    answer = place.come_back(invitation)
    place.order(**fault, path="/token")
    with pytest.raises(LaunchRefused) as met:
        finish(answer)
    assert met.value.code == code
    assert not Grant.objects.exists()
    # Nothing is lost: the invitation still stands, and the next launch succeeds.
    assert finish(place.come_back(fresh_invitation(invitation))).held is False


ODD: list[tuple[str, dict[str, Any], Callable[[Grant], bool]]] = [
    ("without scope", {"remove": ["scope"]}, lambda grant: grant.scope == grant.requested_scope),
    ("token_type in other case", {"set": {"token_type": "BEARER"}}, lambda grant: bool(grant.access_token)),
    ("without expires_in", {"remove": ["expires_in"]}, lambda grant: seconds_left(grant) <= 300),
    ("expires_in as text", {"set": {"expires_in": "1800"}}, lambda grant: 1700 < seconds_left(grant) <= 1800),
    ("without refresh_token", {"remove": ["refresh_token"]},
     lambda grant: grant.refresh_token == "" and grant.consent_ends_at is None),
    ("without id_token", {"remove": ["id_token"]}, lambda grant: grant.subject == ""),
]  # fmt: skip


def seconds_left(grant: Grant) -> float:
    assert grant.access_expires_at is not None
    return (grant.access_expires_at - timezone.now()).total_seconds()


@pytest.mark.parametrize(("fault", "true"), [row[1:] for row in ODD], ids=[row[0] for row in ODD])
def test_an_odd_token_answer_is_taken_for_what_it_says(
    place: Place, fault: dict[str, Any], true: Callable[[Grant], bool]
) -> None:
    invitation, _ = place.invite()
    answer = place.come_back(invitation)
    place.order("altered-json", path="/token", **fault)
    grant = fresh(finish(answer).grant)
    assert grant.state == "active"
    assert true(grant)


def test_a_patient_who_declines(place: Place) -> None:
    invitation, token = place.invite()
    with pytest.raises(LaunchRefused) as met:
        finish(place.come_back(invitation, refuses=True))
    assert met.value.code == "AUTHZ_DENIED"
    assert met.value.launch is not None
    assert launches.open_invitation(token) == invitation


def test_a_patient_who_unticks_a_type(place: Place) -> None:
    invitation, _ = place.invite()
    grant = finish(place.come_back(invitation, without=["patient/Condition.read"])).grant
    assert "patient/Condition.read" in grant.requested_scope
    assert "patient/Condition.read" not in grant.scope


# --- what stops a launch before it begins ---

UNREADY: list[tuple[str, str, Callable[[Place], None]]] = [
    ("no client id", "CFG_CLIENT_ID", lambda p: registration(p, client_id="")),
    ("no redirect URI here", "CFG_REDIRECT", lambda p: registration(p, redirect_uris="https://other.example/x")),
    ("the same host over http", "CFG_REDIRECT", lambda p: registration(p, redirect_uris="http://app.example.org/x")),
    ("revoked", "LAUNCH_CLOSED", lambda p: connection(p, state="revoked")),
    ("not a FHIR server", "CFG_PRACTICE_CODE", lambda p: connection(p, base_url=p.connection.base_url + "X")),
]


def registration(place: Place, **values: Any) -> None:
    type(place.connection.registration).objects.update(**values)


def connection(place: Place, **values: Any) -> None:
    Connection.objects.update(**values)


@pytest.mark.parametrize(("code", "spoil"), [row[1:] for row in UNREADY], ids=[row[0] for row in UNREADY])
def test_a_launch_that_cannot_begin_says_why(place: Place, code: str, spoil: Callable[[Place], None]) -> None:
    invitation, _ = place.invite()
    spoil(place)
    with pytest.raises(LaunchRefused) as met:
        launches.begin(fresh_invitation(invitation), browser_key=BROWSER)
    assert met.value.code == code
    assert not Launch.objects.exists()
    assert audited("launch-refused")[0].startswith(code)


def test_a_launch_needs_a_browser(place: Place) -> None:
    with pytest.raises(LaunchRefused, match="LAUNCH_OTHER_BROWSER"):
        launches.begin(place.invite()[0], browser_key="")


def test_launches_of_long_ago_are_forgotten(place: Place) -> None:
    place.granted()
    launches.begin(place.invite(1)[0], browser_key=BROWSER)
    old = Launch.objects.filter(outcome_code="")
    old.update(expires_at=timezone.now() - Launch.KEPT - timedelta(seconds=1))
    assert launches.forget_old() == 1
    assert Launch.objects.get().outcome_code == "GRANTED"
