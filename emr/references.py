"""Resources that a patient's records only refer to: read once per practice, and kept for all its patients."""

import json
import re

from django.db.models import Q

from emr.models import Connection, Resource
from emr.wire import fhir


def missing(connection: Connection, patient_fhir_id: str) -> list[list[str]]:
    """[type, id] of what this patient's resources refer to, of the profile's types, and that is not on file yet."""
    wanted = frozenset(connection.profile.read_by_reference)
    if not wanted:
        return []
    mention = Q()
    for kind in wanted:
        mention |= Q(body__contains=kind)
    rows = Resource.objects.filter(mention, practice_id=connection.practice_id, patient_fhir_id=patient_fhir_id)
    # A slash may be written \/ in JSON. Bodies are parsed only where this finds an id that is not on file.
    pattern = re.compile(rf"({'|'.join(sorted(wanted))})\\?/([A-Za-z0-9._-]{{1,128}})")
    suspects: dict[tuple[str, str], list[str]] = {}
    for body in rows.values_list("body", flat=True).iterator(chunk_size=500):
        for match in pattern.finditer(body):
            suspects.setdefault((match[1], match[2]), []).append(body)
    unknown = set(suspects) - _known(connection, list(suspects))
    found: set[tuple[str, str]] = set()
    for body in {body for key in unknown for body in suspects[key]}:
        found |= fhir.references(json.loads(body), wanted)
    return [list(reference) for reference in sorted(found & unknown)]


def _known(connection: Connection, keys: list[tuple[str, str]]) -> set[tuple[str, str]]:
    rows = Resource.objects.filter(
        practice_id=connection.practice_id,
        resource_type__in={kind for kind, _ in keys},
        fhir_id__in=[fhir_id for _, fhir_id in keys],
    )
    return set(rows.values_list("resource_type", "fhir_id"))


def is_known(connection: Connection, resource_type: str, fhir_id: str) -> bool:
    return Resource.objects.filter(
        practice_id=connection.practice_id, resource_type=resource_type, fhir_id=fhir_id
    ).exists()
