"""What comes back through the door, and how long we wait for it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from emr.wire.errors import Throttled, WireError

E = TypeVar("E", bound=WireError)


@dataclass(frozen=True)
class Timeouts:
    """Seconds: to connect, to wait for the next byte, and for the whole answer, connecting included.

    The look-up of the host name is bounded by the resolver only.
    """

    connect: float = 3.0
    read: float = 10.0
    wall: float = 60.0


DEFAULT_TIMEOUTS = Timeouts()


@dataclass(frozen=True)
class Answer:
    """An answer of any status but 3xx. `url`, headers and body stay out of repr: they may name a patient."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str = field(repr=False)
    elapsed: float
    request_id: str
    host: str = ""

    @property
    def media_type(self) -> str:
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    @property
    def server_date(self) -> datetime | None:
        """The Date header, aware, or None when it is missing or unreadable."""
        return _http_date(self.headers.get("Date", ""))

    @property
    def retry_after(self) -> float | None:
        """Seconds to wait, from either form of Retry-After (RFC 9110 section 10.2.3); None when not said."""
        value = self.headers.get("Retry-After", "").strip()
        if re.fullmatch(r"[0-9]{1,9}", value):
            return float(value)
        until = _http_date(value)
        if until is None:
            return None
        return max(0.0, (until - (self.server_date or datetime.now(UTC))).total_seconds())

    def error(self, kind: type[E], code: str, detail: str) -> E:
        """A WireError of `kind` that carries this answer's status, request id and host."""
        return kind(code, detail, status=self.status, request_id=self.request_id, host=self.host)

    def throttled(self) -> Throttled:
        return Throttled(
            "the server asks for a pause",
            retry_after=self.retry_after,
            status=self.status,
            request_id=self.request_id,
            host=self.host,
        )


def _http_date(value: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(value)
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
