"""What can go wrong on the wire, in two kinds: try again, never again.

Every error carries a code of the error catalogue and a short text that may be logged and shown: no token,
no assertion, no query string, no body with patients' data. Errors are raised outside their `except` block
so that the libraries' own messages, which quote whole URLs, do not travel along as context.
"""

import re
from collections.abc import Iterable
from typing import Self

DETAIL_LIMIT = 300

_URL = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://)(?:[^\s/?#@]*@)?([^\s/?#\"'<>]*)([^\s\"'<>]*)")
_BEARER = re.compile(r"(?i)\b(bearer|basic)[\s:=]+\S+")
_MAIL = re.compile(r"\S+@\S+")
_NUMBER = re.compile(r"\d[\d/.:-]{3,}\d|\d{4,}")  # dates, telephone and record numbers
# Tokens, assertions, most vendors' resource ids; not "system/AllergyIntolerance.read".
_LONG_MARK = re.compile(r"(?=[A-Za-z._~+/=-]*\d)[A-Za-z0-9._~+/=-]{24,}|[A-Za-z0-9._~+/=-]{40,}")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]+")


def clean(text: object, echoes: Iterable[str] = ()) -> str:
    """A server's free text, fit for a log line: at most 300 characters, one line.

    Cut out are `echoes` (values of our own request a server likes to quote), whatever follows "Bearer",
    query strings, mail addresses, numbers of four digits and more, and unbroken runs of 24 characters with
    a digit or of 40.
    """
    line = _UNPRINTABLE.sub(" ", str(text)[:1000])
    for echo in sorted((e for e in echoes if len(e) > 2), key=len, reverse=True):
        line = line.replace(echo, "…")
    line = _BEARER.sub(r"\1 …", line)
    # Scheme and host only: a path may hold a patient's id.
    line = _URL.sub(lambda m: f"{m[1]}{m[2]}" + ("/…" if m[3] else ""), line)
    line = _LONG_MARK.sub("…", line)  # before the numbers: an assertion cut in pieces would pass
    line = _MAIL.sub("…", line)
    line = _NUMBER.sub("…", line)
    return " ".join(line.split())[:DETAIL_LIMIT]


class WireError(Exception):
    """A request that brought no usable answer.

    code: of the error catalogue. detail: text safe to log. status: HTTP status or None when none came.
    request_id: the server's X-Request-Id for a support case, or "". host: whom we asked, or "".
    """

    def __init__(
        self, code: str, detail: str = "", *, status: int | None = None, request_id: str = "", host: str = ""
    ) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail
        self.status = status
        self.request_id = request_id
        self.host = host
        self.sent = True

    def unsent(self) -> Self:
        """Say that the request is known never to have reached the server; for one it may have, `sent` stays True."""
        self.sent = False
        return self

    def __str__(self) -> str:
        where = [self.host, f"HTTP {self.status}" if self.status else "", self.request_id]
        context = ", ".join(part for part in where if part)
        return f"{self.code}: {self.detail}" + (f" ({context})" if context else "")


class TryAgain(WireError):
    """It may work later without anybody changing anything: outage, time-out, throttling."""


class NeverAgain(WireError):
    """Asking the same again brings the same: a person, a setting or another request has to change."""


class Redirected(NeverAgain):
    """An answer of 3xx, never followed. location: as sent; it may hold anything, so it is not for logs."""

    location: str = ""


class Throttled(TryAgain):
    """HTTP 429. `retry_after`: the seconds the server asks for; eClinicalWorks does not say: None."""

    def __init__(
        self,
        detail: str = "",
        *,
        retry_after: float | None = None,
        status: int | None = 429,
        request_id: str = "",
        host: str = "",
    ) -> None:
        super().__init__("FHIR_429", detail, status=status, request_id=request_id, host=host)
        self.args = (detail,)
        self.retry_after = retry_after
