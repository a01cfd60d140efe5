"""Appointment and DocumentReference bodies beside what staff should read."""

from datetime import date
from typing import Any

import pytest

from patients.projection import appointments, documents
from patients.projection.chart import Chart
from patients.projection.facts import Fact
from tests.projection.bodies import appointment, document, received


def booked(**elements: Any) -> list[Fact]:
    return list(appointments.read(received(appointment(**elements)), Chart()))


def filed(**elements: Any) -> list[Fact]:
    return list(documents.read(received(document(**elements)), Chart()))


def test_appointment_keeps_its_time_as_sent() -> None:
    (fact,) = booked()
    assert (fact.kind, fact.title, fact.status, fact.about_headache) == ("appointment", "HA f/u", "booked", True)
    assert (fact.dated.on, fact.dated.precision, fact.dated.meaning) == (date(2026, 11, 22), "time", "appointment")
    assert fact.detail == {
        "type": "Follow up",
        "reason": "Chronic migraine",
        "reason_class": "migraine/chronic",
        "at": "2026-11-22T01:30:00Z",
        "until": "2026-11-22T01:50:00Z",
        "minutes": "20",
        "people": "Okonkwo, Adaeze MD, Room 4",
    }


@pytest.mark.parametrize("status", ["noshow", "cancelled", "fulfilled", "proposed"])
def test_appointment_status_is_the_records(status: str) -> None:
    (fact,) = booked(status=status, cancelationReason={"text": "snow"})
    assert (fact.status, fact.detail["cancelled_because"]) == (status, "snow")


@pytest.mark.parametrize(
    ("elements", "title", "on"),
    [
        pytest.param({"description": None}, "Chronic migraine", date(2026, 11, 22), id="reason"),
        pytest.param({"description": None, "reasonCode": None}, "Follow up", date(2026, 11, 22), id="type"),
        pytest.param(
            {"description": None, "reasonCode": None, "appointmentType": None, "start": None},
            "Appointment",
            None,
            id="nothing",
        ),
        pytest.param(
            {"start": None, "requestedPeriod": [{"start": "2027-01-04"}]}, "HA f/u", date(2027, 1, 4), id="asked for"
        ),
    ],
)
def test_appointment_titles_and_dates(elements: dict[str, Any], title: str, on: date | None) -> None:
    (fact,) = booked(**elements)
    assert (fact.title, fact.dated.on) == (title, on)


def test_document_is_metadata_only() -> None:
    (fact,) = filed()
    assert (fact.kind, fact.title, fact.status) == ("document", "Discharge Summary", "current")
    assert (fact.dated.on, fact.dated.meaning) == (date(2024, 5, 7), "recorded")
    assert fact.detail == {
        "category": "Clinical Note",
        "author": "Front desk",
        "attachments": 1,
        "attached": "text/plain",
        "titles": "dc summary",
        "at": "2024-05-07T12:00:00Z",
    }


@pytest.mark.parametrize(
    "elements",
    [{"status": "superseded"}, {"status": "entered-in-error"}, {"docStatus": "entered-in-error"}],
    ids=["superseded", "in error", "its text in error"],
)
def test_document_hidden(elements: dict[str, Any]) -> None:
    assert filed(**elements) == []


def test_document_replaced_by_another() -> None:
    later = document("d2", relatesTo=[{"code": "replaces", "target": {"reference": "DocumentReference/d1"}}])
    gone = documents.replaced([received(document()), received(later)], "AAAAAA")
    assert gone == {"DocumentReference/d1"}
    assert list(documents.read(received(document()), Chart(replaced=gone))) == []
    assert len(list(documents.read(received(later), Chart(replaced=gone)))) == 1


def test_document_of_another_practice_replaces_nothing() -> None:
    target = {"reference": "http://fhir.example.com/fhir/r4/BBBBBB/DocumentReference/d1"}
    assert (
        documents.replaced([received(document("d2", relatesTo=[{"code": "replaces", "target": target}]))], "AAAAAA")
        == set()
    )
