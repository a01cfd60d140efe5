"""The one door for outgoing bytes.

A Door belongs to one FHIR base URL. It speaks https to public addresses only, sends the bearer below the
base path only, follows no redirect, reads no proxy, netrc or CA setting from the environment, never repeats
a request by itself, and bounds every answer in time (wall clock, not only between two bytes) and in size.
"""

import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

import requests
import urllib3
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from emr.wire.answers import DEFAULT_TIMEOUTS, Answer, Timeouts
from emr.wire.clock import Clock
from emr.wire.errors import NeverAgain, Throttled, TryAgain, WireError
from emr.wire.origins import Target, loopback_address, parse, parse_base, public_address, rebase, under_base

__all__ = [
    "Answer",
    "Door",
    "NeverAgain",
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

# These two write whole URLs, queries included: at DEBUG for each request, at WARNING for a bad header line.
for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(lambda record: False)


class _Guard:
    """What the connections of one door must know: the loopback exceptions, the clock of each thread."""

    def __init__(self, insecure: frozenset[str]) -> None:
        self.insecure = insecure
        self.current = threading.local()

    def addresses(self, host: str, port: int) -> list[str]:
        """Resolve once; refuse unless every address is public (or loopback where that is allowed)."""
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        name = f"[{host}]" if ":" in host else host
        local_allowed = f"{name}:{port}" in self.insecure
        for address in addresses:
            if not (public_address(address) or (local_allowed and loopback_address(address))):
                raise NeverAgain("NET_ADDRESS_REFUSED", "the host name leads to an address inside", host=host)
        return addresses


def _connect(connection: Any, guard: _Guard) -> socket.socket:
    """Stand-in for urllib3's `_new_conn`: connects to an address we checked; Host and SNI keep the name."""
    patience = connection.timeout if isinstance(connection.timeout, int | float) else DEFAULT_TIMEOUTS.connect
    give_up = time.monotonic() + patience
    try:
        addresses = guard.addresses(connection.host, connection.port)
    except (socket.gaierror, UnicodeError) as exc:
        reason = exc if isinstance(exc, socket.gaierror) else socket.gaierror(socket.EAI_NONAME, "not a name")
        raise NameResolutionError(connection.host, connection, reason) from exc
    for address in addresses:
        left = give_up - time.monotonic()
        if left <= 0:
            break
        try:
            return create_connection((address, connection.port), left, socket_options=connection.socket_options)
        except TimeoutError:
            continue
        except OSError as exc:
            if address == addresses[-1]:
                raise NewConnectionError(connection, "refused") from exc
    raise ConnectTimeoutError(connection, "no address answered in time")


class _Adapter(HTTPAdapter):
    """requests' adapter with connections that check their address and hand their socket to the clock."""

    def __init__(self, guard: _Guard) -> None:
        self._guard = guard
        super().__init__(max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        guard = self._guard

        class Checked:
            def _new_conn(self) -> socket.socket:
                return _connect(self, guard)

            def getresponse(self) -> Any:
                guard.current.clock.watch(self.sock)  # type: ignore[attr-defined]
                return super().getresponse()  # type: ignore[misc]

        plain = type("CheckedHTTP", (Checked, HTTPConnection), {})
        secure = type("CheckedHTTPS", (Checked, HTTPSConnection), {})
        self.poolmanager.pool_classes_by_scheme = {
            "http": type("CheckedHTTPPool", (HTTPConnectionPool,), {"ConnectionCls": plain}),
            "https": type("CheckedHTTPSPool", (HTTPSConnectionPool,), {"ConnectionCls": secure}),
        }

    def close(self) -> None:
        """Close idle connections now; urllib3 leaves that to the garbage collector."""
        for key in list(self.poolmanager.pools.keys()):
            pool = self.poolmanager.pools.get(key)
            if pool is not None:
                pool.close()
        super().close()


class _Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None, or requests reads the redirect's body, unbounded, for a request we never send."""
        return None


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
        self._guard = _Guard(self.insecure)
        self._session = _Session()
        self._session.trust_env = False
        if ca_file and not Path(ca_file).is_file():
            raise NeverAgain("TLS_VERIFY", "the file of trusted authorities is missing", host=base.host)
        self._session.verify = ca_file or True
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, _Adapter(self._guard))

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
        target = parse(url)
        if bearer is not None and not under_base(url, self.base_url):
            raise NeverAgain("FHIR_LINK_FOREIGN", "a bearer stays below the base URL", host=target.host)
        self._require_known(target, "FHIR_LINK_FOREIGN")
        return self._exchange("GET", target, headers, bearer, None, timeout, max_bytes)

    def post_form(
        self,
        url: str,
        form: Mapping[str, str],
        *,
        headers: Mapping[str, str] | None = None,
        timeout: Timeouts = DEFAULT_TIMEOUTS,
        max_bytes: int = MIB,
    ) -> Answer:
        """POST a form (token requests) to the base's origin or a confirmed host. Sent once, never repeated.

        Raises NeverAgain DISC_FOREIGN_HOST before anything is sent to another host; otherwise as `get`.
        """
        target = parse(url, code="DISC_FOREIGN_HOST")
        self._require_known(target, "DISC_FOREIGN_HOST")
        return self._exchange("POST", target, headers, None, urlencode(form), timeout, max_bytes)

    def _require_secure(self, target: Target, code: str) -> None:
        if target.scheme != "https" and target.host_port not in self.insecure:
            raise NeverAgain(code, "only https is spoken", host=target.host)

    def _require_known(self, target: Target, code: str) -> None:
        if target.origin not in self._origins:
            raise NeverAgain(code, "not a confirmed host", host=target.host)

    def _exchange(
        self,
        method: str,
        target: Target,
        headers: Mapping[str, str] | None,
        bearer: str | None,
        form: str | None,
        timeout: Timeouts,
        max_bytes: int,
    ) -> Answer:
        request = requests.Request(method, target.url, headers=_headers(headers, bearer, form), data=form)
        prepared = self._session.prepare_request(request)
        prepared.url = target.url  # as we were given it: requests rewrites escapes
        started = time.monotonic()
        error: WireError
        with Clock(timeout.wall) as clock:
            self._guard.current.clock = clock
            try:
                with self._session.send(
                    prepared, timeout=(timeout.connect, timeout.read), stream=True, allow_redirects=False
                ) as response:
                    answer = _answer(response, target, started, max_bytes)
                    if not clock.rang:
                        return answer
                error = TryAgain("NET_TIMEOUT", "the answer took too long", host=target.host)
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as exc:
                error = _wire_error(exc, clock.rang, target.host)
        raise error


def _headers(extra: Mapping[str, str] | None, bearer: str | None, form: str | None) -> dict[str, str]:
    lines = {"User-Agent": "HeadacheMD", **(extra or {})}
    for name, value in lines.items():
        if name.lower() in _OURS_TO_SET or not _HEADER_TEXT.fullmatch(value):
            raise ValueError(f"the header {name!r} cannot be set from outside, or its value is not plain text")
    lines["Accept-Encoding"] = "identity"
    if form is not None:
        lines["Content-Type"] = "application/x-www-form-urlencoded"
    if bearer is not None:
        if not _TOKEN_TEXT.fullmatch(bearer):
            raise ValueError("the bearer holds characters a header cannot carry")
        lines["Authorization"] = f"Bearer {bearer}"
    return lines


def _answer(response: requests.Response, target: Target, started: float, max_bytes: int) -> Answer:
    request_id = re.sub(r"[^\x21-\x7e]", "", response.headers.get("X-Request-Id", ""))[:128]
    status = response.status_code
    if 300 <= status < 400:
        raise NeverAgain(
            "NET_REDIRECT", "answered with a redirect", status=status, request_id=request_id, host=target.host
        )
    body = bytearray()
    for chunk in response.raw.stream(_CHUNK, decode_content=True):
        body += chunk
        if len(body) > max_bytes:  # counted after decoding: servers compress even when asked not to
            detail = f"the answer is larger than {max_bytes} bytes"
            raise NeverAgain("NET_TOO_LARGE", detail, status=status, request_id=request_id, host=target.host)
    return Answer(
        status=status,
        headers=CaseInsensitiveDict(response.headers),
        body=bytes(body),
        url=target.url,
        elapsed=time.monotonic() - started,
        request_id=request_id,
        host=target.host,
    )


def _wire_error(exc: BaseException, rang: bool, host: str) -> WireError:
    causes = tuple(_causes(exc))

    def caused_by(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if rang:
        return TryAgain("NET_TIMEOUT", "the answer took too long", host=host)
    if caused_by(ssl.SSLCertVerificationError):
        return NeverAgain("TLS_VERIFY", "the server's certificate could not be verified", host=host)
    if caused_by(NameResolutionError):
        return TryAgain("NET_DNS", "the host name could not be looked up", host=host)
    if caused_by(NewConnectionError):  # to urllib3 a kind of time-out
        return TryAgain("NET_CONNECT", "the connection was refused", host=host)
    if caused_by(TimeoutError, requests.Timeout, urllib3.exceptions.TimeoutError):
        return TryAgain("NET_TIMEOUT", "no answer in time", host=host)
    return TryAgain("NET_CONNECT", "the connection broke off or the answer was cut short", host=host)


def _causes(exc: BaseException) -> Iterator[BaseException]:
    """The exception and what it wraps: in args (requests), in reason (urllib3), or in the chain."""
    seen: list[BaseException] = []
    waiting: list[object] = [exc]
    while waiting:
        one = waiting.pop()
        if isinstance(one, BaseException) and not any(one is other for other in seen):
            seen.append(one)
            waiting += [*one.args, one.__cause__, one.__context__, getattr(one, "reason", None)]
            yield one
