"""Rows written in one statement sent with many rows' values, where the ORM would make one long statement of them.

Both drivers take the first several times as quickly; and a page of a pull writes so often that even what the ORM needs
to put a short statement together counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from django.db import connection as database
from django.db import models


def upsert(
    model: type[models.Model],
    rows: Sequence[Mapping[str, Any]],
    *,
    unique: tuple[str, ...],
    changes: tuple[str, ...],
    shared: Mapping[str, Any] | None = None,
) -> None:
    """Insert the rows; where one is there by `unique`, set its `changes` instead.

    rows: values by field name, as the database takes them (text, bool, numbers). shared: values that all rows have, of
    any kind. A primary key is made for each. No signals; call it inside the transaction the rows belong to.
    """
    fields = {each.name: each for each in model._meta.concrete_fields}
    same = {name: fields[name].get_db_prep_save(value, database) for name, value in (shared or {}).items()}
    key = fields["id"]

    def values(row: Mapping[str, Any]) -> list[Any]:
        every = {**row, **same, "id": key.get_db_prep_save(key.get_default(), database)}
        return [every[name] for name in fields]

    with database.cursor() as cursor:
        cursor.executemany(_sql(model, unique, changes, database.vendor), [values(row) for row in rows])


@cache
def _sql(model: type[models.Model], unique: Iterable[str], changes: Iterable[str], vendor: str) -> str:
    """vendor: a part of the key of the cache alone."""
    fields = {each.name: each for each in model._meta.concrete_fields}

    def columns(names: Iterable[str]) -> list[str]:
        return [database.ops.quote_name(str(fields[name].column)) for name in names]

    changed = ", ".join(f"{column} = EXCLUDED.{column}" for column in columns(changes))
    return (
        f"INSERT INTO {database.ops.quote_name(model._meta.db_table)} ({', '.join(columns(fields))}) "  # noqa: S608
        f"VALUES ({', '.join(['%s'] * len(fields))}) "
        f"ON CONFLICT ({', '.join(columns(unique))}) DO UPDATE SET {changed}"
    )
