"""What is fresh is not asked for, unless a person asks; who comes soon is fresh in time."""

import io
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import time_machine
from django.core.management import CommandError, call_command
from django.utils import timezone

from emr import freshness, profiles, schedule
from emr.models import AuditEvent, Connection, Enrolment, Practice, Resource, TypeOutcome, User, WorkItem
from emr.pulling import asking, breaker, queue
from tests.emr.conftest import Connect, Control
from tests.pulls.conftest import enrol, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]

OUTCOMES = TypeOutcome.Outcome
ECW = profiles.get("ecw")


def asked(connection: Connection) -> set[str]:
    """Types attempted within the last minute."""
    rows = TypeOutcome.objects.filter(attempted_at__gt=timezone.now() - timedelta(minutes=1))
    return set(rows.values_list("resource_type", flat=True)) - set(connection.profile.read_by_reference)


def planned(connection: Connection) -> set[str]:
    return {query.resource_type for query in connection.profile.plan}


def age(**hours: float) -> None:
    """Make what is on file so many hours old: everything, or by type."""
    for row in TypeOutcome.objects.all():
        back = timedelta(hours=hours.get(row.resource_type, hours.get("everything", 0)))
        confirmed = row.confirmed_at - back if row.confirmed_at else None
        TypeOutcome.objects.filter(pk=row.pk).update(attempted_at=row.attempted_at - back, confirmed_at=confirmed)


def due(connection: Connection) -> None:
    connection.enrolments.update(due_at=timezone.now(), pulled_at=timezone.now() - timedelta(days=1))


def test_types_within_their_life_are_left_out_and_keep_their_outcome(connect: Connect) -> None:
    connection, control = connect(patients=1, page_size=1000)
    enrol(connection, control)
    work(connection)
    age(everything=25)
    kept = TypeOutcome.objects.get(resource_type="AllergyIntolerance")
    due(connection)
    pull = work(connection)
    own = set(connection.profile.freshness.hours)
    assert own == {"Patient", "AllergyIntolerance"}
    assert asked(connection) == planned(connection) - own
    assert pull.calls == sum(query.resource_type not in own for query in connection.profile.plan)
    again = TypeOutcome.objects.get(resource_type="AllergyIntolerance")
    assert (again.outcome, again.attempted_at, again.confirmed_at) == (
        kept.outcome, kept.attempted_at, kept.confirmed_at,
    )  # fmt: skip
    assert not Resource.objects.exclude(no_longer_sent_at=None).exists()


def test_a_type_is_asked_for_again_when_its_own_life_is_over(connect: Connect) -> None:
    connection, control = connect(patients=1, page_size=1000)
    enrol(connection, control)
    work(connection)
    age(everything=1, AllergyIntolerance=73)
    due(connection)
    work(connection)
    assert asked(connection) == {"AllergyIntolerance"}


def test_a_refresh_asks_for_everything_and_is_audited(connect: Connect, alice: User) -> None:
    connection, control = connect(patients=2, page_size=1000)
    enrol(connection, control)
    work(connection)
    age(everything=1)
    patient = control.patient_ids[1]
    assert asking.refresh(connection.practice_id, patient, alice)
    pull = work(connection)
    assert pull.items.get().enrolment.patient_fhir_id == patient
    assert asked(connection) == planned(connection)
    assert pull.calls == len(connection.profile.plan)
    event = AuditEvent.objects.get(action="pull")
    assert (event.user, event.practice, event.object_id) == (alice, connection.practice, pull.items.get().enrolment_id)
    assert Enrolment.objects.filter(asked_at=None).count() == 2


def test_a_refresh_of_nobody_is_refused(connect: Connect, alice: User, practice_b: Practice) -> None:
    connection, control = connect(patients=1, page_size=1000)
    enrol(connection, control)
    patient = control.patient_ids[0]
    assert not asking.refresh(connection.practice_id, "nobody", alice)
    assert not asking.refresh(practice_b.pk, patient, alice)
    Connection.objects.update(state=Connection.State.REVOKED)
    assert not asking.refresh(connection.practice_id, patient, alice)
    assert not AuditEvent.objects.filter(action="pull").exists()


def test_a_refresh_during_a_pull_moves_the_patient_to_the_front(connect: Connect, alice: User) -> None:
    connection, control = connect(patients=3)
    enrol(connection, control)
    schedule.open_pulls()
    patient = control.patient_ids[2]
    assert asking.refresh(connection.practice_id, patient, alice)
    first = WorkItem.objects.get(pk=queue.waiting_items()[0])
    assert (first.enrolment.patient_fhir_id, first.rank, first.wanted_at) == (patient, WorkItem.Rank.ASKED, None)
    assert work(connection).items.count() == 3  # taken along, not fetched twice


@pytest.mark.parametrize("waited_for", [True, False])
def test_the_token_of_a_refresh_that_staff_wait_for_is_interactive(
    connect: Connect, alice: User, monkeypatch: pytest.MonkeyPatch, waited_for: bool
) -> None:
    connection, control = connect(patients=1, page_size=1000)
    enrol(connection, control)
    if waited_for:
        assert asking.refresh(connection.practice_id, control.patient_ids[0], alice)
    taken: list[bool] = []
    monkeypatch.setattr(
        "emr.budget.DatabaseBudget.take", lambda self, key, **kw: taken.append(kw["interactive"]) or 0.0
    )
    work(connection)
    assert len(taken) > 2  # discovery, token, searches
    assert set(taken) == {waited_for}


def test_a_refresh_of_a_patient_under_way_is_done_after_that(connect: Connect, alice: User) -> None:
    connection, control = connect(patients=1, page_size=1000)
    enrol(connection, control)
    schedule.open_pulls()
    WorkItem.objects.update(cursor={"position": 3})
    assert asking.refresh(connection.practice_id, control.patient_ids[0], alice)
    work(connection)
    done = WorkItem.objects.filter(state="done").order_by("finished_at")
    assert [item.wanted_at is None for item in done] == [False, True]
    assert asked(connection) == planned(connection)


@pytest.mark.parametrize(
    ("fault", "code"),
    [("forbid-type", "FHIR_403"), ("unsupported-type", "FHIR_BUILD_TOO_OLD")],
)
def test_what_was_refused_for_good_is_asked_again_after_a_week_or_by_a_person(
    connect: Connect, alice: User, fault: str, code: str
) -> None:
    connection, control = connect(patients=1, page_size=1000)
    control.fault(fault, match={"type": "Procedure"}, times=None)
    enrol(connection, control)
    work(connection)
    assert TypeOutcome.objects.get(resource_type="Procedure").code == code
    age(everything=30)
    due(connection)
    work(connection)
    assert "Procedure" not in asked(connection)
    age(everything=24 * 7)
    due(connection)
    work(connection)
    assert "Procedure" in asked(connection)
    age(everything=1)
    asking.refresh(connection.practice_id, control.patient_ids[0], alice)
    work(connection)
    assert "Procedure" in asked(connection)


def test_one_refused_category_does_not_stop_the_others(connect: Connect) -> None:
    connection, control = connect(patients=1, page_size=1000)
    control.fault("forbid-type", match={"type": "Observation"}, times=1)
    enrol(connection, control)
    work(connection)
    row = TypeOutcome.objects.get(resource_type="Observation")
    assert (row.outcome, row.code) == (OUTCOMES.NOT_PERMITTED, "")
    age(everything=25)
    due(connection)
    work(connection)
    assert TypeOutcome.objects.get(resource_type="Observation").outcome == OUTCOMES.COMPLETE


def test_what_was_not_fetched_is_asked_for_again(connect: Connect) -> None:
    connection, control = connect(patients=1, page_size=1000)
    control.fault("500", match={"type": "Condition"}, times=3)
    enrol(connection, control)
    work(connection)
    assert TypeOutcome.objects.get(resource_type="Condition").outcome == OUTCOMES.NOT_FETCHED
    due(connection)
    work(connection)
    row = TypeOutcome.objects.get(resource_type="Condition")
    assert row.outcome == OUTCOMES.COMPLETE


LIVES = [
    ("complete within its life", {"confirmed": 23}, True),
    ("complete and outlived", {"confirmed": 25}, False),
    ("its own, longer life", {"confirmed": 25, "type": "Patient"}, True),
    ("a life that ends before the appointment", {"confirmed": 20, "ahead": 5}, False),
    ("never fetched", {"confirmed": None}, False),
    ("not fetched of late", {"confirmed": 1, "outcome": OUTCOMES.NOT_FETCHED}, False),
    ("refused for good yesterday", {"outcome": OUTCOMES.NOT_PERMITTED, "code": "FHIR_403", "tried": 24}, True),
    ("refused for good last week", {"outcome": OUTCOMES.NOT_PERMITTED, "code": "FHIR_403", "tried": 169}, False),
    ("refused in part", {"outcome": OUTCOMES.NOT_PERMITTED, "code": "", "tried": 1}, False),
    ("failed with what may pass", {"outcome": OUTCOMES.NOT_SUPPORTED, "code": "FHIR_5XX", "tried": 1}, False),
]


@pytest.mark.parametrize(("about", "fresh"), [pytest.param(*row[1:], id=row[0]) for row in LIVES])
def test_a_type_is_fresh(about: dict[str, Any], fresh: bool) -> None:
    now = timezone.now()
    confirmed = about.get("confirmed")
    row = TypeOutcome(
        resource_type=about.get("type", "Condition"),
        outcome=about.get("outcome", OUTCOMES.COMPLETE),
        code=about.get("code", ""),
        confirmed_at=now - timedelta(hours=confirmed) if confirmed is not None else None,
        attempted_at=now - timedelta(hours=about.get("tried", 0)),
    )
    told = freshness.fresh_types([row], ECW, now + timedelta(hours=about.get("ahead", 0)))
    assert bool(told) == fresh


# --- appointments ---


def test_who_comes_soon_is_fetched_once_in_time_to_be_fresh(connect: Connect) -> None:
    connection, control = connect(patients=1, page_size=1000)
    enrol(connection, control)
    work(connection)
    # Fresh now, and too old at the appointment in ten hours.
    age(everything=20)
    connection.enrolments.update(
        next_appointment_at=timezone.now() + timedelta(hours=10), pulled_at=timezone.now() - timedelta(hours=20)
    )
    pull = work(connection)
    assert asked(connection) == planned(connection) - set(connection.profile.freshness.hours)
    assert work(connection).pk == pull.pk  # and that is all


def test_an_appointment_further_off_waits(connect: Connect) -> None:
    connection, control = connect(patients=1, page_size=1000)
    enrol(connection, control)
    first = work(connection)
    age(everything=20)
    connection.enrolments.update(
        next_appointment_at=timezone.now() + timedelta(hours=13), pulled_at=timezone.now() - timedelta(hours=20)
    )
    assert work(connection).pk == first.pk


def test_what_went_wrong_before_an_appointment_is_tried_again_hourly(connect: Connect) -> None:
    connection, control = connect(patients=1, page_size=1000)
    control.fault("500", match={"type": "Condition"}, times=3)
    enrol(connection, control)
    connection.enrolments.update(next_appointment_at=timezone.now() + timedelta(hours=3))
    first = work(connection)
    assert work(connection).pk == first.pk
    connection.enrolments.update(pulled_at=timezone.now() - timedelta(minutes=61))
    again = work(connection)
    assert again.pk != first.pk
    assert again.calls == 1  # Condition alone


@pytest.fixture
def day(connect: Connect) -> Iterator[tuple[Connection, list[Any], Control]]:
    """Three patients at 07:00 in New York, all fetched: they come today, tomorrow at 23:30, and the day after."""
    with time_machine.travel("2026-11-23 12:00+00:00", tick=False):
        connection, control = connect(patients=3)
        enrol(connection, control)
        work(connection)
        ids = list(connection.enrolments.order_by("created_at", "pk").values_list("pk", flat=True))
        times = ["2026-11-23 14:00+00:00", "2026-11-25 04:30+00:00", "2026-11-25 05:30+00:00"]
        for pk, at in zip(ids, times, strict=True):
            Enrolment.objects.filter(pk=pk).update(next_appointment_at=at)
        yield connection, ids, control


def told(*, check: bool = False) -> list[str]:
    out = io.StringIO()
    call_command("freshness", practice="AAAAAA", check=check, stdout=out)
    return out.getvalue().splitlines()


def test_the_command_tells_of_a_day_that_is_ready(day: tuple[Connection, list[Any], Control]) -> None:
    assert told(check=True) == [
        "Alder Headache Clinic (AAAAAA): 3 patients enrolled",
        "  today: 1 awaited, 1 of them fresh",
        "  tomorrow: 1 awaited, 1 of them fresh",
        "  on file: under 1 h 3, 1 h to 6 h 0, 6 h to 12 h 0, 12 h to 24 h 0, 24 h to 3 days 0, 3 days and more 0, "
        "never fetched 0",
    ]


def test_the_command_names_who_is_awaited_and_not_fresh_and_why(day: tuple[Connection, list[Any], Control]) -> None:
    _, ids, control = day
    rows = TypeOutcome.objects.filter(enrolment=ids[0])
    rows.filter(resource_type="Condition").update(outcome=OUTCOMES.NOT_FETCHED, reason="timed out (NET_TIMEOUT)")
    old = timezone.now() - timedelta(hours=75)
    rows.filter(resource_type="Encounter").update(confirmed_at=old)
    rows.filter(resource_type="Procedure").update(outcome=OUTCOMES.NOT_PERMITTED, reason="the scope was not granted")
    TypeOutcome.objects.filter(enrolment=ids[1], resource_type__in=("Patient", "Encounter")).delete()
    lines = told()
    assert "  today: 1 awaited, 0 of them fresh" in lines
    # What the EMR does not give is no older for it: it is said on the chart.
    assert (
        f"    23-Nov-2026 09:00  enrolment {ids[0]}: Condition: timed out (NET_TIMEOUT); Encounter: 3 days old" in lines
    )
    named = f"    24-Nov-2026 23:30  enrolment {ids[1]}: Patient: never fetched; Encounter: never fetched"
    assert lines[lines.index("  tomorrow: 1 awaited, 0 of them fresh") + 1] == named
    text = "\n".join(lines)
    assert str(ids[2]) not in text
    assert all(patient not in text for patient in control.patient_ids)
    with pytest.raises(CommandError, match="not fresh for today: AAAAAA"):
        told(check=True)


def test_the_command_says_what_stands_in_the_way(day: tuple[Connection, list[Any], Control]) -> None:
    connection, _, _ = day
    Connection.objects.update(state=Connection.State.DEGRADED, reason_code="FHIR_401")
    assert told()[1].startswith("  Test app (Sandbox): degraded: ")
    assert told()[1].endswith("(FHIR_401)")
    Connection.objects.update(state=Connection.State.ACTIVE, reason_code="")
    connection.enrolments.update(due_at=timezone.now())
    schedule.open_pulls()
    assert told()[1] == "  Test app (Sandbox): pull running, 3 patients left"
    breaker.pause(connection.pulls.get(state="running").pk)
    assert told()[1].endswith(
        "pull paused, 3 patients left. Paused by a person; it goes on when somebody presses Resume."
    )
    Connection.objects.update(state=Connection.State.REVOKED)
    assert told()[:2] == [
        "Alder Headache Clinic (AAAAAA): 0 patients enrolled", "  no connection: nothing is fetched",
    ]  # fmt: skip


def test_who_is_pulled_over_two_connections_is_one_patient(day: tuple[Connection, list[Any], Control]) -> None:
    connection, ids, _ = day
    first = Enrolment.objects.get(pk=ids[0])
    registration = connection.registration
    registration.pk, registration.client_id, registration._state.adding = uuid.uuid4(), "another", True
    registration.save()
    other = Connection.objects.create(
        practice=connection.practice, registration=registration, base_url=connection.base_url, state="active"
    )
    again = Enrolment.objects.create(
        connection=other, patient_fhir_id=first.patient_fhir_id, known_by="launch",
        next_appointment_at=first.next_appointment_at,
    )  # fmt: skip
    assert told(check=True)[0].endswith(": 3 patients enrolled")
    assert "  today: 1 awaited, 1 of them fresh" in told()
    TypeOutcome.objects.filter(enrolment=first, resource_type="Condition").delete()
    assert freshness.awaited(connection.practice).not_fresh[0].missing == (
        freshness.Missing("Condition", "never fetched"),
    )
    TypeOutcome.objects.create(
        enrolment=again, resource_type="Condition", outcome="complete", confirmed_at=timezone.now(),
        attempted_at=timezone.now(),
    )  # fmt: skip
    assert freshness.awaited(connection.practice).not_fresh == ()


def test_what_is_refused_in_part_does_not_hold_up_a_day(day: tuple[Connection, list[Any], Control]) -> None:
    _, ids, _ = day
    rows = TypeOutcome.objects.filter(enrolment=ids[0], resource_type="Observation")
    rows.update(outcome=OUTCOMES.NOT_PERMITTED, code="", reason="not permitted (FHIR_403)", confirmed_at=None)
    assert "  today: 1 awaited, 1 of them fresh" in told(check=True)
    rows.update(attempted_at=timezone.now() - timedelta(hours=25))
    assert "Observation: not permitted (FHIR_403)" in "\n".join(told())


def test_the_command_knows_no_other_practice(practice_a: Practice) -> None:
    with pytest.raises(CommandError, match="ZZZZZZ"):
        call_command("freshness", practice="ZZZZZZ")
