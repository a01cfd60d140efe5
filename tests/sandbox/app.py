"""An app as the sandbox meets it: keys of its own, a published key set, and a connection kept alive."""

import base64
import json
import uuid
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlencode, urlsplit

from joserfc import jws
from joserfc.jwk import ECKey, RSAKey

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
CLIENT_ID = "backend-app"


@dataclass
class Clock:
    """POSIX time that stands still unless moved; it starts 20 seconds into a minute."""

    now: float = 1_795_000_020.0 - 1_795_000_020.0 % 60 + 20

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Answer:
    status: int
    headers: HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Web:
    """One keep-alive connection to the sandbox."""

    port: int
    connection: HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self.connection = HTTPConnection("127.0.0.1", self.port, timeout=10)

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        self.connection.request(method, path, body, names)
        answer = self.connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read())

    def get(self, path: str, **headers: str) -> Answer:
        return self.send("GET", path, **headers)

    def post_json(self, path: str, document: Any) -> Answer:
        return self.send("POST", path, json.dumps(document).encode(), Content_Type="application/json")


class _JwksHandler(BaseHTTPRequestHandler):
    server: "JwksHost"

    def do_GET(self) -> None:
        host = self.server
        host.hits += 1
        self.send_response(host.status)
        if host.status == 302:
            self.send_header("Location", host.url + "-elsewhere")
        self.send_header("Content-Length", str(len(host.body)))
        self.end_headers()
        self.wfile.write(host.body)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class JwksHost(ThreadingHTTPServer):
    """Publishes whatever the test put into ``body``."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _JwksHandler)
        self.url = f"http://127.0.0.1:{self.server_port}/jwks.json"
        self.status = 200
        self.body = b'{"keys": []}'
        self.hits = 0

    def publish(self, *keys: dict[str, Any]) -> None:
        self.body = json.dumps({"keys": keys}).encode()


@dataclass(frozen=True)
class Keys:
    rsa: RSAKey
    other_rsa: RSAKey
    ec: ECKey


def public(key: RSAKey | ECKey, kid: str = "kid-1", **members: Any) -> dict[str, Any]:
    return {**key.as_dict(private=False), "kid": kid, "use": "sig", **members}


def encoded(part: dict[str, Any]) -> str:
    """A part of a JWT."""
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


@dataclass
class App:
    """A backend app: its key, and requests made with it. Keyword arguments change or (None) drop a part."""

    web: Web
    clock: Clock
    key: RSAKey
    practice: str = "ABHEAD"
    client_id: str = CLIENT_ID
    bearer: str = ""

    @property
    def token_url(self) -> str:
        return f"http://127.0.0.1:{self.web.port}/oauth/oauth2/token"

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(self.clock.now)
        claims = {"iss": self.client_id, "sub": self.client_id, "aud": self.token_url}
        claims |= {"iat": now, "exp": now + 240, "jti": str(uuid.uuid4())}
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def assertion(
        self,
        *,
        key: RSAKey | ECKey | None = None,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        head = {"alg": "RS384", "kid": "kid-1", "typ": "JWT"} | (header or {})
        head = {name: value for name, value in head.items() if value is not None}
        payload = json.dumps(self.claims(**claims)).encode()
        return jws.serialize_compact(head, payload, key or self.key, algorithms=[head["alg"]])

    def unsigned_assertion(self) -> str:
        parts = [{"alg": "none", "kid": "kid-1", "typ": "JWT"}, self.claims()]
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
        return ".".join([*encoded, ""])

    def form(self, **changes: str | None) -> dict[str, str]:
        form: dict[str, str | None] = {
            "grant_type": "client_credentials",
            "scope": "system/Patient.read",
            "client_assertion_type": ASSERTION_TYPE,
        }
        form |= changes
        if "client_assertion" not in form:
            form["client_assertion"] = self.assertion()
        return {name: value for name, value in form.items() if value is not None}

    def ask_token(self, **changes: str | None) -> Answer:
        body = urlencode(self.form(**changes)).encode()
        return self.web.send("POST", "/oauth/oauth2/token", body, Content_Type="application/x-www-form-urlencoded")

    def sign_in(self, *scopes: str) -> None:
        answer = self.ask_token(scope=" ".join(scopes))
        assert answer.status == 200, answer.body
        self.bearer = answer.json["access_token"]

    def get(self, path: str) -> Answer:
        """A FHIR call; ``path`` is below the base."""
        separator = "" if path.startswith("?") else "/"
        return self.web.get(
            f"/fhir/r4/{self.practice}{separator}{path}",
            Authorization=f"Bearer {self.bearer}",
            Accept="application/fhir+json",
        )

    def follow(self, url: str) -> Answer:
        """The page behind a vendor's link, asked of the sandbox."""
        parts = urlsplit(url)
        return self.web.get(f"{parts.path}?{parts.query}", Authorization=f"Bearer {self.bearer}")
