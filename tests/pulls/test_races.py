"""Two beats, doubled messages and stale workers change nothing."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import close_old_connections
from django.db import connection as database
from django.utils import timezone

from emr import look_ups, pulls, schedule
from emr.models import Connection, Enrolment, LookUp, Pull, Resource, User, WorkItem
from emr.pulling import asking, breaker, ending, leases, queue
from tests.emr.conftest import Connect
from tests.pulls.conftest import calls, enrol, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]


def at_once(act: Callable[[], Any], threads: int = 8) -> list[Any]:
    """`act` in so many threads that start together; what each returned or raised."""
    start, results = threading.Barrier(threads), []

    def run() -> None:
        start.wait()
        try:
            results.append(act())
        finally:
            database.close()

    crew = [threading.Thread(target=run) for _ in range(threads)]
    for each in crew:
        each.start()
    for each in crew:
        each.join(60)
    close_old_connections()
    assert len(results) == threads  # nobody raised
    return results


# --- the same on every database, one after the other ---


def test_a_message_fifty_times_is_one_run(connect: Connect) -> None:
    connection, control = connect(patients=1, page_size=1000)
    enrol(connection, control)
    schedule.open_pulls()
    item = queue.waiting_items()[0]
    for _ in range(50):
        pulls.run(item)
    assert WorkItem.objects.get().state == "done"
    assert Pull.objects.get().calls == calls(control) - 2  # token and discovery


def test_a_stale_worker_changes_nothing(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its lease ran out in the call, another worker did the item, and then its own answer came."""
    connection, control = connect(patients=1, page_size=1000)
    enrol(connection, control)
    schedule.open_pulls()
    item = queue.waiting_items()[0]
    original, seen = pulls.Run._ask, []

    def slow(self: pulls.Run, *args: Any) -> Any:
        answer = original(self, *args)
        if not seen:
            seen.append(1)
            WorkItem.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
            pulls.run(item)
        return answer

    monkeypatch.setattr(pulls.Run, "_ask", slow)
    pulls.run(item)
    pull = Pull.objects.get()
    assert (pull.state, WorkItem.objects.get().state) == ("complete", "done")
    assert pull.new == Resource.objects.count()
    assert pull.calls == calls(control) - 3  # token, discovery, and the stale worker's page


def test_a_stale_worker_of_a_cancelled_pull_does_not_revive_it(connect: Connect) -> None:
    connection, control = connect(patients=1)
    enrol(connection, control)
    schedule.open_pulls()
    item = leases.claim(queue.waiting_items()[0])
    assert item is not None
    ending.cancel(item.pull_id)
    leases.hand_back(item, 0)
    leases.give_up(item, "late")
    assert (WorkItem.objects.get().state, Pull.objects.get().state) == ("cancelled", "cancelled")


# --- truly at once ---


def test_eight_beats_open_one_pull(connect: Connect) -> None:
    connection, control = connect(patients=5)
    enrol(connection, control)
    assert sum(at_once(schedule.open_pulls)) == 1
    assert (Pull.objects.count(), WorkItem.objects.count()) == (1, 5)


def test_eight_beats_let_a_patient_join_once(connect: Connect, alice: User) -> None:
    connection, control = connect(patients=2)
    enrol(connection, control)
    schedule.open_pulls()
    first = WorkItem.objects.order_by("pk")[0]
    WorkItem.objects.filter(pk=first.pk).update(state="done")
    asking.refresh(connection.practice_id, first.enrolment.patient_fhir_id, alice)
    at_once(schedule.open_pulls)
    assert WorkItem.objects.filter(enrolment=first.enrolment, state="queued").count() == 1


def test_eight_workers_claim_an_item_once(connect: Connect) -> None:
    connection, control = connect(patients=1)
    enrol(connection, control)
    schedule.open_pulls()
    item = queue.waiting_items()[0]
    for _ in range(5):
        WorkItem.objects.update(lease_until=None, lease=None, attempts=0)
        assert len([held for held in at_once(lambda: leases.claim(item)) if held]) == 1
        assert WorkItem.objects.get().attempts == 1


def test_eight_workers_with_every_message_pull_each_page_once(connect: Connect) -> None:
    connection, control = connect(patients=4, page_size=1000)
    enrol(connection, control)
    with_token(connection)
    schedule.open_pulls()
    ids = queue.waiting_items()

    def all_of_them() -> None:
        for item in ids:
            pulls.run(item)

    at_once(all_of_them)
    pull = work(connection)
    served = {(kind, fhir_id) for kind, fhir_id, _ in control.get("ledger")["served"]}
    assert served == set(Resource.objects.values_list("resource_type", "fhir_id"))
    assert pull.state == Pull.State.COMPLETE
    assert pull.calls == calls(control) - 2
    plan = 4 * len(connection.profile.plan)
    medications = Resource.objects.filter(resource_type="Medication").count()
    # Items of two patients may read the same Medication in the same instant; nothing else is asked for twice.
    doubled = pull.calls - plan - medications
    assert 0 <= doubled <= 3
    assert 0 <= pull.new - Resource.objects.count() <= doubled


def with_token(connection: Connection) -> None:
    with pulls.calls.door_to(connection) as door:
        pulls.tokens.system_access(connection, door)


def test_a_pull_is_steered_once(connect: Connect) -> None:
    connection, control = connect(patients=1)
    enrol(connection, control)
    schedule.open_pulls()
    pk = Pull.objects.get().pk
    assert sum(at_once(lambda: breaker.pause(pk))) == 1
    assert sum(at_once(lambda: breaker.resume(pk))) == 1
    assert sum(at_once(lambda: ending.cancel(pk))) == 1


def test_failures_of_eight_workers_pause_once(connect: Connect) -> None:
    connection, control = connect(patients=1)
    enrol(connection, control)
    schedule.open_pulls()
    pull = Pull.objects.select_related("connection").get()
    tripped = at_once(lambda: breaker.failed(pull, "FHIR_5XX", "Patient"))
    assert sum(tripped) == 1
    pull.refresh_from_db()
    assert (pull.state, pull.failing_calls) == (Pull.State.PAUSED, breaker.TRIPS_AT)


def join_and_close() -> None:
    schedule.open_pulls()
    ending.finish_pulls()


def test_a_pull_is_not_closed_under_a_patient_who_joins(connect: Connect, alice: User) -> None:
    connection, control = connect(patients=2)
    enrol(connection, control)
    for _ in range(5):
        Enrolment.objects.update(due_at=timezone.now())
        schedule.open_pulls()
        WorkItem.objects.filter(state="queued").update(state="done")
        asking.refresh(connection.practice_id, control.patient_ids[0], alice)
        at_once(join_and_close)
        open_items = WorkItem.objects.filter(state="queued")
        assert all(item.pull.state == Pull.State.RUNNING for item in open_items.select_related("pull"))
        open_items.update(state="done")
        ending.finish_pulls()


def test_eight_workers_make_one_search(connect: Connect, alice: User) -> None:
    connection, control = connect(patients=1)
    with_token(connection)
    before = calls(control)
    row = look_ups.ask(connection, [{"family": "X", "given": "Y", "birthdate": "1989-03-07"}], alice)[0]
    at_once(lambda: look_ups.run(row.pk))
    assert calls(control) - before == 1
    assert LookUp.objects.get().state == "done"
