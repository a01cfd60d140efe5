"""Pause, resume and cancel; the circuit breaker; and that nothing is lost by any of them."""

import time
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from emr import calls as calls_out
from emr import pulls, roster, schedule, tokens
from emr.models import Connection, Enrolment, Pull, Resource, TypeOutcome, WorkItem
from emr.pulling import asking, breaker, ending, holds, leases, queue
from emr.pulling.journey import Step
from tests.emr.conftest import Connect, Control
from tests.pulls.conftest import calls, enrol, tick, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]


def stop_after(monkeypatch: pytest.MonkeyPatch, pages: int, act: Any) -> None:
    """While page number `pages` is under way, a person presses a button."""
    original, seen = pulls.Run._ask, []

    def ask(self: pulls.Run, *args: Any) -> Any:
        seen.append(1)
        if len(seen) == pages:
            act(self.item.pull_id)
        return original(self, *args)

    monkeypatch.setattr(pulls.Run, "_ask", ask)


def test_a_paused_pull_keeps_the_page_under_way_and_goes_on_where_it_was(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, control = connect(patients=2, page_size=1000)
    enrol(connection, control)
    stop_after(monkeypatch, 5, breaker.pause)
    pull = work(connection)
    assert (pull.state, pull.calls) == (Pull.State.PAUSED, 5)
    assert not pull.items.exclude(lease=None).exists()
    assert tick() == []
    assert schedule.open_pulls() == 0
    assert not breaker.pause(pull.pk)
    assert breaker.resume(pull.pk)
    assert not breaker.resume(pull.pk)
    pull = work(connection)
    medications = Resource.objects.filter(resource_type="Medication").count()
    assert (pull.state, pull.calls) == (Pull.State.COMPLETE, 2 * len(connection.profile.plan) + medications)


def test_a_cancelled_pull_keeps_nothing_of_the_page_under_way_and_frees_its_patients(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, control = connect(patients=2, page_size=1000)
    enrol(connection, control)
    stop_after(monkeypatch, 5, ending.cancel)
    pull = work(connection)
    pull.refresh_from_db()
    assert (pull.state, pull.calls) == (Pull.State.CANCELLED, 4)
    assert pull.finished_at is not None
    assert set(pull.items.values_list("state", "lease")) == {("cancelled", None)}
    assert not ending.cancel(pull.pk)
    assert not breaker.resume(pull.pk)
    # Due again as usual, and not before.
    later = connection.enrolments.filter(due_at__gt=timezone.now() + timedelta(hours=23))
    assert later.count() == 2
    connection.enrolments.update(due_at=timezone.now())
    again = work(connection)
    assert (again.pk != pull.pk, again.state) == (True, Pull.State.COMPLETE)
    served = {(kind, fhir_id) for kind, fhir_id, _ in control.get("ledger")["served"]}
    assert served == set(Resource.objects.values_list("resource_type", "fhir_id"))


def test_a_paused_pull_can_be_cancelled(connect: Connect) -> None:
    connection, control = connect(patients=1)
    enrol(connection, control)
    schedule.open_pulls()
    pull = Pull.objects.get()
    assert breaker.pause(pull.pk)
    assert ending.cancel(pull.pk)
    assert connection.pulls.get().state == Pull.State.CANCELLED


def test_no_message_gets_a_paused_item_taken(connect: Connect) -> None:
    connection, control = connect(patients=1)
    enrol(connection, control)
    schedule.open_pulls()
    item = queue.waiting_items()[0]
    breaker.pause(Pull.objects.get().pk)
    assert leases.claim(item) is None
    pulls.run(item)
    assert calls(control) == 0


# --- the circuit breaker ---


def outage(control: Control, times: int, **match: str) -> None:
    control.fault("500", match=match or {"path": "/fhir/"}, times=times)


def with_token(connection: Connection) -> None:
    with calls_out.door_to(connection) as door:
        tokens.system_access(connection, door)


def test_an_outage_pauses_the_pull_and_ends_no_type(connect: Connect) -> None:
    connection, control = connect(patients=2, page_size=1000)
    enrol(connection, control)
    with_token(connection)
    outage(control, 5)
    pull = work(connection)
    assert (pull.state, pull.failing_code) == (Pull.State.PAUSED, "FHIR_5XX")
    assert pull.calls == breaker.TRIPS_AT
    assert pull.probe_at is not None
    assert 30 < (pull.probe_at - timezone.now()).total_seconds() <= 60
    assert tick() == []
    Pull.objects.update(probe_at=timezone.now())
    pull = work(connection)
    assert pull.state == Pull.State.COMPLETE
    assert set(TypeOutcome.objects.values_list("outcome", flat=True)) == {"complete"}
    assert (pull.failing_code, pull.failing_calls, pull.probing) == ("", 0, False)
    served = {(kind, fhir_id) for kind, fhir_id, _ in control.get("ledger")["served"]}
    assert served == set(Resource.objects.values_list("resource_type", "fhir_id"))


def test_a_probe_that_meets_a_failure_starts_the_minute_anew(connect: Connect) -> None:
    connection, control = connect(patients=3)
    enrol(connection, control)
    with_token(connection)
    outage(control, 7)
    work(connection)
    Pull.objects.update(probe_at=timezone.now() - timedelta(seconds=1))
    assert len(tick()) == 1  # one item of three is let through, with two types
    pull = Pull.objects.get()
    assert (pull.state, pull.calls, pull.probing) == (Pull.State.PAUSED, 7, False)
    assert pull.probe_at is not None
    assert pull.probe_at > timezone.now() + timedelta(seconds=30)
    assert breaker.resume(pull.pk)  # a person need not wait
    assert work(connection).state == Pull.State.COMPLETE


def test_one_type_that_always_fails_holds_the_pull_up_once_at_most(connect: Connect) -> None:
    connection, control = connect(patients=6, page_size=1000)
    enrol(connection, control)
    outage(control, 500, type="Condition")
    pauses = 0
    while work(connection).state == Pull.State.PAUSED:
        pauses += 1
        Pull.objects.update(probe_at=timezone.now())
    pull = connection.pulls.get()
    assert pauses <= 1
    assert (pull.state, pull.spared_types) == (Pull.State.INCOMPLETE, ["Condition"])
    unfetched = TypeOutcome.objects.exclude(outcome="complete").values_list("resource_type", "code")
    assert list(unfetched) == [("Condition", "FHIR_5XX")] * 6


def test_failures_of_two_kinds_in_turn_are_no_outage(connect: Connect) -> None:
    connection, control = connect(patients=1)
    enrol(connection, control)
    schedule.open_pulls()
    pull = Pull.objects.select_related("connection").get()
    assert not any(breaker.failed(pull, code, "Patient") for code in ["FHIR_5XX", "NET_DNS"] * 5)
    assert [breaker.failed(pull, "FHIR_5XX", "Patient") for _ in range(6)] == [False] * 4 + [True, False]


def test_a_type_known_to_fail_by_itself_is_no_outage(connect: Connect) -> None:
    connection, control = connect(patients=1)
    enrol(connection, control)
    schedule.open_pulls()
    pull = Pull.objects.select_related("connection").get()
    breaker.spare(pull, "Condition")
    breaker.spare(pull, "Condition")
    assert not any(breaker.failed(pull, "FHIR_5XX", "Condition") for _ in range(10))
    assert [breaker.failed(pull, "FHIR_5XX", "Patient") for _ in range(5)] == [False] * 4 + [True]


def test_a_type_whose_categories_were_read_before_the_outage_is_read_whole_again(connect: Connect) -> None:
    """What the first categories sent must not be taken for "no longer sent" when the type is begun anew."""
    connection, control = connect(patients=1, page_size=1000)
    enrol(connection, control)
    work(connection)
    held = Resource.objects.filter(resource_type="Observation").count()
    asking.request_pull(connection, "test")
    # Category 6 of 7 is given up after three failures; the next two make it an outage.
    control.fault("500", match={"path": "category=imaging"}, times=3)
    control.fault("500", match={"path": "category=sdoh"}, times=2)
    pull = work(connection)
    assert pull.state == Pull.State.PAUSED
    Pull.objects.update(probe_at=timezone.now())
    assert work(connection).state == Pull.State.COMPLETE
    assert Resource.objects.filter(resource_type="Observation", no_longer_sent_at=None).count() == held
    assert not TypeOutcome.objects.exclude(outcome="complete").exists()


def test_a_refusal_of_the_whole_connection_stops_it_at_the_first_call(connect: Connect) -> None:
    connection, control = connect(patients=2, page_size=1000)
    enrol(connection, control)
    work(connection)
    asking.request_pull(connection, "test")
    control.fault("not-enabled", match={"type": "Condition"}, times=1)
    before = calls(control)
    work(connection)
    connection.refresh_from_db()
    assert (connection.state, connection.reason_code) == (Connection.State.DEGRADED, "AUTHZ_APP_NOT_ACTIVATED")
    assert calls(control) - before == 3  # Patient, AllergyIntolerance, Condition
    assert not TypeOutcome.objects.filter(outcome="not-fetched").exists()


# --- who is given up is not forgotten ---


def test_a_patient_given_up_is_due_again(connect: Connect) -> None:
    connection, control = connect(patients=1)
    roster.enrol(connection, control.patient_ids, Enrolment.KnownBy.LIST)
    schedule.open_pulls()
    WorkItem.objects.update(attempts=3)
    pulls.run(WorkItem.objects.get().pk)
    enrolment = connection.enrolments.get()
    assert WorkItem.objects.get().state == "failed"
    assert enrolment.due_at is not None
    assert enrolment.pulled_at is not None


def searches(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, float]]:
    """Patient, type and moment of every first page that is asked for."""
    seen: list[tuple[str, str, float]] = []
    send = pulls.Run._send

    def sent(run: pulls.Run, step: Step, *rest: Any) -> Any:
        seen.append((run.enrolment.patient_fhir_id, step.resource_type, time.monotonic()))
        return send(run, step, *rest)

    monkeypatch.setattr(pulls.Run, "_send", sent)
    return seen


@pytest.mark.parametrize(("wait", "run_seconds"), [(0.5, 20.0), (1.2, 1.0)], ids=["in its run", "after its run's end"])
def test_a_failed_page_is_asked_for_again_by_its_worker_before_all_else(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, wait: float, run_seconds: float
) -> None:
    """However busy the other workers are: the first retry follows within two seconds."""
    assert holds.FIRST_WAIT < 2
    slept, sleep = [], time.sleep
    monkeypatch.setattr("emr.pulling.holds.time.sleep", lambda seconds: (slept.append(seconds), sleep(seconds)))
    monkeypatch.setattr("emr.pulling.holds.FIRST_WAIT", wait)
    monkeypatch.setattr("emr.pulling.holds.RUN_SECONDS", run_seconds)
    connection, control = connect(patients=2)
    enrol(connection, control)
    with_token(connection)
    outage(control, 1)
    schedule.open_pulls()
    made = searches(monkeypatch)
    pulls.run(queue.waiting_items()[0])
    first, second = made[:2]
    assert first[:2] == second[:2]
    assert slept.count(wait) == 1
    assert second[2] - first[2] >= wait
    assert (len(made) == 2) is (wait > run_seconds)


def test_a_page_that_failed_twice_is_announced_for_a_second_later(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, published: list[Any]
) -> None:
    monkeypatch.setattr("emr.pulling.holds.FIRST_WAIT", 0.5)
    connection, control = connect(patients=1)
    enrol(connection, control)
    outage(control, 2)
    schedule.open_pulls()
    item = queue.waiting_items()[0]
    pulls.run(item)
    assert published[-1] == (queue.TASK, 1.0, item)
    assert queue.waiting_items() == []  # announced already
    row = WorkItem.objects.get()
    assert row.lease is None
    assert row.not_before is not None
    assert row.not_before - timezone.now() < timedelta(seconds=2)


def test_a_pull_paused_while_a_page_fails_is_not_waited_for(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emr.pulling.holds.FIRST_WAIT", 60.0)
    connection, control = connect(patients=1)
    enrol(connection, control)
    with_token(connection)
    outage(control, 1)
    stop_after(monkeypatch, 1, breaker.pause)
    schedule.open_pulls()
    began = time.monotonic()
    pulls.run(queue.waiting_items()[0])
    assert time.monotonic() - began < 30
    assert WorkItem.objects.get().lease is None


def test_waiting_for_calls_holds_the_whole_pull(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    connection, control = connect(patients=2)
    enrol(connection, control)
    schedule.open_pulls()
    first, second = queue.waiting_items()
    monkeypatch.setattr("emr.budget.DatabaseBudget.take", lambda self, key, **kwargs: 40.0)
    pulls.run(first)
    hold = Pull.objects.get().hold_until
    assert hold is not None
    assert 20 < (hold - timezone.now()).total_seconds() <= 40
    assert queue.waiting_items() == []
    assert {item.lease for item in WorkItem.objects.all()} == {None}
    assert second in set(WorkItem.objects.values_list("pk", flat=True))
