"""Bytes to rows (figures 6 and 7): against update_or_create, and once more with nothing changed.

Each part runs on SQLite and, where it is installed, on a PostgreSQL of its own.
"""

import json
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

from django.db import connection as database
from django.db import transaction
from django.utils import timezone

from bench.apart import part
from bench.figure import Figure
from bench.practice import new_code
from bench.pull_charts import chart
from emr import store, validate
from emr.models import ClientRegistration, Connection, Practice, Resource
from emr.wire import strictjson
from emr.wire.fhir import Entry, entry_of
from tests import servers

PATIENTS, ROUNDS, PAGE = 30, 3, 100
MEASURED = ("update_or_create", "keep", "again")


def store_figures() -> Iterator[Figure]:
    yield from figures_here("SQLite")
    if servers.postgres_bin():
        with servers.running_postgres() as url, part(__name__, "figures_here", "PostgreSQL", database_url=url) as found:
            yield from found
    else:
        yield Figure("store on PostgreSQL: not measured, it is not installed here", 0)


def figures_here(name: str) -> Iterator[Figure]:
    pages = _pages()
    seconds: dict[str, list[float]] = {kind: [] for kind in MEASURED}
    for _ in range(ROUNDS):
        _one_round(pages, seconds)
    row = {kind: statistics.median(seconds[kind]) / (PATIENTS * 60) * 1e6 for kind in MEASURED}
    told = ", ".join(f"{kind} {value:.0f} µs" for kind, value in row.items())
    quicker = round(row["update_or_create"] / row["keep"], 1)
    yield Figure(f"{name}: store to update_or_create, a row ({told})", quicker, "×", 7, at_least=True)
    yield from _unchanged(name)


def _one_round(pages: list[list[Entry]], seconds: dict[str, list[float]]) -> None:
    """Each way into a practice of its own; nothing is validated, so that only storing is compared."""
    with patch.object(validate, "problems", lambda resource: ""):
        rows = [entry for page in pages for entry in page]
        naive = _connection()
        seconds["update_or_create"].append(_timed(lambda: _update_or_create(rows, naive)))
        ours = _connection()
        seconds["keep"].append(_timed(lambda: _keep(pages, ours)))
        seconds["again"].append(_timed(lambda: _keep(pages, ours)))


def _connection() -> Connection:
    owner = Practice.objects.create(code=new_code(), name="Bench Clinic")
    registration = ClientRegistration.objects.create(name="Bench", client_id=owner.code)
    base = f"https://fhir.example.org/fhir/r4/{owner.code}"
    return Connection.objects.create(practice=owner, registration=registration, base_url=base)


def _pages() -> list[list[Entry]]:
    entries = [entry_of(json.dumps(one)) for number in range(PATIENTS) for one in chart(number)]
    return [entries[start : start + PAGE] for start in range(0, len(entries), PAGE)]


def _keep(pages: list[list[Entry]], connection: Connection) -> None:
    for page in pages:
        with transaction.atomic():
            store.keep_of_many(page, connection=connection, owner=_owner, query="bench")


def _owner(entry: Entry) -> store.Owner:
    return store.Owner(str((entry.resource or {})["id"]).partition(".")[0])


def _update_or_create(entries: list[Entry], connection: Connection) -> None:
    """What one writes first: a row at a time, each its own transaction."""
    for entry in entries:
        now = timezone.now()
        Resource.objects.update_or_create(
            practice=connection.practice, resource_type=entry.resource_type, fhir_id=entry.fhir_id,
            defaults={
                "patient_fhir_id": _owner(entry).patient_fhir_id, "body": entry.text, "query": "bench",
                "content_hash": strictjson.content_hash(entry.resource), "connection": connection, "first_seen_at": now,
                "changed_at": now,
            },
        )  # fmt: skip


# --- nothing changed ---


def _unchanged(name: str) -> Iterator[Figure]:
    """From a page's text to its rows, twice; what the second time writes, validates and costs."""
    ratios = []
    for _ in range(ROUNDS):
        connection, texts = _connection(), _texts()
        first = _timed(lambda: _read_and_keep(texts, connection), cpu=True)  # noqa: B023 - called at once
        size = _size()
        with patch.object(validate, "problems", _refuse), database.execute_wrapper(_no_writes):
            second = _timed(lambda: _read_and_keep(texts, connection), cpu=True)  # noqa: B023
        ratios.append(first / second)
    told = f"{name}, nothing changed: CPU a resource, text to row, the first time to the second"
    yield Figure(told, round(statistics.median(ratios), 1), "×")
    yield Figure(f"{name}, nothing changed: row writes and validations", 0, "", 0)
    yield Figure(f"{name}, nothing changed: growth of the table", _size() - size, "B", 0)


def _texts() -> list[list[str]]:
    texts = [json.dumps(one) for number in range(PATIENTS) for one in chart(number)]
    return [texts[start : start + PAGE] for start in range(0, len(texts), PAGE)]


def _read_and_keep(texts: list[list[str]], connection: Connection) -> None:
    _keep([[entry_of(text) for text in page] for page in texts], connection)


def _refuse(resource: dict[str, Any]) -> str:
    raise RuntimeError("an unchanged resource was validated")


def _no_writes(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: dict[str, Any]) -> Any:
    if sql.lstrip().upper().startswith(("INSERT", "UPDATE", "DELETE")):
        raise RuntimeError("an unchanged page wrote")
    return execute(sql, params, many, context)


def _size() -> int:
    """Bytes of the table with its indexes; on SQLite, of the whole database."""
    with database.cursor() as cursor:
        if database.vendor == "postgresql":
            cursor.execute("SELECT pg_total_relation_size('emr_resource')")
            return int(cursor.fetchone()[0])
        cursor.execute("SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()")
        return int(cursor.fetchone()[0])


def _timed(act: Callable[[], object], *, cpu: bool = False) -> float:
    clock = time.process_time if cpu else time.perf_counter
    began = clock()
    act()
    return clock() - began
