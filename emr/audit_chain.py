"""Whether the audit trail is what was written: each chain read from its beginning, and its end kept elsewhere.

A changed row no longer gives its own digest; a row taken out leaves a gap in the numbers; rows cut off the end are
missed by the head. Whoever can rewrite rows, heads and all digests after them is caught by the heads that were written
elsewhere (settings.AUDIT_HEADS_FILE, and the log) before.
"""

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from django.conf import settings
from django.db.models import F, QuerySet
from django.utils import timezone

from emr.models import AuditEvent, AuditHead
from emr.models.auditing import NO_PRACTICE, linked

log = logging.getLogger(__name__)

_CHUNK = 2000
# Columns of a row as `_Reader` takes them apart.
_NUMBER, _PRACTICE = (AuditEvent.CHAINED.index(name) for name in ("number", "practice_id"))
_DIGEST = len(AuditEvent.CHAINED)
Heads = Mapping[UUID, Mapping[int, str]]


@dataclass(frozen=True)
class Fault:
    """One place where a chain is not as it was written."""

    chain: UUID
    number: int
    what: str

    def __str__(self) -> str:
        return f"{self.chain} event {self.number}: {self.what}"


@dataclass
class Verdict:
    """What was read of one chain, and what is wrong with it."""

    chain: UUID
    events: int
    faults: list[Fault]


def verify(chain: UUID, heads: Heads | None = None) -> Verdict:
    """Read one chain from its first event. heads: what was written elsewhere (`written_heads`)."""
    reader = _Reader(chain, dict((heads or {}).get(chain, {})))
    rows = AuditEvent.objects.filter(chain=chain).order_by("number")
    for row in rows.values_list(*AuditEvent.CHAINED, "digest").iterator(chunk_size=_CHUNK):
        reader.read(row)
    reader.end(AuditHead.objects.filter(pk=chain).first())
    return Verdict(chain, reader.events, reader.faults)


def chains(practice_id: UUID | None = None) -> list[UUID]:
    """Every chain there is, by its head or by its events; when asked for one practice, those that hold events of it."""
    of_events = AuditEvent.objects.order_by("chain").values_list("chain", flat=True).distinct()
    if practice_id is not None:
        return sorted({practice_id, *of_events.filter(practice_id=practice_id)})
    return sorted({*AuditHead.objects.values_list("pk", flat=True), *of_events})


class _Reader:
    """Goes along a chain. After a row that does not give its digest there are two candidates for the digest before:
    the one stored (something else of the row was changed) and the one computed (the digest itself was)."""

    def __init__(self, chain: UUID, written: dict[int, str]) -> None:
        self.chain, self.written = chain, written
        self.before: tuple[str, ...] = ("",)
        self.last = self.events = 0
        self.faults: list[Fault] = []

    def read(self, row: tuple[object, ...]) -> None:
        values, stored = row[:_DIGEST], str(row[_DIGEST])
        number = int(str(row[_NUMBER]))
        self.events += 1
        if number <= self.last:  # before the first, or a second one of its number: put there afterwards
            self._fault(number, "stands where no event belongs")
            return
        for missing in range(self.last + 1, number):
            self._fault(missing, "is missing")
        if number != self.last + 1:
            self.before = ()  # nothing to compare the link with; the row's place is told by the gap
        computed = [linked(before, values) for before in self.before]
        if self.before and stored not in computed:
            self._fault(number, "is not as it was written")
        elif (row[_PRACTICE] or NO_PRACTICE) != self.chain:
            self._fault(number, "is of a practice with another chain")
        self.before = (stored, *(digest for digest in computed if digest != stored))
        self._compare(number, stored)
        self.last = number

    def end(self, head: AuditHead | None) -> None:
        number, digest = (head.number, head.digest) if head is not None else (0, "")
        for missing in range(self.last + 1, max([number, *self.written], default=0) + 1):
            self._fault(missing, "is missing at the end")
        if self.last > number:
            self._fault(number + 1, "stands beyond the head of the chain")
        elif self.last == number and self.before and digest != self.before[0] and number:
            self._fault(number, "is not what the head of the chain says")

    def _compare(self, number: int, stored: str) -> None:
        kept = self.written.pop(number, stored)
        if kept != stored:
            self._fault(number, "is not what was written elsewhere: events up to here were made anew")

    def _fault(self, number: int, what: str) -> None:
        self.faults.append(Fault(self.chain, number, what))


# --- heads written elsewhere ---


def write_heads() -> int:
    """Append the heads that moved since the last time to settings.AUDIT_HEADS_FILE, and log them. Returns how many.

    Raises OSError when the file cannot be written: the heads are then written the next time.
    """
    moved: QuerySet[AuditHead] = AuditHead.objects.filter(number__gt=F("written")).order_by("pk")
    heads = list(moved)
    if not heads:
        return 0
    at = timezone.now().isoformat(timespec="seconds")
    lines = [{"at": at, "chain": str(head.pk), "number": head.number, "digest": head.digest} for head in heads]
    _append(Path(settings.AUDIT_HEADS_FILE), lines)
    for head, line in zip(heads, lines, strict=True):
        log.info("audit head", extra=line)
        AuditHead.objects.filter(pk=head.pk, written__lt=head.number).update(written=head.number)
    return len(heads)


def _append(path: Path, lines: list[dict[str, object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
        file.flush()
        os.fsync(file.fileno())


def written_heads(path: Path) -> dict[UUID, dict[int, str]]:
    """Chain → number → digest, as they were written. Raises OSError, or ValueError for a line that is no head."""
    found: dict[UUID, dict[int, str]] = {}
    with path.open(encoding="utf-8") as file:
        for line in filter(str.strip, file):
            try:
                told = json.loads(line)
                found.setdefault(UUID(told["chain"]), {})[int(told["number"])] = str(told["digest"])
            except (TypeError, KeyError, ValueError):
                raise ValueError(f"{path.name} holds a line that is no head of a chain") from None
    return found
