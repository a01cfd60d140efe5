"""Charts to pull for the figures: sixty resources a patient in US Core's manner, 1.1 to 1.6 kB each, the same each run.

1 Patient, 6 Condition, 8 MedicationRequest, 36 Observation, 6 DiagnosticReport, 3 AllergyIntolerance.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TYPES = ("Patient", "AllergyIntolerance", "Condition", "MedicationRequest", "Observation", "DiagnosticReport")
EACH = 60
_PROFILE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-"
_TERMS = "http://terminology.hl7.org/CodeSystem/"
_ICD = ("G43.709", "G43.109", "G44.229", "G44.40", "F41.1", "I10")
_DRUGS = (
    ("1872", "topiramate 50 MG Oral Tablet"), ("37418", "sumatriptan 100 MG Oral Tablet"),
    ("8787", "propranolol hydrochloride 80 MG Extended Release Oral Capsule"),
    ("704", "amitriptyline 25 MG Oral Tablet"),
    ("2045613", "erenumab-aooe 70 MG/ML Auto-Injector"), ("88014", "rizatriptan 10 MG Disintegrating Oral Tablet"),
    ("5640", "ibuprofen 600 MG Oral Tablet"), ("2049106", "ubrogepant 100 MG Oral Tablet"),
)  # fmt: skip
_MEASURES = (
    ("vital-signs", "8480-6", "Systolic blood pressure", "mm[Hg]", 120),
    ("vital-signs", "8867-4", "Heart rate", "/min", 70),
    ("vital-signs", "29463-7", "Body weight", "kg", 74),
    ("laboratory", "2160-0", "Creatinine [Mass/volume] in Serum or Plasma", "mg/dL", 1),
    ("laboratory", "718-7", "Hemoglobin [Mass/volume] in Blood", "g/dL", 13),
    ("survey", "75842-5", "Migraine disability assessment total", "{score}", 22),
)
_ALLERGIES = (("7980", "Penicillin"), ("2670", "Codeine"), ("10831", "Sulfamethoxazole / Trimethoprim"))


def write(folder: Path, patients: int, *, first: int = 0) -> int:
    """One NDJSON file of so many patients' charts. Returns how many resources."""
    with (folder / f"charts-{first}.ndjson").open("w", encoding="utf-8") as lines:
        for number in range(first, first + patients):
            lines.writelines(json.dumps(one, separators=(",", ":")) + "\n" for one in chart(number))
    return patients * EACH


def chart(number: int) -> Iterator[dict[str, Any]]:
    """The sixty resources of one patient."""
    who = f"p{number:06}"
    yield _patient(who, number)
    yield from (_condition(who, n) for n in range(6))
    yield from (_order(who, n) for n in range(8))
    yield from (_observation(who, n, number) for n in range(36))
    yield from (_report(who, n) for n in range(6))
    yield from (_allergy(who, n) for n in range(3))


def _common(kind: str, who: str, number: int, profile: str) -> dict[str, Any]:
    return {
        "resourceType": kind, "id": f"{who}.{kind[:3]}{number}",
        "meta": {"versionId": "1", "lastUpdated": "2026-10-01T08:00:00.000Z", "profile": [_PROFILE + profile]},
        "text": {"status": "generated", "div": f'<div xmlns="http://www.w3.org/1999/xhtml">{"narrative " * 40}</div>'},
        "identifier": [{"system": "urn:oid:2.16.840.1.113883.3.1234", "value": f"{who}-{kind}-{number}"}],
    }  # fmt: skip


def _coded(system: str, code: str, display: str) -> dict[str, Any]:
    return {"coding": [{"system": system, "code": code, "display": display}], "text": display}


def _about(who: str) -> dict[str, str]:
    return {"reference": f"Patient/{who}", "display": "Test, Patient"}


def _day(number: int) -> str:
    return f"{2022 + number % 4}-{1 + number % 12:02}-{1 + number * 7 % 28:02}"


def _patient(who: str, number: int) -> dict[str, Any]:
    return _common("Patient", who, 0, "patient") | {
        "id": who, "active": True, "gender": "female" if number % 4 else "male",
        "birthDate": f"{1950 + number % 50}-{1 + number % 12:02}-{1 + number % 28:02}",
        "name": [{"use": "official", "family": f"Family{number % 977}", "given": [f"Given{number % 311}", "Q"]}],
        "telecom": [{"system": "phone", "value": "555-0100", "use": "home"}],
        "address": [{"line": ["1 Main Street"], "city": "Springfield", "state": "MA", "postalCode": "01101"}],
    }  # fmt: skip


def _condition(who: str, n: int) -> dict[str, Any]:
    return _common("Condition", who, n, "condition-problems-health-concerns") | {
        "clinicalStatus": _coded(_TERMS + "condition-clinical", "active", "Active"),
        "verificationStatus": _coded(_TERMS + "condition-ver-status", "confirmed", "Confirmed"),
        "category": [_coded(_TERMS + "condition-category", "problem-list-item", "Problem List Item")],
        "code": _coded("http://hl7.org/fhir/sid/icd-10-cm", _ICD[n], f"Diagnosis {_ICD[n]}"),
        "subject": _about(who), "onsetDateTime": _day(n), "recordedDate": _day(n),
    }  # fmt: skip


def _order(who: str, n: int) -> dict[str, Any]:
    return _common("MedicationRequest", who, n, "medicationrequest") | {
        "status": "active" if n % 2 else "stopped", "intent": "order", "subject": _about(who),
        "medicationCodeableConcept": _coded("http://www.nlm.nih.gov/research/umls/rxnorm", *_DRUGS[n]),
        "authoredOn": _day(n), "requester": {"display": "Dr. Example"},
        "dosageInstruction": [
            {"text": "Take 1 tablet by mouth daily",
             "timing": {"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}},
             "doseAndRate": [{"doseQuantity": {"value": 1, "unit": "tablet"}}]}
        ],
        "dispenseRequest": {"numberOfRepeatsAllowed": 3, "quantity": {"value": 30, "unit": "tablet"}},
    }  # fmt: skip


def _observation(who: str, n: int, number: int) -> dict[str, Any]:
    category, code, display, unit, middle = _MEASURES[n % len(_MEASURES)]
    value = middle + (n * 13 + number) % 9
    return _common("Observation", who, n, "observation-clinical-result") | {
        "status": "final", "category": [_coded(_TERMS + "observation-category", category, category)],
        "code": _coded("http://loinc.org", code, display), "subject": _about(who),
        "effectiveDateTime": f"{_day(n)}T09:30:00-05:00", "issued": f"{_day(n)}T10:00:00-05:00",
        "valueQuantity": {
            "value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit,
        },
        "referenceRange": [{"low": {"value": 0.5, "unit": unit}, "high": {"value": 140.5, "unit": unit}}],
    }  # fmt: skip


def _report(who: str, n: int) -> dict[str, Any]:
    return _common("DiagnosticReport", who, n, "diagnosticreport-note") | {
        "status": "final", "category": [_coded("http://loinc.org", "LP29684-5", "Radiology")],
        "code": _coded("http://loinc.org", "24590-2", "MR Brain"), "subject": _about(who),
        "effectiveDateTime": f"{_day(n)}T11:00:00-05:00", "issued": f"{_day(n)}T12:00:00-05:00",
        "conclusion": "No acute intracranial abnormality.",
    }  # fmt: skip


def _allergy(who: str, n: int) -> dict[str, Any]:
    return _common("AllergyIntolerance", who, n, "allergyintolerance") | {
        "clinicalStatus": _coded(_TERMS + "allergyintolerance-clinical", "active", "Active"),
        "verificationStatus": _coded(_TERMS + "allergyintolerance-verification", "confirmed", "Confirmed"),
        "code": _coded("http://www.nlm.nih.gov/research/umls/rxnorm", *_ALLERGIES[n]),
        "patient": _about(who), "recordedDate": _day(n),
        "reaction": [{"manifestation": [_coded("http://snomed.info/sct", "247472004", "Hives")], "severity": "mild"}],
    }  # fmt: skip
