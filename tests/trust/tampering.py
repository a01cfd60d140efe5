"""What somebody who owns the database could do to the audit trail, the guards taken down."""

import random
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db.models import Model

from emr.models import AuditEvent, AuditHead, Practice
from emr.models.auditing import linked


def _row(chain: uuid.UUID, number: int) -> Any:
    return AuditEvent.objects.filter(chain=chain, number=number)


def tamper(chain: uuid.UUID, number: int, chance: random.Random) -> Callable[[], None]:
    """Change one column of one row, any of them; returns what puts it back."""
    before = _row(chain, number).values("at", "action", "patient_id", "object_id", "detail", "digest", "address").get()
    changes: dict[str, Any] = {
        "at": before["at"] + timedelta(microseconds=chance.randint(1, 10**9)),
        "action": "print" if before["action"] != "print" else "export",
        "patient_id": uuid.UUID(int=chance.getrandbits(128)),
        "object_id": uuid.UUID(int=chance.getrandbits(128)),
        "detail": before["detail"] + " ",
        "address": f"192.0.2.{chance.randint(1, 254)}",
        "digest": f"{chance.getrandbits(256):064x}",
    }
    column = chance.choice(sorted(changes))
    _row(chain, number).update(**{column: changes[column]})
    return lambda: _row(chain, number).update(**{column: before[column]})


def delete(chain: uuid.UUID, number: int) -> None:
    _row(chain, number)._raw_delete("default")


def swap(chain: uuid.UUID, one: int, other: int) -> None:
    """Two events change places: all they say, their digests left where they are."""
    said = ("at", "action", "patient_id", "object_id", "detail", "address")
    first, second = (_row(chain, number).values(*said).get() for number in (one, other))
    _row(chain, one).update(**second)
    _row(chain, other).update(**first)


def set_head(chain: uuid.UUID, number: int) -> None:
    AuditHead.objects.filter(pk=chain).update(number=number, digest=_row(chain, number).get().digest)


def rewrite_from(chain: uuid.UUID, number: int) -> None:
    """Change an event and make every digest after it anew, the head's too."""
    _row(chain, number).update(detail="another")
    before = _row(chain, number - 1).get().digest
    for event in AuditEvent.objects.filter(chain=chain, number__gte=number).order_by("number"):
        before = linked(before, [getattr(event, name) for name in AuditEvent.CHAINED])
        _row(chain, event.number).update(digest=before)
    AuditHead.objects.filter(pk=chain).update(digest=before)


def insert(chain: uuid.UUID, number: int, practice: Practice, *, before: str = "", digest: str | None = None) -> None:
    """Put an event in that never happened; its digest is made as ours are, unless one is given."""
    event = AuditEvent(action="print", practice=practice, detail="forged", chain=chain, number=number)
    values = [getattr(event, name) for name in AuditEvent.CHAINED]
    event.digest = linked(before, values) if digest is None else digest
    Model.save_base(event, force_insert=True)
