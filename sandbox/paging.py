"""Search results held for paging: what an opaque ``_getpages`` value stands for."""

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass

from sandbox.charts_store import StoredResource

KEPT = 20_000


@dataclass(frozen=True)
class Cursor:
    """One search result, fixed when the search was made.

    Attributes:
        patient: whose data it is, for fault orders.
        self_query: path tail and query of the search, for its self link.
        size: entries of a page, where the client may choose; ``included``: the type that comes along.
    """

    resource_type: str
    patient: str | None
    self_query: str
    matches: tuple[StoredResource, ...]
    size: int = 0
    included: str = ""


class Cursors:
    """The newest results by opaque key; a page may be asked for again, in any order."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: OrderedDict[str, Cursor] = OrderedDict()

    def keep(self, cursor: Cursor) -> str:
        """Stores a result and returns its key."""
        key = secrets.token_urlsafe(24)
        with self._lock:
            self._held[key] = cursor
            while len(self._held) > KEPT:
                self._held.popitem(last=False)
        return key

    def find(self, key: str) -> Cursor | None:
        """The result of that key, None when unknown or no longer held."""
        return self._held.get(key)
