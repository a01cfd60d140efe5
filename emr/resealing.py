"""Every stored secret sealed anew with the first of FIELD_KEYS, while everything goes on.

In batches by primary key, each locked while it is sealed, so that a token renewed meanwhile is never replaced by the
one before. As long as both keys are in FIELD_KEYS, readers never fail. Done twice, the second
time finds nothing to do.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import transaction
from django.db.models import Case, Model, TextField, Value, When

from emr import audit
from emr.accounts import second_factor
from emr.fields import Sealed, SecretField, SecretUnreadable, is_newest, seal, unseal

BATCH = 250  # rows of one transaction: on SQLite no other writer waits longer than that,
BREATH_SECONDS = 0.05  # and gets its turn before the next: SQLite has no queue, who waits looks again now and then


@dataclass(frozen=True)
class Resealed:
    """done: sealed anew; kept: sealed with the first key already; unreadable: with none of FIELD_KEYS."""

    done: int = 0
    kept: int = 0
    unreadable: int = 0

    def __add__(self, other: "Resealed") -> "Resealed":
        return Resealed(self.done + other.done, self.kept + other.kept, self.unreadable + other.unreadable)


def everything() -> Resealed:
    """All secrets of all models, second factors included; one audit row says what was done."""
    total = Resealed(*second_factor.reseal())
    for model, name in secret_fields():
        total += _field(model, name)
    told = f"FIELD_KEYS: {total.done} sealed anew, {total.kept} kept, {total.unreadable} unreadable"
    audit.record(audit.Action.KEY, by=None, detail=told)
    return total


def secret_fields() -> Iterator[tuple[type[Model], str]]:
    for model in apps.get_models():
        for field in model._meta.concrete_fields:
            if isinstance(field, SecretField):
                yield model, field.attname


def _field(model: type[Model], name: str) -> Resealed:
    rows = model._default_manager.exclude(**{name: ""}).order_by("pk")
    total, after = Resealed(), None
    while True:
        with transaction.atomic():
            # Locked while they are sealed, so that one statement may write them all: nothing is renewed in between.
            behind = rows if after is None else rows.filter(pk__gt=after)
            batch = list(behind.select_for_update().values_list("pk", name)[:BATCH])
            total += _rows(model, name, batch)
        if len(batch) < BATCH:
            return total
        after = batch[-1][0]
        time.sleep(BREATH_SECONDS)


def _rows(model: type[Model], name: str, batch: list[tuple[Any, Sealed]]) -> Resealed:
    found = {pk: _resealed(model, name, pk, old) for pk, old in batch}
    new = {pk: found[pk] for pk, old in batch if found[pk] not in (None, old)}
    if new:
        values = [When(pk=pk, then=Value(str(one))) for pk, one in new.items()]
        case = Case(*values, output_field=TextField())
        model._default_manager.filter(pk__in=new).update(**{name: case})
    unreadable = list(found.values()).count(None)
    return Resealed(done=len(new), kept=len(found) - len(new) - unreadable, unreadable=unreadable)


def _resealed(model: type[Model], name: str, pk: Any, old: Sealed) -> Sealed | None:
    """The value for the row: the same one where it is sealed with the first key, None where no key reads it."""
    try:
        plaintext = unseal(model, name, pk, old)
    except SecretUnreadable:
        return None
    return old if is_newest(old) else seal(model, name, pk, plaintext)
