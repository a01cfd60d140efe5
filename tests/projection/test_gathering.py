"""What resources say about each other, against a real database."""

from datetime import date
from typing import Any

import pytest

from emr.models import Practice
from patients.models import Entry, Patient
from patients.projection import Changes, rebuild
from tests.projection.bodies import (
    PATIENT,
    answers,
    condition,
    document,
    encounter,
    everything,
    happenings,
    observation,
    patient,
    procedure,
    put,
    report,
)

pytestmark = pytest.mark.django_db

AT_VISIT = {"reference": "Encounter/e1"}


def entry(practice: Practice, body: dict[str, Any]) -> Entry:
    row = put(practice, body)
    rebuild(practice.pk, PATIENT)
    return Entry.objects.get(source=row)


def test_all_kinds_are_projected_once(practice_a: Practice) -> None:
    for body in [*everything(), *happenings()]:
        put(practice_a, body)
    assert rebuild(practice_a.pk, PATIENT) == Changes(new=11)
    assert set(Entry.objects.values_list("kind", flat=True)) == set(Entry.Kind.values)
    assert rebuild(practice_a.pk, PATIENT) == Changes(same=11)


def test_final_report_takes_the_place_of_its_draft(practice_a: Practice) -> None:
    draft = put(practice_a, report("draft", status="preliminary"))
    assert rebuild(practice_a.pk, PATIENT) == Changes(new=1)
    final = entry(practice_a, report("final"))
    assert not Entry.objects.filter(source=draft).exists()
    assert final.detail["stands_for"] == [{"status": "preliminary", "date": "2023-02-04"}]
    # and the draft is shown again when the final one is taken back
    put(practice_a, report("final", status="entered-in-error"), entered_in_error=True)
    assert rebuild(practice_a.pk, PATIENT) == Changes(new=1, gone=1)
    assert Entry.objects.get().source == draft


def test_undated_observation_is_dated_by_its_visit(practice_a: Practice) -> None:
    put(practice_a, encounter())
    found = entry(practice_a, observation(effectiveDateTime=None, encounter=AT_VISIT))
    assert (found.date, found.date_meaning, found.detail["encounter"]) == (date(2024, 5, 6), "visit", "e1")


def test_dated_observation_keeps_its_own_date(practice_a: Practice) -> None:
    put(practice_a, encounter())
    found = entry(practice_a, observation(effectiveDateTime="2024-05-01", encounter=AT_VISIT))
    assert (found.date, found.date_meaning) == (date(2024, 5, 1), "measured")


@pytest.mark.parametrize(
    "elements",
    [
        pytest.param({"status": "planned"}, id="planned"),
        pytest.param({"status": "cancelled"}, id="cancelled"),
        pytest.param({"period": None}, id="undated itself"),
    ],
)
def test_visit_that_gives_no_date(practice_a: Practice, elements: dict[str, Any]) -> None:
    put(practice_a, encounter(**elements))
    assert entry(practice_a, observation(effectiveDateTime=None, encounter=AT_VISIT)).date is None


def test_undated_procedure_is_not_dated_by_its_visit(practice_a: Practice) -> None:
    put(practice_a, encounter())
    found = entry(practice_a, procedure(status="not-done", performedDateTime=None, encounter=AT_VISIT))
    assert (found.date, found.detail["encounter"]) == (None, "e1")


@pytest.mark.parametrize(
    ("elements", "about"),
    [
        pytest.param({}, True, id="a headache recorded at the visit"),
        pytest.param({"code": {"text": "Acne"}}, False, id="another diagnosis"),
        pytest.param({"verificationStatus": {"coding": [{"code": "refuted"}]}}, False, id="refuted"),
        pytest.param({"encounter": {"reference": "Encounter/e9"}}, False, id="at another visit"),
    ],
)
def test_visit_by_the_diagnosis_recorded_at_it(practice_a: Practice, elements: dict[str, Any], about: bool) -> None:
    put(practice_a, condition(**({"encounter": AT_VISIT} | elements)))
    assert entry(practice_a, encounter(reasonCode=[{"text": "med check"}])).about_headache is about


def test_document_and_answers_know_their_visit(practice_a: Practice) -> None:
    filed = entry(practice_a, document(context={"encounter": [AT_VISIT]}))
    given = entry(practice_a, answers(encounter={"reference": "http://x.example.com/fhir/r4/AAAAAA/Encounter/e1"}))
    assert filed.detail["encounter"] == given.detail["encounter"] == "e1"


def test_visit_of_another_practice_is_none(practice_a: Practice) -> None:
    foreign = {"reference": "http://x.example.com/fhir/r4/BBBBBB/Encounter/e1"}
    assert "encounter" not in entry(practice_a, observation(encounter=foreign)).detail


def test_replaced_patient_names_the_other_record(practice_a: Practice) -> None:
    put(practice_a, patient(link=[{"other": {"reference": "Patient/new"}, "type": "replaced-by"}]))
    rebuild(practice_a.pk, PATIENT)
    row = Patient.objects.get()
    assert (row.replaced_by, row.see_also) == ("new", "")
    put(practice_a, patient())
    rebuild(practice_a.pk, PATIENT)
    row.refresh_from_db()
    assert row.replaced_by == ""
