"""Texts of a chart are never markup: parsed pages, and a real browser under the strict CSP."""

import os
from typing import Any

import pytest
from playwright.sync_api import Page

from emr.models import Membership, Practice, User
from tests.conftest import member, signed_in
from tests.trust import browsing, xss


def test_there_are_payloads_and_types_enough() -> None:
    assert len(set(xss.PAYLOADS)) >= 120


@pytest.mark.django_db
def test_no_text_of_a_chart_becomes_markup(practice_a: Practice, alice: User) -> None:
    outcome = xss.run(signed_in(alice), practice_a, xss.some(3))
    assert outcome.types >= 12
    assert outcome.shown >= 3 * 6  # the payloads are on the pages, as text
    assert outcome.executable == ()


@pytest.mark.parametrize(
    "html",
    ["<img src=x onerror=y>", "<a href='javascript:x'>", "<b style=x>", "<script src=//evil.example></script>"],
)
def test_the_parser_sees_what_could_run(html: str) -> None:
    assert xss.shapes(html).running != []


@pytest.fixture(scope="session")
def base_url() -> None:
    """Pages are opened by full address."""


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    if not browsing.CHROMIUM.exists():
        pytest.skip(f"{browsing.CHROMIUM} is missing (Debian package chromium)")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    return {"executable_path": str(browsing.CHROMIUM), "args": browsing.ARGUMENTS}


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_real_browser_runs_nothing_and_complains_of_nothing(live_server: Any, page: Page) -> None:
    practice = Practice.objects.create(name="Alder Headache Clinic", code="AAAAAA")
    client = signed_in(member("alice@example.org", practice, Membership.Role.CLINICIAN))
    looked = browsing.look(page, live_server.url, client, practice, xss.some(3))
    assert looked.complaints == ()
    assert looked.pages == 3 * len(browsing.ADDRESSES)


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_the_browser_notices_what_would_run(live_server: Any, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    """With escaping off, the policy stops the script, and the console says so."""
    monkeypatch.setattr("django.template.base.conditional_escape", str)
    practice = Practice.objects.create(name="Alder Headache Clinic", code="AAAAAA")
    client = signed_in(member("alice@example.org", practice, Membership.Role.CLINICIAN))
    looked = browsing.look(page, live_server.url, client, practice, [xss.PAYLOADS[0]])
    assert any("Content Security Policy" in each for each in looked.complaints)
