"""Laboratory panels and imaging, reported by name only."""

import base64
import random
from dataclasses import dataclass

from sandbox.charts.codings import LOINC, Json, coding, concept, hl7
from sandbox.charts.dates import date_time
from sandbox.charts.pen import Pen
from sandbox.charts.story import Study


@dataclass(frozen=True)
class Result:
    """One line of a laboratory panel; LOINC where verified. `low`, `high`: usual values of this practice."""

    name: str
    loinc: str
    low: int
    high: int


PANELS: dict[str, tuple[str, tuple[Result, ...]]] = {
    "bmp": (
        "Basic Metabolic Panel",
        (Result("CO2", "1963-8", 19, 28), Result("eGFR", "98979-8", 62, 110), Result("Glucose", "", 74, 112)),
    ),
    "inflammation": ("ESR / CRP", (Result("ESR", "", 2, 24), Result("CRP", "", 1, 6))),
    "liver": ("Hepatic Function Panel", (Result("ALT", "", 12, 48), Result("AST", "", 12, 40))),
}
IMAGES: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "mri": (
        "MRI BRAIN W/WO CONTRAST",
        "24590-2",
        "MR Brain",
        (
            "No acute intracranial abnormality. Few nonspecific T2/FLAIR foci in subcortical white matter.",
            "Normal MRI of the brain.",
            "Unremarkable. Mild mucosal thickening of maxillary sinuses.",
        ),
    ),
    "ct": (
        "CT HEAD WO CONTRAST",
        "24725-4",
        "CT Head",
        ("No acute hemorrhage or mass effect.", "Negative CT head."),
    ),
    "mra": ("MRA HEAD AND NECK", "", "", ("No aneurysm, dissection or stenosis identified.",)),
    "mri-normal": ("MRI BRAIN WO CONTRAST", "24590-2", "MR Brain", ("Normal MRI of the brain.",)),
    "mri-incidental": (
        "MRI BRAIN W/WO CONTRAST",
        "24590-2",
        "MR Brain",
        (
            "7 mm pineal cyst, no mass effect. Otherwise normal.",
            "Small left middle fossa arachnoid cyst, incidental. No acute abnormality.",
        ),
    ),
    "mri-mass": (
        "MRI BRAIN W/WO CONTRAST",
        "24590-2",
        "MR Brain",
        ("3.4 cm enhancing right frontal mass with surrounding edema and 4 mm midline shift.",),
    ),
    "mrv": ("MRV BRAIN", "", "", ("Dural venous sinuses patent.",)),
    "ct-ed": ("CT HEAD W/O CONTRAST - ED", "24725-4", "CT Head", ("No intracranial hemorrhage. No fracture.",)),
}
# Tests that answer with a word: name, LOINC, the word.
QUALITATIVE: dict[str, tuple[str, str, str]] = {"hcg": ("Pregnancy test, urine", "2106-3", "Positive")}


def laboratory(pen: Pen, index: int, study: Study, rng: random.Random) -> list[Json]:
    """A report named in words and its results; each result is a string ("12") under a LOINC code, if any."""
    name, lines = PANELS[study.kind]
    on = pen.day(study.ago)
    results = []
    for line in lines:
        code = concept(line.name, *([coding(LOINC, line.loinc)] if line.loinc else []))
        resource = pen.head("Observation", on, "lab", index, line.name) | {
            "status": "final",
            "category": [hl7("observation-category", "laboratory")],
            "code": code,
            "subject": pen.patient,
            "effectiveDateTime": date_time(on, 440),
            "valueString": str(rng.randint(line.low, line.high)),
        }
        results.append(resource)
    report = _report(pen, index, study, concept(name), "LAB") | {
        "result": [{"reference": f"Observation/{r['id']}"} for r in results]
    }
    return [*results, report]


def qualitative(pen: Pen, index: int, study: Study) -> list[Json]:
    """A report with one result in a word."""
    name, loinc, word = QUALITATIVE[study.kind]
    on = pen.day(study.ago)
    result = pen.head("Observation", on, "lab", index, name) | {
        "status": "final",
        "category": [hl7("observation-category", "laboratory")],
        "code": concept(name, coding(LOINC, loinc)),
        "subject": pen.patient,
        "effectiveDateTime": date_time(on, 440),
        "valueString": word,
    }
    report = _report(pen, index, study, concept(name), "LAB")
    return [result, report | {"result": [{"reference": f"Observation/{result['id']}"}]}]


def imaging(pen: Pen, index: int, study: Study, rng: random.Random) -> list[Json]:
    """A report with its conclusion in words or inside an attachment, sometimes also as an earlier draft."""
    name, loinc, display, readings = IMAGES[study.kind]
    coded = loinc and rng.random() < 0.35
    code = concept(name, coding(LOINC, loinc, display)) if coded else concept(name)
    reading = rng.choice(readings)
    final = _report(pen, index, study, code, "RAD")
    attached = (index + pen.number) % 4 == 3
    final |= conclusion_in_attachment(reading) if attached else {"conclusion": reading}
    if rng.random() < 0.3:
        return [draft(pen, index, final), final]
    return [final]


def conclusion_in_attachment(reading: str) -> Json:
    """The reading is only in an attached text."""
    data = base64.b64encode(f"IMPRESSION: {reading}".encode()).decode()
    return {"presentedForm": [{"contentType": "text/plain", "data": data}]}


def draft(pen: Pen, index: int, final: Json) -> Json:
    """The preliminary version that stayed beside the final one."""
    kept = {key: value for key, value in final.items() if key not in {"conclusion", "presentedForm"}}
    return kept | {
        "id": pen.id("DiagnosticReport", index, "draft"),
        "status": "preliminary",
        "conclusion": "Prelim, see final.",
    }


def _report(pen: Pen, index: int, study: Study, code: Json, section: str) -> Json:
    on = pen.day(study.ago)
    return pen.head("DiagnosticReport", on, index) | {
        "identifier": [{"system": "urn:oid:2.16.840.1.113883.3.9999.31", "value": f"R{pen.number}-{index}"}],
        "status": "final",
        "category": [hl7("v2-0074", section)],
        "code": code,
        "subject": pen.patient,
        "effectiveDateTime": on.isoformat(),
        "performer": [pen.practitioner],
    }


def reports(pen: Pen) -> list[Json]:
    """All DiagnosticReport resources of the patient, with their laboratory Observations."""
    rng = pen.dice("reports")
    found: list[Json] = []
    for index, study in enumerate(pen.story.studies):
        if study.kind in QUALITATIVE:
            found += qualitative(pen, index, study)
        else:
            write = laboratory if study.kind in PANELS else imaging
            found += write(pen, index, study, rng)
    return found
