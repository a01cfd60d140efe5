"""Servers at the socket that answer exactly what a test tells them, and keep what they were sent."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from emr.wire.http import Door, Timeouts

QUICK = Timeouts(connect=5.0, read=5.0, wall=10.0)  # ends before the suite does; nothing here waits for it


@dataclass
class Recorded:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Stub:
    """Answers each request with the next of `answers` (the last one again and again).

    An answer is bytes as they go over the wire, or a function that is given the connection.
    """

    answers: list[bytes | Callable[[socket.socket], None]]
    listener: socket.socket
    context: ssl.SSLContext | None = None
    requests: list[Recorded] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)
    threads: list[threading.Thread] = field(default_factory=list)

    @property
    def port(self) -> int:
        return self.listener.getsockname()[1]

    @property
    def host_port(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def base(self) -> str:
        return f"http://{self.host_port}/fhir/r4/AAAAAA"

    def door(self, **options: object) -> Door:
        return Door(self.base, **{"insecure": frozenset({self.host_port}), **options})

    def serve(self) -> None:
        while not self.over.is_set():
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self.handle, args=(connection,), daemon=True)
            self.threads.append(thread)
            thread.start()

    def handle(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(5)
            if self.context is not None:
                connection = self.context.wrap_socket(connection, server_side=True)
            with connection, connection.makefile("rb") as stream:
                while (request := self.read(stream)) is not None:
                    self.requests.append(request)
                    answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                    if callable(answer):
                        answer(connection)
                        return
                    connection.sendall(answer)
                    if b"connection: close" in answer.lower():
                        return

    def read(self, stream) -> Recorded | None:
        first = stream.readline()
        if not first:
            return None
        method, target, _ = first.decode("latin-1").split(" ", 2)
        headers: dict[str, str] = {}
        while (line := stream.readline().strip()) != b"":
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.lower()] = value.strip()
        return Recorded(method, target, headers, stream.read(int(headers.get("content-length", 0))))

    def close(self) -> None:
        self.over.set()
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


@pytest.fixture
def stub() -> Iterator[Callable[..., Stub]]:
    """stub(answer, ...) starts a server on a free loopback port; all are closed after the test."""
    running: list[Stub] = []

    def start(*answers: bytes | Callable[[socket.socket], None], context: ssl.SSLContext | None = None) -> Stub:
        server = Stub(list(answers), socket.create_server(("127.0.0.1", 0)), context)
        thread = threading.Thread(target=server.serve, daemon=True)
        server.threads.append(thread)
        running.append(server)
        thread.start()
        return server

    yield start
    for server in running:
        server.close()
    for server in running:
        for thread in server.threads:
            thread.join(timeout=6)


@pytest.fixture
def wire() -> Callable[..., bytes]:
    """wire(body, status=200, content_type=..., **headers) is an HTTP/1.1 answer in bytes."""

    def answer(
        body: bytes | str = b"{}",
        status: int = 200,
        content_type: str = "application/fhir+json",
        **headers: str,
    ) -> bytes:
        content = body.encode() if isinstance(body, str) else body
        lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(content)}"]
        if content_type:
            lines.append(f"Content-Type: {content_type}")
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        return "\r\n".join([*lines, "", ""]).encode() + content

    return answer


@pytest.fixture
def quick() -> Timeouts:
    return QUICK


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate and key for `localhost`, both in one PEM file."""
    return _certificate(tmp_path_factory.mktemp("tls") / "localhost.pem", "localhost")


def _certificate(path: Path, name: str) -> Path:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return path
