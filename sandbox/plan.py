"""The searches this EMR answers: exact sets of parameters per type, everything else is a 400.

The vendor matches the set of parameter names, so `_count`, `_sort`, `_lastUpdated`, `_include` or a
missing `category` are refused. Date filters and `MedicationRequest?status|intent`, of which nobody has
shown that they work, are left out on purpose.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

OBSERVATION_CATEGORIES = frozenset({"laboratory", "vital-signs", "social-history", "survey", "exam", "imaging", "sdoh"})
CONDITION_CATEGORIES = frozenset({"problem-list-item", "encounter-diagnosis", "health-concern"})


@dataclass(frozen=True)
class SearchShape:
    """One accepted search: its parameter names, and the only values some of them may have."""

    parameters: tuple[str, ...]
    values: Mapping[str, frozenset[str]] = field(default_factory=dict)

    def has_names(self, names: Sequence[str]) -> bool:
        """True when exactly these parameters were sent, each once, in any order."""
        return sorted(names) == sorted(self.parameters)

    def has_values(self, parameters: Mapping[str, str]) -> bool:
        """True when every restricted parameter has an accepted value."""
        return all(parameters[name] in allowed for name, allowed in self.values.items())


BY_PATIENT = SearchShape(("patient",))

SEARCHES: Mapping[str, tuple[SearchShape, ...]] = {
    "Patient": (SearchShape(("_id",)), SearchShape(("family", "given", "birthdate"))),
    "Condition": (BY_PATIENT, SearchShape(("patient", "category"), {"category": CONDITION_CATEGORIES})),
    "AllergyIntolerance": (BY_PATIENT,),
    "Encounter": (BY_PATIENT,),
    "Immunization": (BY_PATIENT,),
    "Procedure": (BY_PATIENT,),
    "Device": (BY_PATIENT,),
    "Goal": (BY_PATIENT,),
    "DiagnosticReport": (BY_PATIENT,),
    "MedicationRequest": (BY_PATIENT,),
    "Observation": (SearchShape(("patient", "category"), {"category": OBSERVATION_CATEGORIES}),),
    "CarePlan": (SearchShape(("patient", "category"), {"category": frozenset({"assess-plan"})}),),
    "CareTeam": (SearchShape(("patient", "status"), {"status": frozenset({"active"})}),),
    "DocumentReference": (
        BY_PATIENT,
        SearchShape(("patient", "category"), {"category": frozenset({"clinical-note"})}),
    ),
    "QuestionnaireResponse": (BY_PATIENT,),
    "ServiceRequest": (BY_PATIENT,),
    "FamilyMemberHistory": (BY_PATIENT,),
    "MedicationDispense": (BY_PATIENT,),
    "Specimen": (BY_PATIENT,),
    "Coverage": (BY_PATIENT,),
}

# Not searchable: a client learns of them from a reference and reads them by id.
READ_BY_REFERENCE = frozenset({"Medication", "Practitioner", "Organization", "Location"})
# Observations outside every category still come to light through these elements.
OBSERVATION_LINKS = frozenset({("DiagnosticReport", "result"), ("Observation", "hasMember")})

READABLE = frozenset(SEARCHES) | READ_BY_REFERENCE
