"""A practice to be examined: a real sandbox, our JWKS on a port of its own, and an active connection between them.

Needs Django's database and nothing of pytest, so that the benchmark can use it.
"""

import json
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric import rsa
from django.test.utils import override_settings

from emr import keys
from emr.bulk import opening, running, waiting
from emr.models import BulkItem, ClientRegistration, Connection, Enrolment, Environment, Practice, SigningKey
from sandbox.config import SandboxConfig
from sandbox.server import Sandbox
from sandbox.state import SandboxState

CLIENT_ID = "a-backend-client"
CODE = "AAAAAA"


class PublicAddress:
    """The public address of this site, as far as a vendor asks it: whatever `status`, `body` and `headers` say."""

    def __init__(self) -> None:
        owner = self
        self.status, self.body, self.media_type = 200, b'{"keys": []}', "application/json"
        self.headers: dict[str, str] = {}

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(owner.status)
                for name, value in {"Content-Type": owner.media_type, **owner.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(owner.body)))
                self.end_headers()
                self.wfile.write(owner.body)

            def log_message(self, *args: object) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    def __enter__(self) -> "PublicAddress":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def publish(self, *published: dict[str, Any]) -> None:
        self.body = json.dumps({"keys": published}).encode()


@dataclass
class Stage:
    """key: the active signing key. site: our public address. state: the sandbox's own, also after its end."""

    connection: Connection
    key: SigningKey
    site: PublicAddress
    sandbox: Sandbox
    state: SandboxState

    @property
    def registration(self) -> ClientRegistration:
        return self.connection.registration

    def post(self, path: str, value: Any) -> Any:
        request = urllib.request.Request(
            f"{self.sandbox.control_url}/{path}",
            data=json.dumps(value).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())

    def fault(self, kind: str, at: str = "", **order: Any) -> None:
        """Order a fault, for calls whose path holds `at`; without `times`, for every such call."""
        match = order.pop("match", {"path": at} if at else {})
        self.post("faults", {"kind": kind, "match": match, "times": None, **order})

    def client(self, **changed: Any) -> None:
        """Register our app at the sandbox's portal, with what is changed."""
        registration = self.registration
        app = {
            "client_id": CLIENT_ID,
            "jwks_url": f"{self.site.url}/.well-known/jwks-sandbox.json",
            "scopes": registration.scopes,
            "alg": "RS384",
            "app_type": registration.app_type,
            "active": True,
        }
        self.post("clients", app | changed)

    def register(self, **columns: Any) -> None:
        """Change our own registration."""
        for name, value in columns.items():
            setattr(self.registration, name, value)
        self.registration.save()

    def base(self, url: str) -> None:
        self.connection.base_url = url
        self.connection.save()

    def group(self, group_id: str) -> None:
        self.connection.group_id = group_id
        self.connection.save()

    @property
    def exports(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.sandbox.control_url}/bulk", timeout=10) as answer:
            return dict(json.loads(answer.read()))

    def export(self, *, runs: int) -> None:
        """Open an export of the group and take so many of its steps, without waiting and without a broker."""
        self.post("bulk", {"retry_after": 0, "polls": 0})
        with patch("emr.bulk.waiting.hint"):
            opening.open_export(self.connection)
            for _ in range(runs):
                BulkItem.objects.update(not_before=None, published_at=None)
                for item in waiting.waiting_items()[:1]:
                    running.run(item)

    def calls(self) -> int:
        with urllib.request.urlopen(f"{self.sandbox.control_url}/calls", timeout=10) as answer:
            return sum(json.loads(answer.read())["minutes"][CODE].values())


@cache
def private_key() -> rsa.RSAPrivateKey:
    """One for the whole run: making one takes half a second."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@contextmanager
def stage(*, enrolled: bool = True, **options: Any) -> Iterator[Stage]:
    """Everything well and connected; patients=1 unless `options` of the sandbox say otherwise."""
    options = {"patients": 1, "limit": 100_000} | options
    with ExitStack() as open_things:
        site = open_things.enter_context(PublicAddress())
        sandbox = open_things.enter_context(Sandbox(SandboxConfig(practice=CODE, **options)))
        ports = {f"127.0.0.1:{sandbox.port}", f"localhost:{sandbox.port}"}
        open_things.enter_context(override_settings(PUBLIC_URL=site.url, INSECURE_FHIR_HOSTS=frozenset(ports)))
        practice, _ = Practice.objects.get_or_create(code=CODE, defaults={"name": "Alder Headache Clinic"})
        key = keys.store(private_key(), environment=Environment.SANDBOX, algorithm="RS384")
        keys.activate(key)
        site.publish(key.public_jwk)
        registration = ClientRegistration(name="Test app", client_id=CLIENT_ID, environment=Environment.SANDBOX)
        registration.scopes = registration.profile.default_scopes
        registration.save()
        connection = Connection.objects.create(
            practice=practice,
            registration=registration,
            base_url=sandbox.fhir_base,
            state=Connection.State.ACTIVE,
        )
        found = Stage(connection, key, site, sandbox, sandbox.state)
        if options.get("certificate") is None:
            found.client()
        for patient in sandbox.state.charts.patients() if enrolled else ():
            Enrolment.objects.create(connection=connection, patient_fhir_id=patient.id, known_by="list")
        yield found


def forget() -> None:
    """Empty the tables a stage fills, for those who run several stages in one database."""
    Connection.objects.all().delete()
    ClientRegistration.objects.all().delete()
    SigningKey.objects.all().delete()
