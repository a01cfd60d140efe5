"""Staff pages of the work: who may see and press what, that strangers see nothing, and what the numbers say."""

import json
import re
import uuid
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from emr import progress
from emr.budget import DatabaseBudget
from emr.models import (
    AuditEvent,
    Connection,
    Enrolment,
    LookUp,
    Practice,
    Pull,
    Quarantine,
    Resource,
    TypeOutcome,
    User,
    WorkItem,
)
from emr.pulling import breaker, changes, ending
from tests.conftest import member, signed_in

pytestmark = pytest.mark.django_db

CANARY = "Zyxwcanary"
FHIR_ID = "canary-patient-id"


@pytest.fixture
def pull(connection: Connection) -> Pull:
    """Four patients: two done, one being fetched, one queued."""
    made = Pull.objects.create(
        connection=connection, practice=connection.practice, started_at=timezone.now() - timedelta(seconds=100),
        calls=33, new=20, changed=2, same=7, gone=1, quarantined=1,
    )  # fmt: skip
    now = timezone.now()
    for number, state in enumerate(["done", "done", "queued", "queued"]):
        enrolment = Enrolment.objects.create(
            connection=connection, patient_fhir_id=f"{FHIR_ID}{number}", known_by="list"
        )
        item = WorkItem.objects.create(
            pull=made, enrolment=enrolment, state=state, finished_at=now if state == "done" else None
        )
        if number == 2:
            item.lease, item.lease_until, item.cursor = uuid.uuid4(), now + timedelta(seconds=30), {"position": 2}
            item.save()
        for resource_type in ["Patient", "AllergyIntolerance"][: 2 if number in (0, 2) else 1]:
            outcome(enrolment, resource_type)
        if number < 2:
            outcome(enrolment, "Condition", "not-fetched" if number else "complete", "a fault" if number else "")
            outcome(enrolment, "Procedure", "not-permitted", "the scope was not granted")
    TypeOutcome.objects.filter(enrolment__patient_fhir_id=f"{FHIR_ID}1", resource_type="AllergyIntolerance").delete()
    return made


def outcome(enrolment: Enrolment, resource_type: str, what: str = "complete", reason: str = "") -> None:
    TypeOutcome.objects.create(
        enrolment=enrolment, resource_type=resource_type, outcome=what, reason=reason, attempted_at=timezone.now()
    )


@pytest.fixture
def held(connection: Connection) -> Quarantine:
    return Quarantine.objects.create(
        practice=connection.practice, connection=connection, patient_fhir_id=FHIR_ID, resource_type="Condition",
        reason="no usable id", body=json.dumps({"note": CANARY}), body_hash="0", query="Condition?patient",
    )  # fmt: skip


@pytest.fixture
def addresses(pull: Pull, held: Quarantine) -> dict[str, str]:
    """Every address of these pages, by the method it takes."""
    practice, enrolment = pull.practice_id, Enrolment.objects.order_by("patient_fhir_id")[0].pk
    return {
        f"/practices/{practice}/pulls/": "get",
        f"/pulls/{pull.pk}/": "get",
        f"/pulls/{pull.pk}/pause/": "post",
        f"/pulls/{pull.pk}/cancel/": "post",
        f"/enrolments/{enrolment}/refresh/": "post",
        f"/practices/{practice}/quarantine/": "get",
        f"/quarantine/{held.pk}/bytes/": "post",
        f"/quarantine/{held.pk}/retry/": "post",
        f"/practices/{practice}/roster/": "get",
        f"/practices/{practice}/schedule/": "get",
    }


def test_a_stranger_gets_404_and_changes_nothing(addresses: dict[str, str], charlie: User) -> None:
    client = signed_in(charlie)
    for address in addresses:
        absent = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", str(uuid.uuid4()), address)
        for method in ("get", "head", "post"):
            own, other = getattr(client, method)(address), getattr(client, method)(absent)
            assert own.status_code in {404, 405}, (method, address)
            assert own.status_code == other.status_code
            assert CANARY not in own.content.decode() + str(own.headers)
    assert Pull.objects.get().state == Pull.State.RUNNING
    assert not AuditEvent.objects.filter(action__in=["pull", "quarantine", "roster"]).exists()
    assert not Enrolment.objects.exclude(asked_at=None).exists()


def test_nobody_unknown_gets_in(addresses: dict[str, str]) -> None:
    for address, method in addresses.items():
        answer = getattr(Client(), method)(address)
        assert answer.status_code == 302
        assert answer.headers["Location"].startswith("/accounts/login/")


def test_a_superuser_who_is_no_member_sees_none_of_it(addresses: dict[str, str]) -> None:
    client = signed_in(User.objects.create_superuser("root@example.org", "correct horse battery"))
    for address, method in addresses.items():
        assert getattr(client, method)(address).status_code == 404


def test_pages_name_no_patient(addresses: dict[str, str], alice: User, pull: Pull) -> None:
    client = signed_in(alice)
    for address, method in addresses.items():
        if method == "get":
            answer = client.get(address)
            assert answer.status_code == 200
            assert FHIR_ID not in answer.content.decode()
            assert CANARY not in answer.content.decode()


# --- what the numbers say ---


def line(told: progress.Progress, name: str) -> progress.TypeLine:
    return next(each for each in told.types if each.resource_type == name)


def test_progress_counts_each_type_over_the_patients(pull: Pull) -> None:
    told = progress.of(pull)
    assert (told.done, told.left, told.patients) == (2, 2, 4)
    patient, allergy = line(told, "Patient"), line(told, "AllergyIntolerance")
    condition, procedure = line(told, "Condition"), line(told, "Procedure")
    assert (patient.complete, patient.queued, patient.fetching, patient.word) == (4, 0, 0, "complete")
    assert (allergy.complete, allergy.fresh, allergy.queued, allergy.word) == (2, 1, 1, "queued")
    assert (condition.complete, condition.not_fetched, condition.fetching, condition.queued) == (1, 1, 1, 1)
    assert (condition.word, condition.reasons) == ("fetching", ((1, "a fault"),))
    assert (procedure.not_permitted, procedure.queued) == (2, 2)
    assert {each.resource_type for each in told.types} == set(pull.connection.profile.planned_types)


def test_what_a_cancelled_pull_never_asked_is_not_fetched_rather_than_complete(pull: Pull) -> None:
    ending.cancel(pull.pk)  # two patients were done, one had a part, one nothing
    told = progress.of(pull)
    assert (told.done, told.cancelled) == (2, 2)
    patient, allergy = line(told, "Patient"), line(told, "AllergyIntolerance")
    assert (patient.complete, patient.not_fetched, patient.word) == (4, 0, "complete")
    assert (allergy.complete, allergy.fresh, allergy.not_fetched, allergy.word) == (2, 1, 1, "not fetched")
    assert allergy.reasons == ((1, "The pull was cancelled"),)
    WorkItem.objects.filter(state=WorkItem.State.CANCELLED).update(state=WorkItem.State.FAILED)
    given_up = line(progress.of(pull), "AllergyIntolerance")
    assert (given_up.not_fetched, given_up.reasons) == (1, ((1, "Given up before this was asked"),))


def test_an_outcome_of_an_earlier_pull_is_not_of_this_one(pull: Pull) -> None:
    TypeOutcome.objects.filter(resource_type="Patient").update(attempted_at=pull.started_at - timedelta(hours=1))
    assert (line(progress.of(pull), "Patient").complete, line(progress.of(pull), "Patient").queued) == (0, 2)


def test_the_end_is_expected_by_the_measured_pace_alone(pull: Pull) -> None:
    assert progress.of(pull).ends_at is None  # two patients are no pace
    for number in range(8):
        enrolment = Enrolment.objects.create(connection=pull.connection, patient_fhir_id=f"x{number}", known_by="list")
        WorkItem.objects.create(pull=pull, enrolment=enrolment, state="done", finished_at=timezone.now())
    ends_at = progress.of(pull).ends_at  # ten in 100 s, two left
    assert ends_at is not None
    assert 18 < (ends_at - timezone.now()).total_seconds() < 25
    pull.state = Pull.State.PAUSED
    assert progress.of(pull).ends_at is None


def test_calls_of_the_minute_are_shown_with_the_limit(pull: Pull, alice: User) -> None:
    for _ in range(17):
        DatabaseBudget().take(pull.connection.budget_key, limit=250, window=61)
    assert "17 of 250 of the practice’s minute are used" in signed_in(alice).get(f"/pulls/{pull.pk}/").content.decode()


WAITS: list[tuple[str, dict[str, Any], str]] = [
    ("running", {}, ""),
    ("no calls left", {"hold_until": timedelta(seconds=20)}, "Waiting for calls"),
    ("calls again", {"hold_until": timedelta(seconds=-1)}, ""),
    ("paused by a person", {"state": "paused"}, "Paused by a person"),
    (
        "paused by the breaker",
        {"state": "paused", "probe_at": timedelta(seconds=9), "failing_code": "FHIR_5XX"},
        "again and again: The server has a fault (FHIR_5XX)",
    ),
    ("probing", {"probing": True, "failing_code": "NET_TIMEOUT"}, "(NET_TIMEOUT)"),
    ("ended", {"state": "complete", "hold_until": timedelta(seconds=20)}, ""),
]


@pytest.mark.parametrize(("values", "words"), [pytest.param(*row[1:], id=row[0]) for row in WAITS])
def test_why_nothing_moves_is_said(pull: Pull, values: dict[str, Any], words: str) -> None:
    for name, value in values.items():
        setattr(pull, name, timezone.now() + value if isinstance(value, timedelta) else value)
    told = progress.of(pull).waits_for
    assert words in told
    assert bool(words) == bool(told)


def test_a_degraded_connection_is_why_nothing_moves(pull: Pull) -> None:
    pull.connection.state, pull.connection.reason_code = Connection.State.DEGRADED, "NET_CONNECT"
    told = progress.of(pull).waits_for
    assert told.startswith("The connection is degraded: The server cannot be reached. Nothing is fetched until")


SIGNS: list[tuple[str, dict[str, Any], dict[str, Any], bool]] = [
    ("none for an hour", {}, {}, True),
    ("paused by the breaker, and nobody tried again", {"state": "paused"}, {"probe_at": -50}, True),
    ("half open, and nobody tried", {"probing": True}, {}, True),
    ("an item is held", {}, {"lease_until": 0.5}, False),
    ("an item is put off for an hour", {}, {"not_before": 60}, False),
    ("an item was named to the workers", {}, {"published_at": -0.5}, False),
    ("an item ended", {}, {"finished_at": -2}, False),
    ("the minute's calls are used up", {}, {"hold_until": 0.9}, False),
    ("paused by a person", {"state": "paused"}, {}, False),
    ("ended", {"state": "complete"}, {}, False),
]


@pytest.mark.parametrize(("values", "minutes", "silent"), [pytest.param(*row[1:], id=row[0]) for row in SIGNS])
def test_a_pull_that_no_worker_is_at_does_not_run(
    pull: Pull, alice: User, values: dict[str, Any], minutes: dict[str, float], silent: bool
) -> None:
    now = timezone.now()
    hour_ago = now - timedelta(hours=1)
    pull.items.update(published_at=hour_ago, not_before=hour_ago, finished_at=None)
    pull.items.exclude(lease_until=None).update(lease_until=hour_ago)
    times = {name: now + timedelta(minutes=number) for name, number in minutes.items()}
    of_pull = {name: at for name, at in times.items() if name in {"probe_at", "hold_until"}}
    Pull.objects.filter(pk=pull.pk).update(started_at=hour_ago - timedelta(hours=1), **values, **of_pull)
    if times.keys() - of_pull.keys():
        WorkItem.objects.filter(pk=pull.items.latest("pk").pk).update(**times)
    page = unescape(signed_in(alice).get(f"/pulls/{pull.pk}/").content.decode())
    assert ("No worker has been at it since" in page) == silent
    assert ("<dd>Standing still</dd>" in page) == silent
    if silent:
        assert "Running" not in page.partition("</h1>")[2]


def test_a_pull_resumed_after_an_hour_does_not_stand_still(pull: Pull) -> None:
    hour_ago = timezone.now() - timedelta(hours=1)
    pull.items.update(published_at=hour_ago, not_before=None, finished_at=None, lease_until=None)
    Pull.objects.filter(pk=pull.pk).update(started_at=hour_ago, state=Pull.State.PAUSED)
    assert breaker.resume(pull.pk)
    assert progress.of(Pull.objects.get(pk=pull.pk)).silent_since is None


def test_changed_records_of_an_ended_pull_lead_to_their_source(pull: Pull, alice: User) -> None:
    pull.state, pull.finished_at = Pull.State.COMPLETE, timezone.now()
    pull.save()
    inside, before = timezone.now() - timedelta(seconds=50), timezone.now() - timedelta(days=1)
    for fhir_id, first, changed, gone in (
        ("new", inside, inside, None), ("changed", before, inside, None), ("gone", before, before, inside),
        ("same", before, before, None),
    ):  # fmt: skip
        Resource.objects.create(
            practice=pull.practice, connection=pull.connection, resource_type="Condition", fhir_id=fhir_id,
            patient_fhir_id=FHIR_ID, body="{}", content_hash="0", query="q", first_seen_at=first, changed_at=changed,
            no_longer_sent_at=gone,
        )  # fmt: skip
    found = changes.of_pull(pull)
    assert ({each.resource.fhir_id: each.what for each in found.rows}, found.more) == (
        {"new": "new", "changed": "changed", "gone": "no longer sent"}, False,
    )  # fmt: skip
    assert found.types == (changes.TypeChanges("Condition", new=1, changed=1, gone=1),)
    html = signed_in(alice).get(f"/pulls/{pull.pk}/").content.decode()
    assert all(f"/sources/{each.resource.pk}/" in html for each in found.rows)


def test_records_changed_since_a_day_are_listed_and_the_look_is_audited(pull: Pull, alice: User) -> None:
    days = {"old": 5, "recent": 0}
    for fhir_id, ago in days.items():
        at = timezone.now() - timedelta(days=ago)
        Resource.objects.create(
            practice=pull.practice, connection=pull.connection, resource_type="Condition", fhir_id=fhir_id,
            patient_fhir_id=FHIR_ID, body='{"note": "secret"}', content_hash="0", query="q", first_seen_at=at,
            changed_at=at,
        )  # fmt: skip
    address = f"/practices/{pull.practice_id}/changes/"
    pages = {
        since: signed_in(alice).get(address, {"since": f"{timezone.now() - timedelta(days=since):%Y-%m-%d}"})
        for since in (2, 7)
    }
    assert [html.content.decode().count("/sources/") for html in pages.values()] == [1, 2]
    assert all("secret" not in html.content.decode() for html in pages.values())
    assert AuditEvent.objects.filter(action=AuditEvent.Action.PULL, detail__startswith="listed 2").count() == 1
    assert signed_in(alice).get(address, {"since": "nonsense"}).status_code == 200


# --- live, by htmx ---


def fragment(user: User, pull: Pull, shown: str = "") -> str:
    answer = signed_in(user).get(f"/pulls/{pull.pk}/?{shown}", headers={"HX-Request": "true"})
    assert "HX-Request" in answer.headers["Vary"]
    return answer.content.decode()


def test_a_running_pull_is_asked_about_and_an_ended_one_is_not(pull: Pull, alice: User) -> None:
    assert 'hx-trigger="every 3s"' in fragment(alice, pull)
    Pull.objects.update(state=Pull.State.PAUSED)
    assert 'hx-trigger="every 60s"' in fragment(alice, pull)
    Pull.objects.update(state=Pull.State.COMPLETE, finished_at=timezone.now())
    assert "hx-trigger" not in fragment(alice, pull)
    assert "hx-trigger" not in signed_in(alice).get(f"/pulls/{pull.pk}/").content.decode()


def test_the_summary_is_said_again_only_when_it_is_another(pull: Pull, alice: User) -> None:
    first = fragment(alice, pull)
    assert "Running: 50 % of the patients are fetched." in first
    found = re.search(r'hx-get="[^"?]*\?(said=[0-9a-f]{12}&amp;steps=running)"', first)
    assert found is not None
    shown = unescape(found[1])
    assert "hx-swap-oob" not in fragment(alice, pull, shown)
    # What is said changes without a button being replaced under somebody's finger.
    Pull.objects.update(hold_until=timezone.now() + timedelta(minutes=1))
    held = fragment(alice, pull, shown)
    assert ('id="pull-said"' in held, 'id="pull-steps"' in held) == (True, False)
    Pull.objects.update(state=Pull.State.PAUSED)
    again = fragment(alice, pull, shown)
    assert again.count("hx-swap-oob") == 2
    assert "Resume" in again


# --- pressing ---


@pytest.mark.parametrize(
    ("role", "may"), [("clinician", True), ("admin", True), ("staff", False), ("privacy-officer", False)]
)
def test_who_may_steer(pull: Pull, practice_a: Practice, role: str, may: bool) -> None:
    client = signed_in(member("someone@example.org", practice_a, role))
    assert ("/pause/" in client.get(f"/pulls/{pull.pk}/").content.decode()) == may
    assert client.post(f"/pulls/{pull.pk}/pause/").status_code == (302 if may else 403)
    assert (Pull.objects.get().state == Pull.State.PAUSED) == may
    assert AuditEvent.objects.filter(action="pull", object_id=pull.pk, detail="pause").exists() == may


def test_steering_twice_or_too_late_does_nothing(pull: Pull, alice: User) -> None:
    client = signed_in(alice)
    for step in ("pause", "pause", "resume", "resume", "cancel", "cancel", "resume", "pause"):
        client.post(f"/pulls/{pull.pk}/{step}/")
    assert Pull.objects.get().state == Pull.State.CANCELLED
    events = AuditEvent.objects.filter(action="pull").order_by("at")
    assert [event.detail for event in events] == ["pause", "resume", "cancel"]
    assert client.post(f"/pulls/{pull.pk}/explode/").status_code == 404


def test_nothing_changes_by_get(addresses: dict[str, str], alice: User) -> None:
    for address, method in addresses.items():
        if method == "post":
            assert signed_in(alice).get(address).status_code == 405


def test_a_refresh_leads_back_to_where_it_was_pressed_and_nowhere_else(pull: Pull, bob: User) -> None:
    enrolment = Enrolment.objects.order_by("patient_fhir_id")[0]
    address = f"/enrolments/{enrolment.pk}/refresh/"
    client = signed_in(bob)
    assert client.post(address, {"next": "/patients/x/"}).headers["Location"] == "/patients/x/"
    for elsewhere in ("https://evil.example/", "//evil.example/", "javascript:alert(1)", ""):
        back = client.post(address, {"next": elsewhere}).headers["Location"]
        assert back == f"/practices/{pull.practice_id}/pulls/"
    enrolment.refresh_from_db()
    assert enrolment.asked_at is not None
    assert AuditEvent.objects.filter(action="pull", user=bob, object_id=enrolment.pk).count() == 5


def test_quarantine_shows_reason_type_and_size_and_the_bytes_only_when_opened(held: Quarantine, bob: User) -> None:
    client = signed_in(bob)
    html = client.get(f"/practices/{held.practice_id}/quarantine/").content.decode()
    assert "no usable id" in html
    assert f'class="num">{len(held.body)}<' in html
    assert CANARY not in html
    assert not AuditEvent.objects.filter(action="quarantine").exists()
    opened = client.post(f"/quarantine/{held.pk}/bytes/").content.decode()
    assert CANARY in opened
    event = AuditEvent.objects.get(action="quarantine")
    assert (event.user, event.object_id, event.detail) == (bob, held.pk, "opened")


def test_retry_is_asked_for_audited_and_shown(held: Quarantine, bob: User, published: list[Any]) -> None:
    client = signed_in(bob)
    html = client.post(f"/quarantine/{held.pk}/retry/", follow=True).content.decode()
    assert "being tried again" in html
    held.refresh_from_db()
    assert held.retry_asked_at is not None
    assert AuditEvent.objects.get(action="quarantine").detail == "retried"


# --- the roster and the schedule ---


def csv(text: str) -> SimpleUploadedFile:
    return SimpleUploadedFile("list.csv", text.encode(), "text/csv")


def post(user: User, address: str, **data: Any) -> str:
    answer = signed_in(user).post(address, data, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def seal_of(html: str) -> str:
    return re.search('name="seen" value="([^"]+)"', html)[1]  # type: ignore[index]


def test_a_list_is_previewed_confirmed_and_audited(connection: Connection, bob: User) -> None:
    address = f"/practices/{connection.practice_id}/roster/"
    text = "fhir_id\nnew-one\nnew two\n"
    html = post(bob, address, do="preview", list=csv(text))
    assert "1 patient would be enrolled" in html
    assert "Line 3: this is no FHIR id." in html
    assert not connection.enrolments.exists()
    seen = seal_of(html)
    assert "cannot be used" in post(bob, address, do="apply", text=text, seen=seen)  # not confirmed
    assert not connection.enrolments.exists()
    assert "1 patient enrolled" in post(bob, address, do="apply", text=text, seen=seen, leave_out="1")
    assert connection.enrolments.get().patient_fhir_id == "new-one"
    assert [event.detail for event in AuditEvent.objects.filter(action="roster").order_by("number")] == [
        *["compared a list with who is on file: 1 rows fit"] * 2, "enrolled 1 from a list, looking up 0",
    ]  # fmt: skip


def test_somebody_is_looked_up_without_a_name_in_any_address(connection: Connection, bob: User) -> None:
    address = f"/practices/{connection.practice_id}/roster/"
    answer = signed_in(bob).post(
        address, {"do": "look-up", "family": CANARY, "given": "Pat", "birth_date": "03/07/1989"}
    )
    assert answer.headers["Location"] == address
    row = LookUp.objects.get()
    assert row.sought == {"family": CANARY, "given": "Pat", "birthdate": "1989-03-07"}
    html = signed_in(bob).get(address).content.decode()
    assert "being looked up" in html
    assert 'hx-trigger="every 3s"' in html
    found = {"fhir_id": FHIR_ID, "label": f"{CANARY}, Pat", "birth_date": "1989-03-07", "numbers": ["9150"]}
    LookUp.objects.update(state="done", found=[found])
    html = signed_in(bob).get(address, headers={"HX-Request": "true"}).content.decode()
    assert f"{CANARY}, Pat, born 07-Mar-1989, number 9150" in " ".join(html.split())
    assert "hx-trigger" not in html
    post(bob, address, do="enrol", look_up=str(row.pk), person=FHIR_ID)
    assert connection.enrolments.get().patient_fhir_id == FHIR_ID
    details = [event.detail for event in AuditEvent.objects.filter(action="roster")]
    assert not [detail for detail in details if CANARY in detail]
    assert "enrolled 1 person after a look-up" in details


def test_polls_are_audited_when_they_show_something_else(connection: Connection, bob: User, alice: User) -> None:
    """Each person's own: what one was shown says nothing of another."""
    address = f"/practices/{connection.practice_id}/roster/"
    row = LookUp.objects.create(practice=connection.practice, connection=connection, sought={"family": CANARY})
    staff = {user: signed_in(user) for user in (bob, alice)}

    def rows_after(user: User, *, polls: int = 0, loads: int = 0) -> int:
        for _ in range(loads):
            assert staff[user].get(address).status_code == 200
        for _ in range(polls):
            assert staff[user].get(address, headers={"HX-Request": "true"}).status_code == 200
        return AuditEvent.objects.filter(action="roster", user=user, detail="saw 1 look-ups").count()

    assert rows_after(bob, loads=1, polls=3) == 1
    LookUp.objects.filter(pk=row.pk).update(
        state="done", found=[{"fhir_id": FHIR_ID, "label": CANARY, "birth_date": "1989-03-07", "numbers": []}]
    )
    assert rows_after(bob, polls=3) == 2
    assert rows_after(bob, loads=2) == 4
    assert rows_after(bob, polls=2) == 4
    assert rows_after(alice, polls=3) == 1
    LookUp.objects.create(practice=connection.practice, connection=connection, sought={}, state="enrolled")
    assert rows_after(alice, polls=1) == 1  # it is not shown


def test_a_look_up_of_another_practice_enrols_nobody(connection: Connection, charlie: User, alice: User) -> None:
    row = LookUp.objects.create(
        practice=connection.practice, connection=connection, sought={}, found=[{"fhir_id": "p"}], state="done"
    )
    registration = connection.registration
    practice_b = charlie.memberships.get().practice
    Connection.objects.create(
        practice=practice_b, registration=registration, base_url="https://x.example/fhir/r4/BBBBBB"
    )
    answer = signed_in(charlie).post(
        f"/practices/{practice_b.pk}/roster/", {"do": "enrol", "look_up": str(row.pk), "person": "p"}
    )
    assert answer.status_code == 404
    assert not Enrolment.objects.exists()


def test_a_schedule_is_previewed_and_applied(connection: Connection, bob: User) -> None:
    Enrolment.objects.create(connection=connection, patient_fhir_id="p1", known_by="list")
    body = {"resourceType": "Patient", "id": "p1", "identifier": [{"value": "9150"}]}
    Resource.objects.create(
        practice=connection.practice, resource_type="Patient", fhir_id="p1", patient_fhir_id="p1",
        body=json.dumps(body), content_hash="0", query="q", first_seen_at=timezone.now(), changed_at=timezone.now(),
    )  # fmt: skip
    address = f"/practices/{connection.practice_id}/schedule/"
    day = timezone.localdate() + timedelta(days=3)
    text = f"account_no,date,time\n9150,{day},09:30\n"
    html = post(bob, address, do="preview", list=csv(text))
    assert "1 patient has an appointment" in html
    assert Enrolment.objects.get().next_appointment_at is None
    assert "1 appointment is on file" in post(bob, address, do="apply", text=text, seen=seal_of(html))
    assert Enrolment.objects.get().next_appointment_at is not None


@pytest.mark.parametrize("page", ["roster", "schedule"])
def test_no_file_is_said_to_be_none(connection: Connection, bob: User, page: str) -> None:
    html = post(bob, f"/practices/{connection.practice_id}/{page}/", do="preview")
    assert "Choose a CSV file with at least one row." in html


def test_a_practice_without_a_connection_says_so(practice_a: Practice, bob: User) -> None:
    html = signed_in(bob).get(f"/practices/{practice_a.pk}/roster/").content.decode()
    assert "No connection fetches patients of this practice by itself yet." in html
