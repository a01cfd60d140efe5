"""A real sandbox on loopback, our JWKS on another port, and a connection between them."""

import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as django_settings

from emr import keys
from emr.models import ClientRegistration, Connection, Environment, Practice, SigningKey
from sandbox.config import SandboxConfig
from sandbox.server import Sandbox

CLIENT_ID = "a-backend-client"


class JwksServer:
    """Serves whatever document it is given, as the web process does for the vendor."""

    def __init__(self) -> None:
        owner = self
        self.document: dict[str, Any] = {"keys": []}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = json.dumps(owner.document).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args: object) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/jwks.json"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture(scope="session")
def jwks_server() -> Iterator[JwksServer]:
    served = JwksServer()
    yield served
    served.server.shutdown()
    served.server.server_close()


@pytest.fixture(scope="session")
def key_material(django_db_setup: None, django_db_blocker: Any) -> dict[str, Any]:
    """One RSA key for the whole run: making one takes half a second."""
    with django_db_blocker.unblock():
        key = keys.generate(environment=Environment.SANDBOX)
        values = {name: getattr(key, name) for name in ("environment", "algorithm", "kid", "public_jwk", "private_pem")}
        key.delete()
    return values


@pytest.fixture
def signing_key(db: None, key_material: dict[str, Any], jwks_server: JwksServer) -> SigningKey:
    key = SigningKey.objects.create(**key_material, state=SigningKey.State.ACTIVE)
    jwks_server.document = keys.jwks(Environment.SANDBOX)
    return key


class Control:
    """The sandbox's control endpoint."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=10) as answer:
            return json.loads(answer.read())

    def post(self, path: str, value: Any) -> Any:
        request = urllib.request.Request(
            f"{self.url}/{path}",
            data=json.dumps(value).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read() or "null")

    def delete(self, path: str) -> Any:
        request = urllib.request.Request(f"{self.url}/{path}", method="DELETE")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def fault(self, kind: str, **order: Any) -> None:
        self.post("faults", {"kind": kind, **order})

    @property
    def patient_ids(self) -> list[str]:
        return [patient["id"] for patient in self.get("patients")["patients"]]


Connect = Callable[..., tuple[Connection, Control]]


@pytest.fixture
def connect(practice_a: Practice, signing_key: SigningKey, jwks_server: JwksServer, settings: Any) -> Iterator[Connect]:
    """`connect(patients=2)` or `connect(data=[folder])`: a sandbox and an active connection of practice A to it."""
    running: list[Sandbox] = []

    def start(*, data: list[Path] | None = None, **options: Any) -> tuple[Connection, Control]:
        options.setdefault("limit", 100_000)
        config = SandboxConfig(practice=practice_a.code, data=tuple(data or ()), **options)
        sandbox = Sandbox(config)
        sandbox.__enter__()
        running.append(sandbox)
        settings.INSECURE_FHIR_HOSTS = frozenset({f"127.0.0.1:{sandbox.port}"})
        control = Control(sandbox.control_url)
        registration = ClientRegistration.objects.create(
            name="Test app", client_id=CLIENT_ID, environment=Environment.SANDBOX
        )
        registration.scopes = registration.profile.default_scopes
        registration.save()
        control.post(
            "clients",
            {
                "client_id": CLIENT_ID, "jwks_url": jwks_server.url, "scopes": registration.scopes, "alg": "RS384",
                "app_type": "backend-single", "active": True,
            },
        )  # fmt: skip
        connection = Connection.objects.create(
            practice=practice_a,
            registration=registration,
            base_url=sandbox.fhir_base,
            state=Connection.State.ACTIVE,
        )
        return connection, control

    yield start
    for sandbox in running:
        sandbox.__exit__(None, None, None)


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """No broker: what would have been sent to it. Task and ids; between them the seconds until then, if any."""
    sent: list[tuple[Any, ...]] = []

    def later(task: str, seconds: float, *args: object) -> bool:
        sent.append((task, seconds, *args) if seconds else (task, *args))
        return True

    monkeypatch.setattr("emr.hints.publish_later", later)
    return sent


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls are counted, but a whole test run may make more than 250 a minute; and no second try is waited for."""
    monkeypatch.setattr("emr.budget.DatabaseBudget.take", lambda self, key, **kwargs: 0.0)
    monkeypatch.setattr("emr.pulling.holds.FIRST_WAIT", 0.01)


assert django_settings.EMBEDDED
