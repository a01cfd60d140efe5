"""What the database itself refuses: rows that point across practices, and changes to the audit trail.

Every model belongs to a practice by its own column or by a relation to one that does. Where a row has several ways to
a practice, all of them must lead to the same one; and no row moves to another practice, so what was true when it was
written stays true. Triggers hold this on PostgreSQL and SQLite alike. They are made from the models after each
`migrate`, so that a new model has its wall with its table; docs/decisions/0010 says why not composite foreign keys.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error
from django.core.checks import Warning as Caution
from django.db import connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.utils import CursorWrapper

from emr.models import AuditEvent, AuditHead, Practice

OURS = ("emr", "patients")
# Models of no practice, each with the reason; any other without a way to a practice fails the check below.
WITHOUT_PRACTICE = {
    "emr.User": "a person may belong to several practices",
    "emr.Practice": "is one",
    "emr.AuditHead": "the end of a chain, which is named by the practice's id",
    "emr.DirectoryEntry": "a vendor's public list",
    "emr.ClientRegistration": "our app at a vendor serves all practices",
    "emr.SigningKey": "our own keys",
    "emr.JwksHit": "who read our public keys",
    "emr.CallWindow": "counts calls under the vendor's code of a practice",
}
# Whose practice an admin may correct: nothing of a patient hangs on them.
MOVABLE = {"emr.Membership", "emr.Invitation"}

_PREFIXES = ("wall_", "guard_")
_IS_NOT = {"postgresql": "IS DISTINCT FROM", "sqlite": "IS NOT"}  # nulls compared like values


@dataclass(frozen=True)
class Way:
    """How a row leads to a practice: its column, and the model that column points to."""

    column: str
    target: type[models.Model]
    required: bool


@dataclass(frozen=True)
class Trigger:
    """One trigger under a name that changes with its text: what stands under that name is as it should be."""

    name: str
    table: str
    statements: tuple[str, ...]


@cache
def ways(model: type[models.Model]) -> tuple[Way, ...]:
    """The model's ways to a practice, the one that decides first: its own column, else the first that is required."""
    found = [
        Way(str(field.column), field.related_model, not field.null)
        for field in model._meta.concrete_fields
        if field.is_relation and isinstance(field.related_model, type) and _leads(field.related_model, model)
    ]
    return tuple(sorted(found, key=lambda way: (way.target is not Practice, not way.required)))


def _leads(target: type[models.Model], asking: type[models.Model]) -> bool:
    if target is Practice:
        return True
    # A row may follow another of its own kind: that one's practice is found by its other ways.
    others = [field for field in asking._meta.concrete_fields if field.related_model not in (None, asking)]
    if target is asking:
        return any(isinstance(f.related_model, type) and _leads(f.related_model, asking) for f in others)
    return target._meta.app_label in OURS and bool(ways(target))


def walled() -> list[type[models.Model]]:
    """Every model of ours that has a way to a practice."""
    return [model for model in _ours() if ways(model)]


def unwalled() -> list[str]:
    """Models of ours that neither lead to a practice nor say why not. A required way must be among them."""
    return [
        model._meta.label
        for model in _ours()
        if model._meta.label not in WITHOUT_PRACTICE
        and model is not AuditEvent  # events of no practice have a chain of their own
        and not any(way.required for way in ways(model))
    ]


def _ours() -> list[type[models.Model]]:
    return [model for label in OURS for model in apps.get_app_config(label).get_models()]


# --- triggers ---


def triggers(vendor: str) -> tuple[Trigger, ...]:
    """All triggers for a database of that vendor (postgresql or sqlite)."""
    made = [trigger for model in walled() if model is not AuditEvent for trigger in _walls(model, vendor)]
    return (*made, *_guards(vendor))


def _walls(model: type[models.Model], vendor: str) -> Iterable[Trigger]:
    own, crossing = ways(model), _crossing(model, vendor)
    columns = ", ".join(f'"{way.column}"' for way in own)
    if crossing:
        told = f"{model._meta.label} points across practices"
        yield _trigger("wall", model, "INSERT", crossing, told, vendor)
        yield _trigger("wall", model, f"UPDATE OF {columns}", crossing, told, vendor)
    if model._meta.label not in MOVABLE:
        moved = f"{_home(own[0], 'NEW')} {_IS_NOT[vendor]} {_home(own[0], 'OLD')}"
        told = f"{model._meta.label} stays in its practice"
        yield _trigger("wall", model, f"UPDATE OF {columns}", moved, told, vendor)


def _crossing(model: type[models.Model], vendor: str) -> str:
    """SQL that is true for a NEW row whose ways lead to different practices; "" when it has one way only."""
    first, *others = ways(model)
    is_not = _IS_NOT[vendor]
    faults = [
        f'(NEW."{way.column}" IS NOT NULL AND {_home(way, "NEW")} {is_not} {_home(first, "NEW")})' for way in others
    ]
    return " OR ".join(faults)


def _home(way: Way, row: str, depth: int = 0) -> str:
    """SQL for the practice's id at the end of a way."""
    column = f'{row}."{way.column}"'
    if way.target is Practice:
        return column
    alias, meta = f"at{depth}", way.target._meta
    beyond = _home(ways(way.target)[0], alias, depth + 1)
    # Names of tables and columns from our own models alone.
    return f'(SELECT {beyond} FROM "{meta.db_table}" {alias} WHERE {alias}."{meta.pk.column}" = {column})'  # noqa: S608


def _guards(vendor: str) -> Iterable[Trigger]:
    told = "the audit trail is only added to"
    for event in ("UPDATE", "DELETE"):
        yield _trigger("guard", AuditEvent, event, "", told, vendor)
    yield _trigger("guard", AuditHead, "DELETE", "", told, vendor)
    forward = 'NEW."chain" = OLD."chain" AND NEW."number" > OLD."number"'
    same = 'NEW."chain" = OLD."chain" AND NEW."number" = OLD."number" AND NEW."digest" = OLD."digest"'
    yield _trigger("guard", AuditHead, "UPDATE", f"NOT (({forward}) OR ({same}))", told, vendor)
    if vendor == "postgresql":
        for model in (AuditEvent, AuditHead):
            yield _trigger("guard", model, "TRUNCATE", "", told, vendor)


def _trigger(kind: str, model: type[models.Model], event: str, when: str, told: str, vendor: str) -> Trigger:
    table = model._meta.db_table
    mark = hashlib.sha256(f"{table}|{event}|{when}|{told}".encode()).hexdigest()[:16]
    name = f"{kind}_{mark}"
    make = _for_postgres if vendor == "postgresql" else _for_sqlite
    return Trigger(name, table, make(name, table, event, when, told))


def _for_postgres(name: str, table: str, event: str, when: str, told: str) -> tuple[str, ...]:
    # 23514, check_violation: Django raises IntegrityError for it.
    refuse = f"RAISE EXCEPTION '{told}' USING ERRCODE = '23514';"
    body = f"IF {when} THEN {refuse} END IF; RETURN NEW;" if when else refuse
    level = "STATEMENT" if event == "TRUNCATE" else "ROW"
    return (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$",
        f'CREATE TRIGGER {name} BEFORE {event} ON "{table}" FOR EACH {level} EXECUTE FUNCTION {name}()',
    )


def _for_sqlite(name: str, table: str, event: str, when: str, told: str) -> tuple[str, ...]:
    condition = f" WHEN {when}" if when else ""
    return (f"CREATE TRIGGER {name} BEFORE {event} ON \"{table}\"{condition} BEGIN SELECT RAISE(ABORT, '{told}'); END",)


# --- building ---


def build(using: str = "default") -> None:
    """Make what is missing and take down what no longer fits; nothing is done twice."""
    database = connections[using]
    with database.cursor() as cursor:
        here = standing(database, cursor)
        wanted = {trigger.name: trigger for trigger in triggers(database.vendor)}
        if here.keys() == wanted.keys():
            return
        tables = set(database.introspection.table_names(cursor))
        for name in here.keys() - wanted.keys():
            _drop(cursor, database.vendor, name, here[name])
        for name in wanted.keys() - here.keys():
            if wanted[name].table in tables:
                for statement in wanted[name].statements:
                    cursor.execute(statement)


def lift(using: str = "default", prefixes: tuple[str, ...] = _PREFIXES) -> None:
    """Take them down. SQLite makes a table anew to alter it, and stumbles over triggers that name the old one."""
    database = connections[using]
    with database.cursor() as cursor:
        for name, table in standing(database, cursor).items():
            if name.startswith(prefixes):
                _drop(cursor, database.vendor, name, table)


def standing(database: BaseDatabaseWrapper, cursor: CursorWrapper) -> dict[str, str]:
    """The triggers of ours that the database has now, with their tables."""
    if database.vendor == "postgresql":
        cursor.execute(
            "SELECT t.tgname, c.relname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
            " WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND pg_table_is_visible(c.oid)"
        )
    else:
        cursor.execute("SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'")
    return {name: table for name, table in cursor.fetchall() if name.startswith(_PREFIXES)}


def _drop(cursor: CursorWrapper, vendor: str, name: str, table: str) -> None:
    if vendor == "postgresql":
        cursor.execute(f'DROP TRIGGER IF EXISTS {name} ON "{table}"')
        cursor.execute(f"DROP FUNCTION IF EXISTS {name}()")
    else:
        cursor.execute(f"DROP TRIGGER IF EXISTS {name}")


def check(databases: Iterable[str] | None = None, **_: Any) -> list[CheckMessage]:
    """For `manage.py check --database default`: a warning for each wall that does not stand.

    No error: `migrate` runs this check before it begins, and it alone builds them, on an empty database as well.
    """
    found: list[CheckMessage] = [
        Error(f"{label} leads to no practice, and emr.walls.WITHOUT_PRACTICE does not say why.", id="emr.E001")
        for label in unwalled()
    ]
    for using in databases or ():
        database = connections[using]
        with database.cursor() as cursor:
            here = standing(database, cursor)
            tables = set(database.introspection.table_names(cursor))
        wanted = [trigger for trigger in triggers(database.vendor) if trigger.table in tables]
        missing = [trigger for trigger in wanted if trigger.name not in here]
        found += [
            Caution(f"{each.table} has lost a wall ({each.name}): run `manage.py migrate`.", id="emr.W002")
            for each in missing
        ]
    return found
