"""Which index SQLite takes for the entries of one patient: never the practice's, which holds all of its patients'."""

import pytest
from django.db import connection

from emr.models import Practice
from patients.models import Entry, Patient

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL plans by the statistics it keeps"),
]


@pytest.mark.parametrize(
    "wanted",
    [{}, {"kind": Entry.Kind.TREATMENT}, {"date__gte": "2026-01-01"}, {"kind": "visit", "date__gte": "2026-01-01"}],
    ids=["all", "of a kind", "since a day", "of a kind since a day"],
)
def test_entries_of_a_patient_are_found_by_patient(wanted: dict[str, str], practice_a: Practice) -> None:
    patient = Patient.objects.create(practice=practice_a, fhir_id="p1")
    plan = patient.entries.filter(practice_id=practice_a.pk, **wanted).order_by("date").explain()
    assert "entries_of_patient (patient_id=? AND practice_id=?" in plan
