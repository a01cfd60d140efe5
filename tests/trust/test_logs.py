"""Log lines: an allow-list of fields, one line each, no secret, no words of an exception."""

import json
import logging
import sys
from typing import Any

import pytest

from headachemd.logs import BLOT, JsonLines, PlainLines, clean

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
