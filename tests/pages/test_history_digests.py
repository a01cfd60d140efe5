"""Pages kept ready: never out of date, never what somebody else wrote."""

from collections.abc import Callable
from datetime import timedelta

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from emr.models import Enrolment, Practice, TypeOutcome, User
from patients import histories
from patients.histories import digests
from patients.models import Assessment, Digest, Patient, PromptDismissal
from tests.conftest import signed_in
from tests.pages import charts

Change = Callable[[Patient, User], None]


@pytest.fixture
def person(practice_a: Practice) -> Patient:
    return charts.rich(practice_a)


def show(client: Client, person: Patient) -> str:
    answer = client.get(reverse("patients:history", args=[person.pk]))
    assert answer.status_code == 200
    return answer.content.decode()


def test_second_reader_finds_the_page_ready(alice: User, bob: User, person: Patient) -> None:
    first = show(signed_in(alice), person)
    made = Digest.objects.get()
    assert show(signed_in(bob), person).partition("<h1>")[2].count("<li") == first.partition("<h1>")[2].count("<li")
    assert Digest.objects.get().made_at == made.made_at


def _assess(person: Patient, user: User) -> None:
    Assessment.objects.create(
        practice=person.practice, patient=person, entered_by=user, date=timezone.localdate(), headache_days=3,
        origin="clinician",
    )  # fmt: skip


def _correct(person: Patient, user: User) -> None:
    _assess(person, user)
    newer = Assessment.objects.get().next_version(user)
    newer.headache_days, newer.why = 4, "misheard"
    newer.save()


def _dismiss(person: Patient, user: User) -> None:
    PromptDismissal.objects.create(
        practice=person.practice, patient=person, entered_by=user, prompt="01", version="1", fingerprint="f", why="seen"
    )


def _pull(person: Patient, user: User) -> None:
    Patient.objects.filter(pk=person.pk).update(projected_at=timezone.now() + timedelta(seconds=1))


def _add(person: Patient, user: User) -> None:
    charts.add(person, [charts.diagnosis("Asthma", code="J45.909")])


def _refuse(person: Patient, user: User) -> None:
    TypeOutcome.objects.filter(enrolment=Enrolment.objects.get(), resource_type="Condition").update(
        outcome="not-permitted"
    )


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_assess, id="numbers entered"),
        pytest.param(_correct, id="numbers corrected"),
        pytest.param(_dismiss, id="a prompt put aside"),
        pytest.param(_pull, id="projected again"),
        pytest.param(_add, id="an entry more"),
        pytest.param(_refuse, id="a type refused"),
    ],
)
def test_page_is_made_anew_after(alice: User, person: Patient, change: Change) -> None:
    client = signed_in(alice)
    show(client, person)
    stamp = Digest.objects.get().stamp
    change(person, alice)
    show(client, person)
    assert Digest.objects.get().stamp != stamp


def test_page_is_made_anew_on_the_practice_s_next_day(alice: User, person: Patient) -> None:
    stamps = []
    for moment in ("2026-11-22T03:10:00Z", "2026-11-22T04:50:00Z", "2026-11-22T05:10:00Z"):
        with time_machine.travel(moment, tick=False):
            show(signed_in(alice), person)
            stamps.append(Digest.objects.get().stamp)
    assert stamps[0] == stamps[1] != stamps[2]


def test_foreign_markup_in_the_table_is_never_shown(alice: User, person: Patient) -> None:
    client = signed_in(alice)
    show(client, person)
    ready = Digest.objects.get()
    for written in ("<script>alert(1)</script>", ready.sheet[:-1] + "x", ""):
        Digest.objects.update(sheet=written)
        assert "alert(1)" not in show(client, person)
        assert Digest.objects.get().sheet != written


def test_a_sheet_is_bound_to_its_patient(alice: User, person: Patient, practice_a: Practice) -> None:
    other = charts.patient(practice_a, "other", family="Other")
    charts.enrol(other)
    charts.add(other, [charts.diagnosis("Cluster headache, episodic", code="G44.019")])
    client = signed_in(alice)
    for each in (person, other):
        show(client, each)
    mine = Digest.objects.get(patient=person)
    Digest.objects.filter(patient=other).update(sheet=mine.sheet)
    page = show(client, other)
    assert "Cluster headache" in page
    assert "Topiramate" not in page


def test_refresh_makes_it_ready(alice: User, person: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    histories.refresh(Patient.objects.select_related("practice").get(pk=person.pk))

    def made_again(*args: object, **kwargs: object) -> None:
        raise AssertionError("the page was made again")

    monkeypatch.setattr(digests, "page", made_again)
    assert "Chronic migraine" in show(signed_in(alice), person)


def test_prompt_forms_carry_the_reader_s_own_token(alice: User, bob: User, person: Patient) -> None:
    """The alerts are no part of what is kept: their forms belong to one session."""
    charts.add(person, [charts.diagnosis("Coronary artery disease", "2020-01-02", code="I25.10",
                                         system="http://hl7.org/fhir/sid/icd-10-cm")])  # fmt: skip
    pages = [show(signed_in(user), person) for user in (alice, bob)]
    assert all("csrfmiddlewaretoken" in page.partition('id="alerts"')[2].partition("</section>")[0] for page in pages)
    assert (
        "csrfmiddlewaretoken"
        not in histories.history(
            Patient.objects.select_related("practice").get(pk=person.pk), today=timezone.localdate()
        ).sheet.body
    )
