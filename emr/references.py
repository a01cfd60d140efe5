"""Resources that a patient's records only refer to: read once per practice, and kept for all its patients."""

import json

from emr.models import Connection, Resource
from emr.wire import fhir


def missing(connection: Connection, patient_fhir_id: str) -> list[list[str]]:
    """[type, id] of what this patient's resources refer to, of the profile's types, and that is not on file yet."""
    wanted = frozenset(connection.profile.read_by_reference)
    found: set[tuple[str, str]] = set()
    bodies = Resource.objects.filter(practice_id=connection.practice_id, patient_fhir_id=patient_fhir_id)
    for body in bodies.values_list("body", flat=True).iterator(chunk_size=500):
        if any(f"{kind}/" in body for kind in wanted):
            found |= fhir.references(json.loads(body), wanted)
    known = set(
        Resource.objects.filter(
            practice_id=connection.practice_id, resource_type__in=wanted, fhir_id__in=[pk for _, pk in found]
        ).values_list("resource_type", "fhir_id")
    )
    return [list(reference) for reference in sorted(found - known)]


def is_known(connection: Connection, resource_type: str, fhir_id: str) -> bool:
    return Resource.objects.filter(
        practice_id=connection.practice_id, resource_type=resource_type, fhir_id=fhir_id
    ).exists()
