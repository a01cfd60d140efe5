"""Diagnoses: problem list and, again and again, every visit's billing diagnosis."""

import csv
import random
from pathlib import Path

from sandbox.charts.codings import ICD9, ICD10, SNOMED, Json, coding, concept, hl7
from sandbox.charts.dates import date_time, month_only, year_only
from sandbox.charts.pen import Pen, Visit
from sandbox.charts.story import Diagnosis


def _read(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as lines:
        return {row["icd10cm"]: row for row in csv.DictReader(lines)}


DIAGNOSES = _read(Path(__file__).with_name("diagnoses.csv"))

ICD9_NEITHER = "without mention of intractable migraine without mention of status migrainosus"
ICD9_OF = {
    "G43.0": ("346.10", f"Migraine without aura, {ICD9_NEITHER}"),
    "G43.1": ("346.00", f"Migraine with aura, {ICD9_NEITHER}"),
    "G43.7": ("346.70", f"Chronic migraine without aura, {ICD9_NEITHER}"),
    "G43.9": ("346.90", f"Migraine, unspecified, {ICD9_NEITHER}"),
    "R51": ("784.0", "Headache"),
}


def display(icd: str) -> str:
    """Official wording of an ICD-10-CM code."""
    return DIAGNOSES[icd]["display"]


def icd_and_snomed(icd: str) -> Json:
    """The vendor's normal form: ICD-10-CM, SNOMED where one is mapped, and text."""
    row, text = DIAGNOSES[icd], display(icd)
    snomed = [coding(SNOMED, row["snomed"], row["snomed_display"])] if row["snomed"] else []
    return concept(text, coding(ICD10, icd, text), *snomed)


def undotted(icd: str) -> Json:
    """Code without its dot, as billing systems send it."""
    return concept(display(icd), coding(ICD10, icd.replace(".", ""), display(icd)))


def lower_cased(icd: str) -> Json:
    """Code typed in lower case, with a blank behind it in the text."""
    return concept(f"{display(icd).lower()} ", coding(ICD10, icd.lower(), display(icd)))


def text_only(icd: str) -> Json:
    """No code at all; the code stands in the text."""
    return concept(f"{display(icd)} ({icd})")


def icd9_remnant(icd: str) -> Json | None:
    """The code of before October 2015, if there was one."""
    for prefix, (code, display) in ICD9_OF.items():
        if icd.startswith(prefix):
            return concept(display, coding(ICD9, code, display))
    return None


WRITINGS = (icd_and_snomed,) * 14 + (undotted, undotted, lower_cased, text_only)


def as_problem(pen: Pen, index: int, diagnosis: Diagnosis, rng: random.Random) -> Json:
    """The problem-list entry; resolved is set only where the story says so."""
    status = "resolved" if diagnosis.resolved else "active"
    resource = _condition(pen, diagnosis.since, "problem-list-item", index) | {
        "clinicalStatus": hl7("condition-clinical", status),
        "verificationStatus": hl7("condition-ver-status", "confirmed"),
        "code": rng.choice(WRITINGS)(diagnosis.icd) if index else icd_and_snomed(diagnosis.icd),
    }
    if diagnosis.onset:
        resource["onsetDateTime"] = diagnosis.onset
    elif rng.random() < 0.15 and not diagnosis.sudden:
        resource["onsetDateTime"] = rng.choice((year_only, month_only))(pen.day(diagnosis.since + 400))
    if diagnosis.resolved and rng.random() < 0.5:
        resource["abatementDateTime"] = pen.day(diagnosis.until).isoformat()
    return resource


def at_visit(pen: Pen, visit: Visit, index: int, diagnosis: Diagnosis, rng: random.Random) -> Json:
    """The same diagnosis recorded once more for one encounter: recorded date, never an onset."""
    ago = (pen.today - visit.on).days
    resource = _condition(pen, ago, "encounter-diagnosis", index, visit.number) | {
        "code": rng.choice(WRITINGS)(diagnosis.icd),
        "encounter": pen.encounter(visit),
        "verificationStatus": hl7("condition-ver-status", "confirmed"),
    }
    if rng.random() < 0.6:  # else clinicalStatus is missing
        resource["clinicalStatus"] = hl7("condition-clinical", "active")
    if rng.random() < 0.03:
        return entered_in_error(resource)
    return resource


def entered_in_error(resource: Json) -> Json:
    """Taken back: verificationStatus entered-in-error, and then no clinicalStatus (FHIR rule con-5)."""
    kept = {key: value for key, value in resource.items() if key != "clinicalStatus"}
    return kept | {"verificationStatus": hl7("condition-ver-status", "entered-in-error")}


def remnant(pen: Pen, diagnosis: Diagnosis) -> Json | None:
    """A problem-list entry in ICD-9 that nobody removed in 2015, still active; its date is only a year."""
    code = icd9_remnant(diagnosis.icd)
    if code is None:
        return None
    resource = _condition(pen, diagnosis.since, "problem-list-item", "icd9", diagnosis.icd)
    return resource | {
        "clinicalStatus": hl7("condition-clinical", "active"),
        "code": code,
        "recordedDate": f"{2009 + pen.number % 6}",
    }


def conditions(pen: Pen) -> list[Json]:
    """All Condition resources of the patient."""
    rng = pen.dice("conditions")
    found: list[Json] = []
    for index, diagnosis in enumerate(pen.story.diagnoses):
        if diagnosis.listed:
            found.append(as_problem(pen, index, diagnosis, rng))
        if pen.story.messy and diagnosis.listed:
            found.append(as_problem(pen, 100 + index, diagnosis, rng))
        if diagnosis.at_visits:
            found += [
                at_visit(pen, visit, index, diagnosis, rng) for visit in pen.seen() if _covers(pen, diagnosis, visit)
            ]
    if found and (pen.story.messy or rng.random() < 0.12):
        old = remnant(pen, pen.story.diagnoses[0])
        found += [old] if old and pen.person.age >= 28 else []
    return found


def _covers(pen: Pen, diagnosis: Diagnosis, visit: Visit) -> bool:
    # A visit moves by a day or two off the weekend; a diagnosis made at it must not be lost.
    return diagnosis.until <= (pen.today - visit.on).days <= diagnosis.since + 3


def _condition(pen: Pen, ago: int, category: str, *key: object) -> Json:
    on = pen.day(ago)
    return pen.head("Condition", on, category, *key) | {
        "category": [hl7("condition-category", category)],
        "subject": pen.patient,
        "recordedDate": date_time(on, 600) if pen.number % 3 else on.isoformat(),
        "recorder": pen.practitioner,
    }
