"""What stands on top of every page of a patient: who it is, and how fresh and complete the record is."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import F
from django.urls import reverse

from patients import absence, wording
from patients.headaches.allergies import AllergyFact, AllergyStatus, status
from patients.headaches.coding import Coding
from patients.lines import COLUMNS, Line, line
from patients.models import Entry, Patient


@dataclass(frozen=True, slots=True)
class Note:
    """patient_id: "" when that record is not on file."""

    text: str
    patient_id: str = ""


@dataclass(frozen=True, slots=True)
class Banner:
    """Who this is (PAB rules); died: "" unless the record says so; allergies: one of the four titles; notes: that
    another record stands for this one."""

    name: str
    born: str
    sex: str
    account_no: str
    died: str
    allergies: str
    allergies_detail: str
    allergies_conflict: bool
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class AllergyList:
    """absent: why there is none."""

    lines: tuple[Line, ...]
    absent: str


@dataclass(frozen=True, slots=True)
class Heading:
    banner: Banner
    completeness: absence.Completeness
    allergies: AllergyList


def heading(patient: Patient, today: date) -> Heading:
    """The heading of `patient` (loaded with its practice). Two queries, one more for a merged record."""
    known = absence.completeness(patient, ZoneInfo(patient.practice.time_zone))
    entries = patient.entries.filter(kind=Entry.Kind.ALLERGY, practice_id=patient.practice_id)
    rows = list(entries.order_by(F("date").desc(nulls_last=True), "id").values(*COLUMNS, "system"))
    allergies = known.of("AllergyIntolerance")
    said = status([_fact(row) for row in rows], allergies.word)
    some_source = UUID(int=0)
    address = reverse("emr:source", args=[some_source])  # once: asking for each line costs more than the line
    lines = tuple(line(row, today, address.replace(str(some_source), str(row["source_id"]))) for row in rows)
    return Heading(
        _banner(patient, today, said),
        known,
        AllergyList(lines, "" if lines else allergies.sentence),
    )


def _banner(patient: Patient, today: date, allergies: AllergyStatus) -> Banner:
    died = wording.date_words(patient.deceased_on) or "date not known"
    return Banner(
        name=wording.name_words(patient.family, patient.given, patient.title),
        born=wording.born_words(patient.birth_date, patient.birth_precision, today),
        sex=patient.sex or wording.NOT_KNOWN,
        account_no=patient.account_no or wording.NOT_KNOWN,
        died=died if patient.deceased else "",
        allergies=allergies.title,
        allergies_detail=allergies.detail,
        allergies_conflict=allergies.conflict,
        notes=tuple(_notes(patient)),
    )


def _notes(patient: Patient) -> Iterable[Note]:
    """The EMR's links to other records of the person (FHIR R4 Patient.link)."""
    names = [each for each in (patient.replaced_by, patient.see_also) if each]
    others: dict[str, str] = {}
    if names:
        rows = Patient.objects.filter(practice_id=patient.practice_id, fhir_id__in=names)
        others = {fhir_id: str(pk) for fhir_id, pk in rows.values_list("fhir_id", "pk")}
    if patient.replaced_by:
        yield Note("The EMR has replaced this record by another.", others.get(patient.replaced_by, ""))
    if patient.see_also:
        yield Note("The EMR names another record of this person.", others.get(patient.see_also, ""))


def _fact(row: Mapping[str, Any]) -> AllergyFact:
    detail = row["detail"]
    listed = detail.get("codings") or [{"system": row["system"], "code": row["code"]}]
    return AllergyFact(
        codings=tuple(Coding(each.get("system", ""), each.get("code", ""), each.get("display", "")) for each in listed),
        text=detail.get("text", row["title"]),
        clinical_status=detail.get("clinical", row["status"]),
        verification_status=detail.get("verification", ""),
    )
