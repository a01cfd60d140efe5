"""Log lines: an allow-list of fields, one line each, no secret, no words of an exception."""

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from headachemd.logs import BLOT, JsonLines, PlainLines, clean
from tests import servers
from tests.test_settings import FIXED, GOOD, ROOT, start

CANARY = "Zyxwcanary"
OWN_ID = "6e1c2d3e-0a0b-4c0d-8e0f-1234567890ab"


def record(message: str, *args: object, **extra: Any) -> logging.LogRecord:
    made = logging.LogRecord("emr.pulls", logging.WARNING, "x.py", 1, message, args, None)
    made.__dict__.update(extra)
    return made


SECRETS = {
    "bearer": "Authorization: Bearer abc.def",
    "JWT": "sent eyJhbGciOiJSUzM4NCJ9.eyJpc3MiOiJhcHAifQ.c2lnbmF0dXJl",
    "Fernet text": "row holds gAAAAABl" + "x" * 80,
    "invitation link": "Not Found: /invitations/q8fjw-9fjw9_fj29fj29fj29fj29fj2fj2jf0a/",
    "password reset link": "GET /accounts/password/reset/key/3-cq1w2e-5f0a9b8c7d6e5f4a3b2c1d0e9f8a7b6c/",
    "code of a callback": "GET /launch/callback?code=abc&state=xyz",
    "private key": "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END PRIVATE KEY-----",
    "client secret": "client_secret=hunter2",
}


@pytest.mark.parametrize("text", SECRETS.values(), ids=SECRETS.keys())
def test_secrets_are_blotted_out(text: str) -> None:
    shown = clean(text)
    assert BLOT in shown
    for part in ("abc.def", "eyJ", "gAAAA", "q8fjw", "5f0a9b8c", "code=abc", "xyz", "MIIEvQ", "hunter2"):
        assert part not in shown


def test_our_own_ids_and_plain_words_stay() -> None:
    line = f"pull {OWN_ID}: patients.projection.medications could not read 3 of 50 at /patients/{OWN_ID}/"
    assert clean(line) == line


@pytest.mark.parametrize("control", ["\n", "\r", "\x1b[31m", "\x00", "\x7f", "\x85", "\u2028"], ids=repr)
@pytest.mark.parametrize("form", [JsonLines(), PlainLines()], ids=["json", "plain"])
def test_nobody_writes_lines_of_their_own(control: str, form: logging.Formatter) -> None:
    line = form.format(record("user agent %s", f"x{control}forged: line"))
    assert control[0] not in line
    assert len(line.splitlines()) == 1
    assert "forged: line" in line


def test_only_fields_of_the_list_get_out() -> None:
    made = record("audit head", chain=OWN_ID, number=7, patient=CANARY, request=CANARY, sinfo=CANARY)
    told = json.loads(JsonLines().format(made))
    assert set(told) == {"at", "level", "logger", "message", "chain", "number"}
    assert CANARY not in PlainLines().format(made)


@pytest.mark.parametrize("form", [JsonLines(), PlainLines()], ids=["json", "plain"])
def test_words_of_an_exception_stay_inside(form: logging.Formatter) -> None:
    name_of_a_patient = CANARY
    try:
        raise ValueError(f"Key (family)=({name_of_a_patient}) already exists")
    except ValueError:
        made = record("could not be kept")
        made.exc_info = sys.exc_info()
    line = form.format(made)
    assert CANARY not in line
    assert "ValueError" in line
    assert "test_words_of_an_exception_stay_inside" in line


# --- the web server's own lines ---------------------------------------------------------------------------


def told_by(errors: str) -> list[dict[str, Any]]:
    """Every line, as the JSON it must be."""
    return [json.loads(line) for line in errors.splitlines()]


def test_what_a_broken_request_says_stands_in_a_line_of_ours(tmp_path: Path) -> None:
    port = servers.free_port()
    env = os.environ | GOOD | FIXED | {"VAR_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "headachemd.settings"}
    command = [sys.executable, "-m", "gunicorn", "headachemd.wsgi", "--no-control-socket", "-b", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, cwd=ROOT, env=env, stderr=subprocess.PIPE, text=True) as web:
        try:
            answer = _ask(port, b"GET /invitations/" + b"q8fjw9fj" * 5 + b"/\x1b[31m HTTP/1.1 x\r\n\r\n")
        finally:
            web.terminate()
        lines = told_by(web.communicate(timeout=60)[1])
    assert answer.startswith(b"HTTP/1.1 400")
    (refused,) = (line["message"] for line in lines if "request line" in line["message"])
    assert BLOT in refused
    assert "q8fjw" not in refused
    assert {line["logger"] for line in lines} == {"gunicorn.error"}


def _ask(port: int, request: bytes) -> bytes:
    for _ in range(200):
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 30) as asking:
            asking.sendall(request)
            return asking.recv(1000)
        time.sleep(0.1)
    raise AssertionError("the web server does not listen")


def test_a_web_server_that_may_not_start_names_the_variable(tmp_path: Path) -> None:
    command = ("-m", "gunicorn", "headachemd.wsgi", "--no-control-socket", "-b", "127.0.0.1:0")
    refused = start(tmp_path, *command, REDIS_URL=None)
    assert refused.returncode != 0
    assert "REDIS_URL is not set: production needs Redis" in refused.stderr
