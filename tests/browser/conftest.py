"""Pages in Debian's Chromium against Django's live server."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from emr.models import User
from tests.accounts.doors import PASSWORD, code, enrolled
from tests.browser.looks import DESKTOP, PHONE, Looks

CHROMIUM = Path("/usr/bin/chromium")
expect.set_options(timeout=20_000)  # a machine may have other things to do


@pytest.fixture(scope="session", autouse=True)
def orm_beside_playwright() -> None:
    """Playwright's sync API runs an event loop in this thread, where Django refuses its ORM unless told."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"


@pytest.fixture(scope="session")
def base_url() -> None:
    """Pages are opened by full address. The plugin's own fixture warns of pytest 10."""


@pytest.fixture(scope="session")
def browser_type_launch_args() -> dict[str, Any]:
    if not CHROMIUM.exists():
        reason = f"{CHROMIUM} is missing (Debian package chromium)"
        if os.environ.get("REQUIRE_SERVERS"):
            pytest.fail(reason)
        pytest.skip(reason)
    return {
        "executable_path": str(CHROMIUM),
        "args": ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"],
    }


@pytest.fixture
def complaints(page: Page) -> list[str]:
    """Errors and warnings of the console, CSP violations among them, as they come."""
    found: list[str] = []
    page.on("console", lambda said: found.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


@pytest.fixture(params=["light", "dark"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[pytest.param(DESKTOP, id="1280px"), pytest.param(PHONE, id="390px")])
def size(request: pytest.FixtureRequest) -> dict[str, int]:
    return dict(request.param)


@pytest.fixture
def looks(page: Page, scheme: str, size: dict[str, int]) -> Iterator[Looks]:
    """The page at both sizes and in both schemes, four tests in all; what was found fails the test at its end."""
    seen = Looks(page, scheme, size)
    seen.wear(page)
    yield seen
    assert seen.problems == {}


def give_both(page: Page, email: str) -> None:
    """Password and code, on the sign-in page."""
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.get_by_label("Code").fill(code())
    page.get_by_role("button", name="Sign in", exact=True).click()


def sign_in(page: Page, live_server: LiveServer, user: User) -> None:
    """Both steps, as people do."""
    enrolled(user)
    page.goto(f"{live_server.url}/")
    give_both(page, user.email)
    expect(page.get_by_role("heading", name="Patients", level=1)).to_be_visible()
    page.wait_for_load_state()  # what is typed before htmx listens is lost
