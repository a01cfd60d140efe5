"""Resources that a patient's records only refer to.

Drugs, people and places are read once per practice and kept for all its patients; results are the patient's own. People
and places are read where a page shows their name and the reference has none. Nothing else is: nobody shows it.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from emr.models import Connection, ReferenceRead, Resource
from emr.pulling.journey import Outcome, Step
from emr.wire import fhir, scopes

# A worker that died while it read is waited for so long.
CLAIM_LIFE = timedelta(seconds=60)


@dataclass(frozen=True)
class Claim:
    """Who reads a shared record: we (is_ours), somebody else right now (no outcome), or it was read or refused."""

    is_ours: bool = False
    outcome: Outcome | None = None
    reason: str = ""
    code: str = ""


Key = tuple[str, str]


def missing(connection: Connection, patient_fhir_id: str) -> list[list[str]]:
    """[type, id] of what this patient's resources refer to, is to be read, and is not on file yet."""
    profile, granted = connection.profile, connection.registration.scopes
    shared = frozenset(profile.read_by_reference)
    names = frozenset(kind for kind in Resource.NAMED if scopes.allows(granted, kind))
    linked = frozenset(link.target for link in profile.links)
    if not shared | names | linked:
        return []
    suspects = _suspects(connection, patient_fhir_id, shared | names | linked)
    unknown = set(suspects) - _known(connection, list(suspects))
    found: set[Key] = set()
    for body in {body for key in unknown for body in suspects[key]}:
        resource = json.loads(body)
        found |= fhir.references(resource, shared)
        found |= set(_named(resource, names))
        for link in profile.links:
            if link.holder == resource.get("resourceType"):
                found |= fhir.references({"at": resource.get(link.element)}, {link.target})
    return [list(reference) for reference in sorted(found & unknown)]


def _suspects(connection: Connection, patient_fhir_id: str, types: Iterable[str]) -> dict[Key, list[str]]:
    """(type, id) of all that looks like a reference to one of `types`, with the texts that hold it.

    A slash may be written \\/ in JSON. Bodies are parsed only where this finds an id that is not on file.
    """
    wanted = "|".join(sorted(types))
    mention = Q()
    for kind in types:
        mention |= Q(body__contains=f"{kind}/") | Q(body__contains=f"{kind}\\/")
    rows = Resource.objects.filter(
        mention, practice_id=connection.practice_id, patient_fhir_id=patient_fhir_id, no_longer_sent_at=None
    )
    pattern = re.compile(rf'({wanted})\\?/([A-Za-z0-9._-]{{1,128}})(?=[\\/"])')
    suspects: dict[Key, list[str]] = {}
    for body in rows.values_list("body", flat=True).iterator(chunk_size=500):
        for match in pattern.finditer(body):
            suspects.setdefault((match[1], match[2]), []).append(body)
    return suspects


def _named(resource: dict[str, Any], types: Iterable[str]) -> Iterator[Key]:
    """References without a name, where a page would show one."""
    for element in Resource.NAMES_SHOWN.get(resource.get("resourceType", ""), ()):
        waiting: list[Any] = [resource.get(element)]
        while waiting:
            one = waiting.pop()
            if isinstance(one, list):
                waiting.extend(one)
            elif isinstance(one, dict) and not one.get("display"):
                yield from fhir.references({"at": {"reference": one.get("reference")}}, frozenset(types))
                waiting.extend(one.values())


def _known(connection: Connection, keys: list[Key]) -> set[Key]:
    """Those on file, and those refused not long ago."""
    wanted = {
        "practice_id": connection.practice_id,
        "resource_type__in": {kind for kind, _ in keys},
        "fhir_id__in": [fhir_id for _, fhir_id in keys],
    }
    return set(Resource.objects.filter(**wanted).values_list("resource_type", "fhir_id"))


def claim(connection: Connection, item_id: UUID, resource_type: str, fhir_id: str) -> Claim:
    """Take a shared record to read. Two items that need the same one make one call between them."""
    key = {"practice_id": connection.practice_id, "resource_type": resource_type, "fhir_id": fhir_id}
    if Resource.objects.filter(**key).exists():
        return Claim(outcome=Outcome.COMPLETE)
    now = timezone.now()
    until = now + CLAIM_LIFE
    row, created = ReferenceRead.objects.get_or_create(**key, defaults={"by": item_id, "until": until})
    if created:
        # Whoever read it in between has let go of it.
        return Claim(outcome=Outcome.COMPLETE) if Resource.objects.filter(**key).exists() else Claim(is_ours=True)
    if row.outcome and row.until > now:
        return Claim(outcome=Outcome(row.outcome), reason=row.reason, code=row.code)
    if row.by != item_id and row.until > now:
        return Claim()
    taken = ReferenceRead.objects.filter(pk=row.pk, by=row.by, until=row.until)
    return Claim(is_ours=bool(taken.update(by=item_id, until=until, outcome="")))


def release(connection: Connection, item_id: UUID, resource_type: str, fhir_id: str) -> None:
    """It is on file, or whoever comes next may try."""
    ReferenceRead.objects.filter(
        practice_id=connection.practice_id, resource_type=resource_type, fhir_id=fhir_id, by=item_id
    ).delete()


def refused(connection: Connection, item_id: UUID, step: Step, outcome: Outcome, reason: str, code: str) -> None:
    """The server does not give it: nobody asks again for as long as a refused type is let be."""
    until = timezone.now() + timedelta(hours=connection.profile.freshness.refused_hours)
    ReferenceRead.objects.filter(
        practice_id=connection.practice_id, resource_type=step.resource_type, fhir_id=step.fhir_id or "", by=item_id
    ).update(outcome=outcome, reason=reason[:300], code=code, until=until)
