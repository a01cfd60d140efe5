"""The audit trail as FHIR AuditEvent (R4, 4.0.1), one resource a line (NDJSON).

After IHE Basic Audit Log Patterns: who and from where (agent), through what (source), about whom (entity: the patient),
and what was done (type of DICOM PS3.16 CID 400, subtype our own word). Names and texts of charts are in none of them.
"""

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db.models import QuerySet

from emr.models import AuditEvent

Action = AuditEvent.Action

_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_TYPES = {
    "record": ("110110", "Patient Record"),
    "export": ("110106", "Export"),
    "query": ("110112", "Query"),
    "sign-in": ("110114", "User Authentication"),
    "security": ("110113", "Security Alert"),
    "audit": ("110101", "Audit Log Used"),
}
_READ, _CREATE, _UPDATE, _EXECUTE = "R", "C", "U", "E"  # http://hl7.org/fhir/audit-event-action
# What an action of ours is in FHIR's words; any other changes something and concerns security.
_KINDS: dict[str, tuple[str, str]] = {
    Action.READ_HISTORY: ("record", _READ),
    Action.READ_SOURCE: ("record", _READ),
    Action.LIST_PATIENTS: ("query", _EXECUTE),
    Action.SEARCH_RECORD: ("query", _EXECUTE),
    Action.PRINT: ("export", _READ),
    Action.EXPORT: ("export", _READ),
    Action.ASSESSMENT: ("record", _CREATE),
    Action.ATTESTATION: ("record", _CREATE),
    Action.DISMISSAL: ("record", _CREATE),
    Action.BINDING: ("record", _UPDATE),
    Action.QUARANTINE: ("record", _READ),
    Action.PULL: ("record", _EXECUTE),
    Action.ROSTER: ("record", _CREATE),
    Action.SIGN_IN: ("sign-in", _EXECUTE),
    Action.SIGN_IN_REFUSED: ("sign-in", _EXECUTE),
    Action.SIGN_OUT: ("sign-in", _EXECUTE),
    Action.ACCESS_REFUSED: ("security", _EXECUTE),
    Action.READ_AUDIT: ("audit", _READ),
}
_REFUSED = {Action.SIGN_IN_REFUSED, Action.LAUNCH_REFUSED, Action.ACCESS_REFUSED}
_CHUNK = 1000


def as_ndjson(events: QuerySet[AuditEvent]) -> Iterator[str]:
    """One AuditEvent a line, in the order of the query."""
    for event in events.select_related("user", "practice").iterator(chunk_size=_CHUNK):
        yield json.dumps(as_fhir(event), ensure_ascii=False) + "\n"


def as_fhir(event: AuditEvent) -> dict[str, Any]:
    """The event as a FHIR R4 AuditEvent. Its place in the chain goes along, so that a reader can verify it."""
    kind, action = _KINDS.get(event.action, ("security", _UPDATE))
    code, display = _TYPES[kind]
    return {
        "resourceType": "AuditEvent",
        "id": str(event.pk),
        "type": {"system": _DCM, "code": code, "display": display},
        "subtype": [
            {
                "system": f"{settings.PUBLIC_URL}/audit/action",
                "code": event.action,
                "display": Action(event.action).label,
            }
        ],
        "action": action,
        "recorded": event.at.isoformat(timespec="milliseconds"),
        "outcome": "4" if event.action in _REFUSED else "0",
        "agent": [_agent(event)],
        "source": _source(event),
        "entity": _entities(event),
    }


def _agent(event: AuditEvent) -> dict[str, Any]:
    who: dict[str, Any] = {"display": event.who}
    if event.user is not None:
        identifier = {"system": f"{settings.PUBLIC_URL}/users", "value": str(event.user_id)}
        who = {"identifier": identifier, "display": event.user.email}
    agent = {"who": who, "requestor": not event.by_itself}
    # http://hl7.org/fhir/network-type: 2 is an IP address
    return agent | {"network": {"address": event.address, "type": "2"}} if event.address else agent


def _source(event: AuditEvent) -> dict[str, Any]:
    source: dict[str, Any] = {"observer": {"display": f"HeadacheMD at {settings.PUBLIC_URL}"}}
    return source | {"site": event.practice.code} if event.practice is not None else source


def _entities(event: AuditEvent) -> list[dict[str, Any]]:
    chain = [("chain", str(event.chain)), ("number", str(event.number)), ("digest", event.digest)]
    details = [*chain, ("detail", event.detail)] if event.detail else chain
    about: dict[str, Any] = {"detail": [{"type": name, "valueString": value} for name, value in details]}
    if event.object_id is not None:
        about["what"] = _ours(event.object_id, "rows")
    if event.patient_id is None:
        return [about]
    role = {"system": "http://terminology.hl7.org/CodeSystem/object-role", "code": "1", "display": "Patient"}
    kind = {"system": "http://terminology.hl7.org/CodeSystem/audit-entity-type", "code": "1", "display": "Person"}
    return [{"what": _ours(event.patient_id, "patients"), "type": kind, "role": role}, about]


def _ours(key: UUID, kind: str) -> dict[str, Any]:
    return {"identifier": {"system": f"{settings.PUBLIC_URL}/{kind}", "value": str(key)}}
