"""Records that others only refer to: read once for the whole practice, and only where a page shows them."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from emr import schedule
from emr.models import Connection, ReferenceRead, Resource, TypeOutcome, WorkItem
from emr.pulling import asking, references
from emr.pulling.references import Claim
from tests.emr.conftest import Connect, Control
from tests.pulls.conftest import ConnectGeneric, enrol, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]

Outcome = TypeOutcome.Outcome


def one_patient(control: Control, *more: dict[str, Any]) -> None:
    control.post("charts", [{"resourceType": "Patient", "id": "p1"}, {"resourceType": "Patient", "id": "p2"}, *more])


def order(fhir_id: str, patient: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "MedicationRequest", "id": fhir_id, "intent": "order", "status": "active",
        "subject": {"reference": f"Patient/{patient}"}, "medicationReference": {"reference": "Medication/m1"},
    } | more  # fmt: skip


def asked(control: Control, kind: str) -> int:
    return sum(1 for served, *_ in control.get("ledger")["served"] if served == kind)


def items(connection: Connection) -> list[WorkItem]:
    schedule.open_pulls()
    return list(WorkItem.objects.filter(enrolment__isnull=False))


def test_two_items_that_need_one_record_make_one_call(connect: Connect) -> None:
    connection, _ = connect()
    one, two = uuid.uuid4(), uuid.uuid4()
    key = (connection, one, "Medication", "m1")
    assert references.claim(*key) == Claim(is_ours=True)
    assert references.claim(*key) == Claim(is_ours=True)  # the same worker again, after its death
    assert references.claim(connection, two, "Medication", "m1") == Claim()  # being read: wait
    ReferenceRead.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert references.claim(connection, two, "Medication", "m1") == Claim(is_ours=True)  # the first one died
    references.release(connection, two, "Medication", "m1")
    assert not ReferenceRead.objects.exists()


def test_an_item_waits_for_the_record_that_another_reads(connect: Connect) -> None:
    connection, control = connect()
    one_patient(control, {"resourceType": "Medication", "id": "m1"}, order("r1", "p1"), order("r2", "p2"))
    enrol(connection, control)
    ReferenceRead.objects.create(
        practice=connection.practice, resource_type="Medication", fhir_id="m1",
        by="0b7e2a52-9f0f-4c51-9a5c-1f7d1c3b2a11", until=timezone.now() + timedelta(seconds=60),
    )  # fmt: skip
    work(connection, rounds=8)
    assert WorkItem.objects.filter(state="queued").count() == 2
    assert asked(control, "Medication") == 0
    ReferenceRead.objects.all().delete()
    pull = work(connection)
    assert asked(control, "Medication") == 1
    assert pull.calls == 2 * len(connection.profile.plan) + 1
    assert set(TypeOutcome.objects.values_list("outcome", flat=True)) == {Outcome.COMPLETE}


def test_what_the_server_does_not_have_is_asked_for_once_by_all(connect: Connect) -> None:
    connection, control = connect()
    one_patient(control, order("r1", "p1"), order("r2", "p2"))
    enrol(connection, control)
    first = work(connection)
    assert first.calls == 2 * len(connection.profile.plan) + 1
    outcomes = TypeOutcome.objects.filter(resource_type="Medication")
    assert set(outcomes.values_list("outcome", "code")) == {(Outcome.NOT_FETCHED, "FHIR_404_RESOURCE")}
    asking.request_pull(connection, "test")
    assert work(connection).calls == 2 * len(connection.profile.plan)
    # A week later it may be there.
    ReferenceRead.objects.update(until=timezone.now() - timedelta(seconds=1))
    control.post("charts", [{"resourceType": "Medication", "id": "m1"}])
    asking.request_pull(connection, "test")
    assert work(connection).calls == 2 * len(connection.profile.plan) + 1
    assert set(outcomes.values_list("outcome", flat=True)) == {Outcome.COMPLETE}


def test_a_result_that_only_a_report_names_is_the_patients_and_stays(connect: Connect) -> None:
    connection, control = connect()
    result = {"resourceType": "Observation", "id": "x1", "subject": {"reference": "Patient/p1"}, "status": "final"}
    report = {
        "resourceType": "DiagnosticReport", "id": "d1", "subject": {"reference": "Patient/p1"}, "status": "final",
        "result": [{"reference": "Observation/x1"}],
    }  # fmt: skip
    one_patient(control, result, report)
    enrol(connection, control)
    work(connection)
    assert Resource.objects.get(fhir_id="x1").patient_fhir_id == "p1"
    asking.request_pull(connection, "test")
    pull = work(connection)
    assert pull.calls == 2 * len(connection.profile.plan)
    assert pull.gone == 0
    assert Resource.objects.get(fhir_id="x1").no_longer_sent_at is None


NAMES = [
    ("a requester without a name is read", {"requester": {"reference": "Practitioner/d1"}}, 1),
    ("one with a name is not", {"requester": {"reference": "Practitioner/d1", "display": "Dr. O"}}, 0),
    ("nobody shows a recorder", {"recorder": {"reference": "Practitioner/d1"}}, 0),
]


@pytest.mark.parametrize(("said", "calls"), [row[1:] for row in NAMES], ids=[row[0] for row in NAMES])
def test_people_are_read_where_a_page_shows_them(connect_generic: ConnectGeneric, said: Any, calls: int) -> None:
    connection, control = connect_generic()
    practitioner = {"resourceType": "Practitioner", "id": "d1", "name": [{"family": "Okonkwo"}]}
    one_patient(control, practitioner, {"resourceType": "Medication", "id": "m1"}, order("r1", "p1", **said))
    work(connection)
    assert Resource.objects.filter(resource_type="Practitioner").count() == calls
    assert Resource.objects.filter(resource_type="Medication", patient_fhir_id="").count() == 1
    assert not TypeOutcome.objects.filter(resource_type="Practitioner").exists()


def test_people_are_not_read_without_the_scope(connect: Connect) -> None:
    connection, control = connect()
    one_patient(control, order("r1", "p1", requester={"reference": "Practitioner/d1"}))
    enrol(connection, control)
    control.post("charts", [{"resourceType": "Practitioner", "id": "d1", "name": [{"family": "Okonkwo"}]}])
    assert "Practitioner" not in connection.registration.scopes
    work(connection)
    assert asked(control, "Practitioner") == 0
