"""Accounts in a real browser, as a newcomer, a practice admin and a privacy officer meet them."""

import re
from typing import Any

import pytest
from django.core import mail
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from emr import views_audit
from emr.accounts import break_glass
from emr.models import Membership, Practice, User
from headachemd.demo import totp
from tests.accounts.doors import enrolled
from tests.browser.conftest import give_both
from tests.browser.looks import Looks, sheets
from tests.conftest import member, signed_in
from tests.pages import charts

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]

Role = Membership.Role
REASON = "Unconscious patient, no clinician to be reached"


def enter(page: Page, live_server: LiveServer, user: User) -> None:
    enrolled(user)
    page.goto(f"{live_server.url}/")
    give_both(page, user.email)
    expect(page.locator("details.menu")).to_be_visible()


@pytest.fixture
def admin(practice_a: Practice) -> User:
    return member("adam@example.org", practice_a, Role.ADMIN)


@pytest.mark.parametrize("script", [True, False], ids=["with JavaScript", "without"])
def test_from_the_invitation_to_the_charts(
    browser: Browser, live_server: LiveServer, practice_a: Practice, admin: User, settings: Any, script: bool
) -> None:
    settings.PUBLIC_URL = live_server.url
    signed_in(admin).post(
        f"/practices/{practice_a.pk}/members/", {"do": "invite", "email": "nina@example.org", "role": "clinician"}
    )
    link = re.search(r"http\S+/invitations/\S+", mail.outbox[0].body)
    assert link
    context = browser.new_context(java_script_enabled=script)
    page = context.new_page()
    page.goto(link[0])
    assert page.locator("dl.lines dd").all_inner_texts()[:3] == [
        "Alder Headache Clinic",
        "Clinician",
        "nina@example.org",
    ]
    page.get_by_role("button", name="Accept and make my account").click()
    page.get_by_label("Your name").fill("Nina Newcomer")
    page.get_by_label("Password", exact=True).fill("a long enough pass")
    page.get_by_label("Password (again)").fill("a long enough pass")
    page.get_by_role("button", name="Make my account").click()
    page.get_by_role("button", name="Set up an authenticator app").click()
    secret = page.locator(".key code").inner_text()  # as it is copied: without gaps
    page.get_by_label("Code from the app").fill(totp.code(secret))
    page.get_by_role("button", name="Finish").click()
    expect(page.locator("ul.codes li")).to_have_count(10)
    expect(page.get_by_role("button", name="Print")).to_have_count(int(script))
    page.emulate_media(media="print")
    expect(page.get_by_text("recovery codes of nina@example.org")).to_be_visible()
    expect(page.get_by_text("Go on", exact=True)).not_to_be_visible()
    expect(page.locator("header.top")).not_to_be_visible()
    assert sheets(page) == 1
    page.emulate_media(media="screen")
    page.reload()
    expect(page.get_by_text("They were shown once")).to_be_visible()
    expect(page.locator("ul.codes")).to_have_count(0)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", name="Patients", level=1)).to_be_visible()
    page.goto(link[0])
    expect(page.get_by_role("heading", name="This invitation is not open")).to_be_visible()
    context.close()


def test_removing_a_member_asks_first(
    browser: Browser, live_server: LiveServer, practice_a: Practice, admin: User, bob: User
) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    enter(page, live_server, admin)
    page.goto(f"{live_server.url}/practices/{practice_a.pk}/members/")
    sure = page.get_by_role("button", name="Yes, remove Bob")
    expect(sure).not_to_be_visible()
    page.locator("details.sure summary").click()
    sure.click()
    expect(page.get_by_text("Bob is no longer a member, and was signed out.")).to_be_visible()
    assert not bob.memberships.exists()
    context.close()


def test_charts_opened_where_there_is_no_officer_are_told_to_the_other_admin(
    page: Page, live_server: LiveServer, practice_a: Practice, admin: User, looks: Looks
) -> None:
    other = member("anna@example.org", practice_a, Role.ADMIN)
    break_glass.open_charts(other, practice_a, REASON)
    enter(page, live_server, admin)
    told = page.get_by_role("region", name="Charts opened by breaking the glass")
    expect(told).to_contain_text("Anna opened charts of Alder Headache Clinic")
    looks.at("glass-told")
    told.get_by_role("button", name="Read the reason").click()
    expect(page.get_by_role("cell", name=REASON)).to_be_visible()
    page.get_by_role("button", name="I have looked into it").click()
    expect(told).not_to_be_visible()
    expect(page.get_by_role("cell", name="by Adam")).to_be_visible()
    looks.at("glass-reviewed")
    page.goto(f"{live_server.url}/practices/{practice_a.pk}/break-glass/")
    expect(page.get_by_text("Anna", exact=True)).to_be_visible()  # who would be told of Adam's
    looks.at("glass-before")
    Membership.objects.filter(user=other).delete()
    page.reload()
    expect(page.get_by_text("Nobody else watches over the charts")).to_be_visible()
    looks.at("glass-unwatched")


def test_the_trail_is_narrowed_paged_and_looked_at(
    page: Page, live_server: LiveServer, practice_a: Practice, alice: User, looks: Looks, complaints: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    patient = charts.patient(practice_a)
    reader = signed_in(alice)
    monkeypatch.setattr(views_audit, "PAGE", 5)
    for _ in range(7):
        reader.get(f"/patients/{patient.pk}/")
    officer = member("olga@example.org", practice_a, Role.PRIVACY_OFFICER)
    break_glass.open_charts(officer, practice_a, REASON)
    enter(page, live_server, officer)
    looks.at("trail", f"{live_server.url}/practices/{practice_a.pk}/audit/")
    page.get_by_label("What").select_option("read-history")
    page.get_by_label("Who").select_option(label="Alice")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("7 events of this kind.")).to_be_visible()
    page.get_by_role("link", name="Next").click()
    expect(page.get_by_text("Page 2 of 2")).to_be_visible()
    expect(page.get_by_label("Who")).to_have_value(str(alice.pk))
    assert "Alice" not in page.url
    page.get_by_label("What").select_option("glass")
    page.get_by_label("Who").select_option("")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator("tr.loud")).to_have_count(2)  # opened, and the list
    looks.at("trail-glass")
    page.emulate_media(media="print")  # the sheet says of itself what the header and the filter say on the screen
    expect(page.get_by_text("Alder Headache Clinic, as of")).to_contain_text("Printed by Olga.")
    expect(page.get_by_text("What: Break-glass, and what was opened behind it.")).to_be_visible()
    for hidden in ("form.narrow", "form.in-row", "header.top"):
        expect(page.locator(hidden)).to_be_hidden()
    assert sheets(page) == 1
    page.emulate_media(media="screen")
    page.get_by_role("link", name="Show everything").click()
    expect(page.get_by_label("What")).to_have_value("")
    looks.at("who-has-seen", f"{live_server.url}/patients/{patient.pk}/seen/")
    looks.at("find-a-chart", f"{live_server.url}/practices/{practice_a.pk}/audit/patients/")
    assert complaints == []


def test_members_page_and_error_pages_look_right(
    page: Page, live_server: LiveServer, practice_a: Practice, admin: User, alice: User, bob: User, looks: Looks
) -> None:
    looks.at("login", f"{live_server.url}/accounts/login/")
    expect(page.get_by_label("Email")).to_be_focused()
    looks.at("reset", f"{live_server.url}/accounts/password/reset/")
    looks.at("404-signed-out", f"{live_server.url}/nonsense/")
    looks.at("400", f"{live_server.url}/accounts/login/?{'a=1&' * 1001}")  # more fields than Django reads
    expect(page.get_by_role("heading", name="Request not understood")).to_be_visible()
    expect(page.locator(".wordmark")).to_be_visible()
    enter(page, live_server, admin)
    page.goto(f"{live_server.url}/practices/{practice_a.pk}/members/")
    page.locator("details.sure summary").first.click()
    looks.at("members-sure")
    page.emulate_media(media="print")
    expect(page.get_by_role("row", name="Bob")).to_contain_text("Staff")
    for hidden in ("main button", "main select", "main input"):
        expect(page.locator(f"{hidden}:visible")).to_have_count(0)
    page.emulate_media(media="screen")
    looks.at("404-signed-in", f"{live_server.url}/nonsense/")
    looks.at("sessions", f"{live_server.url}/accounts/sessions/")
    expect(page.get_by_text(re.compile(r"Chrome \d+ on Linux"))).to_be_visible()
    page.goto(f"{live_server.url}/accounts/password/change/")
    page.evaluate("document.querySelector('main [name=csrfmiddlewaretoken]').value = 'x'.repeat(64)")
    for label in ("Current Password", "New Password", "New Password (again)"):
        page.get_by_label(label, exact=True).fill("whatever it may be")
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_role("heading", name="This page was out of date")).to_be_visible()
    looks.at("csrf")


def test_switching_is_said_and_seen(
    page: Page, live_server: LiveServer, alice: User, practice_b: Practice, looks: Looks
) -> None:
    Membership.objects.create(user=alice, practice=practice_b, role=Role.STAFF)
    enter(page, live_server, alice)
    page.get_by_role("button", name="Alder Headache Clinic").click()
    expect(page.get_by_text("You now work in Alder Headache Clinic.")).to_be_visible()
    page.locator("header details.switch > summary").click()
    page.get_by_role("button", name="Birch Neurology").click()
    expect(page.get_by_text("You now work in Birch Neurology.")).to_be_visible()
    expect(page.locator("header details.switch > summary")).to_contain_text("Birch Neurology")
    looks.at("switched")


def test_too_many_wrong_codes_say_what_to_do(page: Page, live_server: LiveServer, alice: User) -> None:
    enrolled(alice)
    page.goto(f"{live_server.url}/")
    page.get_by_label("Email").fill(alice.email)
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in", exact=True).click()
    for _ in range(6):
        page.get_by_label("Code").fill("000000")
        with page.expect_event("load"):  # the alert of the try before is there already
            page.get_by_role("button", name="Sign in", exact=True).click()
        expect(page.get_by_role("alert").first).to_be_visible()
    expect(page.get_by_role("alert").first).to_contain_text("Too many failed login attempts. Try again later.")
