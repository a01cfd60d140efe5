"""What staff do, in a real browser: sign in, search, read, open a source; with axe, CSP and small screens."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from emr.models import Practice, User
from patients import listing
from patients.models import Patient
from tests.browser.conftest import sign_in
from tests.browser.looks import DESKTOP, PHONE, SCREENSHOTS, Looks, shoot, too_wide, violations
from tests.pages import charts

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def chart(practice_a: Practice) -> Patient:
    """A rich chart among sixty other patients: two pages."""
    listing.rename(
        Patient.objects.bulk_create(
            Patient(
                practice=practice_a,
                fhir_id=f"other{number}",
                family=f"Example{number:02}",
                given="Pat",
                search_text=f"example{number:02} pat",
            )
            for number in range(60)
        )
    )
    return charts.rich(practice_a)


def test_journey_from_login_to_source(
    page: Page, live_server: LiveServer, alice: User, chart: Patient, complaints: list[str]
) -> None:
    sign_in(page, live_server, alice)
    expect(page.get_by_role("row")).to_have_count(51)  # fifty and the header

    page.get_by_label("Name, birth date or account number").fill("mar garcía")
    expect(page.get_by_role("row")).to_have_count(2)
    assert "garc" not in page.url

    page.get_by_role("link", name="GARCIA LOPEZ, María (Dr)").click()
    expect(page).to_have_title("GARCIA LOPEZ, María (Dr) – Headache history")
    page.get_by_role("link", name="Known allergies").click()
    expect(page.get_by_role("heading", name="Allergies and intolerances")).to_be_in_viewport()

    sources = page.locator("#trials details").first
    sources.locator("summary").click()
    sources.get_by_role("link", name="Source").first.click()
    expect(page.get_by_role("heading", name="Source record")).to_be_visible()
    expect(page.get_by_text('"resourceType": "MedicationRequest"')).to_be_visible()

    page.get_by_text("Alice", exact=True).click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert complaints == []


def test_paging_keeps_the_search(page: Page, live_server: LiveServer, alice: User, chart: Patient) -> None:
    sign_in(page, live_server, alice)
    page.get_by_label("Name, birth date or account number").fill("pat")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("Patients 1 to 50, by name; more follow.")).to_be_visible()
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_text("Patients 51 to 60, by name.")).to_be_visible()
    page.get_by_role("button", name="Previous").click()
    expect(page.get_by_text("Patients 1 to 50")).to_be_visible()


def test_search_after_the_session_ended_opens_the_login(
    page: Page, live_server: LiveServer, alice: User, chart: Patient
) -> None:
    sign_in(page, live_server, alice)
    page.context.clear_cookies(name="headachemd_session")
    page.get_by_label("Name, birth date or account number").fill("mar")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()


def test_search_works_without_javascript(
    browser: Browser, live_server: LiveServer, alice: User, chart: Patient
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, live_server, alice)
    page.get_by_label("Name, birth date or account number").fill("3/7/89")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("row")).to_have_count(2)
    page.get_by_role("link", name="GARCIA LOPEZ, María (Dr)").click()
    fold = page.locator("#trials details").first
    fold.locator("summary").click()
    expect(fold.get_by_role("link", name="Source").first).to_be_visible()
    context.close()


def addresses(live_server: LiveServer, chart: Patient) -> dict[str, str]:
    return {
        "list": f"{live_server.url}/practices/{chart.practice_id}/patients/",
        "history": f"{live_server.url}/patients/{chart.pk}/",
        "source": f"{live_server.url}/sources/{chart.entries.first().source_id}/",
    }


def test_pages_are_accessible_and_fit(
    looks: Looks, live_server: LiveServer, alice: User, chart: Patient, complaints: list[str]
) -> None:
    looks.at("login", f"{live_server.url}/accounts/login/")
    sign_in(looks.page, live_server, alice)
    for name, address in addresses(live_server, chart).items():
        looks.at(name, address)
    assert complaints == []


def test_opened_history_is_accessible(page: Page, live_server: LiveServer, alice: User, chart: Patient) -> None:
    sign_in(page, live_server, alice)
    page.set_viewport_size(PHONE)
    page.goto(addresses(live_server, chart)["history"])
    for summary in page.locator("main summary").all():
        summary.click()
    shoot(page, "history-opened-390")
    assert violations(page) == ""
    assert too_wide(page) == ""


def test_long_words_stay_in_their_cells(page: Page, live_server: LiveServer, alice: User, practice_a: Practice) -> None:
    word = "W" * 200
    person = charts.patient(practice_a, family=word, account_no=word[:64])
    charts.enrol(person, {"Condition": ("not-fetched", word)})
    rows = [
        charts.diagnosis(word, "2024", about_headache=True, code=word[:64], status=word[:60]),
        charts.order(word, "2024-01-02", "acute", word, word, word, status=word[:60]),
        charts.scale("MIDAS", "2024-01-02", word, word),
        charts.measure(word, "2024-01-02", word),
        charts.allergy(word, detail={"reactions": [word], "category": word}),
    ]
    charts.add(person, rows * 2)
    sign_in(page, live_server, alice)
    for size in (DESKTOP, PHONE):
        page.set_viewport_size(size)
        page.goto(f"{live_server.url}/patients/{person.pk}/")
        assert too_wide(page) == ""


@pytest.mark.parametrize("anchor", ["charts", "trials", "diagnoses", "allergies", "quality", "sources"])
def test_banner_hides_no_heading(page: Page, live_server: LiveServer, alice: User, chart: Patient, anchor: str) -> None:
    sign_in(page, live_server, alice)
    for size in (DESKTOP, PHONE):
        page.set_viewport_size(size)
        page.goto(f"{addresses(live_server, chart)['history']}#{anchor}")
        banner = page.locator(".banner").bounding_box()
        heading = page.locator(f"#{anchor}-title").bounding_box()
        assert banner is not None
        assert heading is not None
        assert banner["y"] >= 0
        assert heading["y"] >= banner["y"] + banner["height"]


def test_targets_are_large_enough(page: Page, live_server: LiveServer, alice: User, chart: Patient) -> None:
    """WCAG 2.5.8: 24 by 24 px, or that much room; links within a sentence are exempt."""
    sign_in(page, live_server, alice)
    for address in addresses(live_server, chart).values():
        page.goto(address)
        small = page.evaluate(
            """() => [...document.querySelectorAll("a, button, summary, input:not([type=hidden])")]
                .filter(each => each.checkVisibility() && !each.closest("p, .skip"))
                .filter(each => { const box = each.getBoundingClientRect(); return box.height < 24 || box.width < 24 })
                .map(each => each.textContent.trim() || each.name)"""
        )
        assert small == []


def test_history_prints_with_its_banner(page: Page, live_server: LiveServer, alice: User, chart: Patient) -> None:
    sign_in(page, live_server, alice)
    page.goto(addresses(live_server, chart)["history"])
    page.emulate_media(media="print")
    # A header group is repeated on every sheet.
    assert page.locator(".running").evaluate("each => getComputedStyle(each).display") == "table-header-group"
    expect(page.locator(".running .banner")).to_be_visible()
    expect(page.locator(".running .as-of")).to_be_visible()
    expect(page.get_by_text("Seasonal allergic rhinitis", exact=True)).to_be_visible()  # folded on the screen
    for hidden in (".top", ".jump", "#trials .more >> nth=0"):
        expect(page.locator(hidden)).to_be_hidden()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    printed = page.pdf(path=SCREENSHOTS / "history.pdf", prefer_css_page_size=True)
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", printed)) <= 5
