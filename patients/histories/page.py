"""The page of one patient's history, section by section, in the order a specialist reads."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

from django.urls import reverse

from patients.absence import Completeness
from patients.histories import changes, extras, findings
from patients.histories.alerts import Alerts, alerts, dismissed
from patients.histories.changes import Changes
from patients.histories.diagnoses import Diagnoses, diagnoses
from patients.histories.drawn import Drawn, charts
from patients.histories.evidence import Evidence
from patients.histories.extras import AllergyLine
from patients.histories.findings import Quality, UseOfCare
from patients.histories.headline import cards, not_measured
from patients.histories.parts import Card, Rows
from patients.histories.treatments import Treatments, treatments
from patients.models import Patient
from patients.summaries import summary

_ANY = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Gaps:
    """Why there is no chart of headache days, acute medication, scores."""

    days: str
    acute: str
    scores: str


@dataclass(frozen=True, slots=True)
class Allergies:
    """lines: those that stand first, headache drugs among them foremost; absent: why there is none."""

    lines: tuple[AllergyLine, ...]
    absent: str


@dataclass(frozen=True, slots=True)
class Page:
    """Everything below the heading. Words and addresses only: a template prints it, JSON keeps it."""

    cards: tuple[Card, ...]
    alerts: Alerts
    charts: Drawn
    gaps: Gaps
    treatments: Treatments
    diagnoses: Diagnoses
    imaging: Rows
    allergies: Allergies
    care: UseOfCare
    changes: Changes
    quality: Quality


def page(patient: Patient, known: Completeness, today: date) -> Page:
    """The page of `patient` (loaded with its practice) as of `today`; absences as `known` has them. Six queries."""
    made = summary(patient, today)
    evidence = Evidence(patient.pk, made.record)
    rows = extras.rows(patient, today)
    more = extras.extras(rows, made.allergies, evidence, today, ZoneInfo(patient.practice.time_zone))
    binding = reverse("patients:bind", args=[patient.practice_id, _ANY]).replace(str(_ANY), "SOURCE")
    return Page(
        cards=cards(patient, made, evidence, known, more.ahead),
        alerts=alerts(made, evidence, dismissed(patient)),
        charts=charts(made, evidence),
        gaps=_gaps(known),
        treatments=treatments(made, evidence, known),
        diagnoses=diagnoses(made, evidence, known, more.readings),
        imaging=findings.imaging(made, evidence, known, more.tests),
        allergies=_allergies(more.allergies, known),
        care=findings.use_of_care(made, evidence, known),
        changes=changes.changes(
            patient, changes.since_when(made.utilisation.last_visits, today), patient.created_at, today, evidence
        ),
        quality=findings.quality(made, evidence, binding),
    )


def _allergies(lines: tuple[AllergyLine, ...], known: Completeness) -> Allergies:
    return Allergies(lines, "" if lines else known.of("AllergyIntolerance").sentence)


def _gaps(known: Completeness) -> Gaps:
    orders = known.of("MedicationRequest")
    no_orders = "" if orders.complete else f" Orders: {orders.sentence}"
    return Gaps(
        days=not_measured("No headache days are stated for the last 12 months: a gap, not zero.", known),
        acute="No acute order of the last 12 months authorises supply, and no days are stated: a gap, not zero."
        + no_orders,
        scores=not_measured("No MIDAS or HIT-6 score on file.", known),
    )
