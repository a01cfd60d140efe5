"""Code systems and the small FHIR building blocks every resource is made of."""

from typing import Any

Json = dict[str, Any]

ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
ICD9 = "http://hl7.org/fhir/sid/icd-9-cm"
SNOMED = "http://snomed.info/sct"
LOINC = "http://loinc.org"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
NDC = "http://hl7.org/fhir/sid/ndc"
CPT = "http://www.ama-assn.org/go/cpt"
HCPCS = "urn:oid:2.16.840.1.113883.6.285"
UCUM = "http://unitsofmeasure.org"
LOCAL_OID = "urn:oid:2.16.840.1.113883.3.9999"  # this clinic's own numbers: of no use to anybody else
HL7 = "http://terminology.hl7.org/CodeSystem/"
ABSENT = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


def coding(system: str, code: str, display: str = "") -> Json:
    """One FHIR Coding; the display is left out when empty."""
    return {"system": system, "code": code} | ({"display": display} if display else {})


def concept(text: str = "", *codings: Json) -> Json:
    """A CodeableConcept with text, codings or both."""
    return ({"coding": list(codings)} if codings else {}) | ({"text": text} if text else {})


def hl7(table: str, code: str, display: str = "") -> Json:
    """A CodeableConcept with one code of an HL7 terminology table."""
    return {"coding": [coding(HL7 + table, code, display)]}


def absent(reason: str = "unknown") -> Json:
    """An element without a value, only with the extension saying why (data-absent-reason)."""
    return {"extension": [{"url": ABSENT, "valueCode": reason}]}


def quantity(value: float, unit: str, code: str = "") -> Json:
    """A Quantity; with a UCUM code if one is given, else the bare unit."""
    return {"value": value, "unit": unit} | ({"system": UCUM, "code": code} if code else {})
