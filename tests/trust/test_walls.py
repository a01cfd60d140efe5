"""The database refuses rows that point across practices, whoever writes them, on every model of ours."""

import os
import sqlite3
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.db import IntegrityError, connection, models, transaction
from django.utils import timezone

from emr import walls
from emr.models import Practice, User
from tests.trust import rows

pytestmark = pytest.mark.django_db


def test_every_model_leads_to_a_practice_or_says_why_not() -> None:
    assert walls.unwalled() == []
    known = {model._meta.label for label in walls.OURS for model in apps.get_app_config(label).get_models()}
    assert walls.WITHOUT_PRACTICE.keys() <= known


def test_models_that_hold_patients_have_a_required_way() -> None:
    for model in walls.walled():
        if hasattr(model, "PHI_FIELDS"):
            assert walls.ways(model)[0].required, model


def test_a_new_model_without_a_way_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(walls.WITHOUT_PRACTICE, "emr.CallWindow")
    assert walls.unwalled() == ["emr.CallWindow"]


def test_all_walls_stand_after_migrate() -> None:
    assert walls.check(["default"]) == []


def test_a_lost_wall_is_told_by_check_and_built_by_migrate() -> None:
    walls.lift()
    assert len(walls.check(["default"])) == len(walls.triggers(connection.vendor))
    call_command("migrate", verbosity=0)
    assert walls.check(["default"]) == []


def _manage(*words: str, database: Path) -> subprocess.CompletedProcess[str]:
    own = {"DATABASE_URL": f"sqlite:///{database}", "DJANGO_SETTINGS_MODULE": "tests.settings"}
    command = [sys.executable, "manage.py", *words]
    return subprocess.run(command, env=os.environ | own, capture_output=True, text=True, timeout=180)


def test_the_command_builds_an_empty_database_and_what_was_lost(tmp_path: Path) -> None:
    """As an operator types it: unlike `call_command`, that runs the checks first."""
    file = tmp_path / "new.sqlite3"
    check = ("check", "--database", "default", "--fail-level", "WARNING")
    made = _manage("migrate", "--noinput", database=file)
    assert made.returncode == 0, made.stderr[-2000:]
    assert _manage(*check, database=file).returncode == 0
    with sqlite3.connect(file) as database:
        (lost,) = database.execute("SELECT name FROM sqlite_master WHERE name LIKE 'guard_%' LIMIT 1").fetchone()
        database.execute(f"DROP TRIGGER {lost}")
    told = _manage(*check, database=file)
    assert told.returncode != 0
    assert lost in told.stderr
    assert _manage("migrate", "--noinput", database=file).returncode == 0
    assert _manage(*check, database=file).returncode == 0


CROSSINGS = [
    pytest.param(model, way.column, id=f"{model._meta.label}.{way.column}")
    for model in walls.walled()
    for way in walls.ways(model)[1:]
]


@pytest.fixture
def two(practice_a: Practice, practice_b: Practice) -> dict[str, rows.Rows]:
    return {"a": rows.Rows(practice_a), "b": rows.Rows(practice_b)}


@pytest.mark.parametrize(("model", "column"), CROSSINGS)
def test_database_refuses_a_row_that_points_across(
    two: dict[str, rows.Rows], model: type[models.Model], column: str
) -> None:
    field = next(field for field in model._meta.concrete_fields if field.column == column)
    assert isinstance(field.related_model, type)
    mine, theirs = two["a"].of(model), two["b"].of(field.related_model)
    with pytest.raises(IntegrityError, match="across practices"), transaction.atomic():
        _raw_update(mine, column, theirs.pk)
    with pytest.raises(IntegrityError, match=r"across practices|UNIQUE|duplicate"), transaction.atomic():
        two["a"].insert(model, {field.attname: theirs.pk})


MOVES = [
    pytest.param(model, id=model._meta.label)
    for model in walls.walled()
    if model._meta.label not in {*walls.MOVABLE, "emr.AuditEvent"}
]


@pytest.mark.parametrize("model", MOVES)
def test_database_refuses_to_move_a_row_to_another_practice(
    two: dict[str, rows.Rows], model: type[models.Model]
) -> None:
    way = walls.ways(model)[0]
    row = two["a"].of(model)
    theirs = two["b"].practice if way.target is Practice else two["b"].of(way.target)
    with pytest.raises(IntegrityError, match=r"stays in its practice|across practices"), transaction.atomic():
        _raw_update(row, way.column, theirs.pk)


def test_bulk_writes_are_refused_too(two: dict[str, rows.Rows]) -> None:
    resource = apps.get_model("emr", "Resource")
    made: list[Any] = [
        resource(
            practice=two[which].practice, connection=two["a"].connection, resource_type="Condition", fhir_id=which,
            body="{}", content_hash="0", query="x", first_seen_at=timezone.now(), changed_at=timezone.now(),
        )
        for which in ("a", "b")
    ]  # fmt: skip
    for options in ({}, {"ignore_conflicts": True}):
        with pytest.raises(IntegrityError), transaction.atomic():
            resource.objects.bulk_create(made, **options)
    assert not resource.objects.filter(fhir_id__in="ab").exists()


def test_rows_of_people_may_be_corrected(practice_a: Practice, practice_b: Practice, alice: User) -> None:
    membership = alice.memberships.get()
    membership.practice = practice_b
    membership.save()
    assert alice.memberships.get().practice == practice_b


def test_row_of_a_parent_that_is_not_there_is_refused(two: dict[str, rows.Rows]) -> None:
    resource = apps.get_model("emr", "Resource")
    with pytest.raises(IntegrityError), transaction.atomic():
        two["a"].insert(resource, {"connection_id": uuid.uuid4()})


def _raw_update(row: models.Model, column: str, value: object) -> None:
    key = row._meta.pk
    changed = next(field for field in row._meta.concrete_fields if field.column == column)
    values = [field.get_db_prep_value(each, connection) for field, each in ((changed, value), (key, row.pk))]
    with connection.cursor() as cursor:
        cursor.execute(f'UPDATE "{row._meta.db_table}" SET "{column}" = %s WHERE "{key.column}" = %s', values)
