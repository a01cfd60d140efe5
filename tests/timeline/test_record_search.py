"""Searching within a record: what is found, where, and that the words stay out of addresses and the audit."""

import json

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from emr.models import AuditEvent, Practice, Resource, User
from patients import record_search
from patients.models import Patient
from tests.conftest import signed_in
from tests.pages import charts


def keep(person: Patient, fhir_id: str, kind: str = "Observation", **body: object) -> Resource:
    return Resource.objects.create(
        practice=person.practice,
        resource_type=kind,
        fhir_id=fhir_id,
        patient_fhir_id=person.fhir_id,
        body=json.dumps({"resourceType": kind, "id": fhir_id} | body),
        content_hash=fhir_id,
        query="q",
        first_seen_at=charts.NOW,
        changed_at=charts.NOW,
    )


@pytest.fixture
def chart(practice_a: Practice) -> Patient:
    person = charts.patient(practice_a)
    charts.enrol(person)
    charts.add(
        person,
        [
            charts.order("Imitrex 50 mg", "2026-01-02", "acute", "sumatriptan", "Triptan", "1 tab at onset"),
            charts.diagnosis("Migraña crónica", "2024-05-05", code="G43.709"),
        ],
    )
    keep(person, "note", note=[{"text": "Worse with RED WINE, better in the dark"}], valueInteger=7341)
    keep(
        person, "div", text={"status": "generated", "div": "<div>Seen by <b>Dr</b> O&#39;Neil<script>x</script></div>"}
    )
    keep(person, "ref", subject={"reference": "Patient/zzunfindable"}, meta={"profile": ["http://zzunfindable"]})
    return person


def found(person: Patient, typed: str) -> list[tuple[str, list[str]]]:
    """(title, elements) of each hit."""
    hits = record_search.search(person, typed, today=charts.TODAY).hits
    return [(hit.title, [place.element for place in hit.places]) for hit in hits]


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        pytest.param("imitrex", [("Imitrex 50 mg", ["title"])], id="title"),
        pytest.param("SUMATRIPTAN", [("Imitrex 50 mg", ["ingredients"])], id="what the history made of a brand"),
        pytest.param("at onset", [("Imitrex 50 mg", ["sig", "ingredients"])], id="instructions"),
        pytest.param("g43.7", [("Migraña crónica", ["code"])], id="part of a code"),
        pytest.param("migrana cronica", [("Migraña crónica", ["title"])], id="no accents"),
        pytest.param("MIGRAÑA", [("Migraña crónica", ["title"])], id="accents and capitals"),
        pytest.param("red wine", [("Observation", ["note.text"])], id="a note nobody projected"),
        pytest.param("wine red", [("Observation", ["note.text"])], id="any order"),
        pytest.param("7341", [("Observation", ["valueInteger"])], id="a number"),
        pytest.param("o'neil", [("Observation", ["narrative"])], id="narrative as text"),
        pytest.param("wine sumatriptan", [], id="words of two records"),
        pytest.param("zzunfindable", [], id="addresses are no text"),
        pytest.param("resourceType", [], id="element names are no text"),
        pytest.param("   ", [], id="nothing typed"),
    ],
)
def test_search_finds(chart: Patient, typed: str, expected: list[tuple[str, list[str]]]) -> None:
    assert found(chart, typed) == expected


def test_match_is_shown_with_what_is_around(chart: Patient) -> None:
    (hit,) = record_search.search(chart, "wine", today=charts.TODAY).hits
    (place,) = hit.places
    assert (place.before, place.match, place.after) == ("Worse with RED ", "WINE", ", better in the dark")


def test_marks_tell_what_became_of_a_record(chart: Patient) -> None:
    Resource.objects.filter(fhir_id="note").update(entered_in_error=True, no_longer_sent_at=charts.NOW)
    (hit,) = record_search.search(chart, "wine", today=charts.TODAY).hits
    assert hit.marks == ("entered in error", "no longer sent by the EMR")


def test_only_this_patient_is_searched(chart: Patient, practice_a: Practice, practice_b: Practice) -> None:
    keep(charts.patient(practice_a, "p2"), "other", note=[{"text": "wine"}])
    keep(charts.patient(practice_b, "p1"), "elsewhere", note=[{"text": "wine"}])
    assert len(found(chart, "wine")) == 1


def test_too_many_are_cut_and_told(practice_a: Practice) -> None:
    person = charts.patient(practice_a)
    charts.add(person, [charts.measure("Heart rate", "2026-01-02", "70") for _ in range(record_search.MOST_HITS + 5)])
    search = record_search.search(person, "heart", today=charts.TODAY)
    assert (len(search.hits), search.more, search.cut) == (record_search.MOST_HITS, True, False)


def test_page_by_post_with_neutral_audit(alice: User, chart: Patient) -> None:
    client = signed_in(alice)
    url = reverse("patients:search-record", args=[chart.pk])
    page = client.post(url, {"q": "wine"})
    assert "<mark>WINE</mark>" in page.content.decode()
    assert "wine" not in client.get(url, {"q": "wine"}).content.decode().lower()
    events = AuditEvent.objects.filter(action="search-record").order_by("at")
    assert [(each.patient_id, each.detail) for each in events] == [(chart.pk, "1 found"), (chart.pk, "opened")]
    strict = signed_in(alice, Client(enforce_csrf_checks=True))
    assert strict.post(url, {"q": "wine"}).status_code == 403


def test_hostile_text_stays_text(alice: User, practice_a: Practice) -> None:
    person = charts.patient(practice_a)
    keep(person, "x", note=[{"text": 'wine <img src=x onerror="alert(1)"> </li>'}], title="<b>wine</b>")
    page = (
        signed_in(alice).post(reverse("patients:search-record", args=[person.pk]), {"q": "<img wine"}).content.decode()
    )
    assert "<img" not in page
    assert "&lt;img" in page


def test_unreadable_and_deep_bodies_do_not_break_it(practice_a: Practice) -> None:
    person = charts.patient(practice_a)
    keep(person, "fine", note=[{"text": "wine"}])
    broken = keep(person, "broken")
    for body in ("{", "wine", '{"a":' * 5000 + "1" + "}" * 5000):
        Resource.objects.filter(pk=broken.pk).update(body=body)
        assert len(found(person, "wine")) == 1


def test_search_takes_two_queries(chart: Patient) -> None:
    with CaptureQueriesContext(connection) as queries:
        record_search.search(chart, "wine", today=charts.TODAY)
    assert len(queries) == 2


def test_a_stranger_finds_nothing(charlie: User, chart: Patient) -> None:
    assert signed_in(charlie).post(reverse("patients:search-record", args=[chart.pk]), {"q": "wine"}).status_code == 404
