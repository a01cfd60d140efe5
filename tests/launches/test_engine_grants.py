"""A consent's life: renewed once at a time, ended by the server's word alone, and honest about what is not known."""

from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from emr import calls, fields, grants, launches, refreshing
from emr.bearers import Access, NeedsConsent, NoAccess, TokenBusy
from emr.models import AuditEvent, Connection, Enrolment, Grant, Practice, TypeOutcome, User
from emr.wire.errors import WireError
from tests.launches import signing_in
from tests.launches.place import Place, fresh

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]


@pytest.fixture
def grant(place: Place) -> Grant:
    return fresh(place.granted().grant)


def access(place: Place, grant: Grant, **options: Any) -> Access:
    with place.door() as door:
        return grants.access(grant, door, **options)


def run_out(**values: Any) -> None:
    Grant.objects.update(access_expires_at=None, **values)


def test_a_token_serves_until_its_end(place: Place, grant: Grant) -> None:
    first = access(place, grant)
    assert (first.bearer, first.generation, first.contexts) == (grant.access_token, 1, ("patient",))
    assert first.allows("Condition")
    assert not first.allows("Procedure")
    assert access(place, grant) == first
    Grant.objects.update(access_expires_at=timezone.now() + refreshing.MARGIN)
    second = access(place, grant)
    row = fresh(grant)
    assert (second.generation, row.generation, row.refresh_started_at) == (2, 2, None)
    assert second.bearer == row.access_token != first.bearer
    assert row.refresh_token != grant.refresh_token
    assert row.refreshed_at is not None
    assert [one["refreshes"] for one in place.grants()] == [1]


def test_while_one_asks_the_others_come_back_later(place: Place, grant: Grant) -> None:
    run_out(refresh_started_at=timezone.now())
    with pytest.raises(TokenBusy):
        access(place, grant)
    assert [one["refreshes"] for one in place.grants()] == [0]


def test_a_claim_left_by_a_dead_worker_is_taken_over_and_marked(place: Place, grant: Grant) -> None:
    run_out(refresh_started_at=timezone.now() - refreshing.CLAIM_LIFE)
    place.order("status", status=503, path="/token")
    with pytest.raises(NoAccess, match="TOK_UNCERTAIN"):
        access(place, grant)
    row = fresh(grant)
    assert (row.state, row.is_uncertain, row.lost_answers, row.reason_code) == ("active", True, 2, "TOK_UNCERTAIN")


def test_without_a_new_refresh_token_the_old_one_stays(place: Place, grant: Grant) -> None:
    place.order("no-rotation", path="/token", times=None)
    run_out()
    access(place, grant)
    assert fresh(grant).refresh_token == grant.refresh_token
    run_out()
    assert access(place, grant).generation == 3


ODD: list[tuple[str, dict[str, Any], Callable[[Grant, Grant], bool]]] = [
    ("without scope", {"remove": ["scope"]}, lambda before, after: after.scope == before.scope),
    ("fewer scopes", {"set": {"scope": "patient/Patient.read openid"}},
     lambda before, after: after.scope == "patient/Patient.read openid"),
    ("more scopes than were consented to", {"set": {"scope": "patient/Patient.read patient/*.cruds system/*.rs"}},
     lambda before, after: after.scope == "patient/Patient.read"),
    ("token_type in other case", {"set": {"token_type": "bearer"}}, lambda before, after: after.generation == 2),
    ("without expires_in", {"remove": ["expires_in"]},
     lambda before, after: after.access_expires_at < timezone.now() + timedelta(seconds=301)),
    ("without patient", {"remove": ["patient"]},
     lambda before, after: after.patient_fhir_id == before.patient_fhir_id),
    ("its own word on the refresh token's life", {"set": {"refresh_token_expires_in": "86400"}},
     lambda before, after: timedelta(hours=23) < after.idle_ends_at - timezone.now() <= timedelta(days=1)),
]  # fmt: skip


@pytest.mark.parametrize(("fault", "true"), [row[1:] for row in ODD], ids=[row[0] for row in ODD])
def test_an_odd_answer_is_taken_for_what_it_says(
    place: Place, grant: Grant, fault: dict[str, Any], true: Callable[[Grant, Grant], bool]
) -> None:
    place.order("altered-json", path="/token", **fault)
    run_out()
    access(place, grant)
    assert true(grant, fresh(grant))


# --- answers that are lost ---

LOST: list[tuple[str, dict[str, Any]]] = [
    ("408", {"kind": "status", "status": 408}),
    ("500", {"kind": "status", "status": 500}),
    ("the catch-all", {"kind": "access-denied"}),
    ("200 with HTML", {"kind": "not-json"}),
    ("200 without a token", {"kind": "altered-json", "remove": ["access_token"]}),
    ("a redirect", {"kind": "status", "status": 302}),
]


@pytest.mark.parametrize("fault", [row[1] for row in LOST], ids=[row[0] for row in LOST])
def test_a_lost_answer_is_marked_and_asked_for_once_more(place: Place, grant: Grant, fault: dict[str, Any]) -> None:
    """The server did not renew anything in these, save where it said so: then the second try is a token used twice."""
    place.order(**fault, path="/token")
    run_out()
    with pytest.raises(WireError):
        access(place, grant)
    row = fresh(grant)
    assert (row.state, row.lost_answers, row.reason_code) == ("active", 1, "TOK_UNCERTAIN")
    assert row.is_uncertain
    assert row.refresh_started_at is None
    assert row.refresh_token == grant.refresh_token
    if fault["kind"] == "altered-json":
        with pytest.raises(NeedsConsent, match="GRANT_ANSWER_LOST"):
            access(place, grant)
        assert fresh(grant).state == "needs-consent"
        return
    assert access(place, grant).generation == 2
    row = fresh(grant)
    assert (row.state, row.is_uncertain, row.lost_answers, row.reason_code) == ("active", False, 0, "")


@pytest.mark.parametrize("kind", ["hang", "reset"])
def test_a_token_renewed_in_silence_is_lost_and_says_so(place: Place, grant: Grant, kind: str) -> None:
    more = {"seconds": 0.2} if kind == "hang" else {}
    place.order(kind, path="/token", **more)
    run_out()
    with pytest.raises(WireError):
        access(place, grant)
    assert fresh(grant).is_uncertain
    with suppress(NeedsConsent):
        access(place, grant)
    row = fresh(grant)
    assert row.reason_code in {"", "GRANT_ANSWER_LOST"}
    # Whichever the server did with the first one, the row says what is true of the second.
    assert row.state == ("active" if place.grants()[0]["in_force"] else "needs-consent")
    assert row.is_uncertain is False


def test_an_outage_loses_no_grant(place: Place, grant: Grant) -> None:
    place.order("status", status=503, path="/token", times=None)
    run_out()
    with pytest.raises(WireError):
        access(place, grant)
    for _ in range(4):
        with pytest.raises(NoAccess, match="TOK_UNCERTAIN"):
            access(place, grant)
    assert fresh(grant).lost_answers == 2, "asked once more, then not for a while"
    assert grants.refresh_due() == []
    Grant.objects.update(uncertain_at=timezone.now() - refreshing.ASK_AGAIN)
    assert grants.refresh_due() == [grant.pk]
    signing_in.control(place.control_url, "faults", method="DELETE")
    grants.keep(grant.pk)
    row = fresh(grant)
    assert (row.state, row.generation, row.is_uncertain, row.reason_code) == ("active", 2, False, "")


def test_a_server_that_cannot_be_reached_was_not_asked(place: Place, grant: Grant, settings: Any) -> None:
    stored = Connection.objects.get().smart_configuration
    Connection.objects.update(smart_configuration=stored | {"token_endpoint": "http://127.0.0.1:9/token"})
    settings.INSECURE_FHIR_HOSTS |= {"127.0.0.1:9"}
    Connection.objects.update(confirmed_hosts=["http://127.0.0.1:9"])
    run_out()
    with pytest.raises(WireError, match="NET_CONNECT"):
        access(place, grant)
    row = fresh(grant)
    assert (row.state, row.is_uncertain, row.refresh_started_at) == ("active", False, None)


def test_when_no_call_is_to_be_had_the_claim_is_free_again(
    place: Place, grant: Grant, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_out()
    with monkeypatch.context() as patch:
        patch.setattr("emr.budget.DatabaseBudget.take", lambda *args, **more: 7.0)
        with pytest.raises(calls.OverBudget):
            access(place, grant)
    row = fresh(grant)
    assert (row.refresh_started_at, row.is_uncertain) == (None, False)
    place.order("status", status=429, path="/token")
    with pytest.raises(calls.OverBudget):
        access(place, grant)
    assert (fresh(grant).refresh_started_at, fresh(grant).is_uncertain) == (None, False)


# --- ends ---


def enrolled_types(grant: Grant) -> TypeOutcome:
    enrolment = Enrolment.objects.get()
    return TypeOutcome.objects.create(
        enrolment=enrolment, resource_type="Condition", outcome="complete", confirmed_at=timezone.now(),
        attempted_at=timezone.now(),
    )  # fmt: skip


def test_a_consent_withdrawn_is_a_state_and_keeps_what_was_fetched(place: Place, grant: Grant) -> None:
    outcome = enrolled_types(grant)
    signing_in.control(place.control_url, "grants", method="DELETE")
    run_out()
    with pytest.raises(NeedsConsent, match="TOK_REFRESH_INVALID"):
        access(place, grant)
    row = fresh(grant)
    assert (row.state, row.reason_code, row.access_token, row.refresh_token) == (
        "needs-consent", "TOK_REFRESH_INVALID", "", "",
    )  # fmt: skip
    assert row.ended_at is not None
    before, outcome = outcome.confirmed_at, TypeOutcome.objects.get()
    assert (outcome.outcome, outcome.reason, outcome.code) == ("not-fetched", "needs consent", "TOK_REFRESH_INVALID")
    assert outcome.confirmed_at == before
    assert Connection.objects.get().state == Connection.State.ACTIVE
    with pytest.raises(NeedsConsent):
        access(place, grant)
    assert AuditEvent.objects.filter(action="consent", detail="ended: TOK_REFRESH_INVALID").count() == 1


def test_a_client_that_is_refused_ends_no_consent(place: Place, grant: Grant) -> None:
    place.order("status", status=401, path="/token", body='{"error": "invalid_client"}', times=None)
    run_out(refreshed_at=None)
    with pytest.raises(WireError, match="TOK_INVALID_CLIENT"):
        access(place, grant)
    row = fresh(grant)
    assert (row.state, row.refresh_started_at, row.is_uncertain) == ("active", None, False)
    assert row.refresh_token == grant.refresh_token
    grants.keep(grant.pk)
    assert (Connection.objects.get().state, Connection.objects.get().reason_code) == ("degraded", "TOK_INVALID_CLIENT")
    assert fresh(grant).state == "active"


def test_without_a_refresh_token_the_end_is_the_end(place: Place, grant: Grant) -> None:
    run_out(refresh_token="")
    with pytest.raises(NeedsConsent, match="GRANT_NO_REFRESH"):
        access(place, grant)
    assert fresh(grant).reason_code == "GRANT_NO_REFRESH"


def test_a_disconnected_grant_is_revoked_there_and_deleted_here(place: Place, grant: Grant, alice: User) -> None:
    told = grants.disconnect(grant, alice)
    assert (told.ended, told.revoked, told.code) == (True, True, "GRANT_DISCONNECTED")
    row = fresh(grant)
    assert (row.state, row.access_token, row.refresh_token) == ("revoked", "", "")
    assert [one["in_force"] for one in place.grants()] == [False]
    assert AuditEvent.objects.get(detail="ended: GRANT_DISCONNECTED").user == alice
    assert grants.disconnect(grant, alice).ended is False


@pytest.mark.parametrize("how", ["no endpoint", "an outage"])
def test_where_it_cannot_be_revoked_staff_are_told_what_to_do(
    place: Place, grant: Grant, alice: User, how: str
) -> None:
    if how == "no endpoint":
        stored = Connection.objects.get().smart_configuration
        Connection.objects.update(smart_configuration=stored | {"revocation_endpoint": None})
    else:
        place.order("status", status=503, path="/revoke")
    told = grants.disconnect(grant, alice)
    assert (told.ended, told.revoked, told.code) == (True, False, "GRANT_REVOKE_BY_HAND")
    assert (fresh(grant).refresh_token, fresh(grant).state) == ("", "revoked")


def test_a_grant_disconnected_while_it_is_renewed_stays_disconnected(
    place: Place, grant: Grant, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    refresh = refreshing.authorize.refresh

    def meanwhile(*args: Any, **more: Any) -> Any:
        answer = refresh(*args, **more)
        refreshing.end(grant, "GRANT_DISCONNECTED", by=alice, state=Grant.State.REVOKED)
        return answer

    monkeypatch.setattr(refreshing.authorize, "refresh", meanwhile)
    run_out()
    with pytest.raises(NeedsConsent, match="GRANT_DISCONNECTED"):
        access(place, grant)
    row = fresh(grant)
    assert (row.state, row.access_token, row.refresh_token) == ("revoked", "", "")


def test_a_grant_accepted_while_it_is_renewed_keeps_the_new_token(
    place: Place, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = place.granted(family="Else").grant
    refresh = refreshing.authorize.refresh

    def meanwhile(*args: Any, **more: Any) -> Any:
        answer = refresh(*args, **more)
        assert launches.decide(held, by=alice, accept=True)
        return answer

    monkeypatch.setattr(refreshing.authorize, "refresh", meanwhile)
    run_out()
    assert access(place, held, while_held=True).generation == 2
    monkeypatch.undo()
    row = fresh(held)
    assert (row.state, row.generation, row.refresh_started_at) == ("active", 2, None)


def test_introspection_ends_nothing_while_somebody_renews(place: Place, grant: Grant) -> None:
    Grant.objects.update(refresh_started_at=timezone.now())
    signing_in.control(place.control_url, "grants", method="DELETE")
    told = grants.introspect(grant)
    assert told is not None
    assert not told.active
    assert fresh(grant).state == "active"


def test_a_secret_that_cannot_be_read_claims_nothing(place: Place, grant: Grant, settings: Any) -> None:
    run_out()
    settings.FIELD_KEYS = ["z" * 43 + "="]
    with pytest.raises(fields.SecretUnreadable):
        access(place, grant)
    assert Grant.objects.get().refresh_started_at is None


# --- introspection, reconnection, calendar, beat ---


def test_introspection_where_there_is_one(place: Place, grant: Grant) -> None:
    told = grants.introspect(grant)
    assert told is not None
    assert told.active
    signing_in.control(place.control_url, "grants", method="DELETE")
    told = grants.introspect(grant)
    assert told is not None
    assert not told.active
    assert fresh(grant).state == "needs-consent"
    assert grants.introspect(grant) is None


def test_reconnecting_invites_the_same_person(place: Place, grant: Grant, alice: User) -> None:
    invitation, token = grants.reconnect(grant, alice)
    before = grant.invitation
    assert before is not None
    assert (invitation.given, invitation.family, invitation.birth_date) == (
        before.given,
        before.family,
        before.birth_date,
    )
    assert invitation.patient_fhir_id == grant.patient_fhir_id
    assert launches.open_invitation(token) == invitation
    assert fresh(grant).state == "active"


DAYS = [(20, None), (14, 14), (10, 14), (7, 7), (2, 7), (1, 1), (0, 1), (-1, 1)]


@pytest.mark.parametrize(("days", "warning"), DAYS)
def test_the_calendar_warns_in_time(place: Place, grant: Grant, days: int, warning: int | None) -> None:
    now = timezone.now()
    Grant.objects.update(consent_ends_at=now + timedelta(days=days), idle_ends_at=None)
    entry = grants.calendar(place.connection.practice, now)[0]
    assert (entry.kind, entry.days_left, entry.warning) == ("consent", max(days, 0), warning)


def test_the_calendar_begins_with_what_waits_for_a_person(
    place: Place, grant: Grant, practice_b: Practice, alice: User
) -> None:
    place.granted(family="Else")
    ended = place.granted(1).grant
    refreshing.end(ended, "TOK_REFRESH_INVALID")
    Grant.objects.filter(pk=grant.pk).update(idle_ends_at=timezone.now() + timedelta(days=3))
    entries = grants.calendar(place.connection.practice)
    assert [entry.kind for entry in entries[2:]] == ["idle", "consent"]
    assert {entry.kind for entry in entries[:2]} == {"held", "needs-consent"}
    assert {entry.warning for entry in entries[:2]} == {0}
    assert grants.calendar(practice_b) == ()


DUE: list[tuple[str, dict[str, timedelta | None], bool]] = [
    ("just given", {}, False),
    ("its token ends soon, and it is in use", {"access_expires_at": timedelta(minutes=2)}, True),
    ("its token ends soon, and nobody uses it",
     {"access_expires_at": timedelta(minutes=2), "last_used_at": timedelta(hours=-1)}, False),
    ("not renewed for a week", {"refreshed_at": timedelta(days=-8)}, True),
    ("ends tomorrow unless it is used",
     {"idle_ends_at": timedelta(hours=20), "refreshed_at": timedelta(hours=-1)}, True),
    ("ends tomorrow, and was renewed a moment ago", {"idle_ends_at": timedelta(hours=20)}, False),
    ("claimed by somebody", {"refreshed_at": timedelta(days=-8), "refresh_started_at": timedelta(seconds=-5)}, False),
    ("claimed by somebody who died", {"refresh_started_at": timedelta(minutes=-5)}, True),
]  # fmt: skip


@pytest.mark.parametrize(("when", "due"), [row[1:] for row in DUE], ids=[row[0] for row in DUE])
def test_the_beat_renews_what_is_due(place: Place, grant: Grant, when: dict[str, timedelta | None], due: bool) -> None:
    now = timezone.now()
    Grant.objects.update(**{name: now + delta if delta else None for name, delta in when.items()})
    assert grants.refresh_due() == ([grant.pk] if due else [])
    grants.keep(grant.pk)
    assert fresh(grant).generation == (2 if due else 1)
    assert grants.refresh_due() == [] or not due
    grants.keep(grant.pk)
    assert [one["refreshes"] for one in place.grants()] == [int(due)], "asked twice, renewed once"
