"""The profile for servers that follow US Core: every page and table works for it and names no other vendor."""

from typing import Any

import pytest
from django.test import Client

from emr import letters, look_ups, profiles, roster, schedule
from emr.connecting import checklist, scopes_advice
from emr.demographics import Sought
from emr.models import ClientRegistration, Connection, Enrolment, Letter, Practice, Pull, Resource, Sweep, User
from emr.pulling import asking, queue
from emr.pulling.pace import NARROWEST, WIDEST, width
from tests.conftest import signed_in
from tests.emr.conftest import Connect
from tests.pulls.conftest import ConnectGeneric, tick, work

VENDORS = ("eclinicalworks", "healow", "ecw")


@pytest.fixture
def connection(practice_a: Practice) -> Connection:
    registration = ClientRegistration.objects.create(
        name="Backend app", client_id="ours", vendor_profile="generic",
        scopes=profiles.get("generic").default_scopes,
    )  # fmt: skip
    return Connection.objects.create(
        practice=practice_a, registration=registration, base_url="https://fhir.example.org/r4"
    )


@pytest.mark.django_db
def test_no_page_of_a_generic_connection_names_another_vendor(connection: Connection) -> None:
    root = User.objects.create_superuser("root@example.org", "correct horse battery")
    client: Client = signed_in(root)
    page = client.get(f"/admin/emr/connection/{connection.pk}/checklist/").content.decode().lower()
    told = checklist.of(connection)
    assert "activat" in page
    for text in (page, str(told).lower()):
        assert [name for name in VENDORS if name in text] == []


@pytest.mark.django_db
@pytest.mark.parametrize("kind", Letter.Kind.values)
def test_no_letter_names_another_vendor(connection: Connection, kind: str) -> None:
    letter = letters.write(connection, kind)
    assert [name for name in VENDORS if name in f"{letter.subject} {letter.body}".lower()] == []


@pytest.mark.django_db
def test_its_own_scopes_are_no_cause_for_advice(connection: Connection) -> None:
    words = connection.registration.scopes.split()
    assert [each.text for each in scopes_advice.advise(words, connection.profile, "backend-single")] == []
    assert scopes_advice.offered(connection.profile, "backend-single")


def test_every_type_of_the_population_path_is_one_of_the_plan() -> None:
    profile = profiles.get("generic")
    assert profile.population is not None
    assert profile.population.types[0] == "Patient"
    assert set(profile.population.types) <= set(profile.planned_types)
    assert profiles.get("ecw").population is None
    assert {"RS384", "ES384"} == set(profile.signing_algorithms)
    assert all("{patient}" not in str(query.parameters) for query in profile.population.queries)


def test_a_person_is_sought_by_account_number_or_name() -> None:
    profile = profiles.get("generic")
    known = Sought(family="Doe", given="", birth_date="1980-01-01")
    assert look_ups.parameters(known, profile) == {"family": "Doe", "birthdate": "1980-01-01"}
    assert look_ups.parameters(Sought(account_no="A-7"), profile) == {"identifier": "A-7"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("unlimited")
def test_patient_by_patient_the_medication_comes_along(connect_generic: ConnectGeneric) -> None:
    connection, control = connect_generic(patients=2, page_size=4)
    control.fault("population-refused", times=None)
    roster.enrol(connection, control.patient_ids, Enrolment.KnownBy.LIST)
    pull = work(connection)
    assert pull.state == Pull.State.COMPLETE
    drugs = Resource.objects.filter(resource_type="Medication")
    assert drugs.exists()
    assert not drugs.exclude(patient_fhir_id="").exists()
    assert not drugs.filter(query__endswith="by reference").exists()
    assert set(Sweep.objects.values_list("works", flat=True)) == {False}


WIDTHS = [
    ("before a call was measured", None, 250, 4),
    ("one stream fills the minute", 0.15, 250, 2),
    ("a slow server", 2.0, 250, 10),
    ("a very slow one", 60.0, 250, WIDEST),
    ("hardly any calls", 0.01, 5, NARROWEST),
]


@pytest.mark.parametrize(("seconds", "limit", "items"), [row[1:] for row in WIDTHS], ids=[row[0] for row in WIDTHS])
def test_so_many_items_as_fill_the_minute(
    seconds: float | None, limit: int, items: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = profiles.get("ecw")
    monkeypatch.setitem(vars(profile), "calls_per_window", limit)
    registration = ClientRegistration(vendor_profile="ecw")
    assert width(Pull(connection=Connection(registration=registration), call_seconds=seconds)) == items


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("unlimited")
def test_no_more_items_are_hinted_at_than_fill_the_minute(
    connect: Connect, published: list[tuple[Any, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, control = connect(patients=6, page_size=1000)
    roster.enrol(connection, control.patient_ids, Enrolment.KnownBy.LIST)
    monkeypatch.setattr("emr.pulling.pace.NARROWEST", 2)
    monkeypatch.setattr("emr.pulling.pace.WIDEST", 2)
    schedule.open_pulls()
    first = queue.waiting_items()
    assert len(first) == 2
    assert queue.waiting_items() == []  # two are under way
    published.clear()
    tick()
    # Whoever lets go of an item hints at the next, without a beat.
    assert [each for each in published if each[0] == "emr.tasks.run_item"]
    pull = work(connection)
    assert pull.state == Pull.State.COMPLETE
    assert 0 < (pull.call_seconds or 0) < 5
    asking.request_pull(connection, "test")
    schedule.open_pulls()
    assert connection.pulls.latest("started_at").call_seconds == pull.call_seconds
