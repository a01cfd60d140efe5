"""What the one door is made of: connections that check their address first, and what their failures mean."""

import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError
from urllib3.util.connection import create_connection

from emr.wire.answers import DEFAULT_TIMEOUTS
from emr.wire.errors import NeverAgain, TryAgain, WireError
from emr.wire.origins import loopback_address, public_address

# These two write whole URLs, queries included: at DEBUG for each request, at WARNING for a bad header line.
for _name in ("urllib3.connection", "urllib3.connectionpool"):
    logging.getLogger(_name).addFilter(lambda record: False)


class Guard:
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
                raise NeverAgain("NET_ADDRESS_REFUSED", "the host name leads to an address inside", host=host).unsent()
        return addresses


def _connect(connection: Any, guard: Guard) -> socket.socket:
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


class Adapter(HTTPAdapter):
    """requests' adapter with connections that check their address and hand their socket to the clock."""

    def __init__(self, guard: Guard) -> None:
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


class Session(requests.Session):
    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None, or requests reads the redirect's body, unbounded, for a request we never send."""
        return None


def wire_error(exc: BaseException, rang: bool, host: str) -> WireError:
    causes = tuple(_causes(exc))

    def caused_by(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if rang:
        return TryAgain("NET_TIMEOUT", "the answer took too long", host=host)
    if caused_by(ssl.SSLCertVerificationError):
        return NeverAgain("TLS_VERIFY", "the server's certificate could not be verified", host=host).unsent()
    if caused_by(NameResolutionError):
        return TryAgain("NET_DNS", "the host name could not be looked up", host=host).unsent()
    if caused_by(NewConnectionError):  # to urllib3 a kind of time-out
        return TryAgain("NET_CONNECT", "the connection was refused", host=host).unsent()
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
