"""Bytes to rows: each resource as received, once; what cannot be kept as a resource goes to quarantine."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.utils import timezone

from emr import validate
from emr.models import Connection, Quarantine, Resource
from emr.wire import strictjson
from emr.wire.fhir import Entry, patient_of

_WRITTEN_ON_CHANGE = [
    "patient_fhir_id", "body", "content_hash", "query", "connection", "changed_at", "no_longer_sent_at",
    "entered_in_error", "unparsed",
]  # fmt: skip
_BATCH = 100  # PostgreSQL is quickest between 100 and 250 rows a statement


@dataclass(frozen=True)
class Counts:
    """What became of a page's resources."""

    new: int = 0
    changed: int = 0
    same: int = 0
    quarantined: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.new + other.new,
            self.changed + other.changed,
            self.same + other.same,
            self.quarantined + other.quarantined,
        )


def keep(entries: Sequence[Entry], *, connection: Connection, patient_fhir_id: str, query: str) -> Counts:
    """Store a page: unchanged resources are not written, unusable ones are quarantined with the reason.

    `patient_fhir_id`: whose page this is; blank for resources that are no patient's (Medication). Call it inside
    the transaction that also commits the cursor.
    """
    good: dict[tuple[str, str], tuple[Entry, str]] = {}
    bad: list[Quarantine] = []
    for entry in entries:
        reason = entry.fault or _foreign(entry, patient_fhir_id)
        if reason or entry.resource is None:
            bad.append(_quarantined(entry, reason or "unreadable", connection, patient_fhir_id, query))
        else:
            # The last one wins where a page holds a resource twice.
            good[entry.resource_type, entry.fhir_id] = (entry, strictjson.content_hash(entry.resource))
    quarantine = Quarantine.objects.bulk_create(bad, ignore_conflicts=True) if bad else []
    return _upsert(good, connection, patient_fhir_id, query) + Counts(quarantined=len(quarantine))


def mark_gone(connection: Connection, *, patient_fhir_id: str, resource_type: str, seen: Collection[str]) -> int:
    """After a complete pass over a patient's type: what is on file and was not sent is "no longer sent".

    Never deleted: histories and audit refer to it, and a server may send it again. `seen`: `mark` of each id sent.
    Returns how many.
    """
    rows = Resource.objects.filter(
        connection=connection,
        practice_id=connection.practice_id,
        patient_fhir_id=patient_fhir_id,
        resource_type=resource_type,
        no_longer_sent_at=None,
    ).values_list("pk", "fhir_id")
    gone = [pk for pk, fhir_id in rows.iterator() if mark(fhir_id) not in seen]
    return Resource.objects.filter(pk__in=gone).update(no_longer_sent_at=timezone.now()) if gone else 0


def mark(fhir_id: str) -> str:
    """A short stand-in for an id: a cursor holds thousands of them."""
    return hashlib.sha256(fhir_id.encode()).hexdigest()[:12]


def _foreign(entry: Entry, patient_fhir_id: str) -> str:
    if not patient_fhir_id or entry.resource is None:
        return ""
    about = patient_of(entry.resource)
    return "" if about in (None, patient_fhir_id) else "about another patient than the one asked for"


def _upsert(
    good: dict[tuple[str, str], tuple[Entry, str]], connection: Connection, patient_fhir_id: str, query: str
) -> Counts:
    known = {
        (row[0], row[1]): row[2:]
        for row in Resource.objects.filter(
            practice_id=connection.practice_id,
            resource_type__in={kind for kind, _ in good},
            fhir_id__in=[fhir_id for _, fhir_id in good],
        ).values_list("resource_type", "fhir_id", "content_hash", "no_longer_sent_at")
    }
    now = timezone.now()
    rows = [
        _row(entry, content_hash, connection, patient_fhir_id, query, now)
        for key, (entry, content_hash) in good.items()
        if known.get(key) != (content_hash, None)
    ]
    Resource.objects.bulk_create(
        rows,
        batch_size=_BATCH,
        update_conflicts=True,
        unique_fields=["practice", "resource_type", "fhir_id"],
        update_fields=_WRITTEN_ON_CHANGE,
    )
    new = sum(1 for row in rows if (row.resource_type, row.fhir_id) not in known)
    return Counts(new=new, changed=len(rows) - new, same=len(good) - len(rows))


def _row(
    entry: Entry, content_hash: str, connection: Connection, patient_fhir_id: str, query: str, now: Any
) -> Resource:
    resource = entry.resource or {}
    return Resource(
        practice_id=connection.practice_id,
        resource_type=entry.resource_type,
        fhir_id=entry.fhir_id,
        patient_fhir_id=patient_fhir_id,
        body=entry.text,
        content_hash=content_hash,
        query=query,
        connection=connection,
        first_seen_at=now,
        changed_at=now,
        entered_in_error=is_entered_in_error(resource),
        unparsed=validate.problems(resource),
    )


def _quarantined(entry: Entry, reason: str, connection: Connection, patient_fhir_id: str, query: str) -> Quarantine:
    return Quarantine(
        practice_id=connection.practice_id,
        connection=connection,
        patient_fhir_id=patient_fhir_id,
        resource_type=entry.resource_type[:40],
        fhir_id=entry.fhir_id[:128],
        reason=reason[:200],
        body=storable(entry.text),
        body_hash=hashlib.sha256(entry.text.encode("utf-8", "surrogatepass")).hexdigest(),
        query=query,
    )


def storable(text: str) -> str:
    r"""PostgreSQL takes neither U+0000 nor half a surrogate pair in text: they are kept as \u escapes."""
    return text.replace("\x00", "\\u0000").encode("utf-8", "backslashreplace").decode()


def is_entered_in_error(resource: dict[str, Any]) -> bool:
    """True when status or verificationStatus says so; whatever else the resource claims, it is void then."""
    if resource.get("status") == "entered-in-error":
        return True
    verification = resource.get("verificationStatus")
    codings = verification.get("coding") if isinstance(verification, dict) else None
    return any(
        isinstance(coding, dict) and coding.get("code") == "entered-in-error"
        for coding in (codings if isinstance(codings, list) else [])
    )
