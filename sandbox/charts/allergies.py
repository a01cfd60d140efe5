"""Allergies: coded, half coded, in words, denied in words ("NKDA"), or intolerances entered as allergies."""

from dataclasses import dataclass

from sandbox.charts.codings import LOCAL_OID, RXNORM, SNOMED, Json, coding, concept, hl7
from sandbox.charts.dates import date_time, year_only
from sandbox.charts.pen import Pen


@dataclass(frozen=True)
class Line:
    """One way an allergy stands in the record. `code`: (system, code, display); `kind`: FHIR type or ""."""

    text: str
    code: tuple[str, str, str] | None = None
    reaction: str = ""
    kind: str = "allergy"
    category: str = "medication"
    verification: str = "confirmed"
    clinical: str = "active"
    note: str = ""


LINES: dict[str, Line] = {
    "nkda": Line("NKDA", kind="", category="", verification=""),
    "none-known": Line("", (SNOMED, "716186003", "No known allergy"), kind="", category=""),
    "topiramate": Line("Topiramate", (RXNORM, "38404", "topiramate"), "tingling hands, word finding trouble"),
    "topiramate-text": Line("Topamax - cognitive fog"),
    "amitriptyline-text": Line("amitriptyline", reaction="weight gain, groggy", kind="intolerance"),
    "propranolol": Line("Propranolol", (RXNORM, "8787", "propranolol"), "fatigue, HR 48", kind=""),
    "codeine": Line("Codeine", (RXNORM, "2670", "codeine"), "itching"),
    "aspirin": Line("Aspirin", (RXNORM, "1191", "aspirin"), "hives"),
    "ibuprofen-error": Line("Ibuprofen", (RXNORM, "5640", "ibuprofen"), verification="entered-in-error"),
    "sumatriptan": Line("Imitrex", (RXNORM, "37418", "sumatriptan"), "chest tightness", kind="intolerance"),
    "metoclopramide": Line("Reglan", (RXNORM, "6915", "metoclopramide"), "akathisia"),
    "prochlorperazine": Line("compazine - restless legs, jittery", kind=""),
    "erythromycin": Line("Erythromycin", (RXNORM, "4053", "erythromycin"), "GI upset", clinical="inactive"),
    "penicillin": Line("Penicillins", reaction="Rash"),
    "penicillin-refuted": Line("Penicillin", verification="refuted", note="tested 2019, ok to give"),
    "sulfa": Line("Sulfa Antibiotics", reaction="Rash"),
    "cashew": Line("Cashew nuts", (SNOMED, "227493005", "Cashew nuts"), "throat swelling", category="food"),
    "latex": Line("LATEX", category="environment"),
    "tape": Line("", (LOCAL_OID + ".13", "A-2201", "Adhesive tape"), kind="", category=""),
    "pollen": Line("seasonal / pollen", category="environment", kind=""),
}  # fmt: skip


def allergy(pen: Pen, key: str, ago: int) -> Json:
    """The AllergyIntolerance resource of one line; entered-in-error ones carry no clinicalStatus (ait-2)."""
    line = LINES[key]
    resource = pen.head("AllergyIntolerance", pen.day(ago), key) | {
        "code": concept(line.text, *([coding(*line.code)] if line.code else [])),
        "patient": pen.patient,
        "recordedDate": year_only(pen.day(ago)) if ago % 7 == 0 else date_time(pen.day(ago), 600),
    }
    if line.verification != "entered-in-error":
        resource["clinicalStatus"] = hl7("allergyintolerance-clinical", line.clinical)
    if line.verification:
        resource["verificationStatus"] = hl7("allergyintolerance-verification", line.verification)
    if line.kind:
        resource["type"] = line.kind
    if line.category:
        resource["category"] = [line.category]
    if line.reaction:
        resource["reaction"] = [{"manifestation": [concept(line.reaction)]}]
    if line.note:
        resource["note"] = [{"text": line.note}]
    return resource


def allergies(pen: Pen) -> list[Json]:
    """All AllergyIntolerance resources of the patient; an empty list is "nothing on file", not "none"."""
    rng = pen.dice("allergies")
    return [allergy(pen, key, rng.randint(20, max(21, pen.story.first_visit))) for key in pen.story.allergies]
