"""Statements on trials: what the form accepts, and the one chain of versions for each drug of a patient."""

import re
from datetime import date
from typing import Any

import pytest
from django.urls import NoReverseMatch, reverse
from django.utils.text import slugify

from emr import audit
from emr.models import AuditEvent, User
from patients import entering
from patients.codes import table
from patients.models import Attestation, Patient
from tests.conftest import signed_in
from tests.entering import posts
from tests.entering.test_assessments import words

pytestmark = pytest.mark.usefixtures("now")


def address(person: Patient, about: str = "topiramate") -> str:
    return reverse("patients:attest", args=[person.pk, about])


def test_statement_is_saved_and_leads_to_the_history(alice: User, person: Patient) -> None:
    answer = signed_in(alice).post(address(person), posts.attestation(note="read from the referral"))
    assert answer.headers["Location"] == reverse("patients:history", args=[person.pk])
    row = Attestation.objects.get()
    assert (row.ingredient, row.drug_class, row.outcome) == ("topiramate", "", "partly-effective")
    assert (row.for_headache, row.target_dose, row.dose_reached) == ("yes", "yes", "100 mg daily")
    assert (row.stopped, row.stopped_words) == ("adverse-effect", "word finding")
    assert (row.started, row.started_precision, row.start_words) == (date(2017, 3, 1), "month", "Mar-2017")
    assert (row.ended, row.ended_precision, row.end_words) == (date(2018, 1, 1), "year", "2018")
    assert (row.entered_by, row.practice, row.patient) == (alice, person.practice, person)
    event = AuditEvent.objects.get(action=audit.Action.ATTESTATION)
    assert (event.user, event.patient_id, event.object_id) == (alice, person.pk, row.pk)


def test_the_outcome_and_the_origin_are_all_it_needs(alice: User, person: Patient) -> None:
    page = signed_in(alice).get(address(person)).content.decode()
    assert not re.search(r'name="outcome"[^>]*checked', page)
    least = {name: posts.attestation()[name] for name in ("submission", "outcome", "origin")}
    sent = least | {"for_headache": "unknown", "target_dose": "unknown", "stopped": "unknown"}
    assert signed_in(alice).post(address(person), sent).status_code == 302
    row = Attestation.objects.get()
    assert (row.started, row.ended, row.dose_reached, row.for_headache) == (None, None, "", "unknown")


@pytest.mark.parametrize(
    ("typed", "target", "said"),
    [
        pytest.param({"outcome": ""}, "id_outcome_0", "Choose one.", id="no outcome"),
        pytest.param({"outcome": "failure"}, "id_outcome_0", "Select a valid choice", id="unknown outcome"),
        pytest.param({"for_headache": ""}, "id_for_headache_0", "Choose one.", id="for headache left out"),
        pytest.param({"stopped": "bored"}, "id_stopped", "Select a valid choice", id="unknown reason"),
        pytest.param({"start_year": "17"}, "id_start_year", "from 1950 to 2100", id="two-digit year"),
        pytest.param({"start_year": "1899"}, "id_start_year", "from 1950 to 2100", id="sentinel year"),
        pytest.param({"start_year": ""}, "id_start_year", "Enter the year of that month.", id="month without year"),
        pytest.param({"start_month": "13"}, "id_start_month", "Select a valid choice", id="no such month"),
        pytest.param({"start_year": "2027", "end_year": ""}, "id_start_year", "in the future", id="starts next year"),
        pytest.param({"end_year": "2016"}, "id_end_year", "before the start", id="ends before it starts"),
        pytest.param(
            {"end_year": "2017", "end_month": "2"}, "id_end_year", "before the start", id="ends the month before"
        ),
        pytest.param({"dose_reached": "x" * 81}, "id_dose_reached", "at most 80", id="a long dose"),
    ],
)
def test_form_refuses(alice: User, person: Patient, typed: dict[str, str], target: str, said: str) -> None:
    page = signed_in(alice).post(address(person), posts.attestation(**typed)).content.decode()
    assert said in posts.errors(page)[target]
    assert f'id="{target}"' in page
    assert not Attestation.objects.exists()


@pytest.mark.parametrize(
    "typed",
    [
        pytest.param({"end_year": "2017"}, id="the year of the start: the month may be later"),
        pytest.param({"end_year": "2017", "end_month": "3"}, id="the month of the start"),
        pytest.param({"start_year": "2026", "start_month": "11", "end_year": ""}, id="this month"),
        pytest.param({"start_year": "", "start_month": "", "end_year": "2016"}, id="an end alone"),
    ],
)
def test_form_accepts_dates(alice: User, person: Patient, typed: dict[str, str]) -> None:
    answer = signed_in(alice).post(address(person), posts.attestation(**typed))
    assert answer.status_code == 302, posts.errors(answer.content.decode())


def test_second_statement_replaces_the_first(alice: User, bob: User, person: Patient) -> None:
    signed_in(alice).post(address(person), posts.attestation())
    first = Attestation.objects.get()
    page = signed_in(bob).get(address(person)).content.decode()
    assert 'name="start_year" value="2017"' in page
    assert '<option value="3" selected>March</option>' in page
    assert 'name="end_year" value="2018"' in page
    change = posts.attestation(outcome="not-tolerated", seen=str(first.pk), why="letter received")
    assert signed_in(bob).post(address(person), change).status_code == 302
    assert Attestation.objects.current().get().outcome == "not-tolerated"
    shown = words(signed_in(alice).get(address(person)).content.decode())
    assert "Replaced 21-Nov-2026 22:10 by Bob: letter received" in shown
    assert "Mar-2017 to 2018" in shown


def test_of_two_first_statements_the_second_is_told_and_may_follow(alice: User, bob: User, person: Patient) -> None:
    signed_in(alice).post(address(person), posts.attestation())
    first = Attestation.objects.get()
    slow = posts.attestation(outcome="effective")
    page = signed_in(bob).post(address(person), slow).content.decode()
    assert "newer version in the meantime" in posts.errors(page)[""]
    assert f'name="seen" value="{first.pk}"' in page  # having read it, he may replace it
    assert signed_in(bob).post(address(person), slow | {"seen": str(first.pk), "why": "asked again"}).status_code == 302
    assert Attestation.objects.current().get().outcome == "effective"


def test_statement_sent_twice_is_entered_once(alice: User, person: Patient) -> None:
    sent = posts.attestation()
    for _ in range(2):
        assert signed_in(alice).post(address(person), sent).status_code == 302
    assert Attestation.objects.count() == 1


def test_statement_can_be_taken_back(alice: User, person: Patient) -> None:
    signed_in(alice).post(address(person), posts.attestation())
    first = Attestation.objects.get()
    back = {"withdraw-submission": str(first.pk), "withdraw-seen": str(first.pk), "withdraw-why": "wrong drug"}
    assert signed_in(alice).post(address(person), back).status_code == 302
    assert not Attestation.objects.current().exists()
    page = signed_in(alice).get(address(person)).content.decode()
    assert "withdraw-why" not in page  # it is taken back already
    again = posts.attestation(seen=str(Attestation.objects.heads().get().pk), why="right after all")
    assert signed_in(alice).post(address(person), again).status_code == 302
    assert Attestation.objects.current().count() == 1


def test_each_drug_and_patient_has_its_own(alice: User, person: Patient) -> None:
    for about in ("topiramate", "propranolol", "class-beta-blocker"):
        assert signed_in(alice).post(address(person, about), posts.attestation()).status_code == 302
    found = set(Attestation.objects.current().values_list("ingredient", "drug_class"))
    assert found == {("topiramate", ""), ("propranolol", ""), ("", "beta-blocker")}


@pytest.mark.parametrize("about", ["aspirinn", "Topiramate", "class-", "class-unknown", "beta-blocker"])
def test_unknown_drug_is_not_found(alice: User, person: Patient, about: str) -> None:
    assert signed_in(alice).get(address(person, about)).status_code == 404


def test_every_ingredient_and_class_has_an_address_of_its_own(person: Patient) -> None:
    subjects = [entering.Subject(row["name"], "", "") for row in table("rxnorm_ingredients")]
    subjects += [entering.Subject("", row["class"], "") for row in table("medication_classes")]
    assert len({subject.slug for subject in subjects}) == len(subjects)
    for subject in subjects:
        found = entering.subject_of(subject.slug)
        assert found is not None
        assert (found.ingredient, found.drug_class) == (subject.ingredient, subject.drug_class)
        assert address(person, subject.slug)
    with pytest.raises(NoReverseMatch):
        address(person, "two words")


def test_butalbital_is_a_drug_and_a_class(alice: User, person: Patient) -> None:
    assert slugify("butalbital") == "butalbital"
    drug, group = (words(signed_in(alice).get(address(person, slug)).content.decode())
                   for slug in ("butalbital", "class-butalbital"))  # fmt: skip
    assert "Trial of butalbital Headache" in drug
    assert "Trial of Butalbital combination (class)" in group


def test_other_practices_state_nothing(charlie: User, person: Patient) -> None:
    assert signed_in(charlie).post(address(person), posts.attestation()).status_code == 404
    assert not Attestation.objects.exists()


def test_what_cannot_be_recorded_is_not_stated(alice: User, person: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise OSError("the audit trail cannot be written")

    client = signed_in(alice)
    client.raise_request_exception = False
    monkeypatch.setattr(audit.AuditEvent.objects, "create", refuse)
    assert client.post(address(person), posts.attestation()).status_code == 500
    assert not Attestation.objects.exists()
