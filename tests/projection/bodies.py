"""Resources as an EMR sends them: eClinicalWorks' habits, and what other servers add."""

import hashlib
import json
from typing import Any

from django.utils import timezone

from emr.models import Practice, Resource
from patients.projection import readers

Body = dict[str, Any]

ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
NDC = "http://hl7.org/fhir/sid/ndc"
CPT = "http://www.ama-assn.org/go/cpt"
HCPCS = "urn:oid:2.16.840.1.113883.6.285"
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
V2_0074 = "http://terminology.hl7.org/CodeSystem/v2-0074"
ACT_CODE = "http://terminology.hl7.org/CodeSystem/v3-ActCode"

PATIENT = "Lw9-UQg.5q7xMZ2fYdKhT"


def coded(system: str, code: str, display: str = "", text: str = "") -> Body:
    coding = {"system": system, "code": code} | ({"display": display} if display else {})
    return {"coding": [coding]} | ({"text": text} if text else {})


def patient(**elements: Any) -> Body:
    return {
        "resourceType": "Patient",
        "id": PATIENT,
        "active": False,
        "identifier": [
            {"use": "usual", "system": "urn:oid:2.16.840.1.113883.4.391.326070", "value": PATIENT},
            {"use": "secondary", "system": "urn:oid:2.16.840.1.113883.4.391.326070", "value": "9150"},
        ],
        "name": [{"family": "Núñez", "given": ["Zoë", "M"], "prefix": ["Ms."]}],
        "gender": "female",
        "birthDate": "1989-03-07",
        "deceasedDateTime": "1899-12-30T00:00:00-05:00",
    } | elements


def condition(fhir_id: str = "c1", **elements: Any) -> Body:
    return {
        "resourceType": "Condition",
        "id": fhir_id,
        "clinicalStatus": coded("http://terminology.hl7.org/CodeSystem/condition-clinical", "active"),
        "verificationStatus": coded("http://terminology.hl7.org/CodeSystem/condition-ver-status", "confirmed"),
        "category": [coded("", "problem-list-item", "Problem List Item")],
        "code": {
            "coding": [
                {
                    "system": ICD10,
                    "code": "G43.709",
                    "display": "Chronic migraine without aura, not intractable",
                },
                {"system": SNOMED, "code": "124171000119105"},
            ],
            "text": "Chronic migraine w/o aura",
        },
        "subject": {"reference": f"Patient/{PATIENT}"},
        "recordedDate": "2024-02-05T10:15:00-05:00",
    } | elements


def order(fhir_id: str = "m1", **elements: Any) -> Body:
    return {
        "resourceType": "MedicationRequest",
        "id": fhir_id,
        "status": "active",
        "intent": "order",
        "medicationCodeableConcept": coded(RXNORM, "313161", "sumatriptan 50 MG Oral Tablet"),
        "subject": {"reference": f"Patient/{PATIENT}"},
        "authoredOn": "2024-03-01",
        "dosageInstruction": [{"text": "1 tablet at onset, may repeat once after 2 hours"}],
        "dispenseRequest": {"quantity": {"value": 9, "unit": "tablet"}, "numberOfRepeatsAllowed": 5},
    } | elements


def medication(fhir_id: str = "med1", **elements: Any) -> Body:
    return {
        "resourceType": "Medication",
        "id": fhir_id,
        "code": {
            "coding": [
                {"system": RXNORM, "code": "38404", "display": "topiramate"},
                {"system": NDC, "code": "00000-0000-00"},
            ],
            "text": "Topamax 50 MG Tablet",
        },
    } | elements


def allergy(fhir_id: str = "a1", **elements: Any) -> Body:
    return {
        "resourceType": "AllergyIntolerance",
        "id": fhir_id,
        "clinicalStatus": coded("http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "active"),
        "type": "intolerance",
        "category": ["medication"],
        "criticality": "low",
        "code": {"text": "Topiramate"},
        "patient": {"reference": f"Patient/{PATIENT}"},
        "recordedDate": "2022-06-01",
        "reaction": [{"manifestation": [{"text": "Paresthesia"}, {"text": "Word finding"}], "severity": "mild"}],
    } | elements


def observation(fhir_id: str = "o1", **elements: Any) -> Body:
    return {
        "resourceType": "Observation",
        "id": fhir_id,
        "status": "final",
        "category": [coded("", "survey", "Survey")],
        "code": {"text": "MIDAS"},
        "subject": {"reference": f"Patient/{PATIENT}"},
        "effectiveDateTime": "2024-05-06T09:00:00-04:00",
        "valueString": "MIDAS 24 – severe",
    } | elements


def pressure(fhir_id: str = "o2", **elements: Any) -> Body:
    def half(code: str, display: str, value: int) -> Body:
        return {
            "code": coded(LOINC, code, display),
            "valueQuantity": {"value": value, "unit": "mmHg", "code": "mm[Hg]"},
        }

    parts = [half("8480-6", "Systolic blood pressure", 128), half("8462-4", "Diastolic blood pressure", 82)]
    named = {"code": coded(LOINC, "85354-9", "Blood pressure panel"), "component": parts}
    body = observation(fhir_id, **named) | elements
    del body["valueString"]
    return body


def encounter(fhir_id: str = "e1", **elements: Any) -> Body:
    return {
        "resourceType": "Encounter",
        "id": fhir_id,
        "status": "finished",
        "class": {"system": ACT_CODE, "code": "AMB", "display": "ambulatory"},
        "type": [{"extension": [{"url": ABSENT, "valueCode": "unknown"}]}],
        "subject": {"reference": f"Patient/{PATIENT}"},
        "period": {"start": "2024-05-06T09:00:00-04:00", "end": "2024-05-06T09:25:00-04:00"},
        "reasonCode": [{"text": "HA f/u"}],
    } | elements


def report(fhir_id: str = "r1", **elements: Any) -> Body:
    return {
        "resourceType": "DiagnosticReport",
        "id": fhir_id,
        "identifier": [{"system": "urn:oid:2.16.840.1.113883.3.9999.31", "value": "R1-0"}],
        "status": "final",
        "category": [coded(V2_0074, "RAD", "Radiology")],
        "code": coded(LOINC, "24590-2", "MR Brain", "MRI BRAIN W/WO CONTRAST"),
        "subject": {"reference": f"Patient/{PATIENT}"},
        "effectiveDateTime": "2023-02-03",
        "issued": "2023-02-04T10:00:00Z",
        "conclusion": "Normal MRI of the brain.",
        "presentedForm": [{"contentType": "text/plain", "data": "SU1QUkVTU0lPTg=="}],
        "resultsInterpreter": [{"display": "Dr. Ray"}],
    } | elements


def procedure(fhir_id: str = "p1", **elements: Any) -> Body:
    return {
        "resourceType": "Procedure",
        "id": fhir_id,
        "status": "completed",
        "code": {
            "coding": [{"system": CPT, "code": "64615"}, {"system": HCPCS, "code": "J0585"}],
            "text": "Botox 155 U, 31 sites",
        },
        "subject": {"reference": f"Patient/{PATIENT}"},
        "performedDateTime": "2024-05-06T09:10:00-04:00",
        "performer": [{"actor": {"display": "Okonkwo, Adaeze MD"}}],
    } | elements


def appointment(fhir_id: str = "ap1", **elements: Any) -> Body:
    return {
        "resourceType": "Appointment",
        "id": fhir_id,
        "status": "booked",
        "appointmentType": {"text": "Follow up"},
        "description": "HA f/u",
        "reasonCode": [coded(ICD10, "G43.709", "Chronic migraine")],
        "start": "2026-11-22T01:30:00Z",
        "end": "2026-11-22T01:50:00Z",
        "minutesDuration": 20,
        "participant": [
            {"actor": {"reference": f"Patient/{PATIENT}", "display": "Zoë Núñez"}},
            {"actor": {"reference": "Practitioner/d1", "display": "Okonkwo, Adaeze MD"}},
            {"actor": {"display": "Room 4"}},
        ],
    } | elements


def document(fhir_id: str = "d1", **elements: Any) -> Body:
    return {
        "resourceType": "DocumentReference",
        "id": fhir_id,
        "status": "current",
        "type": coded(LOINC, "18842-5", "Discharge Summary"),
        "category": [{"text": "Clinical Note"}],
        "subject": {"reference": f"Patient/{PATIENT}"},
        "date": "2024-05-07T12:00:00Z",
        "author": [{"display": "Front desk"}],
        "content": [
            {"attachment": {"contentType": "text/plain", "title": "dc summary", "data": "U0VDUkVU", "url": "Binary/b1"}}
        ],
    } | elements


def asked(link: str, question: str, answer: Body) -> Body:
    return {"linkId": link, "text": question, "answer": [answer]}


MIDAS_QUESTIONS = (
    "Days in the last 3 months missed at work or school because of headache",
    "Days in the last 3 months with work or school halved by headache",
    "Days in the last 3 months household work was not done",
    "Days in the last 3 months with household work halved",
    "Days in the last 3 months missed with family, social or leisure plans",
)


def midas_items(*days: int) -> list[Body]:
    pairs = zip(MIDAS_QUESTIONS, days, strict=True)
    return [asked(f"m{n}", question, {"valueInteger": day}) for n, (question, day) in enumerate(pairs, 1)]


def answers(fhir_id: str = "q1", **elements: Any) -> Body:
    return {
        "resourceType": "QuestionnaireResponse",
        "id": fhir_id,
        "questionnaire": "http://forms.example.com/Questionnaire/midas",
        "status": "completed",
        "subject": {"reference": f"Patient/{PATIENT}"},
        "authored": "2024-05-06T08:48:00-04:00",
        "item": midas_items(3, 5, 4, 6, 2),
    } | elements


def happenings() -> list[Body]:
    """One good resource of each kind that tells what happened to the patient."""
    return [encounter(), report(), procedure(), appointment(), document(), answers()]


def everything() -> list[Body]:
    """One good resource of each kind that states a fact about the patient."""
    return [patient(), condition(), order(), allergy(), observation(), pressure()]


def received(body: Body) -> Body:
    """The body as it is after a journey as JSON text."""
    return readers.load(json.dumps(body))


def put(practice: Practice, body: Body, *, about: str | None = None, **columns: Any) -> Resource:
    """Store that body as a pull does, over what was there; `about` is the patient ("" for a Medication)."""
    text = json.dumps(body)
    about = about if about is not None else "" if body["resourceType"] == "Medication" else PATIENT
    values = {
        "patient_fhir_id": about,
        "body": text,
        "content_hash": hashlib.sha256(text.encode()).hexdigest(),
        "query": body["resourceType"],
        "first_seen_at": timezone.now(),
        "changed_at": timezone.now(),
    } | columns
    row, _ = Resource.objects.update_or_create(
        practice=practice, resource_type=body["resourceType"], fhir_id=body["id"], defaults=values
    )
    return row
