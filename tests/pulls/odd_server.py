"""A FHIR server on loopback whose pages a test writes byte for byte; tokens are given to whoever asks."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

PATH = "/r4"


@dataclass(frozen=True)
class Asked:
    """A FHIR call as it came in. path: below the base."""

    path: str
    query: dict[str, str]
    target: str


@dataclass(frozen=True)
class Said:
    """An answer. document: JSON, or bytes as they are."""

    document: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def body(self) -> bytes:
        return self.document if isinstance(self.document, bytes) else json.dumps(self.document).encode()


Answer = Callable[[Asked], Said | None]


def bundle(entries: list[dict[str, Any]], **members: Any) -> dict[str, Any]:
    return {"resourceType": "Bundle", "type": "searchset", "entry": entries} | members


class OddServer(ThreadingHTTPServer):
    """`answer` is asked first; where it has nothing to say, a read brings the resource bare, a search nothing."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.host_port = f"127.0.0.1:{self.server_port}"
        self.base = f"http://{self.host_port}{PATH}"
        self.asked: list[Asked] = []
        self.scope = ""
        self.answer: Answer = lambda asked: None

    def reply(self, target: str) -> Said:
        parts = urlsplit(target)
        if parts.path == f"{PATH}/.well-known/smart-configuration":
            return Said(
                {
                    "issuer": self.base, "token_endpoint": f"http://{self.host_port}/token",
                    "token_endpoint_auth_methods_supported": ["private_key_jwt"],
                    "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
                    "grant_types_supported": ["client_credentials"], "code_challenge_methods_supported": ["S256"],
                    "capabilities": ["client-confidential-asymmetric"],
                }
            )  # fmt: skip
        asked = Asked(parts.path.removeprefix(PATH).strip("/"), dict(parse_qsl(parts.query)), target)
        self.asked.append(asked)
        said = self.answer(asked)
        if said is not None:
            return said
        kind, _, fhir_id = asked.path.partition("/")
        return Said({"resourceType": kind, "id": fhir_id} if fhir_id else bundle([]))


class _Handler(BaseHTTPRequestHandler):
    server: OddServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._send(self.server.reply(self.path))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        token = {"access_token": "t" * 40, "token_type": "bearer", "expires_in": 300, "scope": self.server.scope}
        self._send(Said(token))

    def _send(self, said: Said) -> None:
        self.send_response_only(said.status)
        for name, value in ({"Date": self.date_time_string()} | said.headers).items():
            if value:
                self.send_header(name, value)
        self.send_header("Content-Type", "application/fhir+json")
        self.send_header("Content-Length", str(len(said.body)))
        self.end_headers()
        self.wfile.write(said.body)

    def log_message(self, *args: object) -> None: ...


@contextmanager
def serving() -> Iterator[OddServer]:
    with OddServer() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join(timeout=5)
