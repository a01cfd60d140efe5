"""A wall clock for one answer: read time-outs alone let a server drip for ever."""

import contextlib
import socket
import threading
from typing import Self


class Clock:
    """Cuts the connection when the time for one answer is over, whatever its reader is waiting for."""

    def __init__(self, seconds: float) -> None:
        self.rang = False
        self._seconds = seconds
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._over = False
        self._timer = threading.Timer(seconds, self._ring)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._timer.cancel()
        with self._lock:  # from here on the connection may serve another request
            self._over = True

    def wind(self) -> None:
        """The whole time again, from now."""
        self._timer.cancel()
        self._timer = threading.Timer(self._seconds, self._ring)
        self._timer.daemon = True
        self._timer.start()

    def rest(self) -> None:
        """Stand still until wound: it is not the server's time that passes."""
        self._timer.cancel()

    def watch(self, sock: socket.socket) -> None:
        with self._lock:
            self._socket = sock
            if self.rang:
                self._cut()

    def _ring(self) -> None:
        with self._lock:
            if not self._over:
                self.rang = True
                self._cut()

    def _cut(self) -> None:
        if self._socket is not None:
            # Not SSLSocket.shutdown: it drops its TLS object under the thread that is reading from it.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
