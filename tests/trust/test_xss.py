"""Texts of a chart are never markup: parsed pages, and a real browser under the strict CSP."""

import os
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

from emr.models import Membership, Practice, User
from tests.conftest import member, signed_in
from tests.trust import xss

CHROMIUM = Path("/usr/bin/chromium")


def test_there_are_payloads_and_types_enough() -> None:
    assert len(set(xss.PAYLOADS)) >= 120


@pytest.mark.django_db
def test_no_text_of_a_chart_becomes_markup(practice_a: Practice, alice: User) -> None:
    outcome = xss.run(signed_in(alice), practice_a, xss.some(3))
    assert outcome.types >= 9
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
    if not CHROMIUM.exists():
        pytest.skip(f"{CHROMIUM} is missing (Debian package chromium)")
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    return {"executable_path": str(CHROMIUM), "args": ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]}


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_real_browser_runs_nothing_and_complains_of_nothing(live_server: Any, page: Page) -> None:
    practice = Practice.objects.create(name="Alder Headache Clinic", code="AAAAAA")
    client = signed_in(member("alice@example.org", practice, Membership.Role.CLINICIAN))
    name, morsel = next(iter(client.cookies.items()))
    page.context.add_cookies([{"name": name, "value": morsel.value, "url": live_server.url}])
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
    for number, payload in enumerate(xss.some(3), start=1):
        person, _ = xss.person_with(practice, payload, number)
        for address in ("", "timeline/", "print/"):
            page.goto(f"{live_server.url}/patients/{person.pk}/{address}")
            assert page.evaluate(f"typeof window.{xss.MARK}") == "undefined", payload
            assert xss.MARK in page.content()
    assert complaints == []
