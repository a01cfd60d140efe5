"""A practice's own identity provider in a real browser: the way there past our CSP, and an address proven by mail."""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.core import mail
from playwright.sync_api import Page, Request, Route, expect
from pytest_django.live_server_helper import LiveServer

from emr.models import AuditEvent, ExternalIdentity, IdentityProvider, Practice, User
from tests.accounts import provider as clinic
from tests.accounts.doors import code, enrolled
from tests.accounts.provider import CLIENT_ID, CLIENT_SECRET, Provider
from tests.browser.looks import Looks, shoot

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def idp(settings: Any, live_server: LiveServer) -> Iterator[Provider]:
    settings.PUBLIC_URL = live_server.url
    with clinic.trusted(settings) as provider:
        yield provider


@pytest.fixture
def row(idp: Provider, practice_a: Practice) -> IdentityProvider:
    return IdentityProvider.objects.create(
        practice=practice_a, issuer=idp.issuer, client_id=CLIENT_ID, client_secret=CLIENT_SECRET,
        email_domains="example.org",
    )  # fmt: skip


def signs_everybody_in(page: Page, idp: Provider, **claims: Any) -> None:
    """The provider's sign-in page is skipped: it sends the browser straight back."""

    def back(route: Route, request: Request) -> None:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(request.url).query).items()}
        idp.claims = {"email": "alice@example.org", "nonce": asked["nonce"]} | claims
        target = f"{asked['redirect_uri']}?state={asked['state']}&code=c-1"
        route.fulfill(status=302, headers={"Location": target})

    page.route(f"{idp.issuer}/auth*", back)


def test_an_address_nobody_vouches_for_is_proven_by_mail_once(
    page: Page, live_server: LiveServer, row: IdentityProvider, idp: Provider, alice: User, complaints: list[str]
) -> None:
    enrolled(alice)
    signs_everybody_in(page, idp)
    page.goto(f"{live_server.url}/accounts/openid/{row.pk}/")
    page.get_by_role("button", name="Go on at 127.0.0.1").click()  # past form-action 'self'
    expect(page.get_by_role("heading", name="Is this address yours?")).to_be_visible()
    field = page.get_by_label("Code from the mail")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("autocomplete", "one-time-code")
    shoot(page, "openid-prove")
    field.fill("0000 0000")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert").first).to_contain_text("This is not the code we mailed")
    mailed = re.search(r"^\d{4} \d{4}$", mail.outbox[0].body, re.MULTILINE)
    assert mailed
    page.get_by_label("Code from the mail").fill(mailed[0])
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Code").fill(code())  # our own second factor still applies
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("heading", name="Patients", level=1)).to_be_visible()
    assert ExternalIdentity.objects.get().user == alice
    assert AuditEvent.objects.get(action="identity").user == alice
    page.context.clear_cookies()
    page.goto(f"{live_server.url}/accounts/openid/{row.pk}/")
    page.get_by_role("button", name="Go on at 127.0.0.1").click()
    expect(page.get_by_role("heading", name="Second factor")).to_be_visible()  # no mail any more
    assert [letter.subject for letter in mail.outbox] == [
        "Your code for HeadacheMD", "A new way to sign in to HeadacheMD",
    ]  # fmt: skip
    assert complaints == []


def test_provider_pages_are_accessible_and_fit(
    page: Page, live_server: LiveServer, row: IdentityProvider, idp: Provider, alice: User, looks: Looks
) -> None:
    signs_everybody_in(page, idp)
    start = f"{live_server.url}/accounts/openid/{row.pk}/"
    page.goto(start)
    looks.at("openid")
    page.goto(f"{start}callback/?state=x&code=y")
    expect(page.get_by_role("alert")).to_contain_text("You are not signed in")
    looks.at("openid-refused")
    page.get_by_role("button", name="Try again at 127.0.0.1").click()
    expect(page.get_by_role("heading", name="Is this address yours?")).to_be_visible()
    looks.at("openid-prove")
