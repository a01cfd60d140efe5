"""Resources that a patient's records only refer to.

Drugs, people and places are read once per practice and kept for all its patients; results are the patient's own. People
and places are read where a page shows their name and the reference has none. Nothing else is: nobody shows it.
"""

import json
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from emr import tokens
from emr.models import Connection, ReferenceRead, Resource, WorkItem
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


def nobodys(connection: Connection) -> frozenset[str]:
    """Types of which no record is one patient's: what comes along with a patient's list stays the practice's."""
    return frozenset(connection.profile.read_by_reference).union(Resource.NAMED)


def missing(connection: Connection, patients: Collection[str]) -> dict[str, list[list[str]]]:
    """By patient's FHIR id: [type, id] of what their resources refer to, is to be read, and is not on file yet.

    Who has nothing missing is not in it.
    """
    profile, granted = connection.profile, connection.registration.scopes
    shared = frozenset(profile.read_by_reference)
    names = frozenset(kind for kind in Resource.NAMED if scopes.allows(granted, kind))
    linked = frozenset(link.target for link in profile.links)
    if not shared | names | linked:
        return {}
    suspects = _suspects(connection, patients, shared | names | linked)
    unknown = set(suspects) - _known(connection, list(suspects))
    found: dict[str, set[Key]] = {}
    for whose, body in {holder for key in unknown for holder in suspects[key]}:
        resource = json.loads(body)
        own = fhir.references(resource, shared) | set(_named(resource, names))
        for link in profile.links:
            if link.holder == resource.get("resourceType"):
                own |= fhir.references({"at": resource.get(link.element)}, {link.target})
        found[whose] = found.get(whose, set()) | (own & unknown)
    return {whose: [list(one) for one in sorted(own)] for whose, own in found.items() if own}


def _suspects(connection: Connection, patients: Collection[str], types: Iterable[str]) -> dict[Key, list[Key]]:
    """(type, id) of all that looks like a reference to one of `types`, with whose texts hold it, and these.

    A slash may be written \\/ in JSON. Bodies are parsed only where this finds an id that is not on file.
    """
    wanted = "|".join(sorted(types))
    mention = Q()
    for kind in types:
        mention |= Q(body__contains=f"{kind}/") | Q(body__contains=f"{kind}\\/")
    rows = Resource.objects.filter(
        mention, practice_id=connection.practice_id, patient_fhir_id__in=patients, no_longer_sent_at=None
    )
    pattern = re.compile(rf'({wanted})\\?/([A-Za-z0-9._-]{{1,128}})(?=[\\/"])')
    suspects: dict[Key, list[Key]] = {}
    for whose, body in rows.values_list("patient_fhir_id", "body").iterator(chunk_size=500):
        for match in pattern.finditer(body):
            suspects.setdefault((match[1], match[2]), []).append((whose, body))
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
    """Take a shared record to read. Two items that need the same one make one call between them.

    With persons' consents, that holds for the items of one consent: another one may be answered otherwise.
    """
    on_file = Resource.objects.filter(practice_id=connection.practice_id, resource_type=resource_type, fhir_id=fhir_id)
    if on_file.exists():
        return Claim(outcome=Outcome.COMPLETE)
    now = timezone.now()
    until = now + CLAIM_LIFE
    row, created = ReferenceRead.objects.get_or_create(
        **_key(connection, item_id, resource_type, fhir_id), defaults={"by": item_id, "until": until}
    )
    if created:
        # Whoever read it in between has let go of it.
        return Claim(outcome=Outcome.COMPLETE) if on_file.exists() else Claim(is_ours=True)
    if row.outcome and row.until > now:
        return Claim(outcome=Outcome(row.outcome), reason=row.reason, code=row.code)
    if row.by != item_id and row.until > now:
        return Claim()
    taken = ReferenceRead.objects.filter(pk=row.pk, by=row.by, until=row.until)
    return Claim(is_ours=bool(taken.update(by=item_id, until=until, outcome="")))


def release(connection: Connection, item_id: UUID, resource_type: str, fhir_id: str) -> None:
    """It is on file, or whoever comes next may try."""
    key = _key(connection, item_id, resource_type, fhir_id)
    ReferenceRead.objects.filter(**key, by=item_id).delete()


def refused(connection: Connection, item_id: UUID, step: Step, outcome: Outcome, reason: str, code: str) -> None:
    """The server does not give it: nobody asks again with this token for as long as a refused type is let be."""
    until = timezone.now() + timedelta(hours=connection.profile.freshness.refused_hours)
    key = _key(connection, item_id, step.resource_type, step.fhir_id or "")
    told = {"outcome": outcome, "reason": reason[:300], "code": code, "until": until}
    ReferenceRead.objects.filter(**key, by=item_id).update(**told)


def _key(connection: Connection, item_id: UUID, resource_type: str, fhir_id: str) -> dict[str, Any]:
    key = {"practice_id": connection.practice_id, "resource_type": resource_type, "fhir_id": fhir_id}
    return key | {"under": _under(connection, item_id)}


def _under(connection: Connection, item_id: UUID) -> str:
    """Of the token that this item reads with."""
    if connection.registration.is_backend:
        return ""
    item = WorkItem.objects.select_related("enrolment").get(pk=item_id)
    grant = tokens.grant_for(connection, item.enrolment)
    return str(grant.pk if grant is not None else item.pk)
