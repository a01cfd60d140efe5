"""From Resource rows to Patient and Entry rows, against a real database."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from emr.models import Practice, Resource
from emr.signals import patient_pulled
from patients.models import Entry, Patient
from patients.projection import Changes, rebuild
from tests.projection.bodies import (
    PATIENT,
    allergy,
    condition,
    everything,
    medication,
    observation,
    order,
    patient,
    pressure,
    put,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def chart(practice_a: Practice) -> Practice:
    """Practice A with one patient's chart stored, not yet projected."""
    for body in everything():
        put(practice_a, body)
    return practice_a


def snapshot(rows: type[Model], *without: str) -> list[dict[str, Any]]:
    names = [each.attname for each in rows._meta.concrete_fields if each.attname not in without]
    found: list[dict[str, Any]] = list(rows._default_manager.values(*names))
    return sorted(found, key=str)


def statements(run: Callable[[], object]) -> list[str]:
    with CaptureQueriesContext(
        connection,
    ) as queries:
        run()
    return [query["sql"] for query in queries]


def writes(run: Callable[[], object]) -> list[str]:
    return [sql for sql in statements(run) if sql.startswith(("INSERT", "UPDATE", "DELETE"))]


def test_rebuild_writes_the_chart(chart: Practice) -> None:
    assert rebuild(chart.pk, PATIENT) == Changes(new=5)
    row = Patient.objects.get()
    assert (row.practice, row.fhir_id, row.family, row.account_no) == (chart, PATIENT, "Núñez", "9150")
    assert row.source == Resource.objects.get(resource_type="Patient")
    kinds = sorted(Entry.objects.values_list("kind", "title", "value_text"))
    assert kinds == [
        ("allergy", "Topiramate", ""),
        ("diagnosis", "Chronic migraine w/o aura", ""),
        ("measure", "Blood pressure panel", "128/82 mmHg"),
        ("measure", "MIDAS", "MIDAS 24 – severe"),
        ("treatment", "sumatriptan 50 MG Oral Tablet", ""),
    ]
    assert not Entry.objects.exclude(practice=chart, patient=row).exists()


def test_rebuild_again_writes_nothing(chart: Practice) -> None:
    rebuild(chart.pk, PATIENT)
    before = snapshot(Patient), snapshot(Entry)
    changes: list[Changes] = []
    assert writes(lambda: changes.append(rebuild(chart.pk, PATIENT))) == []
    assert changes == [Changes(same=5)]
    assert (snapshot(Patient), snapshot(Entry)) == before


def test_rebuild_needs_few_statements(chart: Practice) -> None:
    rebuild(chart.pk, PATIENT)
    # savepoint, patient, resources, bindings, entries, release
    assert len(statements(lambda: rebuild(chart.pk, PATIENT))) <= 6


def test_rebuild_updates_only_what_changed(chart: Practice) -> None:
    rebuild(chart.pk, PATIENT)
    before = {entry.source_id: entry for entry in Entry.objects.all()}
    projected_at = Patient.objects.get().projected_at
    changed = put(chart, order(status="stopped"))
    new = put(chart, condition("c2", code={"text": "Cluster headache"}))
    assert rebuild(chart.pk, PATIENT) == Changes(new=1, changed=1, same=4)
    entry = Entry.objects.get(source=changed)
    assert (entry.pk, entry.status) == (before[changed.pk].pk, "stopped")
    assert Entry.objects.get(source=new).group == "tac/cluster"
    assert Patient.objects.get().projected_at > projected_at


def test_rebuild_after_a_new_name_changes_only_the_patient(chart: Practice) -> None:
    rebuild(chart.pk, PATIENT)
    before = Patient.objects.get()
    put(chart, patient(name=[{"family": "Ortiz", "given": ["Zoë"]}]))
    assert rebuild(chart.pk, PATIENT) == Changes(same=5)
    after = Patient.objects.get()
    assert (after.pk, after.family, after.search_text) == (before.pk, "Ortiz", "ortiz zoe 9150 zoe ortiz")
    assert after.projected_at > before.projected_at


def test_rebuild_after_dropping_all_entries_gives_the_same(chart: Practice) -> None:
    rebuild(chart.pk, PATIENT)
    before = snapshot(Entry, "id")
    Entry.objects.all().delete()
    assert rebuild(chart.pk, PATIENT) == Changes(new=5)
    assert snapshot(Entry, "id") == before


@pytest.mark.parametrize(
    ("columns", "body"),
    [
        pytest.param({"entered_in_error": True}, allergy(), id="marked by the pull"),
        pytest.param({"no_longer_sent_at": timezone.now()}, allergy(), id="no longer sent"),
        pytest.param({}, allergy(verificationStatus={"coding": [{"code": "entered-in-error"}]}), id="body says so"),
        pytest.param({}, allergy(verificationStatus={"coding": [{"code": "refuted"}]}), id="refuted"),
    ],
)
def test_withdrawn_resources_leave_the_history(chart: Practice, columns: dict[str, Any], body: Any) -> None:
    rebuild(chart.pk, PATIENT)
    put(chart, body, **columns)
    assert rebuild(chart.pk, PATIENT) == Changes(gone=1, same=4)
    assert not Entry.objects.filter(kind="allergy").exists()
    # and they come back when the server takes it back
    put(chart, allergy(), entered_in_error=False, no_longer_sent_at=None)
    assert rebuild(chart.pk, PATIENT) == Changes(new=1, same=4)


def test_a_resource_with_fewer_values_loses_the_extra_entries(practice_a: Practice) -> None:
    row = put(practice_a, observation(valueString="MIDAS 24; HIT-6 64", code={"text": "Scores"}))
    assert rebuild(practice_a.pk, PATIENT) == Changes(new=2)
    put(practice_a, observation(valueString="MIDAS 24", code={"text": "Scores"}))
    assert rebuild(practice_a.pk, PATIENT).gone == 1
    assert Entry.objects.get().source == row


def test_patient_row_without_a_patient_resource(practice_a: Practice) -> None:
    put(practice_a, {"resourceType": "Immunization", "id": "i1"})
    assert rebuild(practice_a.pk, PATIENT) == Changes()
    row = Patient.objects.get()
    assert (row.fhir_id, row.family, row.source) == (PATIENT, "", None)


def test_patient_keeps_the_name_when_no_longer_sent(chart: Practice) -> None:
    rebuild(chart.pk, PATIENT)
    Resource.objects.update(no_longer_sent_at=timezone.now())
    assert rebuild(chart.pk, PATIENT) == Changes(gone=5)
    assert Patient.objects.get().family == "Núñez"


@pytest.mark.parametrize("fhir_id", ["stranger", ""])
def test_nobody_is_made_up(chart: Practice, fhir_id: str) -> None:
    put(chart, medication())  # about nobody: its patient id is blank
    assert rebuild(chart.pk, fhir_id) == Changes()
    assert not Patient.objects.exists()


def test_unreadable_body_is_no_obstacle(chart: Practice) -> None:
    row = put(chart, condition("c9"))
    Resource.objects.filter(pk=row.pk).update(body="{not JSON")
    rebuild(chart.pk, PATIENT)
    assert Entry.objects.count() == 6
    assert Entry.objects.get(source=row).title == "Not named in the record"


def ordered_by_reference(practice: Practice, reference: str) -> Entry:
    row = put(practice, order("m9", medicationCodeableConcept=None, medicationReference={"reference": reference}))
    rebuild(practice.pk, PATIENT)
    return Entry.objects.get(source=row)


def test_order_takes_its_drug_from_the_medication(practice_a: Practice) -> None:
    put(practice_a, medication())
    entry = ordered_by_reference(practice_a, "Medication/med1")
    assert (entry.title, entry.group) == ("Topamax 50 MG Tablet", "anticonvulsant")


def test_order_follows_its_medication(practice_a: Practice) -> None:
    entry = ordered_by_reference(practice_a, "Medication/med1")
    assert entry.title == "Not named in the record"
    put(practice_a, medication())
    assert rebuild(practice_a.pk, PATIENT) == Changes(changed=1)
    entry.refresh_from_db()
    assert entry.title == "Topamax 50 MG Tablet"


def test_order_never_takes_another_practices_medication(practice_a: Practice, practice_b: Practice) -> None:
    put(practice_b, medication())
    assert ordered_by_reference(practice_a, "Medication/med1").title == "Not named in the record"


def test_order_with_another_practices_code_in_its_reference(practice_a: Practice) -> None:
    put(practice_a, medication())
    entry = ordered_by_reference(practice_a, "http://fhir4.example.org/fhir/r4/BBBBBB/Medication/med1")
    assert entry.title == "Not named in the record"


def test_same_patient_id_in_two_practices_stays_apart(chart: Practice, practice_b: Practice) -> None:
    put(practice_b, pressure())
    rebuild(chart.pk, PATIENT)
    rebuild(practice_b.pk, PATIENT)
    assert Patient.objects.count() == 2
    (entry,) = Entry.objects.filter(patient__practice=practice_b)
    assert (entry.practice, entry.value_text) == (practice_b, "128/82 mmHg")
    assert Patient.objects.get(practice=practice_b).family == ""


def test_a_resource_that_moves_to_another_patient_takes_its_entry_along(chart: Practice) -> None:
    rebuild(chart.pk, PATIENT)
    row = put(chart, condition(), about="other")
    assert rebuild(chart.pk, "other").new == 1
    assert rebuild(chart.pk, PATIENT) == Changes(same=4)
    assert Entry.objects.get(source=row).patient.fhir_id == "other"


def test_values_survive_the_database(practice_a: Practice) -> None:
    put(practice_a, observation(code={"text": "x" * 400}, valueString="12.5", issued="y"))
    rebuild(practice_a.pk, PATIENT)
    entry = Entry.objects.get()
    assert str(entry.value) == "12.500000"
    assert len(entry.title) == 300
    assert entry.detail["full_title"] == "x" * 400


def test_pulled_patient_is_rebuilt(chart: Practice) -> None:
    patient_pulled.send(sender=None, practice_id=chart.pk, patient_fhir_id=PATIENT)
    assert Entry.objects.count() == 5


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time anyway")
def test_two_rebuilds_at_once_give_one_history(practice_a: Practice) -> None:
    for number in range(60):
        put(practice_a, condition(f"c{number}"))

    def run() -> Changes:
        try:
            return rebuild(practice_a.pk, PATIENT)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        changes = sum((each.result() for each in [pool.submit(run) for _ in range(8)]), Changes())
    assert changes == Changes(new=60, same=7 * 60)
    assert Patient.objects.count() == 1
    assert Entry.objects.count() == 60
