"""How the lists of patients ended, written for many at once."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection as database
from django.utils import timezone

from emr import upserts
from emr.models import TypeOutcome

_SAID = ("outcome", "reason", "code")
_TRIED = (*_SAID, "attempted_at")


@dataclass(frozen=True)
class Said:
    """How a type ended for an enrolment. code: the catalogue's, or ""."""

    enrolment: UUID
    resource_type: str
    outcome: str
    reason: str
    code: str


def record(said: Iterable[Said]) -> None:
    """Write them as of now. An earlier complete pass stays noted: its rows are those on file."""
    key, now = TypeOutcome._meta.get_field("enrolment"), timezone.now()
    whole: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for one in said:
        row = vars(one) | {"enrolment": key.get_db_prep_save(one.enrolment, database)}
        (whole if one.outcome == TypeOutcome.Outcome.COMPLETE else others).append(row)
    for rows, when, changes in ((whole, now, (*_TRIED, "confirmed_at")), (others, None, _TRIED)):
        if rows:
            shared = {"attempted_at": now, "confirmed_at": when}
            upserts.upsert(TypeOutcome, rows, unique=("enrolment", "resource_type"), changes=changes, shared=shared)
