"""The privacy officer finds a patient and reads who has seen the chart, in a real Chromium."""

import os
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from emr.models import Membership, Practice
from tests.conftest import member, signed_in
from tests.pages import charts

CHROMIUM = Path("/usr/bin/chromium")
SCREENSHOTS = Path(__file__).resolve().parents[2] / "var" / "screenshots"


@pytest.fixture(scope="session")
def base_url() -> None:
    """Pages are opened by full address."""


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing (Debian package chromium)")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    return {"executable_path": str(CHROMIUM), "args": ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]}


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("width", [1280, 390])
def test_officer_reads_who_has_seen_a_chart(live_server: Any, page: Page, width: int) -> None:
    practice = Practice.objects.create(name="Alder Headache Clinic", code="AAAAAA")
    person = charts.patient(practice)
    charts.enrol(person)
    signed_in(member("alice@example.org", practice, Membership.Role.CLINICIAN)).get(f"/patients/{person.pk}/")
    officer = signed_in(member("olga@example.org", practice, Membership.Role.PRIVACY_OFFICER))
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
    page.set_viewport_size({"width": width, "height": 900})
    page.context.add_cookies(
        [{"name": name, "value": morsel.value, "url": live_server.url} for name, morsel in officer.cookies.items()]
    )
    page.goto(f"{live_server.url}/practices/{practice.pk}/audit/")
    expect(page.get_by_role("heading", name="Audit trail")).to_be_visible()
    page.get_by_role("link", name="find the patient").click()
    page.get_by_role("searchbox").fill("garcia")
    page.get_by_role("button", name="Find").click()
    assert "garcia" not in page.url
    page.get_by_role("link", name="GARCIA LOPEZ").click()
    expect(page.get_by_role("heading", name="Who has seen this chart")).to_be_visible()
    expect(page.get_by_text("alice@example.org")).to_be_visible()
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"seen-{width}.png", full_page=True)
    found = Axe().run(page).response["violations"]
    assert [rule["id"] for rule in found] == []
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
