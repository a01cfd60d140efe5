"""A database whose disk can be filled up and emptied again, of either kind."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

import pytest
from django.db import ProgrammingError, connection

# What pulls and people add to all the time: these lie on the small disk.
GROWING = ("emr_resource", "emr_auditevent", "patients_entry")
SIZE = 24 * 1024 * 1024
ENDLESS = 2**31


class Disk(Protocol):
    def fill(self) -> None: ...
    def make_room(self) -> None: ...


class PageLimit:
    """SQLite: a file that may not grow. The same error as that of a full disk, SQLITE_FULL."""

    def fill(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA page_count")
            cursor.execute(f"PRAGMA max_page_count = {cursor.fetchone()[0]}")

    def make_room(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"PRAGMA max_page_count = {ENDLESS}")


class SmallFileSystem:
    """PostgreSQL: a file system of a few megabytes, and a file on it that takes up the rest."""

    def __init__(self, folder: Path) -> None:
        self.ballast = folder / "ballast"

    def fill(self) -> None:
        chunk = b"\0" * 65536
        with self.ballast.open("wb", buffering=0) as file, suppress(OSError):
            while file.write(chunk):
                pass

    def make_room(self) -> None:
        self.ballast.unlink(missing_ok=True)


@contextmanager
def small_disk() -> Iterator[Disk]:
    """The test database with no more room than it has taken up, once it is told so. Outside of any transaction."""
    made = _page_limit() if connection.vendor == "sqlite" else _small_file_system()
    with made as disk:
        yield disk
        disk.make_room()


@contextmanager
def _page_limit() -> Iterator[Disk]:
    with connection.cursor() as cursor:
        cursor.execute("VACUUM")  # free pages would be used up first
    disk = PageLimit()
    try:
        yield disk
    finally:
        disk.make_room()


@contextmanager
def _small_file_system() -> Iterator[Disk]:
    if os.geteuid() != 0:
        pytest.skip("a small file system can be mounted by root alone")
    folder = Path(tempfile.mkdtemp(prefix="headachemd-disk-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        folder.rmdir()
        pytest.skip("this machine lets nobody mount a file system")
    space = folder / "space"
    space.mkdir()
    try:
        shutil.chown(folder, "postgres", "postgres")
        shutil.chown(space, "postgres", "postgres")
        yield from _moved(space, SmallFileSystem(folder))
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


def _moved(space: Path, disk: SmallFileSystem) -> Iterator[Disk]:
    """The growing tables on the small disk as long as it lasts."""
    try:
        _execute(f"CREATE TABLESPACE small LOCATION '{space}'")
    except ProgrammingError:
        pytest.skip("the database's user may make no tablespace")
    _execute(*(f"VACUUM FULL {table}" for table in GROWING))  # free pages would be used up first
    _execute(*(f"ALTER TABLE {table} SET TABLESPACE small" for table in GROWING))
    try:
        yield disk
    finally:
        disk.make_room()
        _execute(*(f"ALTER TABLE {table} SET TABLESPACE pg_default" for table in GROWING), "DROP TABLESPACE small")


def _execute(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
