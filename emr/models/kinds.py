"""FHIR resource types in the words that staff read."""

from collections.abc import Mapping

KIND_NAMES: Mapping[str, str] = {
    "Patient": "Name and birth date",
    "Condition": "Diagnoses",
    "MedicationRequest": "Medication orders",
    "Medication": "Medications",
    "Observation": "Measures and results",
    "AllergyIntolerance": "Allergies and intolerances",
    "Encounter": "Visits",
    "Procedure": "Procedures",
    "DiagnosticReport": "Reports",
    "DocumentReference": "Documents",
    "Appointment": "Appointments",
    "QuestionnaireResponse": "Questionnaires",
    "Coverage": "Coverage",
    "Immunization": "Immunizations",
    "Practitioner": "Clinicians",
    "Organization": "Organizations",
    "Location": "Places",
}


def kind_name(resource_type: str) -> str:
    """The words for a type; the type itself where there are none."""
    return KIND_NAMES.get(resource_type, resource_type)
