"""A group's export from kick-off to DELETE: everything on file, every patient enrolled and told, no call too many."""

import json
import urllib.request
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from emr import schedule
from emr.bulk import opening, running, waiting
from emr.models import BulkJob, BulkMember, BulkSeen, Enrolment, Pull, Quarantine, Resource, TypeOutcome
from emr.pulling import asking, ending
from emr.signals import patient_pulled
from tests.bulk.conftest import ConnectBulk, calls, export_again, on_file, tick, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]

TOKEN, DISCOVERY, KICK_OFF, DELETE = 1, 1, 1, 1


def exported(control: Any, connection: Any) -> dict[tuple[str, str], str]:
    """(type, id) → patient of all that the group's export should bring."""
    types = connection.profile.planned_types
    return {
        (kind, fhir_id): owner or ""
        for kind, fhir_id, _, owner, _ in control.get("charts")["resources"]
        if kind in types and (owner or kind == "Medication")
    }


@pytest.fixture
def told() -> Any:
    heard: list[tuple[str, bool]] = []

    def hear(sender: object, *, patient_fhir_id: str, changed: bool, **_: Any) -> None:
        heard.append((patient_fhir_id, changed))

    patient_pulled.connect(hear)
    yield heard
    patient_pulled.disconnect(hear)


def test_export_brings_everything_and_enrols_the_group(connect_bulk: ConnectBulk, told: list[tuple[str, bool]]) -> None:
    connection, control = connect_bulk(patients=4, exports={"lines": 40})
    job = work(connection)
    assert (job.state, job.code, job.reason) == (BulkJob.State.COMPLETE, "", "")
    stored = on_file(connection)
    assert {key: owner for key, (_, owner, _) in stored.items()} == exported(control, connection)
    assert Quarantine.objects.count() == 0
    assert set(connection.enrolments.values_list("patient_fhir_id", flat=True)) == set(control.patient_ids)
    assert set(connection.enrolments.values_list("known_by", flat=True)) == {Enrolment.KnownBy.GROUP}
    assert sorted(told) == sorted((fhir_id, True) for fhir_id in control.patient_ids)
    assert not connection.enrolments.filter(untold=True).exists()
    outcomes = TypeOutcome.objects.filter(enrolment__connection=connection)
    assert outcomes.count() == 4 * len(connection.profile.planned_types)
    assert set(outcomes.values_list("outcome", flat=True)) == {TypeOutcome.Outcome.COMPLETE}
    pull = job.pull
    pull.refresh_from_db()
    assert (pull.state, pull.new, pull.changed, pull.gone) == (Pull.State.COMPLETE, len(stored), 0, 0)


def test_export_makes_the_fewest_calls_and_deletes_itself(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=3, exports={"lines": 40, "polls": 2})
    job = work(connection)
    files = job.items.filter(kind="file").count()
    polls = 2 + 1
    job.pull.refresh_from_db()
    assert job.pull.calls == KICK_OFF + polls + files + DELETE
    assert calls(control) == job.pull.calls + TOKEN + DISCOVERY
    said = control.get("bulk")
    assert (said["started"], said["cancelled"], said["held"]) == (1, 1, 0)
    assert not BulkSeen.objects.exists()
    job.refresh_from_db()
    assert job.status_url == ""


def test_unchanged_second_export_of_everything_writes_no_record(
    connect_bulk: ConnectBulk, told: list[tuple[str, bool]]
) -> None:
    connection, _ = connect_bulk(patients=2)
    work(connection)
    before = dict(Resource.objects.values_list("pk", "changed_at"))
    told.clear()
    job = export_again(connection, whole=True)
    assert (job.state, job.since) == (BulkJob.State.COMPLETE, None)
    assert dict(Resource.objects.values_list("pk", "changed_at")) == before
    job.pull.refresh_from_db()
    assert (job.pull.new, job.pull.changed, job.pull.same, job.pull.gone) == (0, 0, len(before), 0)
    assert {changed for _, changed in told} == {False}


def test_what_a_complete_export_does_not_send_is_gone_and_comes_back(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=2)
    work(connection)
    lost = Resource.objects.filter(resource_type="Condition").first()
    text = lost.body
    delete(control, f"charts/Condition/{lost.fhir_id}")
    job = export_again(connection, whole=True)
    lost.refresh_from_db()
    assert job.state == BulkJob.State.COMPLETE
    assert lost.no_longer_sent_at is not None
    job.pull.refresh_from_db()
    assert job.pull.gone == 1
    put(control, text)
    export_again(connection, whole=True)
    lost.refresh_from_db()
    assert lost.no_longer_sent_at is None


def test_export_of_changes_brings_changes_and_deletions_and_marks_nothing_else_gone(
    connect_bulk: ConnectBulk, told: list[tuple[str, bool]]
) -> None:
    connection, control = connect_bulk(patients=3)
    work(connection)
    first, second = Resource.objects.filter(resource_type="Condition").order_by("patient_fhir_id", "fhir_id")[:2]
    put(control, first.body.replace('"resourceType"', '"language":"en","resourceType"', 1))
    delete(control, f"charts/Condition/{second.fhir_id}")
    told.clear()
    job = export_again(connection)
    assert job.since is not None
    assert job.state == BulkJob.State.COMPLETE
    job.pull.refresh_from_db()
    assert (job.pull.new, job.pull.changed, job.pull.same, job.pull.gone) == (0, 1, 0, 1)
    gone = Resource.objects.filter(no_longer_sent_at__isnull=False)
    assert [row.fhir_id for row in gone] == [second.fhir_id]
    assert {fhir_id for fhir_id, changed in told if changed} == {first.patient_fhir_id, second.patient_fhir_id}
    # Those without a change are confirmed all the same.
    confirmed = TypeOutcome.objects.filter(confirmed_at__gte=job.created_at).values("enrolment").distinct()
    assert confirmed.count() == 3


def test_newcomer_in_an_export_of_changes_is_due_by_the_plan(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=3)
    newcomer = control.patient_ids[0]
    control.post("bulk", {"outside": [newcomer]})
    work(connection)
    assert not connection.enrolments.filter(patient_fhir_id=newcomer).exists()
    control.post("bulk", {"outside": []})
    touch(control, connection, newcomer)
    job = export_again(connection)
    assert job.since is not None
    enrolment = connection.enrolments.get(patient_fhir_id=newcomer)
    assert enrolment.due_at <= timezone.now()
    assert not BulkMember.objects.filter(job=job, patient_fhir_id=newcomer).exists()
    assert not enrolment.outcomes.exists()


def test_who_left_the_group_keeps_records_and_is_due_by_the_plan_later(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=2)
    work(connection)
    leaver = control.patient_ids[0]
    control.post("bulk", {"outside": [leaver]})
    export_again(connection, whole=True)
    assert not Resource.objects.filter(patient_fhir_id=leaver, no_longer_sent_at__isnull=False).exists()
    assert connection.enrolments.get(patient_fhir_id=leaver).due_at is not None


def test_next_export_is_due_after_a_day_and_not_before(connect_bulk: ConnectBulk) -> None:
    connection, _ = connect_bulk(patients=1)
    work(connection)
    assert opening.open_due() == 0
    connection.bulk_jobs.update(created_at=timezone.now() - timedelta(hours=25))
    assert opening.open_due() == 1
    assert opening.open_due() == 0


def test_export_of_everything_comes_again_after_a_week(connect_bulk: ConnectBulk) -> None:
    connection, _ = connect_bulk(patients=1)
    work(connection)
    connection.bulk_jobs.update(created_at=timezone.now() - timedelta(days=8))
    assert work(connection).since is None


def test_two_beats_open_one_export(connect_bulk: ConnectBulk) -> None:
    connection, _ = connect_bulk(patients=1)
    assert opening.open_export(connection) is not None
    assert opening.open_export(connection) is None
    assert connection.bulk_jobs.count() == 1


def test_message_delivered_many_times_takes_each_step_once(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=2, exports={"lines": 50})
    opening.open_due()
    seen = 0
    for _ in range(30):
        items = waiting.waiting_items()
        for item in items * 5:
            running.run(item)
            seen += 1
        if not connection.bulk_jobs.get().is_open:
            break
        from_now(connection)
    job = connection.bulk_jobs.get()
    assert job.state == BulkJob.State.COMPLETE
    assert control.get("bulk")["started"] == 1
    assert {row.lines for row in job.items.filter(kind="file")} == {row.count for row in job.items.filter(kind="file")}


def test_staff_asked_patient_joins_the_export_by_the_plan(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=2)
    work(connection)
    patient = control.patient_ids[0]
    connection.bulk_jobs.update(created_at=timezone.now() - timedelta(hours=25))
    opening.open_due()
    asking.refresh(connection.practice_id, patient, None)
    schedule.open_pulls()
    pull = connection.pulls.get(state=Pull.State.RUNNING)
    assert [item.enrolment.patient_fhir_id for item in pull.items.all()] == [patient]


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_waits_as_long_as_the_server_asks_without_a_worker(connect_bulk: ConnectBulk, form: str) -> None:
    connection, _ = connect_bulk(patients=1, exports={"retry_after": 120, "polls": 3})
    opening.open_due()
    for _ in range(2 if form == "seconds" else 3):
        connection.bulk_jobs.get().items.update(not_before=None)
        (item,) = waiting.waiting_items() or connection.bulk_jobs.get().items.values_list("pk", flat=True)
        running.run(item)
    item = connection.bulk_jobs.get().items.get()
    left = (item.not_before - timezone.now()).total_seconds()
    assert 110 < left <= 121
    assert connection.bulk_jobs.get().progress.endswith("% complete")


def test_cancelled_pull_ends_the_export_at_the_server(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=1, exports={"polls": 50})
    tick()
    tick()
    pull = connection.pulls.get()
    assert ending.cancel(pull.pk)
    job = work(connection)
    assert job.state == BulkJob.State.CANCELLED
    assert control.get("bulk")["cancelled"] == 1
    assert control.get("bulk")["held"] == 0


def test_paused_pull_rests_and_goes_on(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=1)
    tick()
    Pull.objects.update(state=Pull.State.PAUSED)
    before = calls(control)
    assert tick() == 0
    assert calls(control) == before
    Pull.objects.update(state=Pull.State.RUNNING)
    assert work(connection).state == BulkJob.State.COMPLETE


def from_now(connection: Any) -> None:
    for job in connection.bulk_jobs.all():
        job.items.filter(state="queued").update(not_before=None, published_at=None)


def put(control: Any, text: str) -> None:
    control.post("charts", [json.loads(text)])


def delete(control: Any, path: str) -> None:
    request = urllib.request.Request(f"{control.url}/{path}", method="DELETE")
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert answer.status == 200


def touch(control: Any, connection: Any, patient: str) -> None:
    """A new observation of that patient."""
    control.post("charts", [{
        "resourceType": "Observation", "id": "brought-late", "status": "final", "code": {"text": "note"},
        "subject": {"reference": f"Patient/{patient}"},
    }])  # fmt: skip
