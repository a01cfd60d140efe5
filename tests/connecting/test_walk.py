"""An admin connects a practice in a real browser, from nothing to "Connected", against a running sandbox."""

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect
from pytest_django import Settings
from pytest_django.live_server_helper import LiveServer

from emr import directory, doctor, profiles, pulls, schedule
from emr.models import Connection, Letter, Practice, User, WorkItem
from emr.pulling import ending
from sandbox.config import SandboxConfig
from sandbox.server import Sandbox
from tests.accounts.doors import PASSWORD, enrolled
from tests.browser.conftest import (  # noqa: F401 - fixtures
    base_url,
    browser_type_launch_args,
    complaints,
    give_both,
    orm_beside_playwright,
)
from tests.browser.looks import PHONE, shoot
from tests.connecting.bundles import bundle, endpoint, organization
from tests.emr.conftest import Control

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]

DESKTOP = {"width": 1280, "height": 900}


@pytest.fixture
def root(live_server: LiveServer, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> User:
    """The owner; JWKS URLs lead to the live server, and the test itself is the worker."""
    settings.PUBLIC_URL = live_server.url
    monkeypatch.setattr("emr.hints.publish", lambda *args: True)
    return enrolled(User.objects.create_superuser("root@example.org", PASSWORD, full_name="Root"))


def enter(page: Page, live_server: LiveServer, path: str) -> None:
    page.goto(f"{live_server.url}{path}")
    give_both(page, "root@example.org")


def save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()


def worker(connection: Connection) -> None:
    doctor.run_requested(connection.pk)


def pull(connection: Connection) -> None:
    schedule.open_pulls()
    for item in WorkItem.objects.all():
        pulls.run(item.pk)
    ending.finish_pulls()


def look(page: Page, name: str, complaints: list[str]) -> None:  # noqa: F811
    """Both widths, light and dark; nothing may stick out sideways, and the console stays silent."""
    assert complaints == []
    for width, viewport in (("1280", DESKTOP), ("390", PHONE)):
        page.set_viewport_size(viewport)  # type: ignore[arg-type]
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            shoot(page, f"connecting-{name}-{width}-{scheme}")
            wide = (
                "() => { const box = document.querySelector('#checklist'); return box.scrollWidth > box.clientWidth }"
            )
            assert not page.evaluate(wide)
            found = Axe().run(page, context="#checklist")
            assert found.violations_count == 0, found.generate_report()
    complaints.clear()  # axe's own styles are refused by the CSP
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(DESKTOP)  # type: ignore[arg-type]


def step(page: Page, title: str) -> str:
    """done / next / later / needs attention, as the page says."""
    row = page.locator("li.step", has=page.get_by_text(title, exact=True))
    return row.locator(".step-at").inner_text()


def test_admin_connects_a_practice_from_nothing(
    page: Page,
    live_server: LiveServer,
    root: User,
    settings: Settings,
    complaints: list[str],  # noqa: F811
) -> None:
    with Sandbox(SandboxConfig(practice="AAAAAA", patients=1, limit=100_000)) as vendor:
        settings.INSECURE_FHIR_HOSTS = frozenset({f"127.0.0.1:{vendor.port}"})
        portal = Control(vendor.control_url)
        enter(page, live_server, "/admin/emr/practice/add/")
        page.get_by_label("Name:").fill("Alder Headache Clinic")
        page.get_by_label("Code:").fill("AAAAAA")
        save(page)

        page.goto(f"{live_server.url}/admin/emr/clientregistration/add/")
        page.get_by_label("Name:").fill("HeadacheMD backend")
        page.get_by_label("Portal:").fill("eClinicalWorks")
        save(page)

        page.goto(f"{live_server.url}/admin/emr/connection/add/")
        choose(page, "practice", "Alder")
        choose(page, "registration", "HeadacheMD")
        page.get_by_label("FHIR base URL:").fill(vendor.fhir_base)
        save(page)
        expect(page.get_by_role("heading", name="Connecting Alder Headache Clinic")).to_be_visible()
        assert step(page, "Client id entered") == "next"
        look(page, "1-draft", complaints)
        connection = Connection.objects.get()

        page.get_by_role("button", name="Generate a signing key").click()
        expect(page.locator("#checklist")).to_contain_text("Nobody has fetched it yet.")
        register(portal, live_server, active=False)
        page.get_by_role("link", name="Open the registration").click()
        page.get_by_label("Client id:").fill("the-client-id")
        save(page)
        page.goto(f"{live_server.url}/admin/emr/connection/{connection.pk}/change/")
        assert step(page, "Client id entered").startswith("done")
        page.get_by_role("button", name="They read the same on the portal").click()
        assert step(page, "Scopes and redirect URIs as registered").startswith("done")
        expect(page.locator(".state").first).to_have_text("Registered")

        # The portal has not switched the app on: the self-test says so, and the letter is written.
        page.get_by_role("button", name="Test", exact=True).click()
        expect(page.get_by_text("self-test running")).to_be_visible()
        worker(connection)
        expect(page.get_by_text("self-test running")).to_be_hidden()  # without a reload
        assert "needs attention" in page.locator("#checklist").inner_text()
        look(page, "2-refused", complaints)
        page.get_by_role("button", name="Letter · Vendor: enable Backend Services").first.click()
        expect(page.locator("pre.letter")).to_contain_text("the-client-id")
        expect(page.locator("pre.letter")).to_contain_text(f"{live_server.url}/.well-known/jwks-sandbox.json")
        shoot(page, "connecting-letter")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download as .eml").click()
        assert b"X-Unsent: 1" in Path(download.value.path()).read_bytes()
        page.get_by_role("button", name="It was sent").click()
        assert Letter.objects.get().sent_at is not None
        page.get_by_role("link", name="Back to the connection").click()

        register(portal, live_server, active=True)
        page.get_by_role("button", name="Retry", exact=True).click()
        worker(connection)
        expect(page.locator(".state").first).to_have_text("Active")
        assert step(page, "JWKS verified").startswith("done")
        expect(page.locator("#checklist")).to_contain_text("Last fetched from outside: 127.0.0.1 Python-urllib")
        assert step(page, "Token works").startswith("done")
        assert step(page, "Data works") == "next"

        page.get_by_label("Patients to enrol").fill(portal.patient_ids[0])
        page.get_by_role("button", name="Save and pull all patients now").click()
        pull(connection)
        page.reload()
        expect(page.get_by_role("heading", name="Connected", exact=True)).to_be_visible()
        assert portal.patient_ids[0] not in page.content()
        look(page, "3-connected", complaints)
        assert complaints == []
        page.goto("about:blank")  # no request may be under way when the database is emptied


def choose(page: Page, field: str, words: str) -> None:
    """The first match of an autocomplete field."""
    page.locator(f".field-{field} .select2-selection").click()
    page.locator(".select2-search__field").fill(words)
    page.locator(".select2-results__option--highlighted", has_text=words).click()


def register(portal: Control, live_server: LiveServer, *, active: bool) -> None:
    """What the vendor's portal is told by hand."""
    portal.post(
        "clients",
        {
            "client_id": "the-client-id", "jwks_url": f"{live_server.url}/.well-known/jwks-sandbox.json",
            "scopes": profiles.get("ecw").default_scopes, "alg": "RS384", "app_type": "backend-single",
            "active": active,
        },
    )  # fmt: skip


def test_practice_picked_by_name_fills_code_and_address(
    page: Page,
    live_server: LiveServer,
    root: User,
    tmp_path: Path,
    complaints: list[str],  # noqa: F811
) -> None:
    file = tmp_path / "list.json"
    file.write_bytes(bundle(*(make(number) for number in range(30) for make in (organization, endpoint))))
    with file.open("rb") as source:
        directory.import_file(source, profiles.get("ecw"))
    enter(page, live_server, "/admin/emr/clientregistration/add/")
    page.get_by_label("Name:").fill("HeadacheMD backend")
    page.get_by_label("Environment:").select_option("Production")
    save(page)
    page.goto(f"{live_server.url}/admin/emr/connection/add/")
    choose(page, "directory_entry", "Practice 00017")
    choose(page, "registration", "HeadacheMD")
    shoot(page, "connecting-directory")
    save(page)
    connection = Connection.objects.get()
    assert connection.base_url == "https://fhir4.eclinicalworks.com/fhir/r4/AAAABH"
    assert Practice.objects.get().name == "Practice 00017"
    expect(page.get_by_text("EMR Admin", exact=True)).to_be_visible()
    look(page, "production", complaints)
    page.goto(f"{live_server.url}/admin/emr/clientregistration/{connection.registration_id}/change/")
    shoot(page, "connecting-registration")
    page.goto(f"{live_server.url}/admin/emr/signingkey/calendar/")
    shoot(page, "connecting-calendar")
    assert complaints == []
    page.goto("about:blank")
