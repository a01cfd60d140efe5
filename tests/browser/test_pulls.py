"""Pulls in a real browser: watched live, paused and resumed; how often a page asks; and its pages with axe.

The page's clock is ours: htmx asks when the test says that three seconds have gone by.
"""

import re
from datetime import timedelta

import pytest
from django.utils import timezone
from playwright.sync_api import Browser, Page, Route, expect
from pytest_django.live_server_helper import LiveServer

from emr import pulls, schedule
from emr.models import Connection, Enrolment, LookUp, Practice, Pull, Quarantine, User, WorkItem
from emr.pulling import ending, queue
from patients.models import Patient
from tests.browser.conftest import sign_in
from tests.browser.looks import PHONE, Looks, sheets, shoot, too_wide, violations
from tests.bulk import conftest as bulk
from tests.bulk.conftest import ConnectBulk, connect_bulk  # noqa: F401
from tests.pulls.conftest import (  # noqa: F401
    Connect,
    ConnectGeneric,
    connect,
    connect_generic,
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

ASKED = re.compile(r"/pulls/.*\?said=")
# Whether anybody can see the page, as the browser would say it of a tab in the background.
SEEN = """seen => {
    Object.defineProperty(document, "hidden", {configurable: true, get: () => !seen});
    Object.defineProperty(document, "visibilityState", {configurable: true, get: () => seen ? "visible" : "hidden"});
    document.dispatchEvent(new Event("visibilitychange"));
}"""


def asked(page: Page) -> None:
    """Three seconds later: the page has asked, and has its answer."""
    with page.expect_response(ASKED):
        page.clock.run_for(3100)


def questions(page: Page) -> list[str]:
    """What the page asks of itself from now on, as it comes."""
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if ASKED.search(request.url) else None)
    return sent


def pass_by(page: Page, threes: int) -> None:
    """So many times three seconds go by on the page, each with time for its answer: htmx asks again only after one."""
    for _ in range(threes):
        page.clock.run_for(3100)
        while page.locator(".htmx-request").count():
            page.wait_for_timeout(10)


@pytest.fixture
def pull(connect: Connect) -> Pull:  # noqa: F811
    connection, control = connect(patients=3, page_size=1000)
    enrol(connection, control)
    schedule.open_pulls()
    return connection.pulls.get()


def run_one() -> None:
    pulls.run(queue.waiting_items()[0])


def test_a_pull_is_watched_paused_and_resumed(
    page: Page, live_server: LiveServer, alice: User, pull: Pull, complaints: list[str]
) -> None:
    sign_in(page, live_server, alice)
    page.clock.install()
    page.goto(f"{live_server.url}/practices/{pull.practice_id}/pulls/")
    page.get_by_role("row").nth(1).get_by_role("link").click()
    said = page.get_by_role("status").first
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
    sent = questions(page)
    page.clock.run_for(120_000)
    assert sent == []  # an ended pull is not asked about
    assert complaints == []


def test_a_pull_is_watched_and_cancelled_without_javascript(
    browser: Browser, live_server: LiveServer, alice: User, pull: Pull
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    sign_in(page, live_server, alice)
    page.goto(f"{live_server.url}/pulls/{pull.pk}/")
    run_one()
    page.get_by_role("link", name="Reload for the present state").click()
    expect(page.get_by_text("1 of 3 fetched")).to_be_visible()
    expect(page.get_by_role("button", name="Cancel the pull")).not_to_be_visible()
    page.get_by_text("Cancel", exact=True).click()
    expect(page.get_by_text("What was fetched stays on file.")).to_be_visible()
    page.get_by_role("button", name="Cancel the pull").click()
    expect(page.get_by_role("status").first).to_contain_text("Cancelled")
    context.close()


# --- how often it asks, and what asking leaves alone --------------------------------------------------------


def test_a_page_asks_every_3_s_while_it_is_seen_and_once_a_minute_otherwise(
    page: Page, live_server: LiveServer, alice: User, pull: Pull
) -> None:
    sign_in(page, live_server, alice)
    page.clock.install()
    page.goto(f"{live_server.url}/pulls/{pull.pk}/")
    sent = questions(page)
    pass_by(page, 5)
    assert len(sent) == 5
    page.evaluate(SEEN, False)
    sent.clear()
    pass_by(page, 40)  # two minutes and four seconds
    assert len(sent) == 2
    page.evaluate(SEEN, True)
    sent.clear()
    pass_by(page, 2)
    assert len(sent) == 2
    Pull.objects.update(state=Pull.State.PAUSED)  # it takes a person to go on
    pass_by(page, 1)
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    sent.clear()
    pass_by(page, 40)
    assert len(sent) == 2


def test_asking_leaves_focus_scroll_and_what_is_open_alone(
    page: Page, live_server: LiveServer, alice: User, pull: Pull
) -> None:
    Pull.objects.update(quarantined=1)
    sign_in(page, live_server, alice)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.clock.install()
    page.goto(f"{live_server.url}/pulls/{pull.pk}/")
    page.get_by_text("Cancel", exact=True).click()
    page.get_by_role("button", name="Cancel the pull").focus()
    page.evaluate("""() => { window.shifts = []; new PerformanceObserver(list =>
        window.shifts.push(...list.getEntries().filter(each => !each.hadRecentInput).map(each => each.value))
    ).observe({type: "layout-shift"}) }""")
    page.evaluate("window.scrollTo(0, 300)")
    top = page.evaluate("window.scrollY")
    run_one()
    asked(page)  # another tenth: what is said changes, and no button is replaced
    expect(page.get_by_role("status").first).to_contain_text("30 %")
    expect(page.get_by_role("button", name="Cancel the pull")).to_be_focused()
    assert page.evaluate("window.scrollY") == top
    page.get_by_role("link", name="1 in quarantine").focus()  # within what is replaced
    asked(page)
    expect(page.get_by_role("link", name="1 in quarantine")).to_be_focused()
    assert sum(page.evaluate("window.shifts")) < 0.1  # "good" by Core Web Vitals
    live = page.locator("#pull-live")
    assert live.locator("[aria-live], [role=status]").count() == 0  # only the summary is read out


def test_a_page_that_gets_no_answer_says_so_until_it_gets_one(
    page: Page, live_server: LiveServer, alice: User, pull: Pull
) -> None:
    sign_in(page, live_server, alice)
    page.clock.install()
    page.goto(f"{live_server.url}/pulls/{pull.pk}/")
    stale = page.get_by_text("This page could not be brought up to date")
    expect(stale).not_to_be_visible()

    def lost(route: Route) -> None:
        route.abort()

    page.route(ASKED, lost)
    page.clock.run_for(3100)
    expect(stale).to_be_visible()
    page.unroute(ASKED)
    asked(page)
    expect(stale).not_to_be_visible()


def test_what_holds_a_pull_up_is_said_with_what_can_be_done(
    page: Page, live_server: LiveServer, alice: User, pull: Pull
) -> None:
    sign_in(page, live_server, alice)
    said, soon = page.get_by_role("status").first, timezone.now() + timedelta(seconds=50)
    for values, words, buttons in (
        ({"hold_until": soon}, "It goes on by itself.", ["Pause"]),
        ({"state": "paused", "probe_at": soon, "failing_code": "FHIR_5XX", "hold_until": None},
         "Tried again within a minute.", ["Keep it paused", "Try again now"]),
        ({"state": "running", "probe_at": None, "probing": True}, "Trying again after 5 failures", ["Pause"]),
    ):  # fmt: skip
        Pull.objects.update(**values)
        page.goto(f"{live_server.url}/pulls/{pull.pk}/")
        expect(said).to_contain_text(words)
        assert page.locator("#pull-steps > .do button").all_inner_texts() == buttons
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()


# --- the patient and the list -------------------------------------------------------------------------------


def test_refresh_on_the_chart_goes_through_its_states(
    page: Page, live_server: LiveServer, alice: User, pull: Pull
) -> None:
    work(pull.connection)
    person = Patient.objects.first()
    assert person is not None
    sign_in(page, live_server, alice)
    page.goto(f"{live_server.url}/patients/{person.pk}/")
    where = page.locator("form.as-of")
    expect(where).to_contain_text("Last fetched")
    page.emulate_media(media="print")
    expect(where).to_be_hidden()  # a button does nothing on paper
    page.emulate_media(media="screen")
    where.get_by_role("button", name="Refresh from the EMR").click()
    expect(where).to_contain_text("Asked for; waiting for its turn.")
    expect(where.get_by_role("button")).to_have_count(0)  # asked once
    Connection.objects.update(state="degraded", reason_code="TOK_INVALID_CLIENT")
    where.get_by_role("link", name="Reload").click()
    expect(where).to_contain_text("The connection to the EMR does not work at present")
    Connection.objects.update(state="active", reason_code="")
    schedule.open_pulls()
    WorkItem.objects.filter(state="queued").update(lease_until=timezone.now() + timedelta(minutes=1))
    where.get_by_role("link", name="Reload").click()
    expect(where).to_contain_text("Being fetched from the EMR now.")
    Connection.objects.update(state="revoked")
    page.reload()
    expect(where).to_have_count(0)


def test_a_schedule_that_staff_bring_is_who_comes_today(
    page: Page, live_server: LiveServer, alice: User, pull: Pull
) -> None:
    work(pull.connection)
    person = Patient.objects.exclude(account_no="").first()
    assert person is not None
    sign_in(page, live_server, alice)
    today = page.get_by_role("table", name=re.compile("Appointments: Today"))
    page.get_by_role("link", name="Bring a schedule").click()
    practice_day = timezone.localdate(timezone=timezone.zoneinfo.ZoneInfo(pull.practice.time_zone))
    text = f"date,time,account_no\n{practice_day},23:59,{person.account_no}\n{practice_day},25:99,{person.account_no}\n"
    file = {"name": "day.csv", "mimeType": "text/csv", "buffer": text.encode()}
    page.get_by_label("CSV file").set_input_files(file)  # type: ignore[arg-type]
    page.get_by_role("button", name="Show what it would do").click()
    expect(page.get_by_text("1 patient has an appointment")).to_be_in_viewport()
    expect(page.get_by_text("Line 3: the time cannot be read")).to_be_in_viewport()
    page.get_by_label("Leave this row out").check()
    page.get_by_role("button", name="Do it for 1 row").click()
    expect(page.get_by_role("main")).to_contain_text("1 enrolled patient comes today or tomorrow")
    page.get_by_role("link", name="Who comes, with how fresh each is").click()
    expect(today.get_by_role("row")).to_have_count(2)
    expect(today.get_by_role("row").nth(1)).to_contain_text("23:59")
    expect(today.get_by_role("row").nth(1)).to_contain_text("as of")


# --- looks --------------------------------------------------------------------------------------------------


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
    found = LookUp(practice=practice_a, connection=pull.connection, sought=sought, found=[person], state="done")
    LookUp.objects.bulk_create(
        [found]
        + [
            LookUp(practice=practice_a, connection=pull.connection, sought=sought, state=state, reason=reason)
            for state, reason in (("done", ""), ("failed", "The server has a fault (FHIR_5XX)"), ("queued", ""))
        ]
    )
    return pull.connection


def test_pages_are_accessible_and_fit(
    looks: Looks, live_server: LiveServer, alice: User, furnished: Connection, complaints: list[str]
) -> None:
    page = looks.page
    sign_in(page, live_server, alice)
    practice = f"{live_server.url}/practices/{furnished.practice_id}"
    pull = Pull.objects.get()
    looks.at("pull", f"{live_server.url}/pulls/{pull.pk}/")
    page.get_by_text("Cancel", exact=True).click()
    looks.at("pull-cancel")
    for name in ("pulls", "quarantine", "roster", "schedule", "changes"):
        looks.at(name, f"{practice}/{name}/")
    page.locator("main details summary").first.click()
    looks.at("changes-opened")
    ending.cancel(pull.pk)
    looks.at("pull-cancelled", f"{live_server.url}/pulls/{pull.pk}/")
    expect(page.get_by_role("row").filter(has_text="Condition").first).to_contain_text("The pull was cancelled")
    page.emulate_media(media="print")
    expect(page.get_by_text("Printed by Alice.")).to_be_visible()
    for hidden in ("main details", "main button", "main input"):  # neither links to records nor buttons
        expect(page.locator(f"{hidden}:visible")).to_have_count(0)
    assert sheets(page) <= 2
    page.goto(f"{practice}/changes/")
    expect(page.locator("main input:visible")).to_have_count(0)
    page.emulate_media(media="screen")
    page.goto(f"{practice}/roster/")
    page.get_by_label("CSV file").set_input_files(
        {"name": "list.csv", "mimeType": "text/csv", "buffer": b"fhir_id\nnew-one\nnot an id\n"}
    )
    page.get_by_role("button", name="Show what it would do").click()
    expect(page.get_by_text("Line 3: this is no FHIR id.")).to_be_in_viewport()
    looks.at("preview")
    page.goto(f"{practice}/roster/")
    page.get_by_role("button", name="Show what it would do").click()
    expect(page.get_by_text("Choose a CSV file with at least one row.")).to_be_in_viewport()
    looks.at("roster-refused")
    page.goto(f"{practice}/quarantine/")
    page.get_by_role("button", name="Open the bytes").click()
    expect(page.get_by_role("heading", name="Quarantined bytes")).to_be_visible()
    looks.at("bytes")
    assert complaints == []


def test_a_pull_over_all_patients_reads_sensibly(
    page: Page, live_server: LiveServer, alice: User, connect_generic: ConnectGeneric  # noqa: F811
) -> None:  # fmt: skip
    connection, control = connect_generic(patients=2)
    control.fault("ignored-parameter", times=None, match={"type": "Observation"})
    schedule.open_pulls()
    pull = connection.pulls.get()
    sign_in(page, live_server, alice)
    address = f"{live_server.url}/pulls/{pull.pk}/"
    page.goto(address)
    expect(page.get_by_role("status").first).to_have_text("Running: nothing is fetched yet.")
    run_one()
    page.goto(address)
    expect(page.get_by_role("status").first).to_contain_text("of 1 kinds of record are fetched, over all patients")
    expect(page.get_by_role("table", name="Patients by kind of record")).to_have_count(0)  # nobody is known yet
    work(connection)
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.goto(address)
    expect(page.get_by_role("table", name="Asked for over all patients at once")).to_be_visible()
    assert (violations(page), too_wide(page)) == ("", "")
    shoot(page, "pull-population-390")
    page.goto(f"{live_server.url}/practices/{pull.practice_id}/pulls/")
    expect(page.get_by_role("row").nth(1)).to_contain_text("Complete")
    patients = page.get_by_role("row").nth(1).locator("[data-label=Patients]")
    expect(patients).to_have_text(str(Enrolment.objects.count()))
    expect(page.get_by_role("region", name="How records come")).to_contain_text("Searches over all patients (Allergies")


def test_an_export_reads_sensibly(
    looks: Looks, live_server: LiveServer, alice: User, connect_bulk: ConnectBulk  # noqa: F811
) -> None:  # fmt: skip
    connection, control = connect_bulk(patients=1, exports={"polls": 1})
    control.fault("export-error", match={"path": "$export-poll", "nth": 2}, type="Condition")
    for _ in range(3):
        bulk.tick()
    pull = connection.pulls.get()
    sign_in(looks.page, live_server, alice)
    looks.at("pull-export", f"{live_server.url}/pulls/{pull.pk}/")
    condition = looks.page.get_by_role("row").filter(has_text="Condition").first
    # The file that says what went wrong is not read yet: nothing may be said to be on file.
    expect(condition).to_contain_text("no file so far")
    bulk.work(connection)
    looks.at("pull-export-ended", f"{live_server.url}/pulls/{pull.pk}/")
    expect(condition).to_contain_text("not fetched")
