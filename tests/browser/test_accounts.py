"""Accounts in a real browser: both steps of signing in, enrolment, passkeys, idle warning, break-glass, switching."""

import time
from typing import Any

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from emr.accounts import sessions
from emr.models import AuditEvent, Membership, Practice, User
from headachemd.demo import totp
from tests.accounts.doors import PASSWORD, code, enrolled
from tests.browser.conftest import give_both, sign_in
from tests.browser.looks import Looks, shoot, violations
from tests.conftest import member
from tests.pages import charts

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


def give_password(page: Page, live_server: LiveServer, email: str = "alice@example.org") -> None:
    page.goto(f"{live_server.url}/")
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def test_the_first_sign_in_sets_up_an_authenticator_app(
    page: Page, live_server: LiveServer, alice: User, complaints: list[str]
) -> None:
    give_password(page, live_server)
    expect(page.get_by_role("heading", name="Set up a second factor")).to_be_visible()
    page.get_by_role("link", name="Patients", exact=True).or_(page.locator(".wordmark")).first.click()
    expect(page.get_by_role("heading", name="Set up a second factor")).to_be_visible()  # no way around
    page.get_by_role("button", name="Set up an authenticator app").or_(
        page.get_by_role("link", name="Set up an authenticator app")
    ).click()
    drawn = page.get_by_alt_text("QR code of the key below")
    assert drawn.evaluate("image => image.decode().then(() => image.naturalWidth > 0)")
    secret = page.locator("code").inner_text()
    page.get_by_label("Code from the app").fill("000000")
    page.get_by_role("button", name="Finish").click()
    expect(page.get_by_role("alert")).to_contain_text("Incorrect code")
    page.get_by_label("Code from the app").fill(totp.code(secret))
    page.get_by_role("button", name="Finish").click()
    expect(page.locator("ul.codes li")).to_have_count(10)
    page.get_by_role("button", name="Go on").or_(page.get_by_role("link", name="Go on")).click()
    expect(page.get_by_role("heading", name="Patients", level=1)).to_be_visible()
    assert complaints == []


def test_a_code_that_is_wrong_is_said_to_be(page: Page, live_server: LiveServer, alice: User) -> None:
    enrolled(alice)
    give_password(page, live_server)
    page.get_by_label("Code").fill("000000")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert").first).to_contain_text("Incorrect code")
    page.get_by_label("Code").fill(code())
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Patients", level=1)).to_be_visible()


def key_in_this_device(page: Page) -> None:
    """Chromium's own stand-in for a fingerprint reader."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("WebAuthn.enable")
    options = {
        "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
        "isUserVerified": True, "automaticPresenceSimulation": True,
    }  # fmt: skip
    devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})


def test_a_passkey_is_added_and_signs_in_without_a_password(
    page: Page, live_server: LiveServer, alice: User, complaints: list[str]
) -> None:
    key_in_this_device(page)
    give_password(page, live_server)
    page.get_by_role("button", name="Add a passkey").or_(page.get_by_role("link", name="Add a passkey")).click()
    page.get_by_label("Passwordless").check()
    page.get_by_role("button", name="Add").click()
    expect(page.locator("ul.codes li")).to_have_count(10)
    page.goto(f"{live_server.url}/")
    page.get_by_text("Alice", exact=True).click()
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("heading", name="Patients", level=1)).to_be_visible()
    assert AuditEvent.objects.filter(action="sign-in", user=alice).count() == 2  # by password, then by passkey
    page.goto(f"{live_server.url}/accounts/second-factor/webauthn/")
    expect(page.get_by_role("row")).to_have_count(2)
    assert complaints == []


def test_a_passkey_nobody_has_is_said_to_be_so(page: Page, live_server: LiveServer, alice: User) -> None:
    key_in_this_device(page)
    page.goto(f"{live_server.url}/accounts/login/")
    page.get_by_role("button", name="Sign in with a passkey").click()
    expect(page.get_by_role("alert")).to_contain_text("The passkey was not used")


# --- idle --------------------------------------------------------------------------------------------------


def test_an_idle_session_is_warned_extended_and_ended(
    page: Page, live_server: LiveServer, alice: User, settings: Any, complaints: list[str]
) -> None:
    sign_in(page, live_server, alice)
    settings.SESSION_IDLE_SECONDS, settings.SESSION_WARN_SECONDS = 600, 599  # time to look at it
    page.reload()
    warning = page.get_by_role("dialog")
    expect(warning).to_be_visible()
    expect(warning).to_contain_text("Your session is about to end")
    assert violations(page) == ""
    shoot(page, "idle-warning")
    page.keyboard.press("Escape")
    expect(warning).to_be_visible()
    settings.SESSION_IDLE_SECONDS, settings.SESSION_WARN_SECONDS = 9, 6
    page.reload()
    expect(warning).to_be_visible()
    page.get_by_role("button", name="Stay signed in").click()
    expect(warning).not_to_be_visible()
    extended = time.monotonic()
    expect(page.get_by_role("heading", name="Patients", level=1)).to_be_visible()
    expect(warning).to_be_visible()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert time.monotonic() - extended > 7
    expect(page.get_by_text("You were signed out after")).to_be_visible()
    assert "next=" in page.url
    assert complaints == []


def test_a_session_in_use_in_another_tab_is_not_warned_of(
    page: Page, live_server: LiveServer, alice: User, settings: Any
) -> None:
    sign_in(page, live_server, alice)
    settings.SESSION_IDLE_SECONDS, settings.SESSION_WARN_SECONDS = 30, 23
    page.reload()
    other = page.context.new_page()
    asked: list[str] = []
    page.on("requestfinished", lambda request: asked.append(request.url))
    for _ in range(30):
        other.goto(f"{live_server.url}/")
        page.wait_for_timeout(500)
        if asked:  # seven seconds are over on this page, and it has heard of the other
            break
    assert asked == [live_server.url + reverse(sessions.STATUS)]
    page.wait_for_timeout(1500)
    expect(page.get_by_role("dialog")).not_to_be_visible()
    expect(page.get_by_role("heading", name="Patients", level=1)).to_be_visible()


# --- roles -------------------------------------------------------------------------------------------------


def test_breaking_the_glass(page: Page, live_server: LiveServer, practice_a: Practice, complaints: list[str]) -> None:
    charts.patient(practice_a)
    officer = enrolled(member("olga@example.org", practice_a, Membership.Role.PRIVACY_OFFICER))
    page.goto(f"{live_server.url}/")
    give_both(page, officer.email)
    expect(page.get_by_role("heading", name="Alder Headache Clinic")).to_be_visible()
    page.get_by_role("link", name="Open charts in an emergency").click()
    page.get_by_label("Why must you open charts now?").fill("too short")
    page.get_by_role("button", name="Break the glass").click()
    expect(page.get_by_role("heading", name="Open charts in an emergency")).to_be_visible()
    page.get_by_label("Why must you open charts now?").fill("Unconscious patient, no clinician to be reached")
    page.get_by_role("button", name="Break the glass").click()
    banner = page.get_by_role("region", name="Break-glass")
    expect(banner).to_contain_text("Every page you open is marked")
    page.get_by_role("link", name="GARCIA LOPEZ").first.click()
    expect(banner).to_be_visible()
    shoot(page, "break-glass")
    page.get_by_role("button", name="Close the charts now").click()
    expect(banner).not_to_be_visible()
    expect(page.get_by_role("cell", name="Unconscious patient")).to_be_visible()
    assert complaints == []


def test_what_has_the_focus_can_be_seen(page: Page, live_server: LiveServer, alice: User, practice_b: Practice) -> None:
    """An outline or ring of two pixels or more on each stop of the Tab key, the menus of the header among them."""
    Membership.objects.create(user=alice, practice=practice_b, role=Membership.Role.CLINICIAN)
    enrolled(alice)
    page.goto(f"{live_server.url}/")
    give_both(page, alice.email)
    page.get_by_role("button", name="Alder Headache Clinic").click()
    expect(page.get_by_role("heading", name="Patients", level=1)).to_be_visible()
    stops = {}
    for _ in range(9):
        page.keyboard.press("Tab")
        page.wait_for_timeout(300)  # the ring fades in
        name, ring = page.evaluate(
            """() => {
                const each = document.activeElement, look = getComputedStyle(each);
                const ring = look.boxShadow.match(/(\\d[\\d.]*)px(?=,|$| inset)/);
                const width = look.outlineStyle === "none" ? 0 : parseFloat(look.outlineWidth);
                return [each.innerText.trim() || each.name, Math.max(width, ring ? parseFloat(ring[1]) : 0)];
            }"""
        )
        stops[name] = ring
    assert {"Skip to the content", "q", "Filter and sort"} <= stops.keys()
    assert {name: ring for name, ring in stops.items() if ring < 2} == {}


def test_switching_practices(
    page: Page, live_server: LiveServer, alice: User, practice_a: Practice, practice_b: Practice
) -> None:
    Membership.objects.create(user=alice, practice=practice_b, role=Membership.Role.CLINICIAN)
    charts.patient(practice_b, family="Onlyinb")
    enrolled(alice)
    page.goto(f"{live_server.url}/")
    give_both(page, alice.email)
    page.get_by_role("button", name="Alder Headache Clinic").click()
    header = page.locator("header details.switch > summary")
    expect(header).to_contain_text("Alder Headache Clinic")
    expect(page.get_by_text("Onlyinb")).not_to_be_visible()
    header.click()
    page.get_by_role("button", name="Birch Neurology").click()
    expect(header).to_contain_text("Birch Neurology")
    expect(page.get_by_role("link", name="Onlyinb")).to_be_visible()


# --- looks -------------------------------------------------------------------------------------------------


def pages(practice: Practice) -> dict[str, str]:
    return {
        "second-factor": "/accounts/second-factor/",
        "recovery-codes": "/accounts/second-factor/recovery-codes/generate/",
        "add-passkey": "/accounts/second-factor/webauthn/add/",
        "sessions": "/accounts/sessions/",
        "confirm": "/accounts/reauthenticate/",
        "practice": f"/practices/{practice.pk}/",
        "members": f"/practices/{practice.pk}/members/",
        "break-glass-form": f"/practices/{practice.pk}/break-glass/",
        "role-refused": f"/practices/{practice.pk}/patients/",
    }


LONG_NAME = "Northeastern Comprehensive Headache and Facial Pain Center of the Connecticut River Valley"


def test_account_pages_are_accessible_and_fit(
    looks: Looks, live_server: LiveServer, practice_a: Practice, practice_b: Practice, bob: User
) -> None:
    page = looks.page
    practice_a.name = LONG_NAME
    practice_a.save()
    admin = enrolled(member("adam@example.org", practice_a, Membership.Role.ADMIN))
    Membership.objects.create(user=admin, practice=practice_b, role=Membership.Role.PRIVACY_OFFICER)
    give_password(page, live_server, admin.email)
    looks.at("account-code")
    page.get_by_label("Code").fill(code())
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Your practices")).to_be_visible()
    looks.at("account-choose-practice")
    switch = page.locator("header details.switch")
    switch.locator("summary").click()
    looks.at("account-switch")
    summary, panel = switch.locator("summary").bounding_box(), switch.locator("> div").bounding_box()
    assert summary is not None
    assert panel is not None
    assert panel["y"] >= summary["y"] + summary["height"] - 1  # it opens below what opened it
    for name, path in pages(practice_a).items():
        looks.at(f"account-{name}", live_server.url + path)
    page.goto(f"{live_server.url}/practices/{practice_a.pk}/break-glass/")
    page.get_by_label("Why must you open charts now?").fill("Unconscious patient, no clinician to be reached")
    page.get_by_role("button", name="Break the glass").click()
    page.locator("header details.switch > summary").click()
    looks.at("account-behind-glass")
    assert page.context.browser is not None
    fresh = page.context.browser.new_context()
    page = looks.wear(fresh.new_page())
    give_password(page, live_server, bob.email)
    looks.at("account-enrolment")
    looks.at("account-authenticator-app", f"{live_server.url}/accounts/second-factor/totp/activate/")
    fresh.close()
