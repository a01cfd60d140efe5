"""The journey in: a work item, run against a real sandbox over HTTP."""

import json
import urllib.request
from typing import Any

import pytest
from django.utils import timezone

from emr import hints, pulls, roster, schedule, signals, store
from emr.models import Connection, Enrolment, Pull, Quarantine, Resource, TypeOutcome, WorkItem
from emr.pulling import asking, queue
from tests.emr.conftest import Connect, Control

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]

OUTCOMES = TypeOutcome.Outcome


def work(connection: Connection, *, rounds: int = 60) -> None:
    """What beat and one worker do, without the waiting between two tries."""
    for _ in range(rounds):
        schedule.open_pulls()
        WorkItem.objects.filter(state="queued").update(not_before=None, published_at=None)
        Pull.objects.update(hold_until=None)
        items = queue.waiting_items()
        for item in items:
            pulls.run(item)
        if not WorkItem.objects.filter(state="queued").exists():
            return
        if Connection.objects.get(pk=connection.pk).state != Connection.State.ACTIVE:
            return
    raise AssertionError("the items do not come to an end")


def pull_all(connection: Connection, control: Control) -> Pull:
    roster.enrol(connection, control.patient_ids, Enrolment.KnownBy.LIST)
    work(connection)
    return connection.pulls.latest("started_at")


def rows(connection: Connection) -> dict[tuple[str, str], str]:
    kept = Resource.objects.filter(practice=connection.practice)
    return {(row.resource_type, row.fhir_id): row.body for row in kept}


def test_a_pull_keeps_all_the_sandbox_served_byte_for_byte(connect: Connect) -> None:
    connection, control = connect(patients=3)
    pull = pull_all(connection, control)
    served = {(kind, fhir_id): digest for kind, fhir_id, digest in control.get("ledger")["served"]}
    kept = rows(connection)
    assert set(kept) == set(served)
    assert len(kept) > 100
    assert pull.state == Pull.State.COMPLETE
    assert pull.new == len(kept)
    assert Quarantine.objects.count() == 0
    for body in kept.values():
        assert json.loads(body)


def test_the_second_pull_writes_no_resource(connect: Connect) -> None:
    connection, control = connect(patients=2)
    pull_all(connection, control)
    before = {row.pk: row.changed_at for row in Resource.objects.all()}
    asking.request_pull(connection, "test")
    work(connection)
    again = connection.pulls.latest("started_at")
    assert (again.new, again.changed) == (0, 0)
    assert again.same > 50
    assert {row.pk: row.changed_at for row in Resource.objects.all()} == before


def delete(control: Control, resource_type: str, fhir_id: str) -> None:
    url = f"{control.url}/charts/{resource_type}/{fhir_id}"
    urllib.request.urlopen(urllib.request.Request(url, method="DELETE"), timeout=10).close()


def pull_again(connection: Connection) -> Pull:
    asking.request_pull(connection, "test")
    work(connection)
    return connection.pulls.latest("started_at")


def test_what_is_no_longer_sent_is_marked_and_comes_back(connect: Connect) -> None:
    connection, control = connect(patients=1, page_size=3)
    assert pull_all(connection, control).gone == 0
    gone = Resource.objects.filter(resource_type="Condition").order_by("fhir_id")[0]
    delete(control, "Condition", gone.fhir_id)
    assert pull_again(connection).gone == 1
    gone.refresh_from_db()
    assert gone.no_longer_sent_at is not None
    assert Resource.objects.exclude(no_longer_sent_at=None).count() == 1
    assert pull_again(connection).gone == 0
    control.post("charts", [json.loads(gone.body)])
    pull_again(connection)
    gone.refresh_from_db()
    assert gone.no_longer_sent_at is None


def test_an_incomplete_pass_marks_nothing(connect: Connect) -> None:
    connection, control = connect(patients=1, page_size=3)
    pull_all(connection, control)
    for row in Resource.objects.filter(resource_type="Condition"):
        delete(control, "Condition", row.fhir_id)
    control.fault("500", match={"type": "Condition"}, times=3)
    assert pull_again(connection).gone == 0
    assert not Resource.objects.exclude(no_longer_sent_at=None).exists()


def test_a_refused_category_keeps_the_others_from_being_marked(connect: Connect) -> None:
    connection, control = connect(patients=1)
    pull_all(connection, control)
    held = Resource.objects.filter(resource_type="Observation").count()
    control.fault("forbid-type", match={"type": "Observation"}, times=1)
    assert pull_again(connection).gone == 0
    assert Resource.objects.filter(resource_type="Observation", no_longer_sent_at=None).count() == held


def test_medications_are_read_once_for_the_practice(connect: Connect) -> None:
    connection, control = connect(patients=4)
    pull_all(connection, control)
    reads = Resource.objects.filter(resource_type="Medication").count()
    assert reads > 5
    searched = 4 * len(connection.profile.plan)
    pages = connection.pulls.get().calls - searched - reads
    assert 0 <= pages < 40  # further pages of long lists; a read per order would be hundreds


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        pytest.param("forbid-type", OUTCOMES.NOT_PERMITTED, id="403 is not permitted"),
        pytest.param("unsupported-type", OUTCOMES.NOT_SUPPORTED, id="400 of an old build is not supported here"),
        pytest.param("500", OUTCOMES.NOT_FETCHED, id="500 three times is not fetched"),
        pytest.param("foreign-next", OUTCOMES.NOT_FETCHED, id="a next link to a foreign place is not fetched"),
    ],
)
def test_one_refused_type_ends_in_words_and_the_rest_goes_on(connect: Connect, fault: str, outcome: str) -> None:
    connection, control = connect(patients=1, page_size=2)
    control.fault(fault, match={"type": "Condition"}, times=50)
    pull_all(connection, control)
    outcomes = {row.resource_type: row for row in TypeOutcome.objects.all()}
    assert outcomes["Condition"].outcome == outcome
    assert outcomes["Condition"].reason
    assert outcomes["Condition"].confirmed_at is None
    others = {kind: row.outcome for kind, row in outcomes.items() if kind != "Condition"}
    assert set(others.values()) == {OUTCOMES.COMPLETE}
    assert set(others) | {"Condition"} == set(connection.profile.planned_types)


def test_a_page_with_a_foreign_next_link_is_kept(connect: Connect) -> None:
    connection, control = connect(patients=1, page_size=2)
    control.fault("foreign-next", match={"type": "Condition"}, times=1)
    pull = pull_all(connection, control)
    served = {(kind, fhir_id) for kind, fhir_id, _ in control.get("ledger")["served"]}
    assert served == set(rows(connection))
    assert Resource.objects.filter(resource_type="Condition").count() == 2
    assert "FHIR_LINK_FOREIGN" in TypeOutcome.objects.get(resource_type="Condition").reason
    assert pull.state == Pull.State.INCOMPLETE


def test_a_warning_beside_the_data_makes_the_list_incomplete(connect: Connect) -> None:
    connection, control = connect(patients=1)
    control.fault("operation-outcome-entry", match={"type": "Condition"}, times=1)
    pull_all(connection, control)
    row = TypeOutcome.objects.get(resource_type="Condition")
    assert (row.outcome, "FHIR_PARTIAL" in row.reason) == (OUTCOMES.NOT_FETCHED, True)
    assert Resource.objects.filter(resource_type="Condition").exists()


def test_a_scope_that_was_not_granted_costs_no_call(connect: Connect) -> None:
    connection, control = connect(patients=1)
    scopes = connection.registration.scopes.replace("system/Procedure.read", "")
    connection.registration.scopes = scopes
    connection.registration.save()
    pull_all(connection, control)
    row = TypeOutcome.objects.get(resource_type="Procedure")
    assert (row.outcome, row.reason) == (OUTCOMES.NOT_PERMITTED, "the scope was not granted")
    assert not Resource.objects.filter(resource_type="Procedure").exists()


@pytest.mark.parametrize("fault", ["500", "truncated", "short-body", "reset", "not-json", "502-html"])
def test_a_passing_fault_costs_one_call_and_no_resource(connect: Connect, fault: str) -> None:
    connection, control = connect(patients=1)
    control.fault(fault, match={"type": "Condition"}, times=1)
    pull = pull_all(connection, control)
    served = {(kind, fhir_id) for kind, fhir_id, _ in control.get("ledger")["served"]}
    assert served <= set(rows(connection))
    assert pull.state == Pull.State.COMPLETE
    assert Quarantine.objects.count() == 0


def test_a_429_blocks_the_practice_and_is_not_an_attempt(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    blocked: list[float] = []
    monkeypatch.setattr("emr.budget.DatabaseBudget.block", lambda self, key, seconds: blocked.append(seconds))
    connection, control = connect(patients=1)
    control.fault("429", match={"type": "Condition"}, times=1)
    pull = pull_all(connection, control)
    assert len(blocked) == 1
    assert 0 < blocked[0] <= 65
    assert pull.state == Pull.State.COMPLETE


def test_a_401_costs_one_new_token_and_one_retry(connect: Connect) -> None:
    connection, control = connect(patients=1)
    roster.enrol(connection, control.patient_ids, Enrolment.KnownBy.LIST)
    control.fault("expire-tokens", match={"type": "Condition"}, times=1)
    work(connection)
    assert connection.pulls.get().state == Pull.State.COMPLETE
    assert connection.system_tokens.get().generation == 2


def test_a_401_again_stops_the_connection(connect: Connect) -> None:
    connection, control = connect(patients=1)
    control.fault("status", status=401, match={"type": "Condition"}, times=5)
    roster.enrol(connection, control.patient_ids, Enrolment.KnownBy.LIST)
    work(connection)
    connection.refresh_from_db()
    assert (connection.state, connection.reason_code) == (Connection.State.DEGRADED, "FHIR_401")


def test_bad_entries_are_quarantined_and_their_neighbours_kept(connect: Connect) -> None:
    connection, control = connect(patients=1, page_size=2)
    kinds = ("no-id", "nan", "duplicate-key", "foreign-patient", "not-an-object")
    for entry in kinds:
        control.fault("bad-entry", match={"type": "Condition"}, times=1, entry=entry)
    pull = pull_all(connection, control)
    served = {(kind, fhir_id) for kind, fhir_id, _ in control.get("ledger")["served"]}
    assert served <= set(rows(connection))
    assert Quarantine.objects.exclude(reason="").exclude(body="").count() == len(kinds) == pull.quarantined
    assert not Resource.objects.filter(fhir_id__startswith="broken").exists()
    assert pull.state == Pull.State.COMPLETE


def test_a_worker_that_lost_its_lease_commits_nothing(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    connection, control = connect(patients=1)
    roster.enrol(connection, control.patient_ids, Enrolment.KnownBy.LIST)
    schedule.open_pulls()
    item = WorkItem.objects.get()
    original = store.keep_of_many

    def stolen(*args: Any, **kwargs: Any) -> Any:
        WorkItem.objects.filter(pk=item.pk).update(lease=None)
        return original(*args, **kwargs)

    monkeypatch.setattr(store, "keep_of_many", stolen)
    pulls.run(item.pk)
    assert Resource.objects.count() == 0
    item.refresh_from_db()
    assert item.cursor == {}


def test_one_item_is_run_by_one_worker(connect: Connect) -> None:
    connection, control = connect(patients=1)
    roster.enrol(connection, control.patient_ids, Enrolment.KnownBy.LIST)
    schedule.open_pulls()
    item = WorkItem.objects.get()
    WorkItem.objects.update(lease="0b7e2a52-9f0f-4c51-9a5c-1f7d1c3b2a10", lease_until=timezone.now() + hints.REPUBLISH)
    pulls.run(item.pk)
    assert control.get("ledger")["served"] == []


def test_what_kills_its_worker_stops_at_three(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        """Stands for SIGKILL: nothing after it runs."""

    def die(*args: object, **kwargs: object) -> None:
        raise Killed

    connection, control = connect(patients=1)
    roster.enrol(connection, control.patient_ids, Enrolment.KnownBy.LIST)
    schedule.open_pulls()
    monkeypatch.setattr(store, "keep_of_many", die)
    for _ in range(3):
        WorkItem.objects.update(lease_until=None)
        with pytest.raises(Killed):
            pulls.run(WorkItem.objects.get().pk)
    WorkItem.objects.update(lease_until=None)
    pulls.run(WorkItem.objects.get().pk)
    item = WorkItem.objects.get()
    assert (item.state, connection.pulls.get().state) == ("failed", "incomplete")
    assert item.reason


def test_the_receivers_are_told_again_when_they_did_not_return(connect: Connect) -> None:
    connection, control = connect(patients=1)
    roster.enrol(connection, control.patient_ids, Enrolment.KnownBy.LIST)
    told: list[str] = []

    def receiver(sender: object, patient_fhir_id: str, **kwargs: object) -> None:
        told.append(patient_fhir_id)
        if len(told) == 1:
            raise RuntimeError("a worker dies in the projection")

    signals.patient_pulled.connect(receiver)
    try:
        schedule.open_pulls()
        with pytest.raises(RuntimeError):
            pulls.run(WorkItem.objects.get().pk)
        WorkItem.objects.update(lease_until=None)
        pulls.run(WorkItem.objects.get().pk)
    finally:
        signals.patient_pulled.disconnect(receiver)
    assert told == control.patient_ids * 2
    assert WorkItem.objects.get().state == "done"


def test_two_beats_open_one_pull(connect: Connect) -> None:
    connection, control = connect(patients=2)
    roster.enrol(connection, control.patient_ids, Enrolment.KnownBy.LIST)
    assert schedule.open_pulls() == 1
    connection.enrolments.update(due_at=timezone.now())
    assert schedule.open_pulls() == 0
    assert len(queue.waiting_items()) == 2
    assert queue.waiting_items() == []
