"""Sixty addresses that lead elsewhere, and every place of ours that takes an address to go to next.

`leaving` reads an address as browsers do (WHATWG URL: tabs and line feeds fall out, a backslash is a slash).
"""

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote, urlencode, urljoin, urlsplit

from django.core.cache import cache
from django.test import Client

from emr.models import Enrolment, User
from tests.conftest import signed_in, with_password_only

HERE = "localhost"
EVIL = "evil.example"
PASSWORD = "correct horse battery"
PAYLOADS = (
    f"https://{EVIL}", f"http://{EVIL}/", f"//{EVIL}", f"///{EVIL}", f"////{EVIL}/%2f..", f"/////{EVIL}",
    f"https:{EVIL}", f"https:/{EVIL}", f"https:///{EVIL}", f"http:///////{EVIL}", f"HTTPS://{EVIL}", f"hTTp:{EVIL}",
    f"\\\\{EVIL}", f"\\/{EVIL}", f"/\\{EVIL}", f"/\\/{EVIL}", f"\\\\\\{EVIL}", f"https:\\\\{EVIL}",
    f"https:/\\{EVIL}", f"http:\\/{EVIL}", f"/\\\\\\{EVIL}", f"\\/\\/{EVIL}", f"/ /{EVIL}", f" //{EVIL}",
    f"\t//{EVIL}", f"/\t/{EVIL}", f"/\n/{EVIL}", f"\r\n//{EVIL}", f"/\r/{EVIL}", f"ht\ttps://{EVIL}",
    f"\x00//{EVIL}", f"\x01https://{EVIL}", f"\x0b//{EVIL}", f"\x1f//{EVIL}", f"\u00a0//{EVIL}", f"\u2028//{EVIL}",
    f"\ufeff//{EVIL}", f"/\u200b/{EVIL}", f"\uff0f\uff0f{EVIL}", f"/\uff3c{EVIL}",
    f"https://{HERE}@{EVIL}", f"https://{HERE}:80@{EVIL}/", f"//{HERE}@{EVIL}", f"//{HERE}:pw@{EVIL}",
    f"https://{HERE}.{EVIL}", f"//{HERE}.{EVIL}", f"https://{EVIL}#{HERE}", f"https://{EVIL}?{HERE}",
    f"https://{EVIL}\\@{HERE}", f"//{EVIL}\\@{HERE}", f"https://{EVIL}%00@{HERE}",
    "javascript:alert(1)", "JaVaScRiPt:alert(1)", " javascript:alert(1)", "java\nscript:alert(1)",
    "javascript://localhost/%0aalert(1)", "data:text/html,<script>alert(1)</script>", "vbscript:msgbox(1)",
    f"ftp://{EVIL}/", f"//{EVIL}:80", f"//[::ffff:192.0.2.1]/{EVIL}", f"mailto:me@{EVIL}",
)  # fmt: skip
Take = Callable[["Visitors", str], Any]


class Visitors:
    """A member who has shown both factors, the same with the password alone, and somebody who is not signed in."""

    def __init__(self, user: User) -> None:
        self.user = user
        self.member = signed_in(user, Client(SERVER_NAME=HERE))
        self.half = with_password_only(user, Client(SERVER_NAME=HERE))
        self.stranger = Client(SERVER_NAME=HERE)


def _sign_in(at: Visitors, payload: str) -> Any:
    cache.clear()  # wrong tries of others do not count here
    fields = {"login": at.user.email, "password": PASSWORD, "next": payload}
    return Client(SERVER_NAME=HERE).post("/accounts/login/", fields)


def _in_query(path: str) -> Take:
    return lambda at, payload: at.member.get(f"{path}?{urlencode({'next': payload})}")


def _posted(path: str, **fields: str) -> Take:
    """With a session of its own: it may end with the answer."""
    return lambda at, payload: signed_in(at.user, Client(SERVER_NAME=HERE)).post(path, {"next": payload, **fields})


def _refresh(at: Visitors, payload: str) -> Any:
    enrolment = Enrolment.objects.first()
    assert enrolment is not None
    return at.member.post(f"/enrolments/{enrolment.pk}/refresh/", {"next": payload})


def _ehr(at: Visitors, payload: str) -> Any:
    return at.member.get(f"/emr/launch?{urlencode({'iss': payload, 'launch': 'x', 'next': payload})}")


def _callback(at: Visitors, payload: str) -> Any:
    said = {"state": "x" * 43, "error": "access_denied", "error_uri": payload, "redirect_uri": payload, "iss": payload}
    return at.stranger.get(f"/emr/callback?{urlencode(said)}")


def _admin(at: Visitors, payload: str) -> Any:
    return at.stranger.get(f"/admin/login/?{urlencode({'next': payload})}")


def _path(at: Visitors, payload: str) -> Any:
    """The address itself is what we come back to after the sign-in."""
    return at.stranger.get(f"/{quote(payload)}")


ROUTES: dict[str, Take] = {
    "signing in": _sign_in,
    "the sign-in page, signed in already": _in_query("/accounts/login/"),
    "the sign-in page of a stranger": lambda at, payload: at.stranger.get(
        f"/accounts/login/?{urlencode({'next': payload})}"
    ),
    "signing out": _posted("/accounts/logout/"),
    "the password once more": _posted("/accounts/reauthenticate/", password=PASSWORD),
    "the second factor once more": lambda at, payload: at.half.get(
        f"/accounts/second-factor/reauthenticate/?{urlencode({'next': payload})}"
    ),
    "refreshing a patient": _refresh,
    "a launch from the EMR": _ehr,
    "the answer of an EMR": _callback,
    "the admin's sign-in": _admin,
    "any address": _path,
}  # fmt: skip


def leaving(address: str) -> bool:
    """True when a browser on one of our pages would go elsewhere, or run something, with this address."""
    text = re.sub(r"[\t\n\r]", "", address.strip("".join(map(chr, range(33))))).replace("\\", "/")
    scheme = re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*):", text)
    if scheme and scheme[1].lower() in ("http", "https"):
        text = f"{scheme[1].lower()}://{text[scheme.end() :].lstrip('/')}"
    elif scheme:
        return True
    elif text.startswith("//"):
        text = "//" + text.lstrip("/")
    host = urlsplit(urljoin(f"http://{HERE}/", text)).hostname
    return host != HERE


class _Addresses(HTMLParser):
    """What a page can lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src", "action", "formaction", "hx-get", "hx-post") and value:
                self.found.append(value)
            if tag == "meta" and name == "content" and value and "url=" in value.lower():
                self.found.append(value.lower().partition("url=")[2])


def addresses(response: Any) -> Iterator[str]:
    """Every address an answer sends to or offers."""
    for header in ("Location", "HX-Redirect", "HX-Location", "Refresh"):
        if header in response.headers:
            yield response.headers[header]
    if response.headers.get("Content-Type", "").startswith("text/html"):
        page = _Addresses()
        page.feed(response.content.decode())
        yield from page.found


def ways_out(at: Visitors, payload: str) -> list[str]:
    """The routes that would lead elsewhere with this payload; empty when all stay here."""
    return [name for name, take in ROUTES.items() if any(map(leaving, addresses(take(at, payload))))]
