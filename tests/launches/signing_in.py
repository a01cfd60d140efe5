"""A person at the sandbox's sign-in pages, over plain HTTP: from the authorization URL to the address they end at.

Orders for the sandbox's control endpoint are in :func:`order`; what each does, in ``sandbox/README.md``.
"""

import json
import urllib.error
import urllib.request
from collections.abc import Collection
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit


class Stuck(AssertionError):
    """The person is on a page that leads nowhere. status: HTTP; text: what came."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


@dataclass
class Page(HTMLParser):
    """A page's only form."""

    action: str = ""
    hidden: dict[str, str] = field(default_factory=dict)
    boxes: list[str] = field(default_factory=list)
    radios: list[str] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.action = said["action"]
        elif tag == "input":
            kind, name, value = said.get("type", "text"), said["name"], said.get("value", "")
            if kind == "hidden":
                self.hidden[name] = value
            elif kind == "checkbox":
                self.boxes.append(value)
            elif kind == "radio":
                self.radios.append(value)
            else:
                self.fields.append(name)


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Where it leads is what we want to know."""


def send(url: str, form: list[tuple[str, str]] | None = None) -> tuple[int, str, str]:
    """(status, Location or "", body) of a GET, or of a POST of the form."""
    body = None if form is None else urlencode(form).encode()
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay())
    try:
        with opener.open(urllib.request.Request(url, body), timeout=10) as answer:
            return answer.status, "", answer.read().decode()
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, answer.headers.get("Location", ""), answer.read().decode()


def sign_in(
    authorize_url: str,
    *,
    username: str = "",
    password: str = "headache-sandbox",
    patient: str = "",
    without: Collection[str] = (),
    refuses: bool = False,
) -> str:
    """Signs in, chooses the chart, consents; returns the address that the EMR sends the browser back to.

    username: see `username_of`; not asked for in a launch from the EMR. patient: whom to choose where the pages ask.
    without: scopes to untick ("patient/Condition.read", "offline_access"). refuses: Deny on the consent page.
    Raises Stuck on a page without a form, or one that comes back with a complaint.
    """
    status, location, text = send(authorize_url)
    for _ in range(4):
        if location:
            return location
        page = Page()
        page.feed(text)
        if not page.action or 'role="alert"' in text:
            raise Stuck(status, text)
        answers = _answers(page, username, password, patient, without, refuses=refuses)
        status, location, text = send(urljoin(authorize_url, page.action), [*page.hidden.items(), *answers])
    raise Stuck(status, text)


def _answers(
    page: Page, username: str, password: str, patient: str, without: Collection[str], *, refuses: bool
) -> list[tuple[str, str]]:
    if "password" in page.fields:
        return [("username", username), ("password", password), ("decision", "sign-in")]
    if "find" in page.fields:
        return [("find", ""), ("patient", patient), ("decision", "choose")]
    ticked = [("scope", box) for box in page.boxes if box not in without]
    return [*ticked, ("decision", "deny" if refuses else "allow")]


def answer_of(location: str) -> dict[str, list[str]]:
    """The parameters that a callback address carries, in the form of `parse_qs`."""
    return parse_qs(urlsplit(location).query, keep_blank_values=True)


def control(control_url: str, path: str, value: Any = None, method: str = "") -> Any:
    """What the control endpoint answers: to a GET, to a POST of `value`, or to `method`."""
    body = None if value is None else json.dumps(value).encode()
    headers = {} if value is None else {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{control_url}/{path}", body, headers, method=method or None)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read())


def order(
    control_url: str, kind: str, *, path: str = "", grant: str = "", times: int | None = 1, **arguments: Any
) -> int:
    """Orders a fault; returns its number. path: text in the path, such as "/authorize"; grant: a grant_type."""
    match = {name: value for name, value in {"path": path, "grant": grant}.items() if value}
    sent = {"kind": kind, "match": match, "times": times, **arguments}
    number: int = control(control_url, "faults", sent)["id"]
    return number


def username_of(control_url: str, patient: str) -> str:
    """The user name under which this patient signs in."""
    accounts = control(control_url, "accounts")["accounts"]
    return next(str(one["username"]) for one in accounts if one["patients"] == [patient] and one["kind"] == "patient")


def clinician(control_url: str) -> str:
    """The user name of the practice's first clinician."""
    accounts = control(control_url, "accounts")["accounts"]
    return next(str(one["username"]) for one in accounts if one["kind"] == "clinician")


def ehr_launch(control_url: str, patient: str, **options: Any) -> dict[str, str]:
    """A launch from inside the EMR: {"launch", "iss", "username"}; open our launch URL with the first two."""
    made: dict[str, str] = control(control_url, "launches", {"patient": patient, **options})
    return made
