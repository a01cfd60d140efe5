"""From stored resources and clinic entries to the summary that pages show."""

from collections.abc import Callable
from datetime import date
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from emr.models import Practice, User
from patients.absence import Completeness, TypeState
from patients.models import Assessment, Attestation, Entry, Patient
from patients.projection import rebuild
from patients.summaries import Summary, summarise, summary
from tests.projection.bodies import (
    ICD10,
    PATIENT,
    Body,
    allergy,
    coded,
    condition,
    encounter,
    observation,
    order,
    patient,
    pressure,
    procedure,
    put,
    report,
)

pytestmark = pytest.mark.django_db

TODAY = date(2026, 11, 21)


@pytest.fixture
def told(practice_a: Practice) -> Callable[..., Patient]:
    """Stores bodies for the patient of practice A and projects them."""

    def tell(*bodies: Body) -> Patient:
        for body in (patient(), *bodies):
            put(practice_a, body)
        rebuild(practice_a.pk, PATIENT)
        return Patient.objects.select_related("practice").get(practice=practice_a)

    return tell


def _source(resource_type: str, fhir_id: str) -> str:
    key = Entry.objects.filter(source__resource_type=resource_type, source__fhir_id=fhir_id).values_list("source_id")
    return str(key.distinct().get()[0])


def _assess(person: Patient, by: User, day: str, **answers: Any) -> Assessment:
    return Assessment.objects.create(
        practice=person.practice, patient=person, entered_by=by, date=day, origin="rooming", **answers
    )


TOPIRAMATE = {
    "medicationCodeableConcept": {"text": "Topiramate 50 mg tablet"},
    "authoredOn": "2024-01-10",
    "status": "completed",
    "dosageInstruction": [
        {
            "text": "1 tablet twice daily",
            "timing": {"repeat": {"frequency": 2, "period": 1, "periodUnit": "d"}},
            "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "tablet"}}],
        }
    ],
    "dispenseRequest": {"quantity": {"value": 60, "unit": "tablet"}, "numberOfRepeatsAllowed": 2},
}


@pytest.fixture
def whole(told: Callable[..., Patient], alice: User) -> Summary:
    """A chart with something for every part of the summary."""
    person = told(
        condition(),
        condition(
            "c2", code=coded(ICD10, "G43.009", "", "Migraine without aura"), recordedDate="2016-05-02",
            onsetDateTime="2009",
        ),
        condition("c3", code=coded(ICD10, "J45.909", "", "Asthma"), recordedDate="2012-01-01"),
        order("m1", authoredOn="2026-11-02"),
        order("m2", **TOPIRAMATE),
        order("m3", medicationCodeableConcept={"text": "Propranolol ER 80 mg capsule"}, authoredOn="2026-10-01"),
        allergy(),
        observation("o1", effectiveDateTime="2026-09-01", valueString="MIDAS 24 – severe"),
        pressure("o2", effectiveDateTime="2026-10-01"),
        encounter("e1", **{"class": {"code": "EMER"}}, period={"start": "2026-08-01T22:00:00-04:00"}),
        report(),
        procedure(performedDateTime="2026-10-15"),
    )  # fmt: skip
    _assess(person, alice, "2026-11-14", headache_days=12, migraine_days=9, acute_medication_days=8)
    Attestation.objects.create(
        practice=person.practice, patient=person, entered_by=alice, ingredient="topiramate", outcome="not-tolerated",
        stopped="adverse-effect", stopped_words="word finding", dose_reached="100 mg", target_dose="yes",
        for_headache="yes", origin="clinician",
    )  # fmt: skip
    return summary(person, TODAY)


def test_course_comes_from_conditions(whole: Summary) -> None:
    assert whole.course.headline is not None
    assert whole.course.headline.code == "G43.709"
    assert whole.course.onset == "2009"
    assert whole.course.first_recorded == "02-May-2016"
    assert [each.after.code for each in whole.course.transitions] == ["G43.709"]


def test_days_scores_and_their_sources(whole: Summary) -> None:
    count = whole.days.months[-1].count
    assert count is not None
    assert (count.headache, count.migraine, count.sources) == (12, 9, (f"assessment:{Assessment.objects.get().pk}",))
    assert whole.midas.latest is not None
    assert (whole.midas.latest.value, whole.midas.latest.source) == (24, _source("Observation", "o1"))


def test_trials_carry_what_staff_stated(whole: Summary) -> None:
    toxin, topiramate = (
        next(row for row in whole.trials.rows if row.ingredient == name)
        for name in ("onabotulinumtoxinA", "topiramate")
    )
    assert (topiramate.exposure, topiramate.documented_days, topiramate.dose_words) == (
        "documented",
        90,
        "100 mg a day",
    )
    assert topiramate.level == "B"
    assert topiramate.attestation is not None
    assert topiramate.attestation.reason == "Adverse effect: word finding"
    assert (topiramate.attestation.outcome_words, topiramate.attestation.by) == ("Not tolerated", "Alice")
    assert topiramate.sources == (_source("MedicationRequest", "m2"),)
    assert [row.ingredient for row in whole.preventive_now] == ["onabotulinumtoxinA"]
    assert toxin.sessions == ((date(2026, 10, 15), _source("Procedure", "p1")),)


def test_prompts_and_their_evidence(whole: Summary) -> None:
    asthma = next(prompt for prompt in whole.prompts if prompt.id == "18")
    assert asthma.evidence == (_source("MedicationRequest", "m3"), _source("Condition", "c3"))
    assert "Asthma (01-Jan-2012, diagnosis)" in asthma.text


def test_acute_exposure_reads_quantity_and_repeats(whole: Summary) -> None:
    (units,) = whole.exposure.months[-1].units
    assert (units.product_class, units.orders, units.level) == ("triptan", 1, "C")
    assert whole.exposure.reported[-1].days == 8


def test_allergies_comorbidities_imaging_and_visits(whole: Summary) -> None:
    assert [each.reactions for each in whole.allergies] == [("Paresthesia, Word finding (mild)",)]
    assert [each.key for each in whole.comorbidities] == ["asthma"]
    assert [(each.title, each.words) for each in whole.imaging] == [
        ("MRI BRAIN W/WO CONTRAST", "Normal MRI of the brain.")
    ]
    assert [each.source for each in whole.utilisation.emergency] == [_source("Encounter", "e1")]


def test_three_queries_whatever_the_size(told: Callable[..., Patient]) -> None:
    few = told(condition(), order())
    with CaptureQueriesContext(connection) as queries:
        summary(few, TODAY)
    assert len(queries) == 3
    many = told(*(order(f"m{number}", authoredOn=f"2026-01-{number + 1:02}") for number in range(30)))
    with CaptureQueriesContext(connection) as queries:
        summary(many, TODAY)
    assert len(queries) == 3


def test_empty_chart_has_a_summary(told: Callable[..., Patient]) -> None:
    found = summary(told(), TODAY)
    assert (found.prompts, found.red_flags.found, found.trials.rows, found.quality) == ((), (), (), ())
    assert found.course.headline is None


def test_copies_of_one_fact_are_read_once_and_counted(told: Callable[..., Patient]) -> None:
    found = summary(told(*(condition(f"c{number}") for number in range(5))), TODAY)
    assert len(found.record.conditions) == 1
    assert {each.key: each.count for each in found.quality if each.key == "duplicate"} == {"duplicate": 4}


def test_records_entered_in_error_are_counted_and_not_read(told: Callable[..., Patient], practice_a: Practice) -> None:
    told(condition())
    put(practice_a, condition("c2", code=coded(ICD10, "G44.029")), entered_in_error=True)
    put(practice_a, order("m9"), no_longer_sent_at=timezone.now())
    found = summary(told(), TODAY)
    assert [each.code for each in found.record.conditions] == ["G43.709"]
    assert {each.key: each.count for each in found.quality if each.key == "hidden"} == {"hidden": 2}


def test_ordinary_measures_stay_in_the_database(told: Callable[..., Patient]) -> None:
    person = told(
        observation("o1", code={"text": "Body weight"}, valueString="68"),
        observation("o2", effectiveDateTime="2010-01-01"),
        pressure("o3", effectiveDateTime="2020-01-01"),
        observation("o4", effectiveDateTime="2026-11-01"),
    )
    assert [each.group for each in summary(person, TODAY).record.measures] == ["midas"]


def test_other_patients_and_practices_stay_out(
    told: Callable[..., Patient], whole: Summary, practice_b: Practice, charlie: User
) -> None:
    for body in (patient(), condition("c9", code=coded(ICD10, "G44.029", "", "Chronic cluster"))):
        put(practice_b, body)
    rebuild(practice_b.pk, PATIENT)
    other = Patient.objects.select_related("practice").get(practice=practice_b)
    _assess(other, charlie, "2026-11-14", headache_days=30)
    found = summary(other, TODAY)
    assert [each.code for each in found.record.conditions] == ["G44.029"]
    assert [each.headache_days for each in found.record.assessments] == [30]
    assert found.record.attestations == ()
    assert all(each.code != "G44.029" for each in whole.record.conditions)


def test_only_the_current_version_of_an_entry_counts(told: Callable[..., Patient], alice: User) -> None:
    person = told()
    first = _assess(person, alice, "2026-11-14", headache_days=30)
    correction = first.next_version(alice)
    correction.headache_days, correction.why = 13, "misheard"
    correction.save()
    assert [each.headache for each in summary(person, TODAY).days.counts] == [13]
    gone = correction.next_version(alice)
    gone.withdrawn, gone.why = True, "another patient"
    gone.save()
    assert summary(person, TODAY).days.counts == ()


def test_items_become_totals(told: Callable[..., Patient], alice: User) -> None:
    person = told()
    midas = {f"midas_{number}": number for number in range(1, 6)}
    _assess(person, alice, "2026-11-01", **midas, hit6_1=13)
    _assess(person, alice, "2026-11-14", **dict.fromkeys([f"hit6_{number}" for number in range(1, 7)], 10))
    found = summary(person, TODAY)
    assert [(point.value, point.items) for point in found.midas.points] == [(15, (1, 2, 3, 4, 5))]
    assert [point.value for point in found.hit6.points] == [60]


def test_what_is_not_complete_is_a_finding(told: Callable[..., Patient]) -> None:
    missing = TypeState("Encounter", "not-permitted", "", 0, None, "", "", "EMR")
    there = TypeState("Condition", "complete", "", 3, None, "", "", "EMR")
    known = Completeness("", (), (), (missing, there), True)
    words = [each.words for each in summary(told(), TODAY, known).quality]
    assert words == [f"Visits: {missing.sentence}"]


def test_rules_alone_give_the_same(whole: Summary) -> None:
    assert summarise(whole.record, TODAY) == whole
