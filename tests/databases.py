"""The test database as a process beside the tests may open it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg
from django.db import connection


def for_processes(file: Path) -> str:
    """URL of what the test database holds now: itself on PostgreSQL, a copy in `file` on SQLite.

    For tests with transactions: what is not committed is in neither.
    """
    if connection.vendor == "postgresql":
        return url_of(str(connection.settings_dict["NAME"]))
    connection.ensure_connection()
    with closing(sqlite3.connect(file)) as copy:
        copy.execute("PRAGMA journal_mode=WAL")
        connection.connection.backup(copy)
    return f"sqlite:///{file}"


def url_of(name: str) -> str:
    """URL of a database of that name on the PostgreSQL that the tests use."""
    at = connection.settings_dict
    password = f":{quote(at['PASSWORD'], safe='')}" if at["PASSWORD"] else ""
    return f"postgres://{at['USER']}{password}@{at['HOST']}:{at['PORT']}/{name}"


def opened(url: str) -> "closing[sqlite3.Connection] | psycopg.Connection":
    """A connection of one's own, beside Django's; closed at the end of the block."""
    if url.startswith("sqlite"):
        return closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=10))
    return psycopg.connect(url)


@contextmanager
def no_writer(url: str) -> Iterator[None]:
    """Nobody else writes to the audit trail while this lasts: who wants to waits."""
    with opened(url) as held:
        held.execute("BEGIN IMMEDIATE" if url.startswith("sqlite") else "LOCK TABLE emr_auditevent IN EXCLUSIVE MODE")
        yield
        held.rollback()
