"""An OpenID Connect provider of a practice, on loopback: discovery, keys, token endpoint. Tests say what it claims."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from emr.wire import id_token

CLIENT_ID, CLIENT_SECRET = "clinic-app", "canary-provider-secret"


class Provider:
    def __init__(self, address: str) -> None:
        self.issuer = f"{address}/realms/clinic"
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.claims: dict[str, Any] = {}
        self.document: dict[str, Any] = {}
        self.asked: list[dict[str, str]] = []

    def answer(self, path: str) -> Any:
        base = self.issuer
        if path == "/realms/clinic/.well-known/openid-configuration":
            return {
                "issuer": base, "authorization_endpoint": f"{base}/auth", "token_endpoint": f"{base}/token",
                "jwks_uri": f"{base}/keys", "token_endpoint_auth_methods_supported": ["client_secret_post"],
            } | self.document  # fmt: skip
        if path == "/realms/clinic/keys":
            public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
            return {"keys": [public | {"kid": "k1", "use": "sig", "alg": "RS256"}]}
        return None

    def token(self) -> dict[str, Any]:
        now = int(time.time())
        said = {"iss": self.issuer, "aud": CLIENT_ID, "sub": "s-1", "iat": now, "exp": now + 300} | self.claims
        signed = jwt.encode(said, self.key, algorithm="RS256", headers={"kid": "k1"})
        return {"access_token": "a", "token_type": "Bearer", "expires_in": 300, "id_token": signed}


@contextmanager
def running() -> Iterator[Provider]:
    class Handler(BaseHTTPRequestHandler):
        def _send(self, value: Any) -> None:
            body = json.dumps(value).encode()
            self.send_response(404 if value is None else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self._send(provider.answer(self.path))

        def do_POST(self) -> None:
            form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
            provider.asked.append(form)
            self._send(provider.token())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    provider = Provider(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def trusted(settings: Any) -> Iterator[Provider]:
    """A running one that may be asked without TLS; what was remembered of other tests' keys is forgotten."""
    id_token.KEYS.clear()
    with running() as provider:
        settings.INSECURE_FHIR_HOSTS = frozenset({provider.issuer.split("/")[2]})
        yield provider
    id_token.KEYS.clear()
