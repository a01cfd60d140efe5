"""SMART scopes: which are offered, and what a granted one permits.

Syntax: SMART App Launch 2.2, scopes-and-launch-context (v1 ``.read``, v2 ``.cruds``).
Which forms are advertised per type follows the vendor's published list.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

HEADACHE_TYPES = (
    "Patient",
    "Condition",
    "Encounter",
    "AllergyIntolerance",
    "MedicationRequest",
    "Medication",
    "Observation",
    "DiagnosticReport",
    "DocumentReference",
    "Procedure",
    "Practitioner",
    "Organization",
    "Location",
)
OTHER_TYPES = ("CarePlan", "CareTeam", "Device", "Goal", "Immunization", "PractitionerRole", "Provenance")
# The vendor lists these in the `.r` form alone, yet offers searches on them: there `.r` must do for both.
READ_FORM_ONLY = (
    "Binary",
    "Claim",
    "Coverage",
    "Media",
    "MedicationDispense",
    "QuestionnaireResponse",
    "RelatedPerson",
    "ServiceRequest",
    "Specimen",
)
CONTEXTS = ("patient", "user", "system")
# No `Appointment`, no `system/*.read`: asking for them is a bad scope, as at the vendor.
SCOPES_SUPPORTED: frozenset[str] = frozenset(
    ["openid", "profile", "fhirUser", "offline_access", "launch", "launch/patient"]
    + ["patient/*.r", "user/*.r", "system/*.r", "patient/*.*"]
    + [f"{c}/{t}.{form}" for c in CONTEXTS for t in HEADACHE_TYPES + OTHER_TYPES for form in ("read", "rs", "r")]
    + [f"{c}/{t}.r" for c in CONTEXTS for t in READ_FORM_ONLY]
    + ["patient/FamilyMemberHistory.read", "patient/FamilyMemberHistory.rs"]
    + ["system/FamilyMemberHistory.c", "system/FamilyMemberHistory.u"]
    + ["system/Group.read", "system/Group.rs"]
)
# The vendor does not list it; an app may have it ticked nevertheless (SMART: scopes_supported is not exhaustive).
# The appointments are the generic server's.
UNADVERTISED = frozenset({"online_access", "system/Appointment.rs"})
REGISTRABLE = SCOPES_SUPPORTED | UNADVERTISED
GROUP_SCOPES = frozenset({"system/Group.read", "system/Group.rs"})

RESOURCE_SCOPE = re.compile(r"(patient|user|system)/([A-Z][A-Za-z]+|\*)\.(read|write|\*|c?r?u?d?s?)")
V1_LETTERS = {"read": "rs", "write": "cud", "*": "cruds"}


@dataclass(frozen=True)
class ResourceScope:
    """A parsed resource scope; ``letters`` is a subset of ``cruds``."""

    context: str
    resource_type: str
    letters: frozenset[str]


def parse(scope: str) -> ResourceScope | None:
    """The resource scope, or None when it is of another kind or malformed."""
    match = RESOURCE_SCOPE.fullmatch(scope)
    if match is None or not match[3]:
        return None
    return ResourceScope(match[1], match[2], frozenset(V1_LETTERS.get(match[3], match[3])))


SIGN_IN_SCOPES = ("openid", "fhirUser", "offline_access")
DEFAULTS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "backend-single": ((), ("system",)),
    "backend-bulk": (("system/Group.read",), ("system",)),
    "patient": ((*SIGN_IN_SCOPES, "launch/patient"), ("patient",)),
    "provider": ((*SIGN_IN_SCOPES, "launch", "launch/patient"), ("patient", "user")),
}


def default_scopes(app_type: str) -> tuple[str, ...]:
    """What an app gets that ticks everything a headache history needs."""
    plain, contexts = DEFAULTS[app_type]
    return (*plain, *(f"{context}/{resource_type}.read" for context in contexts for resource_type in HEADACHE_TYPES))


def is_within(scope: str, registered: Iterable[str]) -> bool:
    """True when a registered scope covers the asked one, whichever syntax either uses."""
    asked = parse(scope)
    if asked is None:
        return scope in registered
    return any(_covers(held, asked) for held in map(parse, registered) if held is not None)


def _covers(held: ResourceScope, asked: ResourceScope) -> bool:
    return (
        held.context == asked.context
        and held.resource_type in ("*", asked.resource_type)
        and held.letters >= asked.letters
    )


def permitting(granted: Iterable[str], resource_type: str, interaction: str) -> frozenset[str]:
    """The contexts (``patient``, ``user``, ``system``) whose granted scopes allow ``r`` (read) or ``s`` (search)."""
    needed = frozenset("r" if resource_type in READ_FORM_ONLY else interaction)
    held = [scope for scope in map(parse, granted) if scope is not None]
    return frozenset(
        context
        for context in CONTEXTS
        if any(_covers(scope, ResourceScope(context, resource_type, needed)) for scope in held)
    )
