"""What has been served: the other half of every "nothing was lost" check."""

import threading
from collections.abc import Iterable

from sandbox.charts_store import Key, StoredResource


class Ledger:
    """Every resource sent out whole with a 200, in first-served order, with the text sent last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._served: dict[Key, StoredResource] = {}

    def record(self, resources: Iterable[StoredResource]) -> None:
        """Notes resources of one answer."""
        with self._lock:
            self._served.update((resource.key, resource) for resource in resources)

    def reset(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._served.clear()

    def as_json(self) -> list[list[str]]:
        """``[[type, id, sha256 of the text], …]``."""
        with self._lock:
            served = list(self._served.values())
        return [[*resource.key, resource.sha256] for resource in served]
