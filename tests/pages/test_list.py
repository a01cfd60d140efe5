"""The list of patients: search that forgives, paging, who sees it, and what is left behind."""

from datetime import date

import pytest
import time_machine
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from emr.models import AuditEvent, Membership, Practice, User
from patients import listing, search
from patients.models import Listing, Patient
from patients.projection.patient import folded
from tests.conftest import signed_in
from tests.pages import charts


def address(practice: Practice) -> str:
    return reverse("patients:list", args=[practice.pk])


def names(client: Client, practice: Practice, typed: str, **more: str) -> list[str]:
    """Names found, as the fragment shows them."""
    response = client.post(address(practice), {"q": typed, **more}, headers={"HX-Request": "true"})
    assert response.status_code == 200
    return [patient.name for patient in response.context["page"].patients]


@pytest.fixture
def people(practice_a: Practice) -> list[Patient]:
    rows = [
        ("García López", "María José", date(1989, 3, 7), "9150"),
        ("Garrison", "Mark", date(1989, 7, 3), "2204"),
        ("O’Brien-Smith", "Siobhán", date(2005, 12, 25), "A-77"),
        ("Łukasz", "Ørsted", date(1905, 12, 25), ""),
        ("", "", None, ""),
    ]
    return [
        charts.patient(
            practice_a,
            f"p{number}",
            family=family,
            given=given,
            title="",
            birth_date=born,
            account_no=account,
            search_text=folded(f"{family} {given} {account}"),
        )
        for number, (family, given, born, account) in enumerate(rows)
    ]


MARIA, MARK, SIOBHAN, ORSTED = (
    "GARCÍA LÓPEZ, María José",
    "GARRISON, Mark",
    "O’BRIEN-SMITH, Siobhán",
    "ŁUKASZ, Ørsted",
)


@pytest.mark.parametrize(
    ("typed", "found"),
    [
        pytest.param("gar", [MARIA, MARK], id="part of a name"),
        pytest.param("jose garcia", [MARIA], id="any order, no accents"),
        pytest.param("MARÍA garc", [MARIA], id="accents and capitals"),
        pytest.param("Garcia, Maria", [MARIA], id="comma"),
        pytest.param("o'brien smith", [SIOBHAN], id="apostrophe and hyphen"),
        pytest.param("orsted lukasz", [ORSTED], id="letters without accents of their own"),
        pytest.param("9150", [MARIA], id="account number"),
        pytest.param("a77", [SIOBHAN], id="account number run together"),
        pytest.param("obrien", [SIOBHAN], id="name run together"),
        pytest.param("a-77", [SIOBHAN], id="account number with its hyphen"),
        pytest.param("1989-03-07", [MARIA], id="ISO date"),
        pytest.param("03/07/1989", [MARIA], id="US date"),
        pytest.param("3/7/89", [MARIA], id="short US date"),
        pytest.param("07-Mar-1989", [MARIA], id="our own form"),
        pytest.param("7 march 1989", [MARIA], id="month in full"),
        pytest.param("March 7, 1989", [MARIA], id="American long form"),
        pytest.param("mar7,89", [MARIA], id="month first, two digits"),
        pytest.param("12/25/05", [SIOBHAN, ORSTED], id="two-digit year of either century"),
        pytest.param("25/12/2005", [SIOBHAN], id="day first where no month could be"),
        pytest.param("gar 7/3/1989", [MARK], id="name and date"),
        pytest.param("02/31/1989", [], id="a day that never was"),
        pytest.param("garcia garrison", [], id="two people at once"),
        pytest.param("%", [MARIA, MARK, SIOBHAN, ORSTED, "Name not known"], id="no wildcard: nothing typed"),
        pytest.param("gar\0cia", [MARIA], id="null byte"),
        pytest.param("x" * 5000, [], id="far too long"),
    ],
)
def test_search_finds(alice: User, practice_a: Practice, people: list[Patient], typed: str, found: list[str]) -> None:
    assert sorted(names(signed_in(alice), practice_a, typed)) == sorted(found)


def test_first_page_is_by_name_and_the_rest_follows(alice: User, practice_a: Practice) -> None:
    listing.rename(
        Patient.objects.bulk_create(
            Patient(practice=practice_a, fhir_id=f"p{number}", family=f"F{number:03}") for number in range(120)
        )
    )
    client = signed_in(alice)
    first = client.get(address(practice_a)).context["page"]
    assert [each.name for each in first.patients] == [f"F{number:03}" for number in range(50)]
    assert first.more
    assert names(client, practice_a, "", page="3") == [f"F{number:03}" for number in range(100, 120)]
    assert names(client, practice_a, "", page="4") == []


@pytest.mark.parametrize("page", ["0", "-1", "x", "٣", "1e9", "", "999999999999"])
def test_absurd_page_number_shows_the_first(alice: User, practice_a: Practice, page: str) -> None:
    charts.patient(practice_a)
    assert names(signed_in(alice), practice_a, "", page=page) == ["GARCIA LOPEZ, María (Dr)"]


@time_machine.travel(charts.NOW, tick=False)
def test_row_shows_who_diagnoses_and_freshness(alice: User, practice_a: Practice) -> None:
    charts.rich(practice_a)
    page = signed_in(alice).get(address(practice_a)).content.decode()
    for shown in ("07-Mar-1989 (37y)", "Female", "9150", "Chronic migraine without aura", "21-Nov-2026 22:10"):
        assert shown in page
    assert page.count("Chronic migraine without aura") == 1  # six visits, one diagnosis


def test_missing_diagnoses_are_not_called_none(alice: User, practice_a: Practice) -> None:
    denied = charts.patient(practice_a, "denied")
    charts.enrol(denied, {"Condition": ("not-permitted", ""), "Observation": ("complete", "")})
    charts.enrol(charts.patient(practice_a, "healthy"))
    in_part = charts.patient(practice_a, "in part")
    charts.enrol(in_part, {"Condition": ("complete", "A record cannot be read")})
    charts.patient(practice_a, "new")
    found = search.page(Listing.objects.values_list("pk", flat=True), practice_a, 1, charts.TODAY).patients
    said = {Patient.objects.get(pk=each.id).fhir_id: (each.no_headaches, bool(each.as_of)) for each in found}
    assert said == {
        "denied": ("Diagnoses unavailable", True),
        "healthy": ("None on file", True),
        "in part": ("May be incomplete", True),
        "new": ("Diagnoses unavailable", False),
    }


def test_list_is_the_practice_s_own(alice: User, charlie: User, practice_a: Practice, practice_b: Practice) -> None:
    charts.patient(practice_a)
    assert signed_in(charlie).get(address(practice_a)).status_code == 404
    assert signed_in(charlie).post(address(practice_a), {"q": "gar"}).status_code == 404
    assert names(signed_in(charlie), practice_b, "gar") == []
    assert Client().get(address(practice_a)).status_code == 302


def test_home_leads_to_the_only_practice_or_offers_a_choice(
    alice: User, practice_a: Practice, practice_b: Practice
) -> None:
    client = signed_in(alice)
    assert client.get("/").headers["Location"] == address(practice_a)
    Membership.objects.create(user=alice, practice=practice_b)
    page = client.get("/").content.decode()
    for practice in (practice_a, practice_b):
        assert reverse("emr:switch", args=[practice.pk]) in page


def test_each_look_is_audited_without_what_was_typed(alice: User, practice_a: Practice) -> None:
    charts.patient(practice_a)
    client = signed_in(alice)
    client.get(address(practice_a))
    names(client, practice_a, "garcia 3/7/1989")
    events = AuditEvent.objects.filter(action="list-patients").order_by("at")
    assert [(each.action, each.user, each.practice, each.detail) for each in events] == [
        ("list-patients", alice, practice_a, "list, page 1, 1 shown"),
        ("list-patients", alice, practice_a, "search, page 1, 1 shown"),
    ]


def test_search_is_by_post_and_needs_its_token(alice: User, practice_a: Practice) -> None:
    charts.patient(practice_a)
    client = signed_in(alice)
    assert "GARCIA" in client.get(address(practice_a), {"q": "nobody"}).content.decode()
    strict = signed_in(alice, Client(enforce_csrf_checks=True))
    refused = strict.post(address(practice_a), {"q": "gar"}, headers={"HX-Request": "true"})
    assert refused.status_code == 403
    assert "out of date" in refused.content.decode()


def test_htmx_gets_the_fragment_and_others_the_page(alice: User, practice_a: Practice) -> None:
    client = signed_in(alice)
    fragment = client.post(address(practice_a), {"q": "x"}, headers={"HX-Request": "true"})
    whole = client.post(address(practice_a), {"q": "x"})
    assert "<html" not in fragment.content.decode()
    assert "<html" in whole.content.decode()
    assert 'value="x"' in whole.content.decode()
    assert "HX-Request" in whole.headers["Vary"]
    assert whole.headers["Cache-Control"] == "no-store"


def test_htmx_of_an_ended_session_is_sent_to_the_login(practice_a: Practice) -> None:
    answer = Client().post(address(practice_a), {"q": "x"}, headers={"HX-Request": "true"})
    assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, reverse("account_login"))


def test_queries_do_not_grow_with_the_list(alice: User, practice_a: Practice) -> None:
    client = signed_in(alice)
    counts = []
    for size in (1, 50):
        for number in range(size):
            person = charts.patient(practice_a, f"{size}-{number}")
            charts.enrol(person)
            charts.add(person, [charts.diagnosis("Migraine", "2024", about_headache=True)])
        with CaptureQueriesContext(connection) as queries:
            client.get(address(practice_a))
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 16


def test_list_and_search_read_no_body_and_count_nothing(alice: User, practice_a: Practice) -> None:
    charts.rich(practice_a)
    with CaptureQueriesContext(connection) as queries:
        names(signed_in(alice), practice_a, "gar")
    said = " ".join(query["sql"] for query in queries)
    assert '"body"' not in said
    assert "COUNT(" not in said
