"""A backup is restored by the commands that operations.md gives, and the product goes on with it."""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.db import connection
from pytest_django import Settings

from emr import audit, audit_chain, grants, resealing, walls
from emr.models import AuditEvent, Connection, Practice
from emr.wire import fhir
from patients.models import ScheduledVisit
from tests import databases
from tests.emr.conftest import Connect
from tests.launches import conftest as launching
from tests.launches.place import Place
from tests.pages import charts
from tests.pulls import conftest as pulling
from tests.pulls.conftest import Killed, calls, enrol, tick
from tests.trust import canaries
from tests.trust.rows import Rows

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(
        connection.vendor == "postgresql" and not shutil.which("pg_dump"), reason="no pg_dump (postgresql-client) here"
    ),
]
# Fixtures:
place, vendor_keys = launching.place, launching.vendor_keys
connect, unlimited, published = pulling.connect, pulling.unlimited, pulling.published
jwks_server, key_material, signing_key = pulling.jwks_server, pulling.key_material, pulling.signing_key

ROOT = Path(__file__).resolve().parents[2]
BACKUPS = (ROOT / "docs" / "operations.md").read_text("utf-8").partition("## Backups")[2]
COMMANDS = re.findall(r"^```sh\n(.+?)^```", BACKUPS, re.DOTALL | re.MULTILINE)
RESTORED = "headachemd_restored"


def commands(word: str) -> str:
    """The one block of commands in the document that holds this word."""
    (found,) = [block for block in COMMANDS if word in block]
    return str(found)


class Drill:
    """The practice's database, and the folder where an operator stands who backs it up and restores it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sqlite = connection.vendor == "sqlite"
        (folder / "var").mkdir()
        self.database = ""

    @property
    def restored(self) -> str:
        return self.database if self.sqlite else databases.url_of(RESTORED)

    def back_up(self) -> None:
        self.database = databases.for_processes(self.folder / "var" / "headachemd.sqlite3")
        self.shell(commands("VACUUM INTO" if self.sqlite else "pg_dump"))

    def restore(self) -> None:
        if self.sqlite:
            self.crash()
        self.shell(commands("headachemd.backup var" if self.sqlite else "pg_restore"))

    def crash(self) -> None:
        """SQLite: what stands in the place is of a later day, and was not closed: its journal lies beside it."""
        beside = [self.folder / "var" / f"headachemd.sqlite3-{name}" for name in ("wal", "shm")]
        with databases.opened(self.database) as later:
            later.execute("UPDATE emr_practice SET name = 'of a later day'")
            later.commit()
            kept = {path: path.read_bytes() for path in beside}
        for path, left in kept.items():
            path.write_bytes(left)

    def shell(self, text: str) -> None:
        env = self._env({"DATABASE_URL": self.database, "RESTORED_URL": self.restored})
        told = subprocess.run(["sh", "-ec", text], cwd=self.folder, env=env, capture_output=True)
        assert told.returncode == 0, told.stderr.decode()

    def product(self, *command: str, **env: str) -> "subprocess.CompletedProcess[str]":
        """A process of the product on the restored database."""
        own = {
            "DATABASE_URL": self.restored, "VAR_DIR": str(self.folder / "var"), "PUBLIC_URL": settings.PUBLIC_URL,
            "DJANGO_SETTINGS_MODULE": "headachemd.settings", "REDIS_URL": "",
            "INSECURE_FHIR_HOSTS": ",".join(settings.INSECURE_FHIR_HOSTS),
        }  # fmt: skip
        return subprocess.run(command, cwd=ROOT, env=self._env(own | env), capture_output=True, text=True)

    def run(self, code: str) -> Any:
        """What this program says, in JSON, of the restored database."""
        done = self.product("python", "-c", code)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def _env(self, own: dict[str, str]) -> dict[str, str]:
        return os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"} | own


@pytest.fixture
def drill(db: None, tmp_path: Path) -> Iterator[Drill]:
    yield Drill(tmp_path)
    if connection.vendor == "postgresql":
        with psycopg.connect(databases.url_of("postgres"), autocommit=True) as server:
            server.execute(f"DROP DATABASE IF EXISTS {RESTORED}")


def content(url: str) -> dict[str, list[str]]:
    """Every row of every table."""
    tables = "SELECT name FROM sqlite_master WHERE type = 'table'"
    if not url.startswith("sqlite"):
        tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    with databases.opened(url) as database:
        names = [str(name) for (name,) in database.execute(tables).fetchall()]
        return {name: sorted(map(repr, database.execute(f'SELECT * FROM "{name}"').fetchall())) for name in names}


# --- what was backed up ---


@pytest.fixture
def practice(practice_a: Practice, practice_b: Practice) -> Practice:
    """A row of every kind in one practice, a secret in every column for secrets, a chart, and another practice."""
    charts.rich(practice_a)
    rows = Rows(practice_a)
    for model in walls.walled():
        if model not in {AuditEvent, ScheduledVisit}:
            rows.of(model)
    rows.of(ScheduledVisit)  # last: whatever is entered of a patient makes these anew
    canaries.plant_in(rows)
    Rows(practice_b).of(Connection)
    for number in range(3):
        audit.record(audit.Action.PRINT, by=None, practice=practice_a, detail=f"event {number}")
    return practice_a


SECRETS = """
import json, django; django.setup()
from emr import fields, resealing
told = {}
for model, name in resealing.secret_fields():
    for row in model._default_manager.exclude(**{name: ""}):
        try:
            told.setdefault(f"{model._meta.label}.{name}", []).append(getattr(row, name))
        except fields.SecretUnreadable as error:
            told.setdefault(f"{model._meta.label}.{name}", []).append(str(error))
print(json.dumps(told))
"""
REFUSED = {
    "UPDATE emr_auditevent SET detail = 'nothing'": "only added to",
    "DELETE FROM emr_auditevent": "only added to",
    "UPDATE emr_resource SET connection_id ="
    " (SELECT id FROM emr_connection other WHERE other.practice_id <> emr_resource.practice_id)": "across practices",
    "UPDATE emr_connection SET practice_id ="
    " (SELECT id FROM emr_practice other WHERE other.id <> emr_connection.practice_id)": "stays in its practice",
}


def test_what_is_restored_is_what_was_backed_up(practice: Practice, drill: Drill) -> None:
    drill.back_up()
    before = content(drill.database)
    drill.restore()
    assert content(drill.restored) == before
    assert {model._meta.db_table for model in walls.walled()} <= {table for table, rows in before.items() if rows}
    for statement, told in REFUSED.items():
        with databases.opened(drill.restored) as database:
            with pytest.raises((sqlite3.IntegrityError, psycopg.errors.CheckViolation), match=told):
                database.execute(statement)
            database.rollback()
    secrets = drill.run(SECRETS)
    assert len(secrets) == len(list(resealing.secret_fields()))
    assert {value for values in secrets.values() for value in values} == {canaries.SECRET}


def test_what_is_restored_stands_the_checks_that_the_document_gives(practice: Practice, drill: Drill) -> None:
    drill.back_up()
    drill.restore()
    checks = commands("verify_audit").splitlines()
    assert len(checks) == 4
    for command in checks:
        done = drill.product(*command.split())
        assert done.returncode == 0, (command, done.stdout, done.stderr)


def test_with_other_keys_the_secrets_are_named_and_not_told(practice: Practice, drill: Drill) -> None:
    drill.back_up()
    drill.restore()
    before = content(drill.restored)
    other = {"FIELD_KEYS": Fernet.generate_key().decode()}
    done = drill.product("python", "-c", SECRETS, **other)
    for name, said in json.loads(done.stdout).items():
        assert set(said) == {f"{name} cannot be decrypted with FIELD_KEYS"}
    told = drill.product("python", "manage.py", "rotate_field_keys", **other)
    assert told.returncode == 1
    assert "secrets cannot be read with any of FIELD_KEYS and were left as they are" in told.stderr
    assert canaries.SECRET not in done.stdout + done.stderr + told.stdout + told.stderr
    after = content(drill.restored)
    assert {table for table in after if after[table] != before[table]} <= {"emr_auditevent", "emr_audithead"}


@pytest.mark.skipif(connection.vendor != "sqlite", reason="about SQLite's journal")
def test_a_plain_copy_of_sqlite_lacks_what_was_written_last(practice_a: Practice, drill: Drill) -> None:
    drill.back_up()
    (drill.folder / "headachemd.backup").unlink()
    copied = drill.folder / "copied"
    with databases.opened(drill.database) as used:
        used.execute("UPDATE emr_practice SET name = 'written last'")
        used.commit()
        shutil.copy(drill.folder / "var" / "headachemd.sqlite3", copied)
        drill.shell(commands("VACUUM INTO"))
    names = "SELECT name FROM emr_practice"
    with (
        databases.opened(f"sqlite:///{copied}") as plain,
        databases.opened(f"sqlite:///{drill.folder}/headachemd.backup") as ours,
    ):
        assert plain.execute(names).fetchall() == [(practice_a.name,)]
        assert ours.execute(names).fetchall() == [("written last",)]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="about SQLite's journal")
def test_a_journal_left_beside_a_restored_sqlite_would_be_applied(practice_a: Practice, drill: Drill) -> None:
    """Why the document has it removed."""
    drill.back_up()
    before = content(drill.database)
    drill.crash()
    drill.shell(commands("headachemd.backup var").splitlines()[-1])
    try:
        mixed = content(drill.database)
    except sqlite3.DatabaseError:
        mixed = {}
    assert mixed != before


# --- going on ---

GO_ON = """
import json, django; django.setup()
from django.utils import timezone
from emr import pulls
from emr.models import WorkItem
from tests.faults.test_exact_counts import on_file
from tests.pulls.conftest import work
item = WorkItem.objects.exclude(lease=None).get()
pulls.run(item.pk)
held = WorkItem.objects.get(pk=item.pk)
assert (held.lease, held.cursor) == (item.lease, item.cursor), "taken before its lease had ended"
WorkItem.objects.update(lease_until=timezone.now())
pull = work(item.pull.connection)
print(json.dumps([pull.state, str(pull.pk), sorted([*key, digest] for key, digest in on_file().items())]))
"""


@pytest.mark.usefixtures("unlimited")
def test_a_pull_under_way_goes_on_where_it_was(connect: Connect, drill: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    connection, control = connect(patients=1, page_size=1000)
    enrol(connection, control)
    search, asked = fhir.search, []

    def dies(*args: Any, **kwargs: Any) -> fhir.Page:
        asked.append(1)
        if len(asked) == 5:
            raise Killed
        return search(*args, **kwargs)

    monkeypatch.setattr(fhir, "search", dies)
    with pytest.raises(Killed):
        tick()
    before = calls(control)
    drill.back_up()
    drill.restore()
    state, pull, resources = drill.run(GO_ON)
    assert (state, pull) == ("complete", str(connection.pulls.get().pk))
    assert resources == sorted(control.get("ledger")["served"])
    assert 2 < before < calls(control) == least_of(connection, resources)


def least_of(connection: Connection, resources: list[list[str]]) -> int:
    """Calls of an undisturbed pull: nothing that came before the backup was asked for again."""
    shared = [kind for kind, _, _ in resources if kind in connection.profile.read_by_reference]
    return len(connection.profile.plan) + len(shared) + 2


def test_events_lost_by_a_restore_are_named_by_the_heads_kept_elsewhere(
    practice_a: Practice, drill: Drill, settings: Settings, tmp_path: Path
) -> None:
    def write(count: int) -> None:
        for _ in range(count):
            audit.record(audit.Action.PRINT, by=None, practice=practice_a, patient_id=uuid.uuid4())

    settings.AUDIT_HEADS_FILE = heads = tmp_path / "elsewhere.jsonl"
    write(4)
    drill.back_up()
    write(2)
    assert audit_chain.write_heads() == 1
    drill.restore()
    verify = ("python", "manage.py", "verify_audit")
    done = drill.product(*verify, "--heads", str(heads))
    missing = [(str(number), "is missing at the end") for number in (5, 6)]
    assert (done.returncode, re.findall(r"event (\d+) (.+)", done.stdout)) == (1, missing)
    heads.rename(tmp_path / "of-the-day-of-the-restore.jsonl")
    done = drill.product(*verify, AUDIT_HEADS_FILE=str(heads))
    assert (done.returncode, "4 events, as written" in done.stdout) == (0, True)


RENEW = """
import json, django; django.setup()
from emr import calls, catalogue, grants
from emr.bearers import NeedsConsent
from emr.models import Grant
grant = Grant.objects.select_related("connection__practice", "connection__registration").get()
try:
    with calls.door_to(grant.connection) as door:
        grants.access(grant, door, anew=True)
    said = ""
except NeedsConsent as error:
    said = error.code
grant.refresh_from_db()
waiting = [entry.kind for entry in grants.calendar(grant.connection.practice)]
title = catalogue.explain(said).title if said else ""
print(json.dumps([said, title, grant.state, grant.reason_code, waiting]))
"""


@pytest.mark.parametrize("renewed", [True, False], ids=["renewed since", "as it was"])
def test_a_consent_renewed_since_the_backup_waits_for_its_patient(place: Place, drill: Drill, renewed: bool) -> None:
    grant = place.granted().grant
    drill.back_up()
    if renewed:
        with place.door() as door:
            grants.access(grant, door, anew=True)
    drill.restore()
    said, title, *standing = drill.run(RENEW)
    if not renewed:
        assert (said, standing) == ("", ["active", "", ["consent"]])
        return
    assert standing == ["needs-consent", "TOK_REFRESH_INVALID", ["needs-consent"]]
    assert f"*{title}* ({said})" in " ".join(BACKUPS.split())
