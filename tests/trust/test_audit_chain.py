"""The audit chain: added to in order, by many at once; every change to it is refused, and found where it was forced."""

import hashlib
import json
import os
import random
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, connections, transaction
from fhir.resources.R4B.auditevent import AuditEvent as FhirAuditEvent
from pytest_django import Settings

from emr import audit, audit_chain, audit_export, walls
from emr.models import AuditEvent, AuditHead, Practice, User
from emr.models.auditing import NO_PRACTICE
from tests.trust import tampering

pytestmark = pytest.mark.django_db

Action = audit.Action


def write(practice: Practice | None, count: int, by: User | None = None) -> list[AuditEvent]:
    return [
        audit.record(Action.READ_HISTORY, by=by, practice=practice, patient_id=uuid.uuid4(), detail=f"event {number}")
        for number in range(count)
    ]


def faults(practice: Practice, heads: audit_chain.Heads | None = None) -> list[tuple[int, str]]:
    return [(fault.number, fault.what) for fault in audit_chain.verify(practice.pk, heads).faults]


def test_chain_numbers_without_a_gap_and_verifies(practice_a: Practice, practice_b: Practice, alice: User) -> None:
    write(practice_a, 3, alice)
    write(practice_b, 2)
    write(None, 1)
    own = AuditEvent.objects.filter(practice=practice_a).order_by("number")
    assert [event.number for event in own] == list(range(1, own.count() + 1))
    assert faults(practice_a) == []
    assert faults(practice_b) == []
    assert audit_chain.verify(NO_PRACTICE).faults == []


def test_chain_digest_is_what_the_documents_say(practice_a: Practice, alice: User) -> None:
    """Anybody can check an export: SHA-256 over the JSON array of version, digest before, and the columns."""
    first, second = write(practice_a, 2, alice)
    said = [
        "2", first.digest, str(practice_a.pk), second.number, str(second.pk),
        second.at.astimezone(UTC).isoformat(timespec="microseconds"), "read-history", str(alice.pk),
        str(practice_a.pk), str(second.patient_id), None, "event 1", None,
    ]  # fmt: skip
    assert second.digest == hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()


def test_chain_takes_ids_given_as_text(practice_a: Practice) -> None:
    audit.record(Action.PRINT, by=None, practice=practice_a, patient_id=str(uuid.uuid4()).upper())  # type: ignore[arg-type]
    assert faults(practice_a) == []


def test_event_that_is_rolled_back_leaves_no_gap(practice_a: Practice) -> None:
    write(practice_a, 1)
    with transaction.atomic():
        write(practice_a, 1)
        transaction.set_rollback(True)
    write(practice_a, 1)
    assert faults(practice_a) == []


FORCED = {
    "change an event": "UPDATE emr_auditevent SET detail = 'nothing'",
    "delete an event": "DELETE FROM emr_auditevent",
    "delete the head": "DELETE FROM emr_audithead",
    "set the head back": "UPDATE emr_audithead SET number = 1",
    "change the head's digest": "UPDATE emr_audithead SET digest = 'x'",
}


@pytest.mark.parametrize("statement", FORCED.values(), ids=FORCED.keys())
def test_database_refuses_to(practice_a: Practice, statement: str) -> None:
    write(practice_a, 3)
    with pytest.raises(DatabaseError, match="only added to"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert faults(practice_a) == []


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite knows no TRUNCATE")
def test_database_refuses_to_truncate(practice_a: Practice) -> None:
    with pytest.raises(DatabaseError, match="only added to"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("TRUNCATE emr_auditevent")


def test_programs_cannot_change_an_event(practice_a: Practice) -> None:
    (event,) = write(practice_a, 1)
    event.detail = "nothing"
    with pytest.raises(TypeError):
        event.save()
    with pytest.raises(TypeError):
        event.delete()
    with pytest.raises(DatabaseError), transaction.atomic():
        AuditEvent.objects.update(detail="nothing")
    with pytest.raises(DatabaseError), transaction.atomic():
        AuditEvent.objects.all().delete()


# --- forced changes are located ----------------------------------------------------------------------------


@pytest.fixture
def unguarded(practice_a: Practice) -> Iterator[Practice]:
    """As somebody who owns the database: the guards are down while the test lasts."""
    write(practice_a, 60)
    walls.lift(prefixes=("guard_",))
    yield practice_a
    walls.build()


def test_each_tampered_row_is_located(unguarded: Practice) -> None:
    chance = random.Random(7)
    for number in chance.sample(range(1, 61), 40):
        undo = tampering.tamper(unguarded.pk, number, chance)
        assert [found for found, _ in faults(unguarded)] == [number]
        undo()
    assert faults(unguarded) == []


def test_deleted_row_is_located(unguarded: Practice) -> None:
    tampering.delete(unguarded.pk, 30)
    assert faults(unguarded) == [(30, "is missing")]


def test_rows_changed_places_are_located(unguarded: Practice) -> None:
    tampering.swap(unguarded.pk, 10, 20)
    assert [number for number, _ in faults(unguarded)] == [10, 20]


def test_tail_cut_off_is_located_by_the_head(unguarded: Practice) -> None:
    for number in (59, 60):
        tampering.delete(unguarded.pk, number)
    assert faults(unguarded) == [(59, "is missing at the end"), (60, "is missing at the end")]


def test_tail_and_head_cut_off_are_located_by_heads_elsewhere(
    unguarded: Practice, settings: Settings, tmp_path: Path
) -> None:
    settings.AUDIT_HEADS_FILE = tmp_path / "heads.jsonl"
    assert audit_chain.write_heads() >= 1
    kept = audit_chain.written_heads(settings.AUDIT_HEADS_FILE)
    tampering.delete(unguarded.pk, 60)
    tampering.set_head(unguarded.pk, 59)
    assert faults(unguarded) == []  # the database alone tells nothing
    assert faults(unguarded, kept) == [(60, "is missing at the end")]


def test_chain_made_anew_is_located_by_heads_elsewhere(unguarded: Practice, settings: Settings, tmp_path: Path) -> None:
    settings.AUDIT_HEADS_FILE = tmp_path / "heads.jsonl"
    audit_chain.write_heads()
    kept = audit_chain.written_heads(settings.AUDIT_HEADS_FILE)
    tampering.rewrite_from(unguarded.pk, 30)
    assert faults(unguarded) == []
    assert [number for number, _ in faults(unguarded, kept)] == [60]


def test_event_forged_beyond_the_head_is_located(unguarded: Practice) -> None:
    tampering.set_head(unguarded.pk, 58)
    assert (59, "stands beyond the head of the chain") in faults(unguarded)


def test_event_put_before_the_first_is_located(practice_a: Practice) -> None:
    """No guard is in the way of it: whoever may add rows may try. The digest is what the first one follows: none."""
    write(practice_a, 3)
    tampering.insert(practice_a.pk, 0, practice_a, digest="")
    assert faults(practice_a) == [(0, "stands where no event belongs")]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite drops no constraint of a table that is in use")
def test_event_put_beside_another_is_located(unguarded: Practice) -> None:
    """With the number and digest of one that is there, so that the next one still follows."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")  # or rows of this transaction keep the table as it is
        cursor.execute("ALTER TABLE emr_auditevent DROP CONSTRAINT audit_chain_never_forks")
    digest = AuditEvent.objects.get(chain=unguarded.pk, number=30).digest
    tampering.insert(unguarded.pk, 30, unguarded, digest=digest)
    assert (30, "stands where no event belongs") in faults(unguarded)
    assert {number for number, _ in faults(unguarded)} == {30}


def test_event_in_a_chain_of_its_own_is_located(
    practice_a: Practice, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would stand in the practice's trail, and its chain would be as written."""
    settings.AUDIT_HEADS_FILE = tmp_path / "heads.jsonl"
    write(practice_a, 2)
    chain = uuid.uuid4()
    tampering.insert(chain, 1, practice_a)
    AuditHead.objects.create(chain=chain, number=1, digest=AuditEvent.objects.get(chain=chain).digest)
    for wanted in ({}, {"practice": "AAAAAA"}):
        with pytest.raises(CommandError, match="1 faults"):
            call_command("verify_audit", **wanted)
        assert "event 1 is of a practice with another chain" in capsys.readouterr().out


# --- heads elsewhere and the commands ----------------------------------------------------------------------


def test_heads_are_written_once_each_and_only_when_moved(
    practice_a: Practice, practice_b: Practice, settings: Settings, tmp_path: Path
) -> None:
    settings.AUDIT_HEADS_FILE = tmp_path / "elsewhere" / "heads.jsonl"
    write(practice_a, 2)
    write(practice_b, 1)
    assert audit_chain.write_heads() == 2
    assert audit_chain.write_heads() == 0
    write(practice_a, 1)
    assert audit_chain.write_heads() == 1
    kept = audit_chain.written_heads(settings.AUDIT_HEADS_FILE)
    assert sorted(kept[practice_a.pk]) == [2, 3]
    assert kept[practice_a.pk][3] == AuditHead.objects.get(pk=practice_a.pk).digest


def test_verify_audit_says_fine_and_names_faults(
    unguarded: Practice, settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings.AUDIT_HEADS_FILE = tmp_path / "heads.jsonl"
    call_command("verify_audit", practice="AAAAAA")
    assert "Alder Headache Clinic (AAAAAA): 60 events, as written" in capsys.readouterr().out
    tampering.delete(unguarded.pk, 12)
    with pytest.raises(CommandError, match="1 faults"):
        call_command("verify_audit")
    assert "event 12 is missing" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "told"),
    [({"practice": "ZZZZZZ"}, "no practice"), ({"heads": Path("/nonexistent/heads")}, "cannot be read")],
    ids=["unknown practice", "heads that are not there"],
)
def test_verify_audit_refuses(db: None, options: dict[str, object], told: str) -> None:
    with pytest.raises(CommandError, match=told):
        call_command("verify_audit", **options)


def test_heads_file_with_another_line_is_refused(tmp_path: Path) -> None:
    bad = tmp_path / "heads.jsonl"
    bad.write_text('{"chain": "x"}\n')
    with pytest.raises(ValueError, match="no head of a chain"):
        audit_chain.written_heads(bad)


# --- FHIR --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", Action.values)
def test_every_kind_of_event_is_a_valid_fhir_audit_event(practice_a: Practice, alice: User, action: str) -> None:
    for by, practice in ((alice, practice_a), (None, None)):
        event = audit.record(
            Action(action), by=by, practice=practice, patient_id=uuid.uuid4(), object_id=uuid.uuid4(), detail="x"
        )
        FhirAuditEvent.model_validate(audit_export.as_fhir(event))


def test_export_audit_writes_one_event_a_line(practice_a: Practice, practice_b: Practice, tmp_path: Path) -> None:
    write(practice_a, 3)
    write(practice_b, 2)
    call_command("export_audit", practice="AAAAAA", out=tmp_path / "a.ndjson")
    lines = [json.loads(line) for line in (tmp_path / "a.ndjson").read_text().splitlines()]
    assert [line["subtype"][0]["code"] for line in lines] == ["read-history"] * 3 + ["read-audit"]
    assert {line["source"]["site"] for line in lines} == {"AAAAAA"}
    with pytest.raises(CommandError, match="there already"):
        call_command("export_audit", out=tmp_path / "a.ndjson")


def test_export_audit_since_leaves_out_what_is_older(practice_a: Practice, capsys: pytest.CaptureFixture[str]) -> None:
    old = datetime(2020, 1, 1, tzinfo=UTC)
    AuditEvent.objects.create(action=Action.PRINT, practice=practice_a, at=old)
    call_command("export_audit", since="2021-01-01")
    told = [json.loads(line)["subtype"][0]["code"] for line in capsys.readouterr().out.splitlines()]
    # The export itself: in the practice's chain, and in that of no practice.
    assert told == ["read-audit", "read-audit"]
    with pytest.raises(CommandError, match="2026-11-22"):
        call_command("export_audit", since="yesterday")


# --- many at once ------------------------------------------------------------------------------------------


def _writers(practice: Practice, count: int, each: int) -> list[BaseException]:
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(each):
                with transaction.atomic():
                    write(practice, 1)
        except DatabaseError as error:
            failed.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


@pytest.mark.django_db(transaction=True)
def test_many_writers_never_fork_a_chain(practice_a: Practice) -> None:
    assert _writers(practice_a, 8, 25) == []
    verdict = audit_chain.verify(practice_a.pk)
    assert (verdict.events, verdict.faults) == (200, [])


MANY_ON_A_FILE = """
import django; django.setup()
from django.core.management import call_command
call_command("migrate", verbosity=0)
from emr import audit_chain
from emr.models import Practice
from tests.trust.test_audit_chain import _writers
practice = Practice.objects.create(name="Alder", code="AAAAAA")
failed = _writers(practice, 4, 25)
verdict = audit_chain.verify(practice.pk)
print(failed, verdict.events, verdict.faults)
"""


def test_many_writers_never_fork_a_chain_on_sqlite(tmp_path: Path) -> None:
    """On a file, as the demo has it: every thread with a connection of its own."""
    own = {"DATABASE_URL": f"sqlite:///{tmp_path}/audit.sqlite3", "DJANGO_SETTINGS_MODULE": "tests.settings"}
    done = subprocess.run(
        [sys.executable, "-c", MANY_ON_A_FILE], env=os.environ | own, capture_output=True, text=True, timeout=180
    )
    assert done.stdout.strip() == "[] 100 []", done.stderr[-2000:]
