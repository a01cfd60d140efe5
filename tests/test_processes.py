"""What a process imports, and what a test may reach."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pytest_socket import SocketConnectBlockedError

ROOT = Path(__file__).resolve().parent.parent

WEB = """
import django
from django.urls import get_resolver
from headachemd.wsgi import application
def walk(patterns):
    for pattern in patterns:
        walk(pattern.url_patterns) if hasattr(pattern, "url_patterns") else pattern.callback
walk(get_resolver().url_patterns)
import sys
print(sorted(name for name in sys.modules if name.split(".")[0] in {"fhir", "pydantic", "sandbox"})[:3])
"""
WORKER = """
from headachemd.celery import app
app.loader.import_default_modules()
import sys
print("fhir.resources.R4B" in sys.modules, sorted(name for name in app.tasks if name.startswith("emr.")))
"""


def run(code: str, tmp_path: Path) -> str:
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "headachemd.settings",
        "HEADACHEMD_MODE": "embedded",
        "SECRET_KEY": "s" * 60,
        "FIELD_KEYS": Fernet.generate_key().decode(),
        "PUBLIC_URL": "http://127.0.0.1:8000",
        "VAR_DIR": str(tmp_path),
        "DATABASE_URL": f"sqlite:///{tmp_path}/d",
        "REDIS_URL": "",
    }
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_web_processes_do_not_import_the_fhir_models(tmp_path: Path) -> None:
    assert run(WEB, tmp_path) == "[]"


def test_workers_do(tmp_path: Path) -> None:
    said = run(WORKER, tmp_path)
    assert said.startswith("True [")
    for task in ("tick", "run_item", "check_connection", "examine_connection", "advance_keys", "look_up"):
        assert f"'emr.tasks.{task}'" in said


def test_the_network_is_closed_to_tests() -> None:
    refused = pytest.raises(SocketConnectBlockedError)
    with socket.socket() as outward, pytest.warns(UserWarning, match="192.0.2.1"), refused:
        outward.connect(("192.0.2.1", 80))
