"""What pages hold between one click and the next: each key is unguessable, serves once and not for long."""

import threading
from collections.abc import Callable

LIFE = 600.0


class Visits:
    """Things by key."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._held: dict[str, tuple[object, float]] = {}

    def keep(self, key: str, thing: object) -> None:
        """Holds it for ten minutes."""
        now = self._clock()
        with self._lock:
            self._held = {name: held for name, held in self._held.items() if held[1] > now}
            self._held[key] = thing, now + LIFE

    def take(self, key: str) -> object | None:
        """Gives it out, once; None when unknown or too old."""
        with self._lock:
            thing, until = self._held.pop(key, (None, 0.0))
        return thing if until > self._clock() else None
