"""Charts full of attacks in a real Chromium, under the headers the program sends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.test import Client
from django.test.testcases import LiveServerThread
from playwright.sync_api import Page, sync_playwright

from emr.models import Practice
from tests.trust import xss

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]
ADDRESSES = ("", "timeline/", "print/")


@dataclass(frozen=True)
class Looked:
    """pages: opened with a payload on them; complaints: what ran, and what the console said (CSP violations too)."""

    pages: int
    complaints: tuple[str, ...]


def look(page: Page, base_url: str, client: Client, practice: Practice, payloads: list[str]) -> Looked:
    """Open each attacked patient's pages as the client's person; numbers continue those of earlier patients."""
    name, morsel = next(iter(client.cookies.items()))
    page.context.add_cookies([{"name": name, "value": morsel.value, "url": base_url}])
    complaints: list[str] = []
    page.on("console", lambda said: complaints.append(said.text) if said.type in {"error", "warning"} else None)
    page.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
    page.on("pageerror", lambda error: complaints.append(f"error {error}"))
    opened = 0
    for number, payload in enumerate(payloads, start=1):
        person, _ = xss.person_with(practice, payload, number)
        for address in ADDRESSES:
            page.goto(f"{base_url}/patients/{person.pk}/{address}")
            if page.evaluate(f"typeof window.{xss.MARK}") != "undefined":
                complaints.append(f"ran: {payload}")
            opened += xss.MARK in page.content()
    return Looked(opened, tuple(complaints))


@contextmanager
def serving() -> Iterator[str]:
    """The program on loopback, in a thread of this process. For a database that is a file."""
    thread = LiveServerThread("127.0.0.1", StaticFilesHandler, port=0)
    thread.daemon = True
    thread.start()
    thread.is_ready.wait()
    if thread.error:
        raise thread.error
    try:
        yield f"http://127.0.0.1:{thread.port}"
    finally:
        thread.terminate()


@contextmanager
def chromium() -> Iterator[Page]:
    """A page of a browser of its own."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    options: dict[str, Any] = {"executable_path": str(CHROMIUM), "args": ARGUMENTS}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(**options)
        try:
            yield browser.new_page()
        finally:
            browser.close()
