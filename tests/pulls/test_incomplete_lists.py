"""Lists that came, but not whole: nothing on file is called gone for it, and what can still be had is had."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from emr.models import Quarantine, Resource, TypeOutcome
from emr.pulling import asking
from tests.pulls.conftest import work
from tests.pulls.odd_server import Asked, Said, bundle
from tests.pulls.test_paging import TYPE, Odd, entry, odd, of_path  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]
Outcome = TypeOutcome.Outcome

TWO = bundle([entry(1), entry(2)])
# c2 as it was before, and now as nobody can read it.
UNREADABLE = [
    ("a member twice", b'{"resourceType":"Condition","id":"c2","code":{"text":"x"},"code":{"text":"y"}}'),
    ("a number that is none", b'{"resourceType":"Condition","id":"c2","weight":NaN}'),
    ("no id", b'{"resourceType":"Condition","code":{"text":"x"}}'),
    ("no type", b'{"id":"c2","code":{"text":"x"}}'),
    ("no object", b'"c2"'),
]


def page_with(broken: bytes) -> bytes:
    return b'{"resourceType":"Bundle","type":"searchset","entry":[{"resource":%s},{"resource":%s}]}' % (
        b'{"resourceType":"Condition","id":"c1","subject":{"reference":"Patient/p1"},"code":{"text":"x"}}',
        broken,
    )


@pytest.mark.parametrize("path", ["patients", "population"])
@pytest.mark.parametrize("broken", [row[1] for row in UNREADABLE], ids=[row[0] for row in UNREADABLE])
def test_an_entry_that_cannot_be_read_makes_nothing_gone(odd: Odd, broken: bytes, path: str) -> None:  # noqa: F811
    connection, server = odd
    of_path(connection, path)
    page: list[Any] = [TWO]
    server.answer = lambda asked: Said(page[0]) if asked.path == TYPE else None
    work(connection)
    page[0] = page_with(broken)
    asking.request_pull(connection, "test")
    pull = work(connection)
    assert Quarantine.objects.count() == pull.quarantined == 1
    assert Resource.objects.get(fhir_id="c2").no_longer_sent_at is None
    assert pull.gone == 0
    # Whole again without it, it is gone.
    page[0] = bundle([entry(1)])
    asking.request_pull(connection, "test")
    assert work(connection).gone == 1
    assert Resource.objects.get(fhir_id="c2").no_longer_sent_at is not None


@pytest.mark.parametrize("status", [404, 410, 400])
def test_a_next_link_that_is_no_longer_held_is_begun_anew(odd: Odd, status: int) -> None:  # noqa: F811
    connection, server = odd
    of_path(connection, "patients")
    refused: list[int] = [status]

    def answer(asked: Asked) -> Said | None:
        if asked.path != TYPE:
            return None
        if "_mark" not in asked.query:
            links = [{"relation": "next", "url": f"{server.base}/{TYPE}?_mark=2"}]
            return Said(bundle([entry(1)], link=links))
        return Said({}, status=refused.pop()) if refused else Said(bundle([entry(2)]))

    server.answer = answer
    pull = work(connection)
    assert TypeOutcome.objects.get(resource_type=TYPE).outcome == Outcome.COMPLETE
    assert set(Resource.objects.filter(resource_type=TYPE).values_list("fhir_id", flat=True)) == {"c1", "c2"}
    assert pull.calls == len(connection.profile.plan) + 3


def test_a_next_link_that_is_never_held_is_said(odd: Odd) -> None:  # noqa: F811
    connection, server = odd
    of_path(connection, "patients")

    def answer(asked: Asked) -> Said | None:
        if asked.path != TYPE:
            return None
        links = [{"relation": "next", "url": f"{server.base}/{TYPE}?_mark=2"}]
        return Said({}, status=410) if "_mark" in asked.query else Said(bundle([entry(1)], link=links))

    server.answer = answer
    pull = work(connection)
    outcome = TypeOutcome.objects.get(resource_type=TYPE)
    assert (outcome.outcome, outcome.code) == (Outcome.NOT_FETCHED, "FHIR_404_RESOURCE")
    assert pull.calls <= len(connection.profile.plan) + 3


def test_a_server_that_sends_everybody_on_one_page_is_asked_patient_by_patient(odd: Odd) -> None:  # noqa: F811
    connection, server = odd
    of_path(connection, "population")
    many = bundle([entry(number) for number in range(2001)])

    def answer(asked: Asked) -> Said | None:
        if asked.path != TYPE:
            return None
        return Said(bundle([entry(1)]) if "patient" in asked.query else many)

    server.answer = answer
    work(connection)
    sweep = connection.sweeps.get(resource_type=TYPE)
    assert (sweep.works, sweep.code) == (False, "NET_TOO_LARGE")
    asking.request_pull(connection, "test")
    work(connection)
    assert TypeOutcome.objects.get(resource_type=TYPE).outcome == Outcome.COMPLETE
    assert Resource.objects.filter(resource_type=TYPE).count() == 1


@pytest.mark.parametrize("path", ["patients", "population"])
def test_people_who_come_along_unasked_are_nobodys(odd: Odd, path: str) -> None:  # noqa: F811
    connection, server = odd
    of_path(connection, path)
    person = {"resource": {"resourceType": "Practitioner", "id": "d1"}, "search": {"mode": "include"}}
    server.answer = lambda asked: Said(bundle([entry(1), person])) if asked.path == TYPE else None
    work(connection)
    assert Resource.objects.get(fhir_id="c1").patient_fhir_id == "p1"
    assert Resource.objects.get(fhir_id="d1").patient_fhir_id == ""
    assert not Quarantine.objects.exists()


def test_an_unreadable_entry_is_said_of_that_patients_list(odd: Odd) -> None:  # noqa: F811
    connection, server = odd
    of_path(connection, "patients")
    server.answer = lambda asked: Said(page_with(b'"c2"')) if asked.path == TYPE else None
    work(connection)
    row = TypeOutcome.objects.get(resource_type=TYPE)
    assert (row.outcome, row.code) == (Outcome.COMPLETE, "FHIR_BAD_RESOURCE")
    assert row.reason == "A record cannot be read (FHIR_BAD_RESOURCE)"
    assert set(TypeOutcome.objects.exclude(resource_type=TYPE).values_list("code", flat=True)) == {""}


def test_another_record_than_the_patients_own_makes_theirs_not_gone(odd: Odd) -> None:  # noqa: F811
    connection, server = odd
    of_path(connection, "patients")
    work(connection)
    assert Resource.objects.get(resource_type="Patient").fhir_id == "p1"
    # A server that answers with the record this one was merged into.
    server.answer = lambda asked: Said({"resourceType": "Patient", "id": "p9"}) if asked.path == "Patient/p1" else None
    asking.request_pull(connection, "test")
    pull = work(connection)
    assert (pull.gone, pull.quarantined) == (0, 1)
    assert Resource.objects.get(resource_type="Patient").no_longer_sent_at is None


@pytest.mark.parametrize("status", [400, 403, 404, 500])
def test_an_emr_without_appointments_leaves_those_of_the_schedule(odd: Odd, status: int) -> None:  # noqa: F811
    connection, server = odd
    of_path(connection, "patients")
    at = timezone.now() + timedelta(days=1)
    connection.enrolments.update(next_appointment_at=at)
    server.answer = lambda asked: Said({}, status) if asked.path == "Appointment" else None
    work(connection)
    assert TypeOutcome.objects.get(resource_type="Appointment").outcome != Outcome.COMPLETE
    assert connection.enrolments.get().next_appointment_at == at


def test_an_emr_that_lists_no_appointment_clears_it(odd: Odd) -> None:  # noqa: F811
    connection, _ = odd
    of_path(connection, "patients")
    connection.enrolments.update(next_appointment_at=timezone.now() + timedelta(days=1))
    work(connection)
    assert connection.enrolments.get().next_appointment_at is None


def test_a_server_that_always_warns_of_its_roster_is_still_asked_for_what_changed(odd: Odd) -> None:  # noqa: F811
    connection, server = odd
    of_path(connection, "population")
    warning = {"resourceType": "OperationOutcome", "issue": [{"severity": "warning", "code": "processing"}]}
    roster = bundle([{"resource": {"resourceType": "Patient", "id": "p1"}}, {"resource": warning}])
    found = [entry(1)]

    def answer(asked: Asked) -> Said | None:
        if asked.path == "Patient":
            return Said(roster)
        return Said(bundle(found)) if asked.path == TYPE else None

    server.answer = answer
    work(connection)
    assert Resource.objects.filter(resource_type=TYPE).count() == 1
    found.append(entry(2))
    connection.sweeps.update(next_at=timezone.now())
    work(connection)
    assert Resource.objects.filter(resource_type=TYPE).count() == 2
    assert TypeOutcome.objects.get(resource_type="Patient").outcome == Outcome.NOT_FETCHED
    assert TypeOutcome.objects.get(resource_type=TYPE).outcome == Outcome.COMPLETE


@pytest.mark.parametrize("subject", [{"reference": "https://inside.example/r4/Patient/p1"}, {"display": "Ann"}, None])
def test_lists_that_do_not_say_whose_a_record_is_are_asked_for_patient_by_patient(
    odd: Odd,  # noqa: F811
    subject: dict[str, str] | None,
) -> None:
    connection, server = odd
    of_path(connection, "population")
    records = [entry(1), entry(2)]
    for each in records:
        each["resource"]["subject"] = subject
    server.answer = lambda asked: Said(bundle(records)) if asked.path == TYPE else None
    work(connection)
    sweep = connection.sweeps.get(resource_type=TYPE)
    assert (sweep.works, sweep.reason) == (False, "no record of the list of all patients says whose it is")
    assert set(Resource.objects.filter(resource_type=TYPE).values_list("patient_fhir_id", flat=True)) == {"p1"}


def test_one_record_that_says_whose_it_is_keeps_the_list(odd: Odd) -> None:  # noqa: F811
    connection, server = odd
    of_path(connection, "population")
    strange = entry(2)
    strange["resource"]["subject"] = {"display": "Ann"}
    server.answer = lambda asked: Said(bundle([entry(1), strange])) if asked.path == TYPE else None
    work(connection)
    assert connection.sweeps.get(resource_type=TYPE).works
    assert Resource.objects.filter(resource_type=TYPE).count() == 1
    assert Quarantine.objects.count() == 1


def test_who_comes_soon_does_not_wait_for_a_list_of_everybody_that_goes_wrong(odd: Odd) -> None:  # noqa: F811
    connection, server = odd
    of_path(connection, "population")
    work(connection)
    server.answer = lambda asked: (
        None if asked.path != TYPE else Said(bundle([entry(1)])) if "patient" in asked.query else Said({}, 500)
    )
    connection.sweeps.filter(resource_type=TYPE).update(next_at=timezone.now())
    work(connection)
    assert TypeOutcome.objects.get(resource_type=TYPE).outcome == Outcome.NOT_FETCHED
    assert not Resource.objects.filter(resource_type=TYPE).exists()
    an_hour_ago = timezone.now() - timedelta(minutes=61)
    connection.enrolments.update(next_appointment_at=timezone.now() + timedelta(hours=3), pulled_at=an_hour_ago)
    pull = work(connection)
    assert pull.calls == 1
    assert TypeOutcome.objects.get(resource_type=TYPE).outcome == Outcome.COMPLETE
    assert Resource.objects.get(resource_type=TYPE).fhir_id == "c1"
