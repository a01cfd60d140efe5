"""Patients' names and secrets stay where they belong: not in logs, other columns, error pages or task messages."""

import io
import logging
from collections.abc import Iterator

import pytest
from django.apps import apps
from django.db import connection, models

from emr import resealing, schedule, walls
from emr.fields import SecretField
from headachemd.logs import JsonLines
from tests.trust import probing
from tests.trust.probing import CANARIES, World
from tests.trust.rows import Rows

pytestmark = pytest.mark.django_db
SECRET = "canary-secret-51c9"


@pytest.fixture
def world(db: None) -> World:
    made = World.make()
    for model, name in resealing.secret_fields():
        row = made.rows["A"].of(model) if model in walls.walled() else Rows(made.rows["A"].practice).insert(model, {})
        setattr(row, name, SECRET)
        models.Model.save_base(row, force_update=True)
    return made


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """All that any logger says, at every level, as production writes it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    root, level = logging.getLogger(), logging.getLogger().level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    logging.getLogger("django.db.backends").setLevel(logging.INFO)  # statements: never on in production
    yield stream
    root.removeHandler(handler)
    root.setLevel(level)


def held(text: str) -> list[str]:
    return [word for word in (*CANARIES.values(), SECRET) if word.lower() in text.lower()]


def test_logs_of_all_kinds_of_requests_hold_no_canary(world: World, log: io.StringIO) -> None:
    probing.run(probing.sample(probing.probes(world), 1 / 60, seed=2))
    assert len(log.getvalue().splitlines()) > 100
    assert held(log.getvalue()) == []


def test_error_pages_hold_no_canary(world: World, monkeypatch: pytest.MonkeyPatch, log: io.StringIO) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise ValueError(f"Key (family)=({CANARIES['A']}) secret {SECRET}")

    monkeypatch.setattr("patients.histories.history", broken)
    clinician = next(actor for actor in world.actors if actor.name == "clinician of A")
    answer = clinician.client.get(f"/patients/{world.patients['A'].pk}/")
    assert answer.status_code == 500
    assert held(answer.content.decode()) == []
    assert "ValueError" in log.getvalue()
    assert held(log.getvalue()) == []


def test_database_holds_secrets_nowhere_in_clear_and_names_in_their_columns_alone(world: World) -> None:
    own = {
        (model._meta.db_table, model._meta.get_field(name).column)
        for model in apps.get_models()
        for name in getattr(model, "PHI_FIELDS", ())
    }
    strays = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            names = [column[0] for column in cursor.description]
            for row in cursor.fetchall():
                for name, value in zip(names, row, strict=True):
                    found = held(str(value))
                    # A FHIR id is a patient's own, wherever a row says whose it is.
                    allowed = ((table, name) in own or name == "patient_fhir_id") and SECRET not in found
                    if found and not allowed:
                        strays.append((table, name, found))
    assert strays == []


def test_secrets_are_there_to_be_found() -> None:
    """Every secret field is among those that were given a canary above."""
    known = {(model, name) for model, name in resealing.secret_fields()}
    assert len(known) >= 4
    assert all(isinstance(model._meta.get_field(name), SecretField) for model, name in known)


def test_superusers_pages_hold_no_secret(world: World) -> None:
    root = next(actor for actor in world.actors if actor.name == "superuser")
    asked = 0
    for probe in probing.probes(world):
        if probe.actor is root and probe.method == "get" and probe.route.startswith("admin/"):
            assert held(root.client.get(probe.url).content.decode("utf-8", "replace")) == [], probe.url
            asked += 1
    assert asked > 100


def test_messages_to_workers_hold_ids_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is published goes through one function; what it sends is the task's name and ids."""
    sent: list[object] = []
    monkeypatch.setattr(
        "emr.schedule.current_app.send_task", lambda name, args=(), **options: sent.append((name, args))
    )
    schedule.publish("emr.tasks.run_item", world.patients["A"].pk)
    assert sent == [("emr.tasks.run_item", [str(world.patients["A"].pk)])]
