"""What the chart tells the pulls, and says of them: a look, a wish to refresh, and where the fetching stands."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from emr.models import Connection, Enrolment, Practice, Pull, User, WorkItem
from patients import listing
from patients.models import Listing, Patient
from tests.conftest import signed_in
from tests.pages import charts

pytestmark = pytest.mark.django_db


@pytest.fixture
def person(practice_a: Practice) -> Patient:
    made: Patient = charts.patient(practice_a, "p1")
    charts.enrol(made)
    listing.refresh(made)
    return made


@pytest.fixture
def enrolment(person: Patient) -> Enrolment:
    return Enrolment.objects.get(patient_fhir_id="p1")


def page(user: User, person: Patient) -> str:
    return signed_in(user).get(f"/patients/{person.pk}/").content.decode()


def test_whoever_is_looked_at_is_fetched_before_others(person: Patient, enrolment: Enrolment, alice: User) -> None:
    assert enrolment.viewed_at is None
    page(alice, person)
    enrolment.refresh_from_db()
    assert enrolment.viewed_at is not None


def test_a_stranger_looks_at_nobody(person: Patient, enrolment: Enrolment, charlie: User) -> None:
    assert signed_in(charlie).get(f"/patients/{person.pk}/").status_code == 404
    enrolment.refresh_from_db()
    assert enrolment.viewed_at is None


def queued(enrolment: Enrolment, **more: Any) -> None:
    pull = Pull.objects.create(connection=enrolment.connection, practice=enrolment.connection.practice)
    WorkItem.objects.create(pull=pull, enrolment=enrolment, **more)


def test_the_chart_says_where_the_fetching_stands(person: Patient, enrolment: Enrolment, alice: User) -> None:
    Enrolment.objects.update(pulled_at=None)
    assert "Not fetched yet." in page(alice, person)
    Enrolment.objects.update(pulled_at=timezone.now())
    html = page(alice, person)
    assert "Last fetched" in html
    assert f'action="/enrolments/{enrolment.pk}/refresh/"' in html
    queued(enrolment)
    assert "Asked for; waiting for its turn." in page(alice, person)
    WorkItem.objects.update(lease_until=timezone.now() + timedelta(seconds=30))
    html = page(alice, person)
    assert "Being fetched from the EMR now." in html
    assert "Refresh from the EMR" not in html


def test_refresh_asks_and_leads_back_to_the_chart(
    person: Patient, enrolment: Enrolment, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("emr.hints.publish", lambda *args: True)
    back = f"/patients/{person.pk}/"
    answer = signed_in(alice).post(f"/enrolments/{enrolment.pk}/refresh/", {"next": back})
    assert (answer.status_code, answer.headers["Location"]) == (302, back)
    enrolment.refresh_from_db()
    assert enrolment.asked_at is not None
    assert "Asked for; waiting for its turn." in page(alice, person)


@pytest.mark.parametrize(("minutes", "has_item", "said"), [(1, False, False), (60, True, False), (60, False, True)])
def test_a_wish_that_no_worker_has_seen_says_so(
    person: Patient, enrolment: Enrolment, alice: User, minutes: int, has_item: bool, said: bool
) -> None:
    Connection.objects.update(state=Connection.State.ACTIVE)
    Enrolment.objects.update(asked_at=timezone.now() - timedelta(minutes=minutes))
    if has_item:
        queued(enrolment)
    html = page(alice, person)
    assert ("no worker has been at it since" in html) == said
    assert ("Asked for; waiting for its turn." in html) != said


def test_without_a_connection_there_is_nothing_to_refresh(person: Patient, alice: User) -> None:
    Connection.objects.update(state=Connection.State.REVOKED)
    assert "Refresh from the EMR" not in page(alice, person)


def test_what_was_confirmed_for_many_is_fresh_in_the_list(person: Patient, enrolment: Enrolment) -> None:
    later = timezone.now() + timedelta(hours=1)
    enrolment.outcomes.filter(outcome="complete").update(confirmed_at=later)
    row = Listing.objects.get(patient=person)
    assert row.as_of < later
    listing.confirm(person.practice_id, ["p1", "nobody"])
    row.refresh_from_db()
    assert row.as_of == later
