"""Launches in a real browser, against the sandbox: patients who consent, refuse and revoke; a clinician in the EMR."""

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from django.conf import settings as django_settings
from django.utils import timezone
from playwright.sync_api import Browser, Page, expect
from pytest_django.live_server_helper import LiveServer

from emr import grants, launches, schedule
from emr.launches.links import address_of
from emr.models import Connection, FhirUser, Grant, PatientInvitation, User
from patients.models import Patient
from tests.browser.looks import PHONE, Looks, shoot, violations
from tests.conftest import signed_in
from tests.launches.beside import Person, add_app, people
from tests.launches.signing_in import control, ehr_launch
from tests.pulls.conftest import (  # noqa: F401
    Connect,
    connect,
    jwks_server,
    key_material,
    published,
    signing_key,
    unlimited,
    work,
)

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("published", "unlimited"),
]

AddApp = Callable[[str], Connection]


@pytest.fixture
def place(connect: Connect) -> Any:  # noqa: F811
    """(the backend connection, the sandbox's control)."""
    return connect(patients=4, page_size=1000)


@pytest.fixture
def app(place: Any, jwks_server: Any, live_server: LiveServer, settings: Any) -> AddApp:  # noqa: F811
    settings.PUBLIC_URL = live_server.url
    return lambda app_type: add_app(*place, jwks_server, app_type, live_server.url)


@pytest.fixture
def patient_app(app: AddApp) -> Connection:
    return app("patient")


@pytest.fixture
def person(place: Any) -> Person:
    return people(place[1])[0]


def as_member(page: Page, live_server: LiveServer, user: User) -> None:
    """Signed in with both factors; how that is done in a browser is tested elsewhere."""
    cookie = signed_in(user).cookies[django_settings.SESSION_COOKIE_NAME]
    page.context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": live_server.url}])


def invitation_link(page: Page, live_server: LiveServer, practice_id: Any, person: Person, language: str = "en") -> str:
    """What staff do: invite by name and birth date, and copy the link."""
    page.goto(f"{live_server.url}/practices/{practice_id}/consents/")
    page.get_by_role("button", name="Invite a patient").click()
    page.get_by_label("Family name").fill(person.family)
    page.get_by_label("First name").fill(person.given)
    page.get_by_label("Birth date").fill(person.typed_birth_date)
    page.get_by_label("Language of the letter").select_option(language)
    page.get_by_role("button", name="Make the link").click()
    return page.get_by_label("Link, to copy").input_value()


def at_the_emr(page: Page, person: Person, decision: str = "Allow", without: tuple[str, ...] = ()) -> None:
    """Sign in at the sandbox and decide."""
    page.get_by_label("User name").fill(person.username)
    page.get_by_label("Password").fill("headache-sandbox")
    page.get_by_role("button", name="Sign in").click()
    for scope in without:
        page.locator(f'input[value="{scope}"]').uncheck()
    page.get_by_role("button", name=decision).click()


def phone(browser: Browser) -> Page:
    """The patient's own phone: another browser than the staff's."""
    return browser.new_context(viewport=PHONE, locale="en-US").new_page()


def test_a_patient_consents_and_the_history_fills(
    page: Page, browser: Browser, live_server: LiveServer, alice: User, patient_app: Connection, person: Person,
    complaints: list[str],
) -> None:  # fmt: skip
    as_member(page, live_server, alice)
    link = invitation_link(page, live_server, patient_app.practice_id, person)
    assert re.fullmatch(re.escape(live_server.url) + r"/i/[\w-]{43}/", link)

    own = phone(browser)
    own.goto(link)
    expect(own.get_by_role("heading", level=1)).to_contain_text("Share your health record with Alder Headache Clinic")
    expect(own.get_by_text("Your health problems and diagnoses")).to_be_visible()
    own.get_by_role("button", name="Continue to healow sign-in").click()
    at_the_emr(own, person, without=("patient/Observation.read",))
    expect(own.get_by_role("heading", name="Thank you")).to_be_visible()
    own.goto(link)
    expect(own.get_by_role("heading", name="This link was used before")).to_be_visible()
    own.context.close()

    schedule.open_pulls()
    work(patient_app)
    page.goto(f"{live_server.url}/patients/{Patient.objects.get(fhir_id=person.fhir_id).pk}/")
    expect(page.get_by_role("heading", name="Headache history", level=1)).to_be_visible()
    expect(page.locator("p.as-of")).to_contain_text("Observation (not permitted)")
    page.get_by_role("link", name="Consent", exact=True).click()
    row = page.get_by_role("row").filter(has_text="test results and measures")
    expect(row).to_contain_text("Not permitted")
    expect(page.get_by_role("row").filter(has_text="Your allergies")).to_contain_text("Granted")
    assert complaints == []


def test_a_patient_refuses(
    browser: Browser, live_server: LiveServer, alice: User, patient_app: Connection, person: Person
) -> None:
    link = made_link(patient_app, alice, person, language="es")
    own = phone(browser)
    own.goto(link)
    expect(own.get_by_role("heading", level=1)).to_contain_text("Comparta su historia clínica")
    own.get_by_role("button", name="Continuar a iniciar sesión en healow").click()
    at_the_emr(own, person, decision="Deny")
    expect(own.get_by_role("heading", name="Usted dijo que no. Está bien")).to_be_visible()
    assert not Grant.objects.exists()
    own.goto(link)  # a mind can change: nothing was used up
    expect(own.get_by_role("button", name="Continuar")).to_be_visible()
    own.context.close()


def test_a_patient_revokes_later_and_is_invited_again(
    page: Page,
    browser: Browser,
    live_server: LiveServer,
    alice: User,
    place: Any,
    patient_app: Connection,
    person: Person,
) -> None:
    own = phone(browser)
    own.goto(made_link(patient_app, alice, person))
    own.get_by_role("button", name="Continue to healow").click()
    at_the_emr(own, person)
    expect(own.get_by_role("heading", name="Thank you")).to_be_visible()
    schedule.open_pulls()
    work(patient_app)

    end_at_the_emr(place[1].url)
    Grant.objects.update(access_expires_at=timezone.now())
    grants.keep(Grant.objects.get().pk)
    as_member(page, live_server, alice)
    page.goto(f"{live_server.url}/patients/{Patient.objects.get(fhir_id=person.fhir_id).pk}/")
    expect(page.locator("p.as-of")).to_contain_text("needs consent")
    expect(page.locator("#diagnoses")).to_contain_text("was confirmed")  # kept, and dated
    page.goto(f"{live_server.url}/practices/{patient_app.practice_id}/consents/")
    expect(page.get_by_role("row").filter(has_text=person.family.upper()).first).to_contain_text("Needs consent")
    page.get_by_role("button", name="Reconnect").first.click()
    again = page.get_by_label("Link, to copy").input_value()
    own.goto(again)
    own.get_by_role("button", name="Continue to healow").click()
    at_the_emr(own, person)
    expect(own.get_by_role("heading", name="Thank you")).to_be_visible()
    assert Grant.objects.filter(state=Grant.State.ACTIVE).count() == 1
    own.context.close()


def test_another_persons_record_waits_for_a_decision(
    page: Page, browser: Browser, live_server: LiveServer, alice: User, place: Any, patient_app: Connection
) -> None:
    invited, came = people(place[1])[:2]
    own = phone(browser)
    own.goto(made_link(patient_app, alice, invited))
    own.get_by_role("button", name="Continue to healow").click()
    at_the_emr(own, came)
    expect(own.get_by_role("heading", name="Thank you. Alder Headache Clinic will check")).to_be_visible()
    own.context.close()
    schedule.open_pulls()
    assert not Patient.objects.exists()

    as_member(page, live_server, alice)
    page.goto(f"{live_server.url}/practices/{patient_app.practice_id}/consents/")
    expect(page.get_by_text(came.family.upper())).to_have_count(0)
    page.get_by_role("link", name=re.compile(invited.family, re.I)).click()
    expect(page.get_by_role("row").filter(has_text="Family name")).to_contain_text("Differs")
    shoot(page, "decide-1280")
    assert violations(page) == ""
    page.get_by_role("button", name="It is not: reject").click()
    expect(page.get_by_text("Rejected")).to_be_visible()
    assert Grant.objects.get().state == Grant.State.REVOKED


def end_at_the_emr(control_url: str) -> None:
    """The patient removes the app at the EMR."""
    control(control_url, "grants", method="DELETE")


def made_link(connection: Connection, by: User, person: Person, *, language: str = "en") -> str:
    _invitation, token = launches.invite(
        connection.practice, connection, by, given=person.given, family=person.family,
        birth_date=person.born, language=language,
    )  # fmt: skip
    return address_of(token)


def launch_address(live_server: LiveServer, told: dict[str, str]) -> str:
    return f"{live_server.url}/emr/launch?{urlencode({'iss': told['iss'], 'launch': told['launch']})}"


def test_a_clinician_launches_from_the_emr_by_session(
    page: Page, live_server: LiveServer, alice: User, place: Any, app: AddApp, person: Person, complaints: list[str]
) -> None:
    app("provider")
    as_member(page, live_server, alice)
    page.goto(launch_address(live_server, ehr_launch(place[1].url, person.fhir_id)))
    expect(page.get_by_role("heading", name="This patient is new here")).to_be_visible()
    assert violations(page) == ""
    shoot(page, "arriving-1280")
    pulled = Connection.objects.get(enrolments__patient_fhir_id=person.fhir_id)
    schedule.open_pulls()
    work(pulled)
    expect(page.get_by_role("heading", name="Headache history", level=1)).to_be_visible()
    expect(page.locator(".who")).to_contain_text(person.family.upper())
    page.goto(launch_address(live_server, ehr_launch(place[1].url, person.fhir_id)))
    expect(page.get_by_role("heading", name="Headache history", level=1)).to_be_visible()
    assert complaints == []


def test_a_clinician_launches_by_the_emrs_own_sign_in(
    page: Page, live_server: LiveServer, alice: User, place: Any, app: AddApp, person: Person
) -> None:
    connection = app("provider")
    told = ehr_launch(place[1].url, person.fhir_id)
    account = next(one for one in place[1].get("accounts")["accounts"] if one["username"] == told["username"])
    page.goto(launch_address(live_server, told))
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()  # nobody is entered: our own sign-in
    FhirUser.objects.create(connection=connection, fhir_user=account["fhir_user"], user=alice)
    page.goto(launch_address(live_server, ehr_launch(place[1].url, person.fhir_id)))
    # Known by the EMR's word; our second factor is asked for all the same.
    expect(page).to_have_url(re.compile("/accounts/second-factor/"))


@pytest.mark.parametrize("iss", ["https://evil.example/fhir/r4/AAAAAA", "", "/fhir/r4/AAAAAA"])
def test_an_unknown_emr_is_never_asked(page: Page, live_server: LiveServer, alice: User, app: AddApp, iss: str) -> None:
    app("provider")
    as_member(page, live_server, alice)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{live_server.url}/emr/launch?{urlencode({'iss': iss, 'launch': 'x'})}")
    expect(page.get_by_role("main")).to_contain_text("LAUNCH_UNKNOWN_SERVER")
    assert all(url.startswith(live_server.url) for url in asked)


def test_pages_are_accessible_and_fit(
    looks: Looks, live_server: LiveServer, alice: User, patient_app: Connection, person: Person, complaints: list[str]
) -> None:
    page = looks.page
    link = made_link(patient_app, alice, person)
    for language in ("en", "es"):
        looks.at(f"launch-invitation-{language}", f"{link}?lang={language}")
    looks.at("launch-unknown-link", link[:-6] + "/")
    page.goto(f"{live_server.url}/emr/callback?state=nobody&code=x")
    page.locator("details.other-language summary").click()
    looks.at("launch-refused")
    as_member(page, live_server, alice)
    practice = f"{live_server.url}/practices/{patient_app.practice_id}"
    standing(patient_app, person)
    looks.at("launch-consents", f"{practice}/consents/")
    rows = page.get_by_role("table", name="Consents by their end").get_by_role("row")
    expect(rows).to_have_count(3)  # a consent with two ends to come is one line
    expect(rows.filter(has_text="Active")).to_contain_text(f"{person.family.upper()}, {person.given}")
    expect(rows.filter(has_text="Active")).to_contain_text("name given by staff; the EMR has sent none yet")
    looks.at("launch-invite", f"{practice}/consents/invite/")
    grant = Grant.objects.get(state=Grant.State.ACTIVE)
    looks.at("launch-disconnect", f"{live_server.url}/consents/{grant.pk}/disconnect/")
    invitation_link(page, live_server, patient_app.practice_id, person, "es")
    looks.at("launch-invited")
    page.emulate_media(media="print")
    shoot(page, f"launch-letter-print-{looks.size['width']}")
    made = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type /Page\b(?!s)", made)) == 1
    # Refusals are answers of 400 and above; the browser notes each.
    assert [said for said in complaints if "the server responded with a status of" not in said] == []


def standing(connection: Connection, person: Person) -> None:
    """One consent that ends soon, of somebody invited of whom nothing has come, one that has ended and was never
    invited for, and invitations of each kind."""
    now = timezone.now()
    common = {"connection": connection, "requested_scope": connection.registration.scopes}
    invited = PatientInvitation.objects.create(
        practice=connection.practice, connection=connection, given=person.given, family=person.family,
        birth_date=person.born, token_digest="f" * 64, expires_at=now, used_at=now,
    )  # fmt: skip
    Grant.objects.create(
        **common, patient_fhir_id="soon", scope="patient/Condition.read", invitation=invited,
        consent_ends_at=now + timedelta(days=6, hours=1), idle_ends_at=now + timedelta(20), last_used_at=now,
    )  # fmt: skip
    Grant.objects.create(
        **common,
        patient_fhir_id="over",
        state=Grant.State.NEEDS_CONSENT,
        reason_code="TOK_REFRESH_INVALID",
        ended_at=now,
    )
    for number, columns in enumerate(({}, {"used_at": now}, {"revoked_at": now}, {"expires_at": now - timedelta(1)})):
        PatientInvitation.objects.create(
            practice=connection.practice, connection=connection, given=person.given, family=person.family,
            birth_date=person.born, token_digest=f"{number:064}", **({"expires_at": now + timedelta(5)} | columns),
        )  # fmt: skip
