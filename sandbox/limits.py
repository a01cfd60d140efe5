"""Calls per practice and clock minute, as the vendor counts them."""

import datetime
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class CallCounter:
    """Counts FHIR, token and authorize calls together and says when a minute is spent.

    Args:
        limit: calls that one minute admits; those refused are counted apart.
        clock: POSIX time in seconds.
    """

    def __init__(self, practice: str, limit: int, clock: Callable[[], float]) -> None:
        self._practice = practice
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._in_flight = 0
        self._clear()

    def _clear(self) -> None:
        self._minutes: Counter[int] = Counter()
        self._kinds: Counter[str] = Counter()
        self._answers: Counter[int] = Counter()
        self._events: Counter[str] = Counter()
        self._max_concurrent = self._in_flight

    @contextmanager
    def call(self, kind: str) -> Iterator[bool]:
        """Counts one call while it lasts; yields False when the minute had no call left."""
        with self._lock:
            minute = int(self._clock() // 60)
            self._minutes[minute] += 1
            self._kinds[kind] += 1
            self._in_flight += 1
            self._max_concurrent = max(self._max_concurrent, self._in_flight)
            admitted = self._minutes[minute] <= self._limit
        try:
            yield admitted
        finally:
            with self._lock:
                self._in_flight -= 1

    def answered(self, status: int) -> None:
        """Notes the status a counted call ended with."""
        with self._lock:
            self._answers[status] += 1

    def note(self, event: str) -> None:
        """Counts something else worth knowing, such as a minted token."""
        with self._lock:
            self._events[event] += 1

    def reset(self) -> None:
        """Forgets everything, this minute's calls too."""
        with self._lock:
            self._clear()

    def as_json(self) -> dict[str, Any]:
        """The counts, for control."""
        with self._lock:
            minutes = {_minute_text(minute): count for minute, count in sorted(self._minutes.items())}
            return {
                "limit": self._limit,
                "minutes": {self._practice: minutes},
                "by_kind": dict(self._kinds),
                "by_status": {str(status): count for status, count in sorted(self._answers.items())},
                "refused_429": self._answers[429],
                "tokens_minted": self._events["token minted"],
                "jwks_fetches": self._events["jwks fetched"],
                "max_concurrent": self._max_concurrent,
            }


def _minute_text(minute: int) -> str:
    return datetime.datetime.fromtimestamp(minute * 60, datetime.UTC).strftime("%Y-%m-%dT%H:%MZ")
