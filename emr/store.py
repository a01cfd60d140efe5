"""Bytes to rows: each resource as received, once; what cannot be kept as a resource goes to quarantine."""

import hashlib
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.utils import timezone

from emr import upserts, validate
from emr.models import Connection, Quarantine, Resource
from emr.wire import strictjson
from emr.wire.fhir import Entry, patient_of

_WRITTEN_ON_CHANGE = (
    "patient_fhir_id", "body", "content_hash", "query", "connection", "changed_at", "no_longer_sent_at",
    "entered_in_error", "unparsed",
)  # fmt: skip
_UNIQUE = ("practice", "resource_type", "fhir_id")


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


@dataclass(frozen=True)
class Kept:
    """What became of resources of many patients. touched: FHIR ids of the patients with a new or changed one."""

    counts: Counts
    touched: frozenset[str] = field(repr=False)


@dataclass(frozen=True)
class Owner:
    """Whose an entry is: the patient's FHIR id, "" for a resource of nobody's. reason: why it is not to be kept."""

    patient_fhir_id: str = field(repr=False)
    reason: str = ""


_Good = dict[tuple[str, str], tuple[Entry, str]]


def keep(entries: Sequence[Entry], *, connection: Connection, patient_fhir_id: str, query: str) -> Counts:
    """Store a page: unchanged resources are not written, unusable ones are quarantined with the reason.

    `patient_fhir_id`: whose page this is; blank for resources that are no patient's (Medication). Call it inside
    the transaction that also commits the cursor.
    """
    return keep_of_many(
        entries,
        connection=connection,
        owner=lambda entry: owner(patient_fhir_id, entry),
        query=query,
    ).counts


def owner(patient_fhir_id: str, entry: Entry) -> Owner:
    """Of an entry on that patient's page ("" for nobody's): theirs, unless it says otherwise."""
    return Owner(patient_fhir_id, _foreign(entry, patient_fhir_id))


def keep_of_many(
    entries: Sequence[Entry], *, connection: Connection, owner: Callable[[Entry], Owner], query: str
) -> Kept:
    """As `keep`, of entries that belong to several patients; `owner` is asked for usable entries alone."""
    good: _Good = {}
    bad: list[Quarantine] = []
    for entry in entries:
        whose = owner(entry) if entry.resource is not None and not entry.fault else Owner("", "unreadable")
        reason = entry.fault or whose.reason
        if reason or entry.resource is None:
            bad.append(_quarantined(entry, reason, connection, whose.patient_fhir_id, query))
        else:
            # The last one wins where a page holds a resource twice.
            good[entry.resource_type, entry.fhir_id] = (entry, whose.patient_fhir_id)
    quarantine = Quarantine.objects.bulk_create(bad, ignore_conflicts=True) if bad else []
    counts, touched = _upsert(good, connection, query)
    return Kept(counts + Counts(quarantined=len(quarantine)), touched)


# How the query of a record ends that was read because another refers to it: no list is expected to hold it.
BY_REFERENCE = " by reference"


def mark_gone(connection: Connection, *, patient_fhir_id: str, resource_type: str, seen: Collection[str]) -> int:
    """After a complete pass over a patient's type: what is on file and was not sent is "no longer sent".

    Never deleted: histories and audit refer to it, and a server may send it again. `seen`: `mark` of each id sent.
    Returns how many.
    """
    rows = (
        Resource.objects.filter(
            connection=connection,
            practice_id=connection.practice_id,
            patient_fhir_id=patient_fhir_id,
            resource_type=resource_type,
            no_longer_sent_at=None,
        )
        .exclude(query__endswith=BY_REFERENCE)
        .values_list("pk", "fhir_id")
    )
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


@dataclass(frozen=True)
class _OnFile:
    """What is on file of a resource."""

    body: str = field(repr=False)
    content_hash: str
    no_longer_sent_at: datetime | None
    patient_fhir_id: str = field(repr=False)


def _upsert(good: _Good, connection: Connection, query: str) -> tuple[Counts, frozenset[str]]:
    on_file_now = Resource.objects.filter(
        practice_id=connection.practice_id,
        resource_type__in={kind for kind, _ in good},
        fhir_id__in=[fhir_id for _, fhir_id in good],
    ).values_list("resource_type", "fhir_id", "body", "content_hash", "no_longer_sent_at", "patient_fhir_id")
    known = {
        (kind, fhir_id): _OnFile(body, content_hash, gone, patient)
        for kind, fhir_id, body, content_hash, gone, patient in on_file_now
    }
    rows = []
    for key, (entry, patient_fhir_id) in good.items():
        on_file = known.get(key)
        # The same text has the same content, and to compare texts costs less than to make a hash of the content.
        if on_file and on_file.no_longer_sent_at is None and on_file.body == entry.text:
            continue
        content_hash = strictjson.content_hash(entry.resource)
        if on_file and (on_file.content_hash, on_file.no_longer_sent_at) == (content_hash, None):
            continue
        rows.append(_row(entry, content_hash, patient_fhir_id))
    if rows:
        _write(rows, connection, query)
    before = [known[key] for row in rows if (key := (row["resource_type"], row["fhir_id"])) in known]
    # A resource that moved to another patient touches both.
    touched = {row["patient_fhir_id"] for row in rows}.union(one.patient_fhir_id for one in before) - {""}
    new = len(rows) - len(before)
    return Counts(new=new, changed=len(before), same=len(good) - len(rows)), frozenset(touched)


def _row(entry: Entry, content_hash: str, patient_fhir_id: str) -> dict[str, Any]:
    resource = entry.resource or {}
    return {
        "resource_type": entry.resource_type,
        "fhir_id": entry.fhir_id,
        "patient_fhir_id": patient_fhir_id,
        "body": entry.text,
        "content_hash": content_hash,
        "entered_in_error": is_entered_in_error(resource),
        "unparsed": validate.problems(resource),
    }


def _write(rows: list[dict[str, Any]], connection: Connection, query: str) -> None:
    now = timezone.now()
    shared = {
        "practice": connection.practice_id, "connection": connection.pk, "query": query, "first_seen_at": now,
        "changed_at": now, "no_longer_sent_at": None,
    }  # fmt: skip
    upserts.upsert(Resource, rows, unique=_UNIQUE, changes=_WRITTEN_ON_CHANGE, shared=shared)


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
