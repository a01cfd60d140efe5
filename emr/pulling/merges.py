"""Records that became one: Patient.link of type replaced-by (FHIR R4 8.1.2), followed within one connection."""

from collections.abc import Iterable
from typing import Any

from emr import roster
from emr.models import Connection, Enrolment
from emr.wire.errors import NeverAgain
from emr.wire.fhir import Entry, patient_reference, references
from emr.wire.origins import rebase

# A chain of more records than this is no merge of one person's records.
LONGEST = 10


def follow(connection: Connection, enrolment: Enrolment, entries: tuple[Entry, ...]) -> None:
    """Where the patient's own record says that it became another, enrol that one, once, and note it.

    Only ids below the connection's own base are followed: another practice's record is nobody's here. Chains end, and
    so do circles: whoever is enrolled stays as they are.
    """
    for entry in entries:
        if entry.resource is None or (entry.resource_type, entry.fhir_id) != ("Patient", enrolment.patient_fhir_id):
            continue
        target = replaced_by(entry.resource, connection)
        if target == enrolment.replaced_by:
            continue
        Enrolment.objects.filter(pk=enrolment.pk).update(replaced_by=target)
        if target and _length_before(connection, enrolment.patient_fhir_id) < LONGEST:
            roster.enrol(connection, [target], Enrolment.KnownBy.MERGE)


def follow_all(connection: Connection, entries: Iterable[Entry]) -> None:
    """The same for many Patients of a list: only those with a link are looked at."""
    linked = {entry.fhir_id: entry for entry in entries if entry.resource is not None and entry.resource.get("link")}
    for enrolment in connection.enrolments.filter(patient_fhir_id__in=linked):
        follow(connection, enrolment, (linked[enrolment.patient_fhir_id],))


def replaced_by(patient: dict[str, Any], connection: Connection) -> str:
    """The FHIR id of the record that this one became; "" when it is current, or became one elsewhere."""
    links = patient.get("link")
    for link in links if isinstance(links, list) else []:
        if not isinstance(link, dict) or link.get("type") != "replaced-by":
            continue
        other = link.get("other")
        reference = other.get("reference") if isinstance(other, dict) else None
        if not isinstance(reference, str) or not _is_ours(reference, connection):
            continue
        for _, fhir_id in references({"other": other}, {"Patient"}):
            return fhir_id if fhir_id != patient.get("id") else ""
    return ""


def is_at_home(resource: dict[str, Any], connection: Connection) -> bool:
    """False when the record says it is about a patient at another base than the connection's."""
    reference = patient_reference(resource)
    return reference is None or "://" not in reference or _is_ours(reference, connection)


def _is_ours(reference: str, connection: Connection) -> bool:
    """A relative reference, or an absolute one to the base itself under any of the vendor's names for it."""
    if "://" not in reference:
        return reference.count("/") == 1 or "/_history/" in reference
    try:
        rebase(reference, connection.base_url, connection.profile.link_aliases)
    except NeverAgain:
        return False
    return True


def _length_before(connection: Connection, fhir_id: str) -> int:
    """How many records became this one, one after the other."""
    seen = {fhir_id}
    while len(seen) <= LONGEST:
        before = connection.enrolments.filter(replaced_by=fhir_id).exclude(patient_fhir_id__in=seen).first()
        if before is None:
            break
        fhir_id = before.patient_fhir_id
        seen.add(fhir_id)
    return len(seen) - 1
