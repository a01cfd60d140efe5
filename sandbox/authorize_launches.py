"""Launches from inside the EMR: an opaque handle that stands for who is looking at which chart (SMART App Launch)."""

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.authorize_accounts import Account


@dataclass(frozen=True)
class LaunchContext:
    """What a ``launch`` value stands for.

    Attributes:
        client_id: the app it was made for, None for any.
        patient: the open chart, None when the app was opened without one.
        asks_consent: False where the practice has approved the app for its users, so that nobody is asked.
    """

    account: Account
    patient: str | None = None
    encounter: str | None = None
    client_id: str | None = None
    need_patient_banner: bool = False
    asks_consent: bool = False


class Launches:
    """The handles in force. Each serves once, and not for long."""

    def __init__(self, life: float, clock: Callable[[], float]) -> None:
        self._life = life
        self._clock = clock
        self._lock = threading.Lock()
        self._open: dict[str, tuple[LaunchContext, float]] = {}

    def issue(self, context: LaunchContext) -> str:
        """A new handle."""
        handle = secrets.token_urlsafe(24)
        with self._lock:
            self._open[handle] = context, self._clock() + self._life
        return handle

    def claim(self, handle: str, client_id: str) -> LaunchContext | None:
        """What the handle stands for, once; None when unknown, used, too old, or another app's."""
        with self._lock:
            context, until = self._open.pop(handle, (None, 0.0))
        if context is None or until <= self._clock() or context.client_id not in (None, client_id):
            return None
        return context
