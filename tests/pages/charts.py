"""Made-up charts for page tests: rows as the pulls and the projection leave them."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from emr.models import ClientRegistration, Connection, Enrolment, Environment, Practice, Resource, TypeOutcome
from patients.models import Entry, Patient

NOW = datetime(2026, 11, 22, 3, 10, tzinfo=UTC)  # 21-Nov-2026 22:10 in New York
TODAY = date(2026, 11, 21)
Kind = Entry.Kind
Outcome = TypeOutcome.Outcome

TYPES = {
    Kind.DIAGNOSIS: "Condition",
    Kind.TREATMENT: "MedicationRequest",
    Kind.MEASURE: "Observation",
    Kind.ALLERGY: "AllergyIntolerance",
}
_EVERY_TYPE = TYPES | {
    Kind.VISIT: "Encounter",
    Kind.REPORT: "DiagnosticReport",
    Kind.PROCEDURE: "Procedure",
    Kind.APPOINTMENT: "Appointment",
    Kind.DOCUMENT: "DocumentReference",
}


def connection(practice: Practice) -> Connection:
    registration, _ = ClientRegistration.objects.get_or_create(
        name="Headache histories", environment=Environment.PRODUCTION, client_id="made-up"
    )
    return Connection.objects.get_or_create(
        practice=practice,
        registration=registration,
        defaults={"base_url": f"https://fhir.example.org/fhir/r4/{practice.code}"},
    )[0]


def patient(practice: Practice, fhir_id: str = "p1", **columns: Any) -> Patient:
    """A patient of the practice; without further columns a complete person."""
    person = {
        "family": "Garcia Lopez",
        "given": "María",
        "title": "Dr",
        "birth_date": date(1989, 3, 7),
        "birth_precision": "day",
        "sex": "Female",
        "account_no": "9150",
        "search_text": "garcia lopez maria 9150 maria garcia lopez",
    }
    return Patient.objects.create(practice=practice, fhir_id=fhir_id, **(person | columns))


def enrol(person: Patient, outcomes: Mapping[str, tuple[str, str]] | None = None) -> Enrolment:
    """The patient enrolled, with outcomes {type: (outcome, reason)}; by default the four types complete."""
    enrolment = Enrolment.objects.create(
        connection=connection(person.practice),
        patient_fhir_id=person.fhir_id,
        known_by=Enrolment.KnownBy.LIST,
    )
    told = dict.fromkeys(TYPES.values(), (Outcome.COMPLETE, "")) if outcomes is None else outcomes
    TypeOutcome.objects.bulk_create(
        TypeOutcome(
            enrolment=enrolment,
            resource_type=resource_type,
            outcome=outcome,
            reason=reason,
            confirmed_at=NOW if outcome == Outcome.COMPLETE else None,
            attempted_at=NOW,
        )
        for resource_type, (outcome, reason) in told.items()
    )
    return enrolment


def add(person: Patient, rows: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """Entries with a source each. A row holds Entry columns; kind and title are enough."""
    start = Resource.objects.filter(practice=person.practice).count()
    entries, sources = [], []
    for number, row in enumerate(rows, start):
        resource_type = _EVERY_TYPE[Kind(row["kind"])]
        source = Resource(
            practice=person.practice,
            resource_type=resource_type,
            fhir_id=f"r{number}",
            patient_fhir_id=person.fhir_id,
            body=json.dumps({"resourceType": resource_type, "id": f"r{number}", "code": {"text": row["title"]}}),
            content_hash=f"{number:064}",
            query=f"{resource_type}?patient",
            first_seen_at=NOW,
            changed_at=NOW,
        )
        sources.append(source)
        columns = {"date_precision": "day" if row.get("date") else "", "fingerprint": f"{number:064}"}
        entries.append(Entry(practice=person.practice, patient=person, source=source, **(columns | dict(row))))
    Resource.objects.bulk_create(sources)
    return Entry.objects.bulk_create(entries)


def diagnosis(title: str, on: str = "", **columns: Any) -> dict[str, Any]:
    return _row(Kind.DIAGNOSIS, title, on, {"date_meaning": "recorded", "status": "active, confirmed"} | columns)


def order(title: str, on: str, role: str, ingredient: str, words: str, sig: str, **more: Any) -> dict[str, Any]:
    detail = {
        "ingredients": [ingredient] if ingredient else [],
        "class_words": words,
        "sig": sig,
        "intent": "order",
    } | more.pop("detail", {})
    columns = {"date_meaning": "ordered", "status": "active", "role": role, "about_headache": bool(role)}
    return _row(Kind.TREATMENT, title, on, columns | {"detail": detail} | more)


def measure(title: str, on: str, value: str, unit: str = "", **columns: Any) -> dict[str, Any]:
    number = Decimal(value) if value.replace(".", "").isdigit() else None
    row = {"date_meaning": "measured", "status": "final", "value": number, "value_text": value, "unit": unit}
    return _row(Kind.MEASURE, title, on, row | columns)


def scale(name: str, on: str, value: str, band: str = "", **columns: Any) -> dict[str, Any]:
    detail = {"instrument": name, "band": band} | columns.pop("detail", {})
    group = "-".join(name.lower().split())
    title = name if "days" in name else f"{name} total"
    return measure(title, on, value, about_headache=True, group=group, detail=detail, **columns)


def allergy(title: str, on: str = "", **columns: Any) -> dict[str, Any]:
    return _row(Kind.ALLERGY, title, on, {"date_meaning": "recorded", "status": "active"} | columns)


def visit(title: str, on: str, **columns: Any) -> dict[str, Any]:
    return _row(Kind.VISIT, title, on, {"date_meaning": "visit", "status": "finished"} | columns)


def procedure(title: str, on: str, **columns: Any) -> dict[str, Any]:
    return _row(Kind.PROCEDURE, title, on, {"date_meaning": "performed", "status": "completed"} | columns)


def report(title: str, on: str, **columns: Any) -> dict[str, Any]:
    return _row(Kind.REPORT, title, on, {"date_meaning": "examined", "status": "final"} | columns)


def appointment(title: str, on: str, **columns: Any) -> dict[str, Any]:
    return _row(Kind.APPOINTMENT, title, on, {"date_meaning": "appointment", "status": "booked"} | columns)


def _row(kind: str, title: str, on: str, columns: Mapping[str, Any]) -> dict[str, Any]:
    """`on`: 2019, 2019-03 or 2019-03-07; "" for undated."""
    parts = [int(part) for part in on.split("-")] if on else []
    precision = ("", "year", "month", "day")[len(parts)]
    day = date(*[*parts, 1, 1][:3]) if parts else None
    return {"kind": kind, "title": title, "date": day, "date_precision": precision, **columns}


def rich(practice: Practice) -> Patient:
    """A believable chart of about 75 entries: duplicates, undated rows, coarse and future dates, gaps."""
    person = patient(practice, "rich")
    complete = dict.fromkeys(["Patient", "Encounter", *TYPES.values()], (Outcome.COMPLETE, ""))
    enrol(
        person,
        complete
        | {
            "DocumentReference": (Outcome.NOT_PERMITTED, ""),
            "DiagnosticReport": (Outcome.NOT_FETCHED, "timed out"),
            "Procedure": (Outcome.NOT_SUPPORTED, ""),
        },
    )
    add(person, [*_diagnoses(), *_preventives(), *_acutes(), *_others(), *_measures(), *_allergies(), *_visits()])
    return person


def _diagnoses() -> list[dict[str, Any]]:
    chronic = {
        "code": "G43.709",
        "group": "migraine/chronic",
        "about_headache": True,
        "detail": {"words": "Chronic migraine without aura", "category": "Encounter Diagnosis"},
    }
    visits = [
        diagnosis("Chronic migraine w/o aura, not intractable", f"{year}-{month:02}-14", **chronic)
        for year, month in ((2026, 11), (2026, 8), (2026, 5), (2026, 2), (2025, 11), (2025, 8))
    ]
    episodic = {
        "code": "G43.009",
        "group": "migraine/without-aura",
        "about_headache": True,
        "status": "resolved",
    }
    detail = {"words": "Migraine without aura", "category": "Problem List Item"}
    return [
        *visits,
        diagnosis("Migraine without aura", "2016", date_meaning="onset", detail=detail, **episodic),
        diagnosis(
            "Medication overuse headache, possible",
            "2024-06",
            about_headache=True,
            group="secondary/medication-overuse",
            status="active, provisional",
            detail={"words": "Medication-overuse headache", "matched_by": "text"},
        ),
        diagnosis("Essential (primary) hypertension", "2019-04-02", code="I10"),
        diagnosis("Generalized anxiety disorder", "2018-09-11", code="F41.1"),
        diagnosis("Seasonal allergic rhinitis", code="J30.2"),
        diagnosis("Calculus of kidney", "2021", code="N20.0", status="resolved"),
    ]


def _preventives() -> list[dict[str, Any]]:
    botox = [
        order(
            "Botox 200 unit injection", day, "preventive", "onabotulinumtoxinA", "Botulinum toxin",
            "155 units IM per PREEMPT every 12 weeks", detail={"quantity": "1", "repeats": 0},
        )
        for day in ("2025-06-02", "2025-08-25", "2025-11-17")
    ]  # fmt: skip
    return [
        order(
            "Aimovig 140 mg/mL autoinjector", "2026-02-16", "preventive", "erenumab", "CGRP antibody",
            "Inject 140 mg subcutaneously once a month", detail={"quantity": "1", "repeats": 11, "dose": "140 mg"},
        ),
        *botox,
        order(
            "Topiramate 25 mg tablet", "2017-03-20", "preventive", "topiramate", "Anticonvulsant",
            "1 tab at bedtime for 1 week, then 2 tabs at bedtime", status="stopped",
            detail={"quantity": "60", "repeats": 2, "reason": "Migraine without aura"},
        ),
        order(
            "TOPAMAX 50MG TAB", "2017-06-30", "preventive", "topiramate", "Anticonvulsant", "50 mg twice daily",
            status="stopped", detail={"quantity": "180", "repeats": 1},
        ),
        order(
            "Propranolol ER 80 mg capsule", "2019-04-02", "preventive", "propranolol", "Beta blocker",
            "1 capsule by mouth daily", status="completed", detail={"quantity": "90", "repeats": 3},
        ),
        order(
            "Amitriptyline 10 mg", "2016", "preventive", "amitriptyline", "Tricyclic antidepressant", "qhs",
            status="unknown", detail={"reported": True},
        ),
    ]  # fmt: skip


def _acutes() -> list[dict[str, Any]]:
    sumatriptan = [
        order(
            "Sumatriptan 100 mg tablet", day, "acute", "sumatriptan", "Triptan",
            "Take 1 tablet at onset of migraine; may repeat after 2 hours. Max 2 tablets in 24 hours",
            status="active" if day > "2026" else "completed", detail={"quantity": "9", "repeats": 5},
        )
        for day in ("2026-10-05", "2026-04-13", "2025-10-20", "2025-04-07", "2024-10-14", "2023-02-06")
    ]  # fmt: skip
    return [
        *sumatriptan,
        order(
            "Nurtec ODT 75 mg", "2026-08-03", "acute or preventive", "rimegepant", "Gepant", "as directed",
            detail={"quantity": "8", "repeats": 2},
        ),
        order(
            "Naproxen 500 mg tablet", "2027-01-04", "acute", "naproxen", "NSAID", "1 tab bid prn with food",
            detail={"quantity": "30", "repeats": 1},
        ),
    ]  # fmt: skip


def _others() -> list[dict[str, Any]]:
    return [
        order("Ondansetron 4 mg ODT", "2026-10-05", "adjunct", "ondansetron", "Antiemetic", "1 prn nausea"),
        order("Lisinopril 10 mg tablet", "2025-12-01", "", "", "", "1 daily", detail={"unclassified": True}),
        order("MAGNESIUM OTC", "", "", "", "", "", status="unknown", detail={"unclassified": True, "reported": True}),
        order("Cetirizine 10 mg", "2024-05-01", "", "", "", "1 daily prn", detail={"intent": "plan"}),
    ]  # fmt: skip


def _measures() -> list[dict[str, Any]]:
    midas = [("2026-11-14", "24"), ("2026-05-14", "38"), ("2025-11-17", "61"), ("2025-06-02", "74")]
    hit = [("2026-11-14", "61"), ("2026-05-14", "64"), ("2025-11-17", "68")]
    days = [("2026-11-14", "9"), ("2026-08-14", "12"), ("2026-05-14", "14"), ("2025-11-17", "19")]
    pressures = [(f"2026-{month:02}-14", f"{128 - month}/{82 - month // 2}") for month in range(11, 0, -1)]
    return [
        *(scale("MIDAS", on, value, "Grade IV: severe disability") for on, value in midas),
        *(scale("HIT-6", on, value, "Severe impact") for on, value in hit),
        scale("HIT-6", "2025-06-02", "12", detail={"out_of_range": True}),
        *(scale("Headache days", on, value, unit="per month") for on, value in days),
        *(measure("Blood pressure", on, value, "mmHg", group="blood-pressure") for on, value in pressures),
        measure("Body weight", "2026-11-14", "68.4", "kg", code="29463-7"),
        measure("Body weight", "2026-05-14", "70.1", "kg", code="29463-7"),
        measure("BMI", "2026-11-14", "25.1", "kg/m2", code="39156-5"),
        measure("PHQ-9 total", "2026-11-14", "7", group="phq-9", detail={"instrument": "PHQ-9", "band": "Mild"}),
        measure("Creatinine", "2026-03", "0.8", "mg/dL", code="2160-0", detail={"interpretation": "Normal"}),
    ]


def _allergies() -> list[dict[str, Any]]:
    return [
        allergy(
            "Sulfonamide antibiotics", "2012", code="91939003", system="http://snomed.info/sct",
            detail={
                "clinical": "active", "reactions": ["hives (moderate)"], "criticality": "high",
                "category": "medication",
            },
        ),
        allergy(
            "topiramate – word finding difficulty", "2017-09-04",
            detail={
                "clinical": "active", "type": "intolerance",
                "reactions": ["paresthesia", "word-finding difficulty"],
            },
        ),
        allergy("Latex", status="inactive", detail={"clinical": "inactive", "category": "environment"}),
    ]  # fmt: skip


def _visits() -> list[dict[str, Any]]:
    return [
        visit("Headache follow-up", "2026-11-14", detail={"attended": "yes"}),
        visit("Headache follow-up", "2026-05-14", detail={"attended": "yes"}),
        visit(
            "Emergency department visit", "2026-02-03", group="emergency", about_headache=True,
            detail={"reason": "severe headache", "attended": "yes"},
        ),
        visit("Headache follow-up", "2026-01-20", status="cancelled", detail={"attended": "no"}),
    ]  # fmt: skip


def measures(count: int) -> list[dict[str, Any]]:
    """`count` vital signs of eight kinds, one a day backwards."""
    return [
        measure(f"Vital sign {number % 8}", str(TODAY - timedelta(days=number)), str(60 + number % 40), "1/min")
        for number in range(count)
    ]
