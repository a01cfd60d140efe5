"""Rows that are only added: chains of versions, what belongs together, and what the database itself refuses."""

from datetime import date
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from emr.models import Practice, User
from patients.models import Assessment, Attestation, DrugBinding, Patient, PromptDismissal
from patients.models.versions import Entered
from tests.pages import charts

PRINT = "ab" * 32


def assessment(person: Patient, by: User, **columns: Any) -> Assessment:
    said = {"date": charts.TODAY, "headache_days": 9, "origin": "clinician"}
    return Assessment(practice=person.practice, patient=person, entered_by=by, **(said | columns))


def attestation(person: Patient, by: User, **columns: Any) -> Attestation:
    said = {"ingredient": "topiramate", "outcome": "effective", "origin": "clinician"}
    return Attestation(practice=person.practice, patient=person, entered_by=by, **(said | columns))


def dismissal(person: Patient, by: User, **columns: Any) -> PromptDismissal:
    said = {"prompt": "09", "version": "1", "fingerprint": PRINT, "why": "known"}
    return PromptDismissal(practice=person.practice, patient=person, entered_by=by, **(said | columns))


def binding(person: Patient, by: User, **columns: Any) -> DrugBinding:
    said = {"text": "suma 50", "written": "SUMA 50", "ingredients": ["sumatriptan"]}
    return DrugBinding(practice=person.practice, entered_by=by, **(said | columns))


MAKERS = [assessment, attestation, dismissal, binding]


def corrected(row: Entered, by: User, **columns: Any) -> Any:
    new = row.next_version(by)
    for name, value in ({"why": "slip of the pen"} | columns).items():
        setattr(new, name, value)
    new.save()
    return new


@pytest.mark.parametrize("make", MAKERS)
def test_what_was_entered_is_never_changed_or_deleted(person: Patient, alice: User, make: Any) -> None:
    row = make(person, alice)
    row.save()
    rows = type(row).objects.filter(pk=row.pk)
    for change in (row.save, row.delete, rows.delete, lambda: rows.update(withdrawn=True)):
        with pytest.raises(TypeError, match="never"):
            change()
    assert rows.get().withdrawn is False


def test_corrections_form_a_chain_whose_head_is_current(person: Patient, alice: User, bob: User) -> None:
    first = assessment(person, alice)
    first.save()
    second = corrected(first, bob, headache_days=10)
    third = corrected(second, alice, headache_days=11)
    other = assessment(person, alice, date=date(2026, 8, 1))
    other.save()
    assert set(Assessment.objects.current()) == {third, other}
    stays = Assessment.objects.get(pk=first.pk)
    assert (stays.headache_days, stays.entered_by, stays.replaced_by.why) == (9, alice, "slip of the pen")
    assert Assessment.objects.get(pk=second.pk).replaced_by.entered_by == alice


def test_current_rows_cost_one_query(person: Patient, alice: User) -> None:
    for day in range(1, 9):
        first = assessment(person, alice, date=date(2026, 8, day))
        first.save()
        corrected(first, alice, headache_days=day)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        assert [row.headache_days for row in Assessment.objects.current().order_by("date")] == list(range(1, 9))
    assert len(queries) == 1


@pytest.mark.parametrize("make", MAKERS)
def test_what_is_taken_back_does_not_count_and_stays_readable(person: Patient, alice: User, make: Any) -> None:
    first = make(person, alice)
    first.save()
    back = corrected(first, alice, withdrawn=True)
    model = type(first)
    assert not model.objects.current().exists()
    assert set(model.objects.heads()) == {back}
    again = corrected(back, alice, withdrawn=False)
    assert set(model.objects.current()) == {again}
    assert model.objects.count() == 3


@pytest.mark.parametrize("make", MAKERS)
def test_one_version_is_replaced_once(person: Patient, alice: User, make: Any) -> None:
    first = make(person, alice)
    first.save()
    corrected(first, alice)
    with pytest.raises(IntegrityError), transaction.atomic():
        corrected(first, alice)


@pytest.mark.parametrize("make", [attestation, dismissal, binding])
def test_a_subject_has_one_chain(person: Patient, alice: User, make: Any) -> None:
    make(person, alice).save()
    with pytest.raises(IntegrityError), transaction.atomic():
        make(person, alice).save()


def test_other_subjects_have_their_own(person: Patient, practice_b: Practice, alice: User) -> None:
    elsewhere = charts.patient(practice_b)
    for patient in (person, elsewhere):
        attestation(patient, alice).save()
        attestation(patient, alice, ingredient="propranolol").save()
        attestation(patient, alice, ingredient="", drug_class="beta-blocker").save()
        dismissal(patient, alice).save()
        dismissal(patient, alice, fingerprint="cd" * 32).save()
        binding(patient, alice).save()
    assert Attestation.objects.current().count() == 6


@pytest.mark.parametrize("make", MAKERS)
def test_a_form_is_entered_once(person: Patient, alice: User, make: Any) -> None:
    first = make(person, alice)
    first.save()
    with pytest.raises(IntegrityError), transaction.atomic():
        corrected(first, alice, submission=first.submission)


@pytest.mark.parametrize("make", [assessment, attestation, dismissal])
def test_patient_and_practice_belong_together(person: Patient, practice_b: Practice, alice: User, make: Any) -> None:
    row = make(person, alice)
    row.practice = practice_b
    with pytest.raises(ValidationError, match="another practice"):
        row.save()
    assert not type(row).objects.exists()


@pytest.mark.parametrize(
    ("make", "other"),
    [
        pytest.param(assessment, {"patient": "another"}, id="assessment of another patient"),
        pytest.param(attestation, {"ingredient": "propranolol"}, id="statement on another drug"),
        pytest.param(dismissal, {"fingerprint": "cd" * 32}, id="other facts"),
        pytest.param(binding, {"text": "other text"}, id="another text"),
    ],
)
def test_a_correction_is_about_the_same(person: Patient, alice: User, make: Any, other: dict[str, Any]) -> None:
    first = make(person, alice)
    first.save()
    columns = {
        name: charts.patient(person.practice, "p2") if name == "patient" else told for name, told in other.items()
    }
    with pytest.raises(ValidationError, match="same thing"):
        corrected(first, alice, **columns)


def columns_of(name: str, *values: Any) -> list[Any]:
    return [pytest.param({name: value}, id=f"{name}={value}") for value in values]


@pytest.mark.parametrize(
    "columns",
    [
        *columns_of("headache_days", 31, -1),
        *columns_of("acute_medication_days", 31),
        *columns_of("diary_days", 31),
        *columns_of("migraine_days", 10),
        *columns_of("period_days", 0, 29, 365),
        *columns_of("midas_1", 93, -1),
        *columns_of("midas_5", 93),
        *columns_of("midas_a", 93),
        *columns_of("midas_b", 11),
        *columns_of("hit6_1", 0, 7, 12, 14),
        *columns_of("hit6_6", 9),
        *columns_of("origin", "", "guess"),
        pytest.param({"headache_days": None}, id="no answer at all"),
        pytest.param({"headache_days": None, "diary_days": 20}, id="a diary without any answer"),
    ],
)
def test_the_database_refuses_an_assessment(person: Patient, alice: User, columns: dict[str, Any]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Assessment.objects.bulk_create([assessment(person, alice, **columns)])


@pytest.mark.parametrize(
    "columns",
    [
        *columns_of("headache_days", 0, 30),
        *columns_of("midas_a", 0, 92),
        *columns_of("midas_b", 0, 10),
        *columns_of("hit6_3", 6, 8, 10, 11, 13),
        pytest.param({"period_days": 90, "headache_days": 90}, id="90 of 90 days"),
        pytest.param({"migraine_days": 9}, id="every headache day a migraine day"),
        pytest.param({"headache_days": None, "migraine_days": 4}, id="migraine days alone"),
        pytest.param({"headache_days": None, "four_hours": False}, id="a No is an answer"),
        pytest.param({"headache_days": None, "midas_3": 0}, id="a stated zero is an answer"),
    ],
)
def test_the_database_accepts_an_assessment(person: Patient, alice: User, columns: dict[str, Any]) -> None:
    Assessment.objects.bulk_create([assessment(person, alice, **columns)])
    name, value = next(iter(columns.items()))
    assert getattr(Assessment.objects.get(), name) == value


@pytest.mark.parametrize(
    ("make", "columns"),
    [
        pytest.param(attestation, {"ingredient": ""}, id="statement about nothing"),
        pytest.param(attestation, {"drug_class": "triptan"}, id="statement about two things"),
        pytest.param(attestation, {"outcome": "failure"}, id="unknown outcome"),
        pytest.param(attestation, {"stopped": "bored"}, id="unknown reason"),
        pytest.param(attestation, {"for_headache": ""}, id="for headache is yes, no or unknown"),
        pytest.param(attestation, {"target_dose": "maybe"}, id="target dose is yes, no or unknown"),
        pytest.param(dismissal, {"why": ""}, id="dismissal without a reason"),
        pytest.param(dismissal, {"fingerprint": ""}, id="dismissal without facts"),
        pytest.param(binding, {"text": ""}, id="binding without a text"),
    ],
)
def test_the_database_refuses(person: Patient, alice: User, make: Any, columns: dict[str, Any]) -> None:
    row = make(person, alice, **columns)
    with pytest.raises(IntegrityError), transaction.atomic():
        type(row).objects.bulk_create([row])


@pytest.mark.parametrize("make", [assessment, attestation])
def test_a_correction_has_a_reason(person: Patient, alice: User, make: Any) -> None:
    first = make(person, alice)
    first.save()
    with pytest.raises(IntegrityError), transaction.atomic():
        corrected(first, alice, why="")


def test_no_row_replaces_itself(person: Patient, alice: User) -> None:
    row = assessment(person, alice, why="loop")
    row.replaces_id = row.pk
    with pytest.raises(IntegrityError), transaction.atomic():
        Assessment.objects.bulk_create([row])


@pytest.mark.parametrize(
    ("columns", "born", "midas", "hit6"),
    [
        pytest.param({}, date(1989, 3, 7), ("", None), ("", None), id="nothing asked: no total, no grade"),
        pytest.param(
            {f"midas_{n}": 0 for n in range(1, 6)}, date(1989, 3, 7),
            ("Grade I: little or no disability", 0), ("", None), id="five stated zeros are grade I",
        ),
        pytest.param(
            {f"midas_{n}": 5 for n in range(1, 6)}, date(2008, 11, 21),
            ("Grade IV: severe disability", 25), ("", None), id="graded on the 18th birthday",
        ),
        pytest.param(
            {f"midas_{n}": 5 for n in range(1, 6)}, date(2008, 11, 22), ("", 25), ("", None),
            id="a day younger: a total, no grade",
        ),
        pytest.param(
            {f"midas_{n}": 5 for n in range(1, 6)}, None, ("Grade IV: severe disability", 25), ("", None),
            id="birth date not on file",
        ),
        pytest.param(
            {f"hit6_{n}": 11 for n in range(1, 7)}, date(2012, 1, 1), ("", None), ("Severe impact", 66),
            id="HIT-6 has the same bands at any age",
        ),
    ],
)  # fmt: skip
def test_totals_and_grades(
    practice_a: Practice, alice: User, columns: dict[str, int], born: date | None, midas: object, hit6: object
) -> None:
    row = assessment(charts.patient(practice_a, birth_date=born), alice, **columns)
    assert (row.midas_band, row.midas_total) == midas
    assert (row.hit6_band, row.hit6_total) == hit6


@pytest.mark.parametrize("make", MAKERS)
def test_no_row_names_a_patient_in_its_words(person: Patient, alice: User, make: Any) -> None:
    assert str(make(person, alice)).split()[-1].count("-") == 4  # the key, nothing else


def test_medication_text_is_not_in_a_bindings_words(person: Patient, alice: User) -> None:
    assert "suma" not in str(binding(person, alice)).lower()
