"""What else control can order for a connection's self-test: altered answers, repeated requests, clocks, TLS."""

import ssl
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.config import SandboxConfig
from sandbox.server import Sandbox
from tests.sandbox.app import App

Connect = Callable[..., App]
DISCOVERY = "/fhir/r4/ABHEAD/.well-known/smart-configuration"


def test_fault_altered_json_replaces_and_removes_members(connect: Connect) -> None:
    app = connect()
    plain = app.web.get(DISCOVERY).json
    order = {"kind": "altered-json", "set": {"issuer": "other", "added": [1]}, "remove": ["token_endpoint", "absent"]}
    assert app.web.post_json("/control/faults", order).status == 200
    wanted = {name: value for name, value in plain.items() if name != "token_endpoint"}
    assert app.web.get(DISCOVERY).json == wanted | {"issuer": "other", "added": [1]}
    assert app.web.get(DISCOVERY).json == plain


def test_fault_altered_json_leaves_refusals_alone(connect: Connect) -> None:
    app = connect()
    app.web.post_json("/control/faults", {"kind": "altered-json", "set": {"access_token": "x"}})
    assert app.ask_token(grant_type="password").json["error"] == "unsupported_grant_type"


def test_fault_repeated_uses_the_assertion_up(connect: Connect) -> None:
    app = connect()
    app.web.post_json("/control/faults", {"kind": "repeated", "match": {"path": "/token"}})
    answer = app.ask_token()
    assert (answer.status, answer.json["error"]) == (401, "invalid_client")
    assert app.web.get("/control/calls").json["token_refusals"] == ["jti replayed"]
    assert app.ask_token().status == 200


def test_fault_access_denied_is_a_server_error(connect: Connect) -> None:
    app = connect()
    app.web.post_json("/control/faults", {"kind": "access-denied"})
    answer = app.ask_token()
    assert (answer.status, answer.json["error"]) == (500, "access_denied")


@pytest.mark.parametrize("app_type", ["patient", "provider"])
def test_an_app_that_people_launch_gets_no_backend_token(connect: Connect, app_type: str) -> None:
    app = connect()
    client = app.web.get("/control/clients").json["clients"][0]
    app.web.post_json("/control/clients", client | {"app_type": app_type})
    answer = app.ask_token()
    assert (answer.status, answer.json["error"]) == (400, "unauthorized_client")
    assert app.web.get("/control/calls").json["token_refusals"] == ["app type"]


def test_clock_is_put_ahead_and_set_right_by_reset(connect: Connect) -> None:
    app = connect()

    def server_time() -> float:
        return parsedate_to_datetime(app.web.get(DISCOVERY).headers["Date"] or "").timestamp()

    before = server_time()
    assert app.web.post_json("/control/clock", {"seconds": 3600}).json == {"seconds": 3600.0}
    assert server_time() == before + 3600
    assert app.ask_token().json["error"] == "invalid_grant"
    app.web.post_json("/control/reset", {})
    assert server_time() == before
    assert app.ask_token().status == 200


@pytest.mark.parametrize("sent", [{}, {"seconds": "60"}, {"seconds": True}, []])
def test_clock_wants_a_number(connect: Connect, sent: object) -> None:
    assert connect().web.post_json("/control/clock", sent).status == 400


def test_certificate_makes_it_speak_tls(tmp_path: Path) -> None:
    path = tmp_path / "sandbox.pem"
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sandbox")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(encoding, form, serialization.NoEncryption())
    path.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(encoding) + secret)
    trusting = ssl.create_default_context(cafile=str(path))
    trusting.check_hostname = False
    with Sandbox(SandboxConfig(certificate=path)) as sandbox:
        assert sandbox.fhir_base.startswith("https://127.0.0.1:")
        address = f"{sandbox.fhir_base}/.well-known/smart-configuration"
        with urllib.request.urlopen(address, timeout=5, context=trusting) as answer:
            assert b"https://127.0.0.1" in answer.read()
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(address, timeout=5)
        # A client that does not trust it disturbs nobody.
        with urllib.request.urlopen(address, timeout=5, context=trusting) as answer:
            assert answer.status == 200
