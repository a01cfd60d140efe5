"""The sandbox on a socket: HTTP/1.1 with keep-alive, over TLS where asked, one thread a connection."""

import contextlib
import socket
import ssl
import struct
import sys
import threading
import uuid
from email.utils import formatdate
from http import HTTPStatus
from http.client import responses as REASONS
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Self

from sandbox import routes
from sandbox.config import SandboxConfig
from sandbox.messages import Request, Response
from sandbox.state import SandboxState

MAX_BODY = 256 * 1024 * 1024
# How soon the accepting thread notices that it should stop.
POLL_SECONDS = 0.02
# SO_LINGER on, zero seconds: the close sends RST instead of FIN.
LINGER_RESET = struct.pack("ii", 1, 0)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 120.0
    server: "_Server"

    def _answer(self) -> None:
        body = self._read_body()
        if body is None:
            return
        path, _, query = self.path.partition("?")
        request = Request(self.command, path, query, self.headers, body)
        self._send(routes.answer(self.server.state, request))

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer

    def _read_body(self) -> bytes | None:
        """The body that Content-Length announces; None after an error was answered."""
        sent = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not sent.isdecimal():
            self.close_connection = True
            self._send(Response(HTTPStatus.LENGTH_REQUIRED))
            return None
        if int(sent) > MAX_BODY:
            self.close_connection = True
            self._send(Response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE))
            return None
        return self.rfile.read(int(sent)) if sent != "0" else b""

    def _send(self, response: Response) -> None:
        if response.delivery.reset:
            self._reset()
            return
        self._log(response)
        head = self._head(response)
        body = b"" if self.command == "HEAD" else response.body
        try:
            if response.delivery.drip:
                self._drip(head, body, response)
            else:
                # One write: head and body in one packet cost one round trip.
                self.wfile.write(head + body)
        except ConnectionError:
            self.close_connection = True
        if response.delivery.missing:
            self.close_connection = True

    def _head(self, response: Response) -> bytes:
        reason = REASONS.get(response.status, "Unknown")
        lines = [
            f"HTTP/1.1 {int(response.status)} {reason}",
            f"Date: {formatdate(self.server.state.clock(), usegmt=True)}",
            f"X-Request-Id: {uuid.uuid4()}",
            f"Content-Length: {len(response.body) + response.delivery.missing}",
        ]
        if response.content_type:
            lines.append(f"Content-Type: {response.content_type}")
        lines += [f"{name}: {value}" for name, value in response.headers]
        if self.close_connection:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _drip(self, head: bytes, body: bytes, response: Response) -> None:
        self.wfile.write(head)
        for start in range(0, len(body), response.delivery.drip):
            self.server.state.wait(response.delivery.pause)
            self.wfile.write(body[start : start + response.delivery.drip])

    def _reset(self) -> None:
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_RESET)
        # The file objects over the socket would keep it open; closing the descriptor itself does not wait.
        socket.close(self.connection.detach())

    def _log(self, response: Response) -> None:
        if not self.server.state.config.quiet:
            print(f"{self.command} {self.path} {int(response.status)}", file=sys.stderr, flush=True)

    def log_message(self, format: str, *args: object) -> None:
        """Requests are logged by :meth:`_log`; the base class's own lines are not wanted."""


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    block_on_close = True
    request_queue_size = 128
    state: SandboxState

    def __init__(self, address: tuple[str, int]) -> None:
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        """Binds without the base class's look-up of the host's name."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def serve_tls(self, certificate: Path) -> None:
        """Speaks https with this certificate from now on; the handshake is each connection's own thread's."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def process_request(self, request: socket.socket, client_address: object) -> None:  # type: ignore[override]
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away, or does not trust our certificate, is no error of ours."""
        if not isinstance(sys.exception(), ConnectionError | ssl.SSLError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]

    def hang_up(self) -> None:
        """Ends every open connection, so that their threads end."""
        with self._open_lock:
            for connection in self._open:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue


class Sandbox:
    """A running sandbox in threads of this process; a context manager.

    Raises:
        OSError: the port is taken.
    """

    def __init__(self, config: SandboxConfig) -> None:
        self.config = config
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> Self:
        """Binds, loads the charts and serves."""
        with contextlib.ExitStack() as undo:
            server = _Server((self.config.host, self.config.port))
            undo.callback(server.server_close)
            scheme = "http"
            if self.config.certificate is not None:
                server.serve_tls(self.config.certificate)
                scheme = "https"
            server.state = SandboxState(self.config, f"{scheme}://{self.config.host}:{server.server_port}")
            undo.pop_all()
        self._server = server
        self._thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), name="sandbox")
        self._thread.start()
        return self

    def stop(self) -> None:
        """Ends serving, hangs up on everybody, and waits for the threads."""
        if self._server is None or self._thread is None:
            return
        self._server.state.stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()
        self._server = self._thread = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def state(self) -> SandboxState:
        """What the running sandbox holds.

        Raises:
            RuntimeError: it is not running.
        """
        if self._server is None:
            raise RuntimeError("the sandbox is not running")
        return self._server.state

    @property
    def fhir_base(self) -> str:
        """``http(s)://host:port/fhir/r4/CODE``, without a trailing slash."""
        return self.state.fhir_base

    @property
    def control_url(self) -> str:
        """``http://host:port/control``, without a trailing slash."""
        return f"{self.state.origin}/control"

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.state.origin.rpartition(":")[2])
