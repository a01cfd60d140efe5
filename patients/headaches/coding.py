"""One code as an EMR wrote it, and how systems are told apart."""

from dataclasses import dataclass

ICD10 = "icd10"
ICD9 = "icd9"
SNOMED = "snomed"
LOINC = "loinc"
RXNORM = "rxnorm"

# The URIs of HL7 "Using Codes" and the OIDs that C-CDA bred servers send in their place.
_SYSTEMS = {
    "http://hl7.org/fhir/sid/icd-10-cm": ICD10,
    "urn:oid:2.16.840.1.113883.6.90": ICD10,
    "http://hl7.org/fhir/sid/icd-10": ICD10,
    "urn:oid:2.16.840.1.113883.6.3": ICD10,
    "http://hl7.org/fhir/sid/icd-9-cm": ICD9,
    "urn:oid:2.16.840.1.113883.6.103": ICD9,
    "urn:oid:2.16.840.1.113883.6.2": ICD9,
    "http://snomed.info/sct": SNOMED,
    "urn:oid:2.16.840.1.113883.6.96": SNOMED,
    "http://loinc.org": LOINC,
    "urn:oid:2.16.840.1.113883.6.1": LOINC,
    "http://www.nlm.nih.gov/research/umls/rxnorm": RXNORM,
    "urn:oid:2.16.840.1.113883.6.88": RXNORM,
}


@dataclass(frozen=True, slots=True)
class Coding:
    """FHIR R4 Coding, as received. Any part may be empty; nothing is trimmed or corrected here."""

    system: str = ""
    code: str = ""
    display: str = ""

    @property
    def vocabulary(self) -> str:
        """One of icd10, icd9, snomed, loinc, rxnorm; "" for any other or no system."""
        system = self.system.strip().rstrip("/")
        if system.startswith("http://snomed.info/sct/"):  # a SNOMED edition URI
            return SNOMED
        return _SYSTEMS.get(system, "")
