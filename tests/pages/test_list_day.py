"""The list on the day: the schedule, filters and sort with addresses, and the rows they are kept in."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
import time_machine
from django.core.management import call_command
from django.db import connection
from django.http import QueryDict
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from emr.models import AuditEvent, Enrolment, Practice, Resource, TypeOutcome, User
from emr.signals import patient_pulled
from patients import listing, search
from patients.models import Assessment, Entry, Listing, Patient, ScheduledVisit
from patients.models.listing import NEVER
from tests.conftest import signed_in
from tests.pages import charts

NOON = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)  # noon in New York


@pytest.fixture(autouse=True)
def on_the_day() -> Iterator[None]:
    with time_machine.travel(NOON, tick=False):
        yield


def address(practice: Practice, query: str = "") -> str:
    return reverse("patients:list", args=[practice.pk]) + (f"?{query}" if query else "")


def book(person: Patient, at: str, status: str = "booked", title: str = "Follow-up") -> Entry:
    """An appointment as the projection leaves it; at: the record's own spelling of its start."""
    number = Resource.objects.count()
    source = Resource.objects.create(
        practice=person.practice, resource_type="Appointment", fhir_id=f"a{number}", patient_fhir_id=person.fhir_id,
        body="{}", content_hash="0", query="q", first_seen_at=charts.NOW, changed_at=charts.NOW,
    )  # fmt: skip
    timed = "T" in at
    return Entry.objects.create(
        practice=person.practice, patient=person, source=source, kind=Entry.Kind.APPOINTMENT, title=title,
        date=date.fromisoformat(at[:10]), date_precision="time" if timed else "day", date_meaning="appointment",
        status=status, detail={"at": at} if timed else {}, fingerprint="0",
    )  # fmt: skip


def days(client: Client, practice: Practice) -> dict[str, list[tuple[str, str, bool]]]:
    """(time, name, off) by day."""
    schedule = client.get(address(practice)).context["schedule"]
    return {day.name: [(slot.at, slot.patient.name, slot.off) for slot in day.slots] for day in schedule.days}


def people(practice: Practice, *names: str) -> list[Patient]:
    made = [
        charts.patient(practice, name.lower(), family=name, given="", title="", search_text=name.lower())
        for name in names
    ]
    for person in made:
        charts.enrol(person, dict.fromkeys(["Appointment", "Condition"], ("complete", "")))
    return made


def test_schedule_of_today_and_tomorrow_on_the_practices_clock(alice: User, practice_a: Practice) -> None:
    ada, ben, cleo, dora = people(practice_a, "Ada", "Ben", "Cleo", "Dora")
    book(ada, "2026-11-21T14:30:00Z")  # 09:30 in New York
    book(ada, "2026-11-22T02:00:00Z")  # written as tomorrow, 21:00 today in New York
    book(ben, "2026-11-21T08:15:00-05:00", status="cancelled")
    book(cleo, "2026-11-22")
    book(dora, "2026-11-24T08:15:00-05:00")
    for person in (ada, ben, cleo, dora):
        listing.refresh(person)
    assert days(signed_in(alice), practice_a) == {
        "Today": [("08:15", "BEN", True), ("09:30", "ADA", False), ("21:00", "ADA", False)],
        "Tomorrow": [("", "CLEO", False)],
    }
    page = signed_in(alice).get(address(practice_a)).content.decode()
    assert "Sat 21-Nov-2026" in page
    assert page.index("Schedule</h2>") < page.index("All patients</h2>")


@pytest.mark.parametrize("status", ["cancelled", "noshow", "no-show"])
def test_what_is_off_says_so(alice: User, practice_a: Practice, status: str) -> None:
    (ada,) = people(practice_a, "Ada")
    book(ada, "2026-11-21T14:30:00Z", status=status)
    listing.refresh(ada)
    page = signed_in(alice).get(address(practice_a)).content.decode()
    assert f'<span class="tag bad">{status}</span>' in page


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        pytest.param("not-permitted", "No schedule: appointments are not granted to this connection.", id="denied"),
        pytest.param("not-supported", "No schedule: the EMR does not offer appointments here.", id="not offered"),
        pytest.param(
            None, "No schedule: appointments are not granted to this connection.", id="its profile knows none"
        ),
        pytest.param("complete", "No appointment among those on file.", id="none"),
    ],
)
def test_without_appointments_the_reason_is_told(
    alice: User, practice_a: Practice, outcome: str | None, said: str
) -> None:
    person = charts.patient(practice_a)
    charts.enrol(person, {"Appointment": (outcome, "")} if outcome else None)
    listing.refresh(person)
    assert said in signed_in(alice).get(address(practice_a)).content.decode()


def test_schedule_of_a_practice_without_a_connection(alice: User, practice_a: Practice) -> None:
    assert (
        "No schedule: appointments have not been fetched." in signed_in(alice).get(address(practice_a)).content.decode()
    )


def test_some_patients_without_appointments_are_told(alice: User, practice_a: Practice) -> None:
    (ada,) = people(practice_a, "Ada")
    denied = charts.patient(practice_a, "denied")
    charts.enrol(denied, {"Appointment": ("not-permitted", "")})
    for person in (ada, denied):
        listing.refresh(person)
    page = signed_in(alice).get(address(practice_a)).content.decode()
    assert "May be incomplete: appointments of some patients are not granted." in page


def test_appointments_that_came_in_part_are_told(alice: User, practice_a: Practice) -> None:
    person = charts.patient(practice_a)
    charts.enrol(person, {"Appointment": ("complete", "A record cannot be read")})
    listing.refresh(person)
    page = signed_in(alice).get(address(practice_a)).content.decode()
    assert "May be incomplete: appointments of some patients are only partly received." in page
    assert "No schedule" not in page


def test_schedule_gives_way_to_a_search_and_to_filters(alice: User, practice_a: Practice) -> None:
    client = signed_in(alice)
    for response in (client.post(address(practice_a), {"q": "ada"}), client.get(address(practice_a, "chronic=1"))):
        assert "Schedule</h2>" not in response.content.decode()


def test_schedule_is_the_practices_own(alice: User, charlie: User, practice_a: Practice, practice_b: Practice) -> None:
    (ada,) = people(practice_a, "Ada")
    book(ada, "2026-11-21T14:30:00Z")
    listing.refresh(ada)
    assert "ADA" not in signed_in(charlie).get(address(practice_b)).content.decode()
    assert "ADA" in signed_in(alice).get(address(practice_a)).content.decode()


def test_appointments_follow_the_record(practice_a: Practice) -> None:
    (ada,) = people(practice_a, "Ada")
    entry = book(ada, "2026-11-21T14:30:00Z")
    book(ada, "2026-11-10T14:30:00Z")  # long past
    listing.refresh(ada)
    (kept,) = ScheduledVisit.objects.all()
    listing.refresh(ada)
    assert ScheduledVisit.objects.get() == kept  # an unchanged one is not written again
    entry.status = "cancelled"
    entry.save()
    listing.refresh(ada)
    assert ScheduledVisit.objects.get().off
    entry.delete()
    listing.refresh(ada)
    assert not ScheduledVisit.objects.exists()


# --- filters

MIGRAINE = {"about_headache": True, "group": "migraine/without-aura"}
CHRONIC = {"about_headache": True, "group": "migraine/chronic", "detail": {"clinical": "active"}}
RESOLVED = {"about_headache": True, "group": "migraine/chronic", "detail": {"clinical": "resolved"}}


def triptan(on: str, quantity: str = "9", repeats: int = 5, **columns: object) -> dict[str, object]:
    detail = {"quantity": quantity, "repeats": repeats, "as_needed": True, "status": columns.get("status", "active")}
    return charts.order(
        "Sumatriptan 100 mg tablet", on, "acute", "sumatriptan", "Triptan", "1 prn", group="triptan", detail=detail
    )


def erenumab(on: str, status: str = "active") -> dict[str, object]:
    return charts.order(
        "Aimovig 140 mg", on, "preventive", "erenumab", "CGRP antibody", "monthly", group="cgrp-mab", status=status,
        detail={"status": status},
    )  # fmt: skip


def midas(on: str) -> dict[str, object]:
    return charts.scale("MIDAS", on, "24")


@pytest.mark.parametrize(
    ("query", "rows", "fits"),
    [
        pytest.param("family=migraine", [charts.diagnosis("M", "2024", **MIGRAINE)], True, id="family"),
        pytest.param("family=tac", [charts.diagnosis("M", "2024", **MIGRAINE)], False, id="another family"),
        pytest.param("family=migraine", [charts.diagnosis("Hypertension", "2024")], False, id="no headache"),
        pytest.param("chronic=1", [charts.diagnosis("M", "2024", **CHRONIC)], True, id="chronic"),
        pytest.param("chronic=1", [charts.diagnosis("M", "2024", **RESOLVED)], False, id="chronic, resolved"),
        pytest.param("chronic=1", [charts.diagnosis("M", "2024", **MIGRAINE)], False, id="not chronic"),
        pytest.param("cgrp=1", [erenumab("2026-03-01")], True, id="active CGRP order"),
        pytest.param("cgrp=1", [erenumab("2026-03-01", "stopped")], False, id="stopped CGRP order"),
        pytest.param("cgrp=1", [erenumab("2024-03-01")], False, id="active for years: lapsed"),
        pytest.param("cgrp=1", [triptan("2026-10-01")], False, id="another drug"),
        pytest.param("exposure=1", [triptan("2026-10-01")], True, id="54 tablets in 90 days"),
        pytest.param("exposure=1", [triptan("2026-10-01", repeats=0)], False, id="9 tablets in 90 days"),
        pytest.param("exposure=1", [triptan("2026-10-01", "30", 0)], True, id="30 tablets: on the line"),
        pytest.param("exposure=1", [triptan("2026-10-01", "29", 0)], False, id="29 tablets: below the line"),
        pytest.param("exposure=1", [triptan("2026-05-01")], False, id="before the last 90 days"),
        pytest.param("exposure=1", [triptan("2027-01-01")], False, id="dated ahead"),
        pytest.param("no-midas=1", [midas("2026-11-01")], False, id="MIDAS this month"),
        pytest.param("no-midas=1", [midas("2026-08-22")], True, id="MIDAS 91 days ago"),
        pytest.param("no-midas=1", [midas("2026-08-23")], False, id="MIDAS 90 days ago"),
        pytest.param("no-midas=1", [midas("2027-08-23")], True, id="MIDAS dated ahead"),
        pytest.param("no-midas=1", [], True, id="never a MIDAS"),
        pytest.param("chronic=1&cgrp=1", [erenumab("2026-03-01")], False, id="both are asked"),
        pytest.param(
            "chronic=1&cgrp=1", [erenumab("2026-03-01"), charts.diagnosis("M", "2024", **CHRONIC)], True, id="both fit"
        ),
        pytest.param("family=nonsense&chronic=yes&x=1", [], True, id="no choice of ours"),
    ],
)
def test_filters(alice: User, practice_a: Practice, query: str, rows: list[dict[str, object]], fits: bool) -> None:
    person = charts.patient(practice_a)
    charts.add(person, rows)
    listing.refresh(person)
    assert len(signed_in(alice).get(address(practice_a, query)).context["page"].patients) == fits


def test_exposure_ends_by_itself(alice: User, practice_a: Practice) -> None:
    person = charts.patient(practice_a)
    charts.add(person, [triptan("2026-10-01")])
    listing.refresh(person)
    last = date(2026, 10, 1) + timedelta(listing.WINDOW - 1)
    assert Listing.objects.get().exposed_until == last
    for day, fits in ((last, 1), (last + timedelta(1), 0)):
        with time_machine.travel(datetime(day.year, day.month, day.day, 17, tzinfo=UTC), tick=False):
            assert len(signed_in(alice).get(address(practice_a, "exposure=1")).context["page"].patients) == fits


@pytest.mark.parametrize(("days_ago", "stale"), [(0, False), (6, False), (8, True), (None, True)])
def test_not_fresh(alice: User, practice_a: Practice, days_ago: int | None, stale: bool) -> None:
    person = charts.patient(practice_a)
    enrolment = charts.enrol(person)
    moment = NOON - timedelta(days_ago) if days_ago is not None else None
    enrolment.outcomes.update(confirmed_at=moment)
    listing.refresh(person)
    assert bool(signed_in(alice).get(address(practice_a, "stale=1")).context["page"].patients) is stale


def test_as_of_is_that_of_the_history_page(alice: User, practice_a: Practice) -> None:
    person = charts.patient(practice_a)
    enrolment = charts.enrol(person)
    enrolment.outcomes.filter(resource_type="Condition").update(confirmed_at=NOON - timedelta(9))
    listing.refresh(person)
    (found,) = signed_in(alice).get(address(practice_a)).context["page"].patients
    assert (found.as_of, found.stale) == ("12-Nov-2026 12:00", True)
    assert found.as_of in signed_in(alice).get(reverse("patients:history", args=[person.pk])).content.decode()


def names(client: Client, practice: Practice, query: str) -> list[str]:
    return [each.name for each in client.get(address(practice, query)).context["page"].patients]


def test_sorts(alice: User, practice_a: Practice) -> None:
    ada, ben, cleo, dora = people(practice_a, "Ada", "Ben", "Cleo", "Dora")
    book(ada, "2026-12-24T14:30:00Z")
    book(ada, "2026-11-20T14:30:00Z")  # over
    book(cleo, "2026-11-23T14:30:00Z")
    book(cleo, "2026-11-30T14:30:00Z")
    book(dora, "2026-11-21T14:30:00Z", status="cancelled")
    for person, age in ((ada, 3), (ben, 9), (cleo, 1), (dora, 5)):
        charts.connection(practice_a).enrolments.get(patient_fhir_id=person.fhir_id).outcomes.update(
            confirmed_at=NOON - timedelta(age)
        )
        listing.refresh(person)
    client = signed_in(alice)
    assert names(client, practice_a, "") == ["ADA", "BEN", "CLEO", "DORA"]
    assert names(client, practice_a, "sort=as-of") == ["BEN", "DORA", "ADA", "CLEO"]
    assert names(client, practice_a, "sort=appointment") == ["CLEO", "ADA"]
    assert names(client, practice_a, "sort=nonsense") == ["ADA", "BEN", "CLEO", "DORA"]
    assert "only those with one on file" in client.get(address(practice_a, "sort=appointment")).content.decode()


def test_search_within_filters_keeps_both(alice: User, practice_a: Practice) -> None:
    ada, adam = people(practice_a, "Ada", "Adam")
    charts.add(ada, [charts.diagnosis("M", "2024", **CHRONIC)])
    for person in (ada, adam):
        listing.refresh(person)
    found = signed_in(alice).post(address(practice_a, "chronic=1"), {"q": "ada"})
    assert [each.name for each in found.context["page"].patients] == ["ADA"]
    assert 'action="' + address(practice_a, "chronic=1") + '"' in found.content.decode()
    event = AuditEvent.objects.get(action="list-patients")
    assert event.detail == "search (chronic=1), page 1, 1 shown"


@pytest.mark.parametrize(
    "query", ["", "family=tac", "chronic=1&cgrp=1", "family=migraine&no-midas=1&sort=as-of", "sort=appointment"]
)
def test_choice_and_its_query_say_the_same(query: str) -> None:
    assert search.Choice.read(QueryDict(query)).query == query


def test_pages_of_a_filter_have_addresses(alice: User, practice_a: Practice) -> None:
    listing.rename(
        Patient.objects.bulk_create(Patient(practice=practice_a, fhir_id=f"p{n}", family=f"F{n:03}") for n in range(70))
    )
    client = signed_in(alice)
    first = client.get(address(practice_a, "no-midas=1"))
    assert 'href="?no-midas=1&amp;page=2"' in first.content.decode()
    second = client.get(address(practice_a, "no-midas=1&page=2"))
    assert [each.name for each in second.context["page"].patients] == [f"F{n:03}" for n in range(50, 70)]


# --- how the rows are kept


def test_a_pull_brings_the_list_up_to_date(practice_a: Practice) -> None:
    person = charts.patient(practice_a)
    charts.enrol(person)
    assert Listing.objects.get().as_of == NEVER
    patient_pulled.send(sender=None, practice_id=practice_a.pk, patient_fhir_id=person.fhir_id)
    assert Listing.objects.get().as_of == charts.NOW


def test_a_midas_entered_counts_at_once(alice: User, practice_a: Practice) -> None:
    person = charts.patient(practice_a)
    listing.refresh(person)
    Assessment.objects.create(
        practice=practice_a, patient=person, date=charts.TODAY, entered_by=alice, origin="clinician",
        **{f"midas_{number}": 3 for number in range(1, 6)},
    )  # fmt: skip
    assert Listing.objects.get().midas_on == charts.TODAY


def test_a_change_of_name_is_found_at_once(alice: User, practice_a: Practice) -> None:
    person = charts.patient(practice_a)
    person.family, person.search_text = "Okafor", "okafor maria"
    person.save()
    found = signed_in(alice).post(address(practice_a), {"q": "okaf"}).context["page"].patients
    assert [each.name for each in found] == ["OKAFOR, María (Dr)"]


def test_rebuilding_histories_fills_the_list(practice_a: Practice, capsys: pytest.CaptureFixture[str]) -> None:
    person = charts.rich(practice_a)
    Listing.objects.all().delete()
    call_command("rebuild_histories")
    assert Listing.objects.get().patient_id == person.pk


def test_refreshing_twice_writes_the_same(practice_a: Practice) -> None:
    person = charts.rich(practice_a)
    listing.refresh(person)
    first = Listing.objects.values().get()
    listing.refresh(person)
    assert Listing.objects.values().get() == first


def test_long_names_fit_their_columns(practice_a: Practice) -> None:
    word = "Ü" * 200
    charts.patient(
        practice_a, family=word, given=word, account_no="9" * 64, search_text=("u" * 200 + " ") * 2 + "9" * 64
    )
    row = Listing.objects.get()
    assert len(row.sort_name) <= 120
    assert len(row.search_text) <= Listing.SEARCHED


@pytest.mark.parametrize(("sort", "index"), [("name", "listing_by_name"), ("as-of", "listing_by_age")])
def test_looking_through_the_list_reads_one_index_alone(practice_a: Practice, sort: str, index: str) -> None:
    if connection.vendor != "sqlite":
        pytest.skip("the plan is told differently here")
    switches = dict.fromkeys(set(search.SWITCHES) - {"stale"}, "1")  # that one lies in order in the other index
    choice = search.Choice.read({"family": "tac", "sort": sort} | switches)
    listed = Listing.objects.filter(practice=practice_a)
    ids = search.patients(listed, ScheduledVisit.objects.all(), "gar lop 3/7/1989", choice, charts.TODAY)
    plan = ids[:51].explain()
    assert f"COVERING INDEX {index}" in plan
    assert "TEMP B-TREE" not in plan


def test_a_list_that_staff_brought_in_is_the_schedule_where_the_emr_sends_none(
    alice: User, practice_a: Practice
) -> None:
    ada, ben, cleo = people(practice_a, "Ada", "Ben", "Cleo")
    TypeOutcome.objects.filter(resource_type="Appointment").update(outcome="not-permitted")
    for person, at in ((ada, "2026-11-21T14:30:00+00:00"), (ben, "2026-11-22T15:00:00+00:00")):
        Enrolment.objects.filter(patient_fhir_id=person.fhir_id).update(next_appointment_at=at)
    for person in (ada, ben, cleo):
        listing.refresh(person)
    client = signed_in(alice)
    assert days(client, practice_a) == {"Today": [("09:30", "ADA", False)], "Tomorrow": [("10:00", "BEN", False)]}
    page = client.get(address(practice_a)).content.decode()
    assert "From the list that staff brought in; appointments of the EMR itself are not on file." in page
    assert "On the practice’s list" in page


def test_an_appointment_that_the_emr_sent_too_stands_once(alice: User, practice_a: Practice) -> None:
    (ada,) = people(practice_a, "Ada")
    book(ada, "2026-11-21T14:30:00Z", status="cancelled")
    Enrolment.objects.update(next_appointment_at="2026-11-21T14:30:00+00:00")
    listing.refresh(ada)
    assert days(signed_in(alice), practice_a) == {"Today": [("09:30", "ADA", True)], "Tomorrow": []}


def test_another_practices_list_is_not_shown(alice: User, practice_a: Practice, practice_b: Practice) -> None:
    theirs = charts.patient(practice_b, "ada")
    charts.enrol(theirs)
    (ours,) = people(practice_a, "Ada")
    Enrolment.objects.filter(connection__practice=practice_b).update(next_appointment_at="2026-11-21T14:30:00+00:00")
    for person in (theirs, ours):
        listing.refresh(person)
    assert days(signed_in(alice), practice_a) == {"Today": [], "Tomorrow": []}


def test_queries_do_not_grow_with_the_schedule(alice: User, practice_a: Practice) -> None:
    client = signed_in(alice)
    counts = []
    for number in range(12):
        (person,) = people(practice_a, f"Ada{number}")
        book(person, "2026-11-21T14:30:00Z")
        listing.refresh(person)
        if number in {0, 11}:
            with CaptureQueriesContext(connection) as queries:
                client.get(address(practice_a))
            counts.append(len(queries))
    assert counts[0] == counts[1] <= 18


def test_hostile_titles_stay_text(alice: User, practice_a: Practice) -> None:
    payload = '<img src=x onerror="alert(1)">'
    (ada,) = people(practice_a, "Ada")
    book(ada, "2026-11-21T14:30:00Z", status=payload, title=payload)
    listing.refresh(ada)
    page = signed_in(alice).get(address(practice_a)).content.decode()
    assert "<img" not in page
    assert "&lt;img" in page


@pytest.mark.parametrize(("note", "columns"), [
    ("Died 03-Feb-2026", {"deceased": True, "deceased_on": date(2026, 2, 3)}),
    ("Died on a date not known", {"deceased": True}),
    ("Replaced by another record", {"replaced_by": "p9"}),
])  # fmt: skip
def test_deceased_and_merged_are_marked(
    alice: User, practice_a: Practice, note: str, columns: dict[str, object]
) -> None:
    charts.patient(practice_a, **columns)
    assert note in signed_in(alice).get(address(practice_a)).content.decode()
