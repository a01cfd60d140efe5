"""A pull, watched live in a real browser, paused and resumed; and its pages with axe, at both sizes and schemes.

The page's clock is ours: htmx asks when the test says that three seconds have gone by.
"""

import re

import pytest
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from emr import pulls, schedule
from emr.models import Connection, LookUp, Practice, Pull, Quarantine, User
from tests.browser.conftest import shoot
from tests.browser.test_pages import DESKTOP, PHONE, sign_in, violations
from tests.pulls.conftest import (  # noqa: F401
    Connect,
    connect,
    enrol,
    jwks_server,
    key_material,
    published,
    signing_key,
    tick,
    unlimited,
    work,
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("published", "unlimited"),
]


def asked(page: Page) -> None:
    """Three seconds later: the page has asked, and has its answer."""
    with page.expect_response(re.compile(r"/pulls/.*\?said=")):
        page.clock.run_for(3100)


@pytest.fixture
def pull(connect: Connect) -> Pull:  # noqa: F811
    connection, control = connect(patients=3, page_size=1000)
    enrol(connection, control)
    schedule.open_pulls()
    return connection.pulls.get()


def run_one() -> None:
    pulls.run(schedule.waiting_items()[0])


def test_a_pull_is_watched_paused_and_resumed(
    page: Page, live_server: LiveServer, alice: User, pull: Pull, complaints: list[str]
) -> None:
    sign_in(page, live_server, alice)
    page.clock.install()
    page.goto(f"{live_server.url}/practices/{pull.practice_id}/pulls/")
    page.get_by_role("row").nth(1).get_by_role("link").click()
    said = page.get_by_role("status")
    expect(said).to_have_text("Running: 0 % of the patients are fetched.")
    expect(page.get_by_text("0 of 3 fetched")).to_be_visible()

    run_one()
    asked(page)
    expect(page.get_by_text("1 of 3 fetched")).to_be_visible()
    expect(said).to_have_text("Running: 30 % of the patients are fetched.")
    condition = page.get_by_role("row").filter(has_text="Condition")
    expect(condition.get_by_role("cell").first).to_have_text("queued")

    page.get_by_role("button", name="Pause").click()
    expect(said).to_contain_text("Paused by a person")
    assert tick() == []
    page.get_by_role("button", name="Resume").click()
    expect(said).to_have_text("Running: 30 % of the patients are fetched.")

    work(pull.connection)
    asked(page)
    expect(page.get_by_text("3 of 3 fetched")).to_be_visible()
    expect(said).to_have_text("Complete: 100 % of the patients are fetched.")
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.clock.run_for(120_000)
    assert requests == []  # an ended pull is not asked about
    assert complaints == []


def test_a_pull_is_watched_and_paused_without_javascript(
    browser: Browser, live_server: LiveServer, alice: User, pull: Pull
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, live_server, alice)
    page.goto(f"{live_server.url}/pulls/{pull.pk}/")
    run_one()
    page.get_by_role("link", name="Reload for the present state").click()
    expect(page.get_by_text("1 of 3 fetched")).to_be_visible()
    page.get_by_role("button", name="Cancel the pull").click()
    expect(page.get_by_role("status").first).to_contain_text("Cancelled")
    context.close()


@pytest.fixture
def furnished(pull: Pull, practice_a: Practice) -> Connection:
    """Something on every page."""
    run_one()
    Quarantine.objects.create(
        practice=practice_a, connection=pull.connection, resource_type="Condition", reason="no usable id",
        body="{}", body_hash="0", query="Condition?patient",
    )  # fmt: skip
    sought = {"family": "Example", "given": "Pat", "birthdate": "1989-03-07"}
    person = {"fhir_id": "p", "label": "EXAMPLE, Pat", "birth_date": "1989-03-07", "numbers": ["9150"]}
    LookUp.objects.create(practice=practice_a, connection=pull.connection, sought=sought, found=[person], state="done")
    return pull.connection


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [pytest.param(DESKTOP, id="1280px"), pytest.param(PHONE, id="390px")])
def test_pages_are_accessible_and_fit(
    page: Page,
    live_server: LiveServer,
    alice: User,
    furnished: Connection,
    complaints: list[str],
    scheme: str,
    size: dict[str, int],
) -> None:
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size(size)
    sign_in(page, live_server, alice)
    practice = f"{live_server.url}/practices/{furnished.practice_id}"
    pull = Pull.objects.get()
    problems: dict[str, str] = {}
    for name, address in {
        "pulls": f"{practice}/pulls/",
        "pull": f"{live_server.url}/pulls/{pull.pk}/",
        "quarantine": f"{practice}/quarantine/",
        "roster": f"{practice}/roster/",
        "schedule": f"{practice}/schedule/",
    }.items():
        page.goto(address)
        problems[name] = violations(page)
        wide = page.evaluate("document.scrollingElement.scrollWidth - window.innerWidth")
        problems[f"{name} is too wide"] = str(wide) if wide > 0 else ""
        shoot(page, f"{name}-{scheme}-{size['width']}")
    page.goto(f"{practice}/roster/")
    page.get_by_label("CSV file").set_input_files(
        {"name": "list.csv", "mimeType": "text/csv", "buffer": b"fhir_id\nnew-one\nnot an id\n"}
    )
    page.get_by_role("button", name="Show what it would do").click()
    expect(page.get_by_text("Line 3: this is no FHIR id.")).to_be_visible()
    problems["preview"] = violations(page)
    shoot(page, f"preview-{scheme}-{size['width']}")
    page.goto(f"{practice}/quarantine/")
    page.get_by_role("button", name="Open the bytes").click()
    expect(page.get_by_role("heading", name="Quarantined bytes")).to_be_visible()
    problems["bytes"] = violations(page)
    assert {name: found for name, found in problems.items() if found} == {}
    assert complaints == []
