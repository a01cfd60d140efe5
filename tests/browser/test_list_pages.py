"""The list on the day, the timeline, the search within a record, print and exports in a real browser."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from emr.models import Practice, Resource, User
from patients import listing
from patients.models import Entry, Patient
from tests.browser.conftest import sign_in
from tests.browser.looks import Looks
from tests.pages import charts

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def book(person: Patient, days: int, hour: int, status: str, title: str) -> None:
    zone = ZoneInfo(person.practice.time_zone)
    on = timezone.localdate(timezone=zone) + timedelta(days)
    at = datetime(on.year, on.month, on.day, hour, 30, tzinfo=zone).astimezone(UTC)
    number = Resource.objects.count()
    body = {"resourceType": "Appointment", "id": f"a{number}", "start": at.isoformat()}
    source = Resource.objects.create(
        practice=person.practice, resource_type="Appointment", fhir_id=f"a{number}", patient_fhir_id=person.fhir_id,
        body=json.dumps(body), content_hash="0", query="Appointment?patient", first_seen_at=at, changed_at=at,
    )  # fmt: skip
    Entry.objects.create(
        practice=person.practice, patient=person, source=source, kind=Entry.Kind.APPOINTMENT, title=title,
        date=at.date(), date_precision="time", date_meaning="appointment", detail={"at": at.isoformat()},
        status=status, fingerprint="0",
    )  # fmt: skip


@pytest.fixture
def chart(practice_a: Practice) -> Patient:
    """A rich chart with an appointment today, among others."""
    person = charts.rich(practice_a)
    visit = {"encounter": "e1"}
    for entry in person.entries.filter(date="2026-11-14"):
        entry.detail = entry.detail | visit
        entry.save(update_fields=["detail"])
    book(person, 0, 9, "booked", "Follow-up, Botox")
    for number, (family, given) in enumerate((("Okafor", "Ada"), ("Nguyen-Smith", "Linh"), ("Østergård", "Søren"))):
        other = charts.patient(
            practice_a, f"other{number}", family=family, given=given, title="", account_no=f"77{number}",
            search_text=f"{family} {given} 77{number}".lower(),
        )  # fmt: skip
        charts.enrol(other, dict.fromkeys(["Appointment", "Condition"], ("complete", "")))
        book(other, number % 2, 10 + number, "cancelled" if number == 1 else "booked", "New patient")
        listing.refresh(other)
    listing.refresh(person)
    return person


def addresses(live_server: LiveServer, chart: Patient) -> dict[str, str]:
    patient = f"{live_server.url}/patients/{chart.pk}"
    return {
        "day": f"{live_server.url}/practices/{chart.practice_id}/patients/",
        "filtered": f"{live_server.url}/practices/{chart.practice_id}/patients/?family=migraine&sort=as-of",
        "timeline": f"{patient}/timeline/",
        "timeline-filtered": f"{patient}/timeline/?kind=treatment&headache=1&from=2019",
        "search-record": f"{patient}/search/",
        "exports": f"{patient}/exports/",
        "print": f"{patient}/print/",
    }


def test_pages_are_accessible_and_fit(
    looks: Looks, live_server: LiveServer, alice: User, chart: Patient, complaints: list[str]
) -> None:
    page = looks.page
    sign_in(page, live_server, alice)
    for name, address in addresses(live_server, chart).items():
        page.goto(address)
        if name == "search-record":
            page.get_by_role("searchbox").fill("migraine")
            page.get_by_role("button", name="Search").click()
            expect(page.get_by_role("status")).to_contain_text("found")
        looks.at(name)
    assert complaints == []


def test_the_day_by_keyboard_alone(page: Page, live_server: LiveServer, alice: User, chart: Patient) -> None:
    sign_in(page, live_server, alice)
    page.get_by_label("Name, birth date or account number").focus()
    with page.expect_response(lambda answer: (answer.request.post_data or "").endswith("q=okaf")):
        page.keyboard.type("okaf")
    expect(page.get_by_role("row")).to_have_count(2)
    expect(page.locator(".htmx-request, .htmx-swapping, .htmx-settling")).to_have_count(0)  # "oka" may find her too
    expect(page.get_by_role("heading", name="Schedule")).to_be_hidden()
    assert "okaf" not in page.url
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent").startswith("OKAFOR"):
            break
    page.keyboard.press("Enter")
    expect(page).to_have_title("OKAFOR, Ada – Headache history")


def test_filters_have_an_address_that_can_be_passed_on(
    page: Page, live_server: LiveServer, alice: User, chart: Patient
) -> None:
    sign_in(page, live_server, alice)
    expect(page.get_by_role("heading", name="Today")).to_be_visible()
    page.get_by_text("Filter and sort").click()
    page.get_by_label("Diagnosis on record").select_option("Migraine")
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_role("row")).to_have_count(2)
    assert page.url.endswith("/patients/?family=migraine&sort=name")
    page.goto(page.url)
    expect(page.get_by_role("link", name="GARCIA LOPEZ, María (Dr)")).to_be_visible()
    page.get_by_label("Name, birth date or account number").press_sequentially("okafor")
    expect(page.get_by_text("matches “okafor” and these filters")).to_be_visible()


def test_timeline_filters_read_in_order(page: Page, live_server: LiveServer, alice: User, chart: Patient) -> None:
    sign_in(page, live_server, alice)
    page.goto(addresses(live_server, chart)["timeline"])
    headings = page.locator(".moment h2").all_inner_texts()
    assert headings[-2].startswith("Undated")  # the allergies follow
    page.get_by_label("Treatments").check()
    page.get_by_label("Headache only").check()
    page.get_by_role("button", name="Apply").click()
    expect(page.get_by_text("Aimovig 140 mg/mL autoinjector", exact=True)).to_be_visible()
    expect(page.get_by_text("Body weight")).to_be_hidden()
    page.locator(".events a").first.focus()
    first = page.evaluate("document.activeElement.getBoundingClientRect().top")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.getBoundingClientRect().top") >= first


def test_export_downloads_a_file(
    page: Page, live_server: LiveServer, alice: User, chart: Patient, tmp_path: Path
) -> None:
    sign_in(page, live_server, alice)
    page.goto(addresses(live_server, chart)["exports"])
    for button, suffix in (("Export the table", ".csv"), ("Export the source records", ".json")):
        with page.expect_download() as download:
            page.get_by_role("button", name=button).click()
        name = download.value.suggested_filename
        assert name.startswith("headache-history-")
        assert name.endswith(suffix)
        download.value.save_as(tmp_path / name)
        text = (tmp_path / name).read_text("utf-8-sig")
        assert "Sumatriptan 100 mg tablet" in text


def test_print_view_is_one_sheet(page: Page, live_server: LiveServer, alice: User, chart: Patient) -> None:
    sign_in(page, live_server, alice)
    for paper in ("letter", "a4"):
        page.goto(f"{addresses(live_server, chart)['print']}?paper={paper}")
        page.emulate_media(media="print")
        expect(page.locator(".tools")).to_be_hidden()
        made = page.pdf(prefer_css_page_size=True)
        assert made.count(b"/Type /Page\n") + made.count(b"/Type /Page/") + made.count(b"/Type /Page ") == 1
        page.emulate_media(media="screen")
