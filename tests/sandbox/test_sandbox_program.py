"""The program: its command line, the line it prints, keep-alive, and how it ends."""

import ast
import json
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

import sandbox
from sandbox.__main__ import read_config
from sandbox.config import ConfigError, SandboxConfig
from sandbox.server import Sandbox
from tests.sandbox.app import App, Web

Start = Callable[..., Sandbox]
ROOT = Path(__file__).resolve().parents[2]
OURS = {"emr", "patients", "headachemd", "django", "jwt", "requests"}


def first_line(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    ready, _, _ = select.select([process.stdout], [], [], 60)
    assert ready, "the sandbox did not start in time"
    return json.loads(process.stdout.readline())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_program_says_where_it_is_and_stops_on_a_signal(number: signal.Signals, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text('{"resourceType":"Patient","id":"p1"}', encoding="utf-8")
    (tmp_path / "m.json").write_text('{"resourceType":"Medication","id":"m1"}', encoding="utf-8")
    command = [sys.executable, "-m", "sandbox", "--practice", "TESTAB", "--data", str(tmp_path), "--quiet"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            line = first_line(process)
            web = Web(urlsplit(line["control"]).port or 0)
            patients = web.get(urlsplit(line["control"]).path + "/patients").json["patients"]
            process.send_signal(number)
            _, errors = process.communicate(timeout=60)
            web.connection.close()
        finally:
            process.kill()
    assert line["fhir_base"].endswith("/fhir/r4/TESTAB")
    assert (line["patients"], line["resources"], line["unservable"]) == (1, 2, 1)
    assert [patient["id"] for patient in patients] == ["p1"]
    assert (process.returncode, errors) == (0, "")


def test_command_line_reads_every_option(tmp_path: Path) -> None:
    line = (
        "--port 8123 --practice QQQQQQ --patients 7 --seed 3 --latency-ms 20 --latency-per-type "
        "DocumentReference=2000 --limit 99 --page-size 5 --token-life 60 --quiet "
        "--client a=http://127.0.0.1:1/jwks?x=y "
        "--client b=https://x.example/jwks=system/Patient.read,system/Condition.rs"
    )
    config = read_config([*line.split(), "--data", str(tmp_path), "--state", str(tmp_path / "s.json")])
    assert (config.port, config.practice, config.patients, config.seed) == (8123, "QQQQQQ", 7, 3)
    assert (config.limit, config.page_size, config.token_life) == (99, 5, 60)
    assert config.latency("DocumentReference") == 2.0
    assert config.latency("Patient") == config.latency(None) == 0.02
    assert (config.data, config.state_file) == ((tmp_path,), tmp_path / "s.json")
    assert [(client.client_id, client.jwks_url) for client in config.clients] == [
        ("a", "http://127.0.0.1:1/jwks?x=y"),
        ("b", "https://x.example/jwks"),
    ]
    assert config.clients[1].scopes == ("system/Patient.read", "system/Condition.rs")


@pytest.mark.parametrize(
    "line",
    [
        "--host 0.0.0.0",
        "--host example.org",
        "--practice abhead",
        "--practice ABHEADS",
        "--data /nowhere/at/all",
        "--page-size 0",
        "--client a=http://elsewhere.example/jwks",
        "--client nonsense",
        "--latency-per-type Patient",
    ],
)
def test_command_line_refused(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        read_config(line.split())
    assert exit_info.value.code == 2
    assert "error:" in capsys.readouterr().err


def test_config_refuses_a_host_that_others_can_reach() -> None:
    with pytest.raises(ConfigError, match="loopback"):
        SandboxConfig(host="0.0.0.0")


def test_connection_is_kept_alive(connect: Callable[..., App]) -> None:
    web = connect().web
    web.get("/control/ledger")
    socket = web.connection.sock
    assert web.get("/nonsense").status == 404
    assert web.get("/control/ledger").status == 200
    assert web.connection.sock is socket


def test_stop_hangs_up_on_idle_and_stalled_clients(start: Start) -> None:
    running = start()
    idle, stalled = Web(running.port), Web(running.port)
    idle.get("/control/ledger")
    stalled.post_json("/control/faults", {"kind": "stall", "seconds": 60})
    stalled.connection.request("GET", "/fhir/r4/ABHEAD/metadata")
    while not running.state.faults.as_json()[0]["struck"]:
        pass
    running.stop()
    with pytest.raises(RuntimeError):
        _ = running.state
    idle.connection.close()
    stalled.connection.close()


def test_start_on_a_taken_port_is_an_error(start: Start) -> None:
    with pytest.raises(OSError, match="Address already in use"):
        start(port=start().port)


def test_body_without_a_length_is_refused(start: Start) -> None:
    web = Web(start().port)
    answer = web.send("POST", "/oauth/oauth2/token", b"0\r\n\r\n", Transfer_Encoding="chunked")
    assert answer.status == 411
    web.connection.close()


def test_requests_are_logged_unless_quiet(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    for quiet in (False, True):
        web = Web(start(quiet=quiet).port)
        web.get("/fhir/r4/ABHEAD/metadata", Authorization="Bearer secret-canary")
        web.connection.close()
    assert capfd.readouterr().err == "GET /fhir/r4/ABHEAD/metadata 200\n"


def test_sandbox_imports_nothing_of_ours() -> None:
    found = set()
    for path in Path(sandbox.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").partition(".")[0])
    assert not found & OURS
    assert found <= sys.stdlib_module_names | {"sandbox", "joserfc"}
