"""The clients' public keys, fetched from where they registered them."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from typing import IO, Any
from urllib.error import URLError
from urllib.request import HTTPRedirectHandler, OpenerDirector, ProxyHandler, Request, build_opener

from sandbox.clients import is_fetchable

TIMEOUT = 5.0
MAX_BYTES = 256 * 1024
MAX_AGE = 60.0
Jwk = dict[str, Any]


class JwksError(ValueError):
    """The key set cannot be had: unreachable, redirected, too big, or not a JWKS (RFC 7517 section 5)."""


class _NoRedirects(HTTPRedirectHandler):
    def redirect_request(self, req: Request, fp: IO[bytes], *answer: object) -> None:
        """A registered URL is where the keys are; another place is another registration."""


def _opener() -> OpenerDirector:
    return build_opener(ProxyHandler({}), _NoRedirects())


def fetch(url: str) -> list[Jwk]:
    """Gets the keys behind a registered URL.

    Raises:
        JwksError: for any reason there are none to be had.
    """
    if not is_fetchable(url):
        raise JwksError("the URL is neither https nor on this machine")
    request = Request(url, headers={"Accept": "application/json"})  # noqa: S310 - scheme checked above
    try:
        with _opener().open(request, timeout=TIMEOUT) as answer:
            text = answer.read(MAX_BYTES + 1)
    except (URLError, HTTPException, OSError, ValueError) as error:
        close = getattr(error, "close", None)
        if close is not None:
            close()
        raise JwksError(f"unreachable: {type(error).__name__}") from error
    if len(text) > MAX_BYTES:
        raise JwksError("too big")
    return _keys(text)


def _keys(text: bytes) -> list[Jwk]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise JwksError("not JSON") from error
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or not all(isinstance(key, dict) for key in keys):
        raise JwksError("no list of keys")
    return keys


@dataclass(frozen=True)
class _Held:
    fetched_at: float
    keys: list[Jwk]


class JwksCache:
    """Key sets by URL, held for a minute at most, and fetched again when a kid is missing.

    Args:
        clock: POSIX time in seconds.
        on_fetch: called for every fetch made.
    """

    def __init__(self, clock: Callable[[], float], on_fetch: Callable[[], None]) -> None:
        self._clock = clock
        self._on_fetch = on_fetch
        self._lock = threading.Lock()
        self._held: dict[str, _Held] = {}

    def matching(self, url: str, kid: str, *, stale: bool = False) -> list[Jwk]:
        """The keys of that kid: a good set has exactly one.

        Args:
            stale: look only at what is held, however old (plays a vendor that does not refetch).

        Raises:
            JwksError: the set had to be fetched and could not.
        """
        with self._lock:
            held = self._held.get(url)
        fresh = held is not None and self._clock() - held.fetched_at <= MAX_AGE
        found = [key for key in held.keys if key.get("kid") == kid] if held else []
        if stale or (fresh and found):
            return found
        self._on_fetch()
        keys = fetch(url)
        with self._lock:
            self._held[url] = _Held(self._clock(), keys)
        return [key for key in keys if key.get("kid") == kid]
