"""Patients of whom lists of all patients brought everything: told together, and nobody lost by it."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from emr import pulls, signals
from emr.models import Connection, Enrolment, Pull, Resource, Sweep, TypeOutcome, WorkItem
from emr.pulling import asking, population, together
from tests.emr.conftest import Control
from tests.pulls.conftest import ConnectGeneric, Killed, tick, work, work_through_deaths
from tests.pulls.test_population import again, calls, state

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]


@pytest.fixture
def heard() -> Iterator[list[str]]:
    """Patients told of, in order."""
    names: list[str] = []

    def note(patient_fhir_id: str, **_: Any) -> None:
        names.append(patient_fhir_id)

    signals.patient_pulled.connect(note)
    yield names
    signals.patient_pulled.disconnect(note)


def test_all_are_told_once_and_end_as_they_would_alone(
    connect_generic: ConnectGeneric, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, control = connect_generic(patients=6)
    assert work(connection).state == Pull.State.COMPLETE
    assert Counter(heard) == Counter(control.patient_ids)
    items = WorkItem.objects.filter(enrolment__isnull=False)
    assert set(items.values_list("state", "lease")) == {("done", None)}
    assert not Enrolment.objects.filter(untold=True).exists()
    assert not Enrolment.objects.filter(pulled_at=None).exists()
    together_state, spent = state(), calls(control)
    for model in (Pull, Enrolment, Resource, Sweep):
        model.objects.all().delete()
    monkeypatch.setattr(together, "tell", lambda item: False)
    work(connection)
    assert state() == together_state
    assert calls(control) == 2 * spent - 2  # token and discovery serve twice


def test_ungranted_types_are_noted_of_everybody(connect_generic: ConnectGeneric) -> None:
    connection, _ = connect_generic(scopes="system/Patient.rs system/Condition.rs", patients=4)
    work(connection)
    ended = TypeOutcome.objects.filter(resource_type="Observation").values_list("outcome", "reason")
    assert Counter(ended) == {("not-permitted", "the scope was not granted"): 4}
    assert WorkItem.objects.filter(enrolment__isnull=False, state="done").count() == 4


def test_who_refers_to_something_unread_goes_alone(
    connect_generic: ConnectGeneric, heard: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, control = connect_generic(patients=5)
    seen: list[tuple[int, int]] = []
    original = together._sorted

    def noted(*args: Any) -> Any:
        over, left = original(*args)
        seen.append((len(over), len(left)))
        return over, left

    monkeypatch.setattr(together, "_sorted", noted)
    pull = work(connection)
    assert pull.state == Pull.State.COMPLETE
    assert Resource.objects.filter(query__endswith="by reference").exists()
    assert sum(left for _, left in seen) >= 1
    assert Counter(heard) == Counter(control.patient_ids)
    again(connection)  # what was read is on file: nobody goes alone for it a second time
    assert not WorkItem.objects.filter(state="queued").exists()


def test_statements_do_not_grow_with_every_patient(connect_generic: ConnectGeneric) -> None:
    connect_generic(scopes="system/Patient.rs system/Condition.rs", patients=12)
    receivers, signals.patient_pulled.receivers = signals.patient_pulled.receivers, []
    try:
        while not WorkItem.objects.filter(enrolment__isnull=False, state="queued").exists():
            assert tick()
        item = WorkItem.objects.filter(enrolment__isnull=False).values_list("pk", flat=True)[0]
        with CaptureQueriesContext(database) as asked:
            pulls.run(item)
    finally:
        signals.patient_pulled.receivers = receivers
    assert WorkItem.objects.filter(enrolment__isnull=False, state="done").count() == 12
    assert len(asked) < 60


def test_whoever_stops_a_worker_stops_nobody_else(
    connect_generic: ConnectGeneric, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, control = connect_generic(scopes="system/Patient.rs system/Condition.rs", patients=5)
    victim = sorted(control.patient_ids)[2]

    def dies(patient_fhir_id: str, **_: Any) -> None:
        if patient_fhir_id == victim:
            raise Killed

    signals.patient_pulled.connect(dies)
    try:
        work_through_deaths()
    finally:
        signals.patient_pulled.disconnect(dies)
    ended = WorkItem.objects.filter(enrolment__isnull=False).values_list("enrolment__patient_fhir_id", "state")
    assert dict(ended) == {name: "failed" if name == victim else "done" for name in control.patient_ids}
    assert connection.pulls.get().state == Pull.State.INCOMPLETE


def test_a_lease_lost_while_telling_is_another_workers(
    connect_generic: ConnectGeneric, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, _ = connect_generic(scopes="system/Patient.rs system/Condition.rs", patients=3)
    taken: list[str] = []

    def takes_one(**_: Any) -> None:
        if not taken:
            item = WorkItem.objects.filter(enrolment__isnull=False, state="queued").first()
            assert item is not None
            assert item.enrolment is not None
            WorkItem.objects.filter(pk=item.pk).update(lease=control_lease)
            taken.append(item.enrolment.patient_fhir_id)

    control_lease = "00000000-0000-4000-8000-000000000000"
    while not WorkItem.objects.filter(enrolment__isnull=False, state="queued").exists():
        assert tick()
    signals.patient_pulled.connect(takes_one)
    try:
        pulls.run(WorkItem.objects.filter(enrolment__isnull=False).values_list("pk", flat=True)[0])
    finally:
        signals.patient_pulled.disconnect(takes_one)
    (left,) = WorkItem.objects.filter(state="queued")
    assert str(left.lease) == control_lease
    assert list(Enrolment.objects.filter(untold=True).values_list("patient_fhir_id", flat=True)) == taken
    assert connection.pulls.get().state == Pull.State.RUNNING


def test_everything_asked_for_before_the_path_was_known_comes_once(connect_generic: ConnectGeneric) -> None:
    """Staff press Pull before the probe has found the lists of all patients: they bring it, and nothing comes twice."""
    connection, control = connect_generic(patients=4)
    _enrol(connection, control)
    asking.request_pull(connection, "test")
    pull = work(connection)
    pages = sum(1 for _ in connection.sweeps.filter(works=True))
    read = Resource.objects.filter(query__endswith="by reference").count()
    assert pull.calls == 1 + len(population.paths.candidates(connection)) + pages + read


def _enrol(connection: Connection, control: Control) -> None:
    for name in control.patient_ids:
        Enrolment.objects.create(connection=connection, patient_fhir_id=name, known_by="list")
