"""Signing keys are changed while real workers on Redis and PostgreSQL pull: no token request meets a refusal."""

import json
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from headachemd.demo import place
from tests import servers
from tests.demo.test_demo import ROOT, clean_env, running

pytestmark = [
    pytest.mark.demo,
    pytest.mark.servers,
    pytest.mark.skipif(not (servers.redis_server() and servers.postgres_bin()), reason="no Redis or PostgreSQL here"),
]

PATIENTS = 12
# Runs beside the workers: a key's whole life within one pull. Tokens are made to end at once again and again, so that
# many are asked for before, between and after the steps; the waiting times are over because the dates are set back.
ROTATION = """
import json, sys, time
from datetime import timedelta
import django
django.setup()
from django.db import ProgrammingError
from django.utils import timezone
from emr import keys
from emr.connecting import rotation
from emr.models import SigningKey, SystemToken, WorkItem

def until(what, seconds=200):
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, what.__name__
        time.sleep(0.1)

def mints(count):
    for _ in range(count):
        token = SystemToken.objects.exclude(generation=0).get()
        SystemToken.objects.filter(pk=token.pk).update(expires_at=None)
        def minted():
            return SystemToken.objects.get(pk=token.pk).generation > token.generation
        until(minted)

def pulling():
    try:
        return WorkItem.objects.exclude(cursor={}).exists()
    except ProgrammingError:
        return False  # not migrated yet

until(pulling)
old = SigningKey.objects.get(state="active")
mints(2)
new = keys.generate(environment=old.environment, algorithm=old.algorithm)
mints(1)
SigningKey.objects.filter(pk=new.pk).update(created_at=timezone.now() - timedelta(days=3))
said = rotation.advance()
mints(2)
SigningKey.objects.filter(pk=old.pk).update(retiring_at=timezone.now() - timedelta(days=3))
said += rotation.advance()
mints(1)
was_pulling = WorkItem.objects.filter(state="queued").exists()
def done():
    return WorkItem.objects.filter(state="done").count() == int(sys.argv[1])
until(done)
old.refresh_from_db(); new.refresh_from_db()
connection = SystemToken.objects.exclude(generation=0).get().connection
print(json.dumps({
    "said": said, "old": old.state, "new": new.state, "proved": new.proved_at is not None,
    "generation": SystemToken.objects.exclude(generation=0).get().generation, "was_pulling": was_pulling,
    "connection": [connection.state, connection.reason_code],
}))
"""


def sandbox_refusals(folder: Path) -> list[object]:
    port = json.loads((folder / "demo.json").read_text())["sandbox_port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/control/calls", timeout=10) as answer:
        refusals: list[object] = json.load(answer)["token_refusals"]
    return refusals


def test_a_rotation_under_a_running_pull_costs_no_token_request(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with servers.running_postgres() as database, servers.running_redis() as redis:
        where, _ = place.prepare(folder, any_port=True, database_url=database, redis_url=redis)
        options = ["--patients", str(PATIENTS), "--latency", "250", "--database-url", database, "--redis-url", redis]
        with running(folder, *options):
            rotated = subprocess.run(
                [sys.executable, "-c", ROTATION, str(PATIENTS)],
                cwd=ROOT, env={**clean_env(), **where.environment}, capture_output=True, text=True, timeout=600,
            )  # fmt: skip
            log = folder.parent / f"{folder.name}.log"
            assert rotated.returncode == 0, rotated.stderr + log.read_text()
            assert sandbox_refusals(folder) == []
        told = json.loads(rotated.stdout.strip().splitlines()[-1])
        logs = "".join(path.read_text() for path in (folder / "log").glob("*.log")) if (folder / "log").is_dir() else ""
    assert (told["old"], told["new"], told["proved"]) == ("retired", "active", True)
    assert told["was_pulling"], "the pull was over before the rotation was"
    assert told["generation"] >= 7
    assert told["connection"] == ["active", ""]
    assert re.search(r"Traceback", logs) is None
