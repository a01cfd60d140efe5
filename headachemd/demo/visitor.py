"""Signs in to the running demo as its staff would, over HTTP, and opens the patient list and histories."""

import http.cookiejar
import re
import urllib.error
import urllib.parse
import urllib.request

from headachemd.demo import totp

_SECOND_STEP = "/accounts/second-factor/authenticate/"
_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
_HOLE = re.compile(r">\s*None\s*<|\bNone[,;:]")  # a missing value that got printed
_HISTORY = re.compile(r'href="(/patients/[0-9a-f-]{36}/)"')


class Visitor:
    """A browser without JavaScript. Raises urllib's HTTPError for every answer that is not a page."""

    def __init__(self, address: str) -> None:
        self.address = address
        jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))

    def get(self, path: str) -> str:
        with self.opener.open(self.address + path, timeout=30) as answer:
            return str(answer.read().decode())

    def post(self, path: str, page: str, **fields: str) -> tuple[str, str]:
        """Send a form of that page. Returns where it led, and the page there."""
        token = _TOKEN.search(page)
        if token is None:
            raise ValueError(f"the page of {path} holds no form")
        form = urllib.parse.urlencode({"csrfmiddlewaretoken": token[1], **fields})
        with self.opener.open(self.address + path, form.encode(), timeout=30) as answer:
            return str(answer.url), str(answer.read().decode())

    def sign_in(self, email: str, password: str, totp_secret: str) -> str:
        """The page after both steps: the patient list. Raises ValueError when the login is refused."""
        path = "/accounts/login/"
        at, page = self.post(path, self.get(path), login=email, password=password)
        if _SECOND_STEP not in at:
            raise ValueError("the demo's own password was refused")
        at, page = self.post(_SECOND_STEP, page, code=totp.code(totp_secret))
        if "/accounts/" in at:
            raise ValueError("the demo's own code was refused")
        return page

    def histories_on(self, page: str) -> list[str]:
        """Addresses of the histories a patient list links to, in order."""
        return list(dict.fromkeys(_HISTORY.findall(page)))


def pages_ok(address: str, email: str, password: str, totp_secret: str, *, histories: int = 3) -> int:
    """How many of the list and up to `histories` histories open and are what they should be."""
    visitor = Visitor(address)
    listing = visitor.sign_in(email, password, totp_secret)
    found = visitor.histories_on(listing)
    fine = 1 if found else 0
    for path in found[:histories]:
        page = visitor.get(path)
        fine += int('id="allergies"' in page and "As of" in page and not _HOLE.search(page))
    return fine
