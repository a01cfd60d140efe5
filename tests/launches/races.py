"""Refreshes and callbacks in real processes, against a sandbox that revokes a grant whose refresh token comes twice.

For tests (small) and for the bench (8 processes, 20 rounds), on SQLite and on any other DATABASE_URL.
"""

import json
import os
import secrets
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from cryptography.fernet import Fernet
from psycopg import sql

from sandbox.config import SandboxConfig
from sandbox.server import Sandbox
from tests.launches import signing_in
from tests.launches.apps import PATIENT_SCOPES, REDIRECT

ROOT = Path(__file__).resolve().parents[2]
CLIENT = "a-patient-app"


@dataclass(frozen=True)
class Race:
    """rounds: refreshes called for. refreshes: as the server counted. lost: rounds that left somebody without a token.

    split: rounds in which two processes held different tokens. in_force: the server still honours the grant.
    """

    rounds: int
    processes: int
    refreshes: int
    lost: int
    split: int
    in_force: bool


@dataclass(frozen=True)
class Told:
    """said: by the program. refreshes, in_force: what the server says of the grant in the end."""

    said: dict[str, Any]
    refreshes: int
    in_force: bool


def fresh_database(url: str) -> str:
    """The URL of a new, empty database of the PostgreSQL server at `url`."""
    name = f"race_{secrets.token_hex(6)}"
    with psycopg.connect(url, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return f"{url.rpartition('/')[0]}/{name}"


def refresh_race(processes: int, rounds: int, database_url: str = "") -> Race:
    """So many processes want one grant's token at once, again and again, each time after it has run out."""
    found = run("race", processes, rounds, database_url=database_url)
    return Race(rounds, processes, found.refreshes, *losses(found, processes), found.in_force)


def losses(found: Told, processes: int) -> tuple[int, int]:
    """Rounds (lost, split), as Race has them."""
    told = found.said["race"]
    lost = sum(any("bearer" not in one for one in each) or len(each) != processes for each in told)
    return lost, sum(len({one.get("bearer") for one in each}) != 1 for each in told)


def run(command: str, *arguments: object, database_url: str = "") -> Told:
    """The program of tests.launches.racer with a sandbox and a database of its own."""
    secret = secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory() as folder, Sandbox(_config()) as sandbox:
        signing_in.control(
            sandbox.control_url,
            "clients",
            {
                "client_id": CLIENT, "app_type": "patient", "auth_method": "client_secret_basic",
                "client_secret": secret, "redirect_uris": [REDIRECT], "scopes": PATIENT_SCOPES,
            },
        )  # fmt: skip
        patient = signing_in.control(sandbox.control_url, "patients")["patients"][0]
        person = {
            "given": patient["names"][0]["given"][0], "family": patient["names"][0]["family"],
            "birth_date": patient["birth_date"],
        }  # fmt: skip
        setup = {
            "base_url": sandbox.fhir_base, "client_id": CLIENT, "secret": secret, "scopes": PATIENT_SCOPES,
            "person": person,
        }  # fmt: skip
        user = signing_in.username_of(sandbox.control_url, patient["id"])
        env = _environment(folder, sandbox.port, database_url)
        told = _talk([json.dumps(setup), command, *map(str, arguments)], env, user)
        grant = signing_in.control(sandbox.control_url, "grants")["grants"][0]
    return Told(told, grant["refreshes"], grant["in_force"])


def _config() -> SandboxConfig:
    return SandboxConfig(practice="AAAAAA", patients=1, limit=100_000)


def _environment(folder: str, port: int, database_url: str) -> dict[str, str]:
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "headachemd.settings",
        "HEADACHEMD_MODE": "embedded",
        "SECRET_KEY": secrets.token_urlsafe(48),
        "FIELD_KEYS": Fernet.generate_key().decode(),
        "PUBLIC_URL": "https://app.example.org",
        "VAR_DIR": folder,
        "DATABASE_URL": database_url or f"sqlite:///{folder}/race.sqlite3",
        "REDIS_URL": "",
        "INSECURE_FHIR_HOSTS": f"127.0.0.1:{port}",
        "LOG_LEVEL": "ERROR",
    }


def _talk(arguments: list[str], env: dict[str, str], user: str) -> dict[str, Any]:
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.launches.racer", *arguments],
        cwd=ROOT, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with program:
        assert program.stdin is not None
        assert program.stdout is not None
        address = program.stdout.readline().strip()
        if not address:
            raise AssertionError(program.communicate(timeout=30)[1])
        location = signing_in.sign_in(address, username=user)
        said, complaint = program.communicate(location.partition("?")[2] + "\n", timeout=300)
    if program.returncode:
        raise AssertionError(complaint)
    told: dict[str, Any] = json.loads(said.splitlines()[-1])
    return told
