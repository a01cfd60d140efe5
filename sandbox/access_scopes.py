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


def default_scopes(app_type: str) -> tuple[str, ...]:
    """What an app gets that ticks everything a headache history needs."""
    scopes = tuple(f"system/{resource_type}.read" for resource_type in HEADACHE_TYPES)
    return (*scopes, "system/Group.read") if app_type == "backend-bulk" else scopes


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


def permits(granted: Iterable[str], resource_type: str, interaction: str) -> bool:
    """True when the granted scopes allow ``r`` (read by id) or ``s`` (search) on the type."""
    needed = "r" if resource_type in READ_FORM_ONLY else interaction
    wanted = ResourceScope("system", resource_type, frozenset(needed))
    return any(_covers(held, wanted) for held in map(parse, granted) if held is not None)
