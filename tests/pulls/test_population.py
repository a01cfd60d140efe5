"""All patients at once, where the server can: the probe, windows, what is gone, resuming, and the ways down."""

import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from emr import roster, schedule, signals, store
from emr.models import Connection, Enrolment, Pull, Quarantine, Resource, Sweep, SweptPage, TypeOutcome, WorkItem
from emr.pulling import asking, paths, population, probing, swept
from tests.emr.conftest import Control
from tests.pulls.conftest import ConnectGeneric, calls, tick, work, work_with_a_death

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]

Outcome = TypeOutcome.Outcome
# Windows of the probe: one that holds everybody, and an impossible one of each type.
PROBE = 1 + 10


def served(control: Control) -> set[tuple[str, str]]:
    return {(kind, fhir_id) for kind, fhir_id, _ in control.get("ledger")["served"]}


def on_file() -> set[tuple[str, str]]:
    return set(Resource.objects.values_list("resource_type", "fhir_id"))


def state() -> tuple[set[Any], set[Any]]:
    rows = Resource.objects.values_list("resource_type", "fhir_id", "patient_fhir_id", "content_hash")
    ended = TypeOutcome.objects.values_list("enrolment__patient_fhir_id", "resource_type", "outcome", "reason")
    return set(rows), set(ended)


def referred() -> int:
    """Records that nothing but a reference brought: a call each."""
    return Resource.objects.filter(query__endswith="by reference").count()


def small_pages(monkeypatch: pytest.MonkeyPatch, connection: Connection, count: int) -> None:
    profile = connection.profile
    assert profile.population is not None
    monkeypatch.setitem(vars(profile), "population", replace(profile.population, count=count))


def again(connection: Connection) -> Pull:
    """The next pass over all patients."""
    Sweep.objects.update(next_at=timezone.now())
    return work(connection)


def observation(fhir_id: str, patient: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Observation", "id": fhir_id, "status": "final", "code": {"text": "Pain score"},
        "subject": {"reference": f"Patient/{patient}"},
    } | more  # fmt: skip


def test_a_first_pull_finds_the_path_and_the_roster_and_brings_everything(connect_generic: ConnectGeneric) -> None:
    connection, control = connect_generic(patients=6)
    pull = work(connection)
    assert pull.state == Pull.State.COMPLETE
    choice = paths.choose(connection)
    assert (choice.path, len(choice.types)) == (paths.Path.POPULATION, 10)
    assert set(connection.enrolments.values_list("patient_fhir_id", "known_by")) == {
        (name, "population") for name in control.patient_ids
    }
    loaded = {(kind, fhir_id) for kind, fhir_id, *_ in control.get("charts")["resources"]}
    planned = {row for row in loaded if row[0] in {*connection.profile.planned_types}}
    assert planned <= on_file() == served(control)
    nobodys = set(Resource.objects.filter(patient_fhir_id="").values_list("resource_type", flat=True))
    assert nobodys == {"Medication", "Practitioner", "Location"}
    assert not Resource.objects.filter(resource_type__in=nobodys).exclude(patient_fhir_id="").exists()
    assert set(TypeOutcome.objects.values_list("outcome", flat=True)) == {Outcome.COMPLETE}
    assert TypeOutcome.objects.count() == 6 * 11
    assert not Enrolment.objects.filter(untold=True).exists()
    assert not SweptPage.objects.exists()


def test_it_costs_the_fewest_calls(connect_generic: ConnectGeneric) -> None:
    connection, control = connect_generic(patients=5)
    pull = work(connection)
    pages = sum(
        -(-Resource.objects.filter(resource_type=kind).count() // 500) for kind in paths.by_population(connection)
    )
    assert pull.calls == PROBE + pages + referred()
    assert calls(control) == pull.calls + 2  # one token, one discovery
    second = again(connection)
    assert second.calls == 10
    assert (second.new, second.changed, second.gone) == (0, 0, 0)


def test_a_server_that_passes_over_last_updated_is_found_out(connect_generic: ConnectGeneric) -> None:
    connection, control = connect_generic(patients=3)
    control.fault("ignored-parameter", times=None)
    roster.enrol(connection, control.patient_ids, Enrolment.KnownBy.LIST)
    pull = work(connection)
    assert paths.choose(connection).path == paths.Path.PATIENTS
    assert probing.IGNORES in Sweep.objects.get(resource_type="Patient").reason
    assert pull.state == Pull.State.COMPLETE
    assert pull.calls == 2 + 3 * len(connection.profile.plan) + referred()
    # Stored: no later pull asks again.
    asking.request_pull(connection, "test")
    assert work(connection).calls == 3 * len(connection.profile.plan)


def test_one_type_without_windows_is_asked_for_patient_by_patient(connect_generic: ConnectGeneric) -> None:
    connection, control = connect_generic(patients=3)
    control.fault("ignored-parameter", times=None, match={"type": "Observation"})
    pull = work(connection)
    assert "Observation" not in paths.by_population(connection)
    assert len(paths.by_population(connection)) == 9
    assert pull.state == Pull.State.COMPLETE
    assert Counter(Resource.objects.filter(resource_type="Observation").values_list("query", flat=True)).keys() == {
        next(query for query in connection.profile.plan if query.resource_type == "Observation").describe()
    }
    assert set(TypeOutcome.objects.values_list("outcome", flat=True)) == {Outcome.COMPLETE}


REFUSALS = [(403, "FHIR_403"), (400, "FHIR_REFUSED")]


@pytest.mark.parametrize(("status", "code"), REFUSALS)
def test_a_server_that_wants_a_patient_is_asked_patient_by_patient(
    connect_generic: ConnectGeneric, status: int, code: str
) -> None:
    connection, control = connect_generic(patients=2)
    control.fault("population-refused", times=None, status=status)
    roster.enrol(connection, control.patient_ids, Enrolment.KnownBy.LIST)
    pull = work(connection)
    assert pull.state == Pull.State.COMPLETE
    assert Sweep.objects.get(resource_type="Patient").code == code
    assert paths.choose(connection).because
    assert pull.calls == 1 + 2 * len(connection.profile.plan) + referred()


def test_an_outage_decides_nothing(connect_generic: ConnectGeneric) -> None:
    connection, control = connect_generic(patients=2)
    control.fault("500", times=3, match={"type": "Patient"})
    work(connection)
    assert paths.choose(connection).path == paths.Path.POPULATION
    assert connection.pulls.count() == 2  # the second found out


def test_a_type_refused_later_goes_down_with_its_reason(connect_generic: ConnectGeneric) -> None:
    connection, control = connect_generic(patients=3)
    work(connection)
    control.fault("population-refused", times=None, match={"type": "Condition"})
    pull = again(connection)
    row = Sweep.objects.get(resource_type="Condition")
    assert (row.works, row.code) == (False, "FHIR_403")
    assert "Condition" not in paths.by_population(connection)
    assert pull.state == Pull.State.COMPLETE
    # What is on file of it is as old as it was; its turn comes patient by patient.
    Enrolment.objects.update(due_at=timezone.now() - timedelta(minutes=1))
    TypeOutcome.objects.filter(resource_type="Condition").update(confirmed_at=timezone.now() - timedelta(days=3))
    before = work(connection).calls
    assert before == 3


def test_only_what_changed_is_asked_for_by_the_servers_clock(connect_generic: ConnectGeneric) -> None:
    connection, control = connect_generic(patients=4)
    control.post("clock", {"seconds": 40})
    someone = control.patient_ids[0]
    work(connection)
    since = Sweep.objects.get(resource_type="Observation").since
    assert since is not None
    assert 0 <= (timezone.now() - since).total_seconds() < 20  # a clock ahead of ours is not believed
    # What changed at the server a moment before the last pass began falls into the overlap.
    control.post("clock", {"seconds": 40 - 120})
    control.post("charts", [observation("late", someone)])
    control.post("clock", {"seconds": 40})
    told: list[tuple[str, bool]] = []

    def hear(*, patient_fhir_id: str, changed: bool, **_: Any) -> None:
        told.append((patient_fhir_id, changed))

    signals.patient_pulled.connect(hear)
    try:
        pull = again(connection)
    finally:
        signals.patient_pulled.disconnect(hear)
    assert (pull.new, pull.changed) == (1, 0)
    assert told == [(someone, True)]


def test_everybody_whose_records_are_unchanged_is_told_in_one(connect_generic: ConnectGeneric) -> None:
    connection, control = connect_generic(patients=4)
    work(connection)
    before = TypeOutcome.objects.get(
        enrolment__patient_fhir_id=control.patient_ids[0], resource_type="Condition"
    ).confirmed_at
    heard: list[list[str]] = []

    def hear(*, patient_fhir_ids: list[str], **_: Any) -> None:
        heard.append(sorted(patient_fhir_ids))

    signals.patients_confirmed.connect(hear)
    try:
        pull = again(connection)
    finally:
        signals.patients_confirmed.disconnect(hear)
    assert heard == [sorted(control.patient_ids)]
    assert pull.items.filter(enrolment__isnull=False).count() == 0
    confirmed = TypeOutcome.objects.filter(resource_type="Condition").values_list("confirmed_at", flat=True)
    assert before is not None
    assert all(at is not None and at > before for at in confirmed)


def test_gone_is_what_a_whole_pass_over_everything_did_not_send(connect_generic: ConnectGeneric) -> None:
    connection, control = connect_generic(patients=3)
    work(connection)
    lost = Resource.objects.filter(resource_type="Condition").first()
    assert lost is not None
    control.delete(f"charts/Condition/{lost.fhir_id}")
    assert again(connection).gone == 0  # a window shows nothing of what is not in it
    Sweep.objects.update(full_at=timezone.now() - timedelta(days=8))
    control.fault("operation-outcome-entry", match={"type": "Condition"})
    assert again(connection).gone == 0  # not whole
    assert set(TypeOutcome.objects.filter(resource_type="Condition").values_list("outcome", flat=True)) == {
        Outcome.NOT_FETCHED
    }
    assert again(connection).gone == 1
    lost.refresh_from_db()
    assert lost.no_longer_sent_at is not None


def test_who_is_new_at_the_server_is_enrolled_and_fetched_whole(connect_generic: ConnectGeneric) -> None:
    connection, control = connect_generic(patients=2)
    work(connection)
    control.post("clock", {"seconds": -86_400})
    control.post("charts", [observation("old", "newcomer", category=[{"coding": [{"code": "survey"}]}])])
    control.post("clock", {"seconds": 0})
    control.post("charts", [{"resourceType": "Patient", "id": "newcomer", "name": [{"family": "Newman"}]}])
    pull = again(connection)
    enrolment = Enrolment.objects.get(patient_fhir_id="newcomer")
    assert enrolment.known_by == "population"
    # Older than the window: one's own lists bring it.
    assert Resource.objects.get(fhir_id="old").patient_fhir_id == "newcomer"
    assert enrolment.outcomes.filter(outcome=Outcome.COMPLETE).count() == 11
    assert pull.state == Pull.State.COMPLETE


SUBJECTS = [
    ({"reference": "Patient/unlisted"}, "unlisted", ""),
    ({"reference": "https://elsewhere.example/fhir/Patient/x"}, None, "about a patient of another server"),
    ({"reference": "Group/g"}, None, "names no patient, and was asked for over all of them"),
    (None, None, "names no patient, and was asked for over all of them"),
]


@pytest.mark.parametrize(
    ("subject", "patient", "reason"), SUBJECTS, ids=["a patient no list names", "another server's", "a group", "nobody"]
)
def test_whose_a_record_is(connect_generic: ConnectGeneric, subject: Any, patient: str | None, reason: str) -> None:
    connection, control = connect_generic(patients=1)
    control.post("charts", [observation("odd", "x") | {"subject": subject}])
    work(connection)
    if patient is None:
        assert Quarantine.objects.get(fhir_id="odd").reason == reason
        assert not Resource.objects.filter(fhir_id="odd").exists()
        assert connection.enrolments.count() == 1
    else:
        assert Resource.objects.get(fhir_id="odd").patient_fhir_id == patient
        assert connection.enrolments.filter(patient_fhir_id=patient, known_by="population").exists()


POINTS = [
    (store, "keep_of_many", "before a page is stored"),
    (population.Sweeping, "_commit", "before a commit"),
    (probing.Probing, "_commit", "in the probe"),
    (probing.Probing, "_store", "before the probe's answer is stored"),
    (swept, "record", "before everybody's outcomes"),
    (swept, "advance", "before the window moves on"),
    (schedule, "add_items", "before the patients' items"),
    (signals.patient_pulled, "send", "before the histories are told"),
]


@pytest.mark.parametrize("nth", [1, 3])
@pytest.mark.parametrize(("place", "name", "when"), POINTS, ids=[when for _, _, when in POINTS])
def test_a_worker_killed_anywhere_leaves_no_trace(
    connect_generic: ConnectGeneric, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, when: str, nth: int
) -> None:
    connection, control = connect_generic(patients=2)
    small_pages(monkeypatch, connection, 60)
    undisturbed = work(connection)
    wanted = state()
    for model in (Resource, TypeOutcome, Pull, Enrolment, Sweep):
        model.objects.all().delete()
    before = calls(control)
    work_with_a_death(monkeypatch, place, name, nth)
    assert state() == wanted
    assert connection.pulls.latest("started_at").state == Pull.State.COMPLETE
    assert not WorkItem.objects.exclude(state=WorkItem.State.DONE).exists()
    assert calls(control) - before <= undisturbed.calls + 1


FAULTS = ["500", "truncated", "short-body", "reset", "not-json", "expire-tokens", "expired-link"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_on_a_later_page_loses_nothing(
    connect_generic: ConnectGeneric, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, control = connect_generic(patients=3)
    small_pages(monkeypatch, connection, 50)
    control.fault(fault, match={"type": "Observation", "nth": 4}, times=1)
    pull = work(connection)
    assert pull.state == Pull.State.COMPLETE
    loaded = {(kind, fhir_id) for kind, fhir_id, *_ in control.get("charts")["resources"]}
    assert {row for row in loaded if row[0] == "Observation"} <= on_file()
    assert Sweep.objects.get(resource_type="Observation").works


def test_a_page_too_heavy_for_the_server_is_asked_for_smaller(connect_generic: ConnectGeneric) -> None:
    connection, control = connect_generic(patients=3)
    control.fault("500", match={"path": "Observation?_count=500"}, times=None)
    pull = work(connection)
    assert pull.state == Pull.State.COMPLETE
    assert Resource.objects.filter(resource_type="Observation").exists()


def test_staff_who_wait_for_a_patient_are_served_beside_the_pass(connect_generic: ConnectGeneric, alice: Any) -> None:
    connection, control = connect_generic(patients=3)
    work(connection)
    someone = control.patient_ids[1]
    control.post("charts", [observation("fresh", someone, category=[{"coding": [{"code": "survey"}]}])])
    assert asking.refresh(connection.practice_id, someone, alice)
    pull = work(connection)
    assert Resource.objects.filter(fhir_id="fresh").exists()
    assert pull.calls == len(connection.profile.plan)


def test_an_admin_may_have_it_found_out_anew(connect_generic: ConnectGeneric) -> None:
    connection, control = connect_generic(patients=2)
    control.fault("population-refused", times=None)
    roster.enrol(connection, control.patient_ids, Enrolment.KnownBy.LIST)
    work(connection)
    assert paths.choose(connection).path == paths.Path.PATIENTS
    control.delete("faults")
    paths.forget(connection)
    work(connection)
    assert paths.choose(connection).path == paths.Path.POPULATION


def test_appointments_say_who_comes_next(connect_generic: ConnectGeneric) -> None:
    connection, control = connect_generic(patients=2)
    one, two = control.patient_ids
    soon, later = (timezone.now() + timedelta(days=days) for days in (2, 9))

    def booked(fhir_id: str, patient: str, at: Any, status: str = "booked") -> dict[str, Any]:
        actor = {"actor": {"reference": f"Patient/{patient}"}, "status": "accepted"}
        return {
            "resourceType": "Appointment", "id": fhir_id, "status": status, "start": at.isoformat(),
            "participant": [actor],
        }  # fmt: skip

    control.post("charts", [booked("a", one, later), booked("b", one, soon), booked("c", two, soon, "cancelled")])
    own = [row for row in control.get("charts")["resources"] if row[0] == "Appointment" and row[1] not in "abc"]
    for _, fhir_id, *_ in own:
        control.delete(f"charts/Appointment/{fhir_id}")
    work(connection)
    assert Resource.objects.get(fhir_id="b").patient_fhir_id == one
    when = dict(connection.enrolments.values_list("patient_fhir_id", "next_appointment_at"))
    assert when == {one: soon, two: None}
    control.post("charts", [booked("b", one, soon, "cancelled")])
    again(connection)
    assert connection.enrolments.get(patient_fhir_id=one).next_appointment_at == later


def test_json_of_the_cursor_stays_small(connect_generic: ConnectGeneric) -> None:
    connect_generic(patients=3)
    sizes: list[int] = []
    for _ in range(60):
        if not tick():
            break
        sizes += [len(json.dumps(cursor)) for cursor in WorkItem.objects.values_list("cursor", flat=True)]
    assert max(sizes) < 4000
