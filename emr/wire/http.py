"""The one door for outgoing bytes.

A Door belongs to one FHIR base URL. It speaks https to public addresses only, sends the bearer below the
base path only, follows no redirect, reads no proxy, netrc or CA setting from the environment, never repeats
a request by itself, and bounds every answer in time (wall clock, not only between two bytes) and in size.
"""

import re
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlencode

import requests
import urllib3
from requests.structures import CaseInsensitiveDict

from emr.wire.answers import DEFAULT_TIMEOUTS, Answer, Timeouts
from emr.wire.clock import Clock
from emr.wire.errors import NeverAgain, Redirected, Throttled, TryAgain, WireError
from emr.wire.origins import Target, parse, parse_base, rebase, under_base
from emr.wire.transport import Adapter, Guard, Session, wire_error

__all__ = [
    "Answer",
    "Door",
    "NeverAgain",
    "Stream",
    "Throttled",
    "Timeouts",
    "TryAgain",
    "WireError",
    "rebase",
    "under_base",
]

MIB = 1024 * 1024
_CHUNK = 65_536
_TOKEN_TEXT = re.compile(r"[\x21-\x7e]{1,16384}")
_HEADER_TEXT = re.compile(r"[\x20-\x7e]{0,2048}")
_OURS_TO_SET = frozenset({"accept-encoding", "authorization", "content-length", "cookie", "host"})


class Door:
    """The way out to one FHIR server and the few other hosts an admin confirmed. Use as a context manager.

    base_url: the FHIR base, e.g. "https://fhir.example.org/fhir/r4/AAAAAA". other_hosts: exact origins such
    as "https://oauth.example.org", for token calls and requests without a bearer. insecure: exact
    "host:port" pairs for which plain http and loopback addresses are allowed. ca_file: a PEM bundle to
    trust instead of the public authorities. Load-balancer cookies live as long as the door. May be shared
    by threads. Raises NeverAgain("CFG_PRACTICE_CODE") for a base URL and ("DISC_FOREIGN_HOST") for an
    origin it cannot use.
    """

    def __init__(
        self,
        base_url: str,
        *,
        other_hosts: Collection[str] = frozenset(),
        insecure: Collection[str] = frozenset(),
        ca_file: str | None = None,
    ) -> None:
        self.insecure = frozenset(insecure)
        base = parse_base(base_url)
        self._require_secure(base, "CFG_PRACTICE_CODE")
        self.base_url = base.url
        self._origins = {base.origin}
        for other in other_hosts:
            target = parse(other, code="DISC_FOREIGN_HOST")
            self._require_secure(target, "DISC_FOREIGN_HOST")
            self._origins.add(target.origin)
        self._guard = Guard(self.insecure)
        self._session = Session()
        self._session.trust_env = False
        if ca_file and not Path(ca_file).is_file():
            raise NeverAgain("TLS_VERIFY", "the file of trusted authorities is missing", host=base.host)
        self._session.verify = ca_file or True
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, Adapter(self._guard))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._session.close()

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        bearer: str | None = None,
        timeout: Timeouts = DEFAULT_TIMEOUTS,
        max_bytes: int = 20 * MIB,
    ) -> Answer:
        """GET an absolute URL on the base's origin or a confirmed host; with a bearer, below the base only.

        Raises NeverAgain FHIR_LINK_FOREIGN (before anything is sent), NET_ADDRESS_REFUSED, NET_REDIRECT,
        NET_TOO_LARGE, TLS_VERIFY; TryAgain NET_DNS, NET_CONNECT (also for a body cut short), NET_TIMEOUT.
        """
        target = self._permitted(url, bearer)
        return self._exchange("GET", target, _headers(headers, bearer), None, timeout, max_bytes)

    def post_form(
        self,
        url: str,
        form: Mapping[str, str],
        *,
        headers: Mapping[str, str] | None = None,
        basic: str | None = None,
        timeout: Timeouts = DEFAULT_TIMEOUTS,
        max_bytes: int = MIB,
    ) -> Answer:
        """POST a form (token requests) to the base's origin or a confirmed host. Sent once, never repeated.

        basic: the client's credentials of the Basic scheme, in base64 (RFC 6749 section 2.3.1).
        Raises NeverAgain DISC_FOREIGN_HOST before anything is sent to another host; otherwise as `get`.
        """
        target = parse(url, code="DISC_FOREIGN_HOST")
        self._require_known(target, "DISC_FOREIGN_HOST")
        lines = _headers(headers, basic, scheme="Basic") | {"Content-Type": "application/x-www-form-urlencoded"}
        return self._exchange("POST", target, lines, urlencode(form), timeout, max_bytes)

    def post_fhir(
        self, url: str, document: str, *, bearer: str, headers: Mapping[str, str], timeout: Timeouts = DEFAULT_TIMEOUTS
    ) -> Answer:
        """POST a FHIR JSON document (the Parameters of an operation) below the base. Raises as `get`."""
        lines = _headers(headers, bearer) | {"Content-Type": "application/fhir+json"}
        return self._exchange("POST", self._permitted(url, bearer), lines, document, timeout, MIB)

    def delete(self, url: str, *, bearer: str, timeout: Timeouts = DEFAULT_TIMEOUTS) -> Answer:
        """DELETE something of ours below the base: the job of a bulk export. Raises as `get`."""
        return self._exchange("DELETE", self._permitted(url, bearer), _headers(None, bearer), None, timeout, MIB)

    @contextmanager
    def stream(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        bearer: str | None = None,
        timeout: Timeouts = DEFAULT_TIMEOUTS,
        max_bytes: int,
    ) -> Iterator["Stream"]:
        """GET an answer of any size, to be read piece by piece; where a bearer may go is as for `get`.

        timeout.wall bounds the wait for the head and then for each 64 KiB, not the whole. Raises as `get`; the pieces
        raise what breaks while they are read.
        """
        target = self._permitted(url, bearer)
        lines = _headers(headers, bearer) | {"Accept-Encoding": "gzip"}
        started = time.monotonic()
        with Clock(timeout.wall) as clock, self._send("GET", target, lines, None, timeout, clock) as response:
            kept = b"" if response.ok else b"".join(_pieces(response, clock, target.host, MIB))
            clock.rest()
            yield Stream(_answer(response, target, started, kept), response, clock, max_bytes)

    def _permitted(self, url: str, bearer: str | None) -> Target:
        """Where a GET or DELETE may go: the base's origin and confirmed hosts; with a bearer, below the base only."""
        target = parse(url)
        if bearer is not None and not under_base(url, self.base_url):
            raise NeverAgain("FHIR_LINK_FOREIGN", "a bearer stays below the base URL", host=target.host)
        self._require_known(target, "FHIR_LINK_FOREIGN")
        return target

    def _require_secure(self, target: Target, code: str) -> None:
        if target.scheme != "https" and target.host_port not in self.insecure:
            raise NeverAgain(code, "only https is spoken", host=target.host)

    def _require_known(self, target: Target, code: str) -> None:
        if target.origin not in self._origins:
            raise NeverAgain(code, "not a confirmed host", host=target.host)

    def _exchange(
        self, method: str, target: Target, lines: dict[str, str], data: str | None, timeout: Timeouts, max_bytes: int
    ) -> Answer:
        started = time.monotonic()
        with Clock(timeout.wall) as clock, self._send(method, target, lines, data, timeout, clock) as response:
            body = b"".join(_pieces(response, clock, target.host, max_bytes))
            return _answer(response, target, started, body)

    def _send(
        self, method: str, target: Target, lines: dict[str, str], data: str | None, timeout: Timeouts, clock: Clock
    ) -> requests.Response:
        """Send once; the answer's head. Raises it as an error where it is a redirect."""
        prepared = self._session.prepare_request(requests.Request(method, target.url, headers=lines, data=data))
        prepared.url = target.url  # as we were given it: requests rewrites escapes
        self._guard.current.clock = clock
        error: WireError
        try:
            response = self._session.send(
                prepared, timeout=(timeout.connect, timeout.read), stream=True, allow_redirects=False
            )
            if not 300 <= response.status_code < 400:
                return response
            with response:
                redirected = Redirected(
                    "NET_REDIRECT", "answered with a redirect", status=response.status_code,
                    request_id=_request_id(response), host=target.host,
                )  # fmt: skip
                redirected.location = response.headers.get("Location", "")
                error = redirected
        except _BROKEN as exc:
            error = wire_error(exc, clock.rang, target.host)
        raise error


class Stream:
    """An open answer. answer: its head; its body is b"" where the status is a good one, and is read by `pieces`."""

    def __init__(self, answer: Answer, response: requests.Response, clock: Clock, max_bytes: int) -> None:
        self.answer = answer
        self._response, self._clock, self._max_bytes = response, clock, max_bytes

    def pieces(self) -> Iterator[bytes]:
        """The body, decoded, up to 64 KiB at a time. The clock stands still while the caller works on a piece.

        Raises NeverAgain NET_TOO_LARGE beyond `max_bytes`, and for a compressed body that grows a hundredfold.
        """
        for piece in _pieces(self._response, self._clock, self.answer.host, self._max_bytes, rewind=True):
            self._clock.rest()
            yield piece


_BROKEN = (requests.RequestException, urllib3.exceptions.HTTPError, OSError)
# FHIR as NDJSON compresses to a tenth or a thirtieth; a bomb, to a thousandth.
_MOST_GROWTH = 100


def _headers(
    extra: Mapping[str, str] | None, credentials: str | None = None, *, scheme: str = "Bearer"
) -> dict[str, str]:
    lines = {"User-Agent": "HeadacheMD", **(extra or {})}
    for name, value in lines.items():
        if name.lower() in _OURS_TO_SET or not _HEADER_TEXT.fullmatch(value):
            raise ValueError(f"the header {name!r} cannot be set from outside, or its value is not plain text")
    lines["Accept-Encoding"] = "identity"
    if credentials is not None:
        if not _TOKEN_TEXT.fullmatch(credentials):
            raise ValueError("the bearer holds characters a header cannot carry")
        lines["Authorization"] = f"{scheme} {credentials}"
    return lines


def _pieces(
    response: requests.Response, clock: Clock, host: str, max_bytes: int, *, rewind: bool = False
) -> Iterator[bytes]:
    """The body in pieces, decoded. `rewind`: each has the whole of the clock's time to come."""
    read, waiting = 0, response.raw.stream(_CHUNK, decode_content=True)
    while True:
        if rewind:
            clock.wind()
        piece = _next(waiting, clock, host)
        if not piece:
            return
        read += len(piece)
        # Counted after decoding: servers compress even when asked not to.
        if read > max_bytes or (read > MIB and read > _MOST_GROWTH * response.raw.tell()):
            raise NeverAgain(
                "NET_TOO_LARGE", f"the answer is larger than {max_bytes} bytes, or grows without end",
                status=response.status_code, request_id=_request_id(response), host=host,
            )  # fmt: skip
        yield piece


def _next(waiting: Iterator[bytes], clock: Clock, host: str) -> bytes:
    """The next piece, b"" at the end; what breaks is raised as what it means, without its cause."""
    error: WireError
    try:
        piece = next(waiting, b"")
        if not clock.rang:
            return piece
        error = TryAgain("NET_TIMEOUT", "the answer took too long", host=host)
    except _BROKEN as exc:
        error = wire_error(exc, clock.rang, host)
    raise error


def _request_id(response: requests.Response) -> str:
    return re.sub(r"[^\x21-\x7e]", "", response.headers.get("X-Request-Id", ""))[:128]


def _answer(response: requests.Response, target: Target, started: float, body: bytes) -> Answer:
    return Answer(
        status=response.status_code,
        headers=CaseInsensitiveDict(response.headers),
        body=body,
        url=target.url,
        elapsed=time.monotonic() - started,
        request_id=_request_id(response),
        host=target.host,
    )
