"""Filling the rows that the list of patients is searched by. Repeatable; a second run writes the same."""

import re
from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import transaction
from django.db.models import Min, Q
from django.utils import timezone

from emr.models import TypeOutcome
from patients.chart_facts import facts_of
from patients.codes import Row, table
from patients.headaches import drug_groups, supply
from patients.headaches.record import Condition, Record, Treatment
from patients.models import Entry, Listing, Patient, ScheduledVisit
from patients.models.listing import NEVER, PARTIAL
from patients.projection.patient import folded

# Families of codelists/headache_classes.csv that the list can be filtered by, in the order of their bits.
FAMILIES = {
    "migraine": "Migraine",
    "tth": "Tension-type headache",
    "tac": "Cluster and other autonomic headaches",
    "secondary": "Secondary headache",
    "other": "Other primary headaches",
    "headache": "Headache, not further classified",
}
_SAME_FAMILY = {"red-flag": "secondary"}

WINDOW = 90  # days that authorised units are averaged over, as on the history page
LAPSE = timedelta(365)  # prescriptions lapse within a year, whatever the record still calls active
_KEPT_BACK = timedelta(2)  # days of past appointments kept: nobody asks the list about earlier ones
_NOT_HELD = frozenset({"cancelled", "noshow", "no-show", "not attended"})
_NAMES = ["practice", "sort_name", "search_text", "birth_date"]
_FACTS = ["families", "chronic", "cgrp_until", "exposed_until", "midas_on", "as_of", "appointments"]


def rename(patients: Iterable[Patient]) -> None:
    """Bring what the list finds patients by to what their rows say."""
    rows = [Listing(patient=patient, **_names(patient)) for patient in patients]
    Listing.objects.bulk_create(rows, update_conflicts=True, unique_fields=["patient"], update_fields=_NAMES)


def refresh(patient: Patient) -> None:
    """Bring what the list filters and sorts by, and the patient's appointments, to what the chart says today."""
    zone = ZoneInfo(patient.practice.time_zone)
    today = timezone.localdate(timezone=zone)
    with transaction.atomic():
        # Two runs for one patient follow each other: the later one must not be overwritten by the earlier.
        Patient.objects.select_for_update().only("pk").get(pk=patient.pk)
        facts = facts_of(patient, today)
        row = Listing(
            patient=patient,
            **_names(patient),
            families=_families(facts.conditions),
            chronic=any(_is_chronic(each, today) for each in facts.conditions),
            cgrp_until=_cgrp_until(facts.treatments, today),
            exposed_until=exposed_until(facts.treatments, today),
            midas_on=_midas_on(facts, today),
            **_freshness(patient),
        )
        Listing.objects.bulk_create(
            [row], update_conflicts=True, unique_fields=["patient"], update_fields=[*_NAMES, *_FACTS]
        )
        _schedule(patient, zone, today)


def confirm(practice_id: UUID, patient_fhir_ids: Sequence[str]) -> None:
    """Bring how fresh these patients' lists are up to date, and nothing else. Three statements, however many."""
    outcomes = TypeOutcome.objects.filter(
        enrolment__connection__practice_id=practice_id,
        enrolment__patient_fhir_id__in=patient_fhir_ids,
        outcome=TypeOutcome.Outcome.COMPLETE,
    )
    found = outcomes.values_list("enrolment__patient_fhir_id").annotate(as_of=Min("confirmed_at")).order_by()
    as_of = dict(found)
    listed = Listing.objects.filter(practice_id=practice_id, patient__fhir_id__in=as_of).select_related("patient")
    rows = list(listed.only("pk", "as_of", "patient__fhir_id"))
    for row in rows:
        row.as_of = as_of[row.patient.fhir_id]
    Listing.objects.bulk_update(rows, ["as_of"], batch_size=100)


def families_bit(family: str) -> int:
    """The bit of a family of FAMILIES. Raises ValueError for another."""
    return 1 << list(FAMILIES).index(family)


def exposed_until(treatments: Sequence[Treatment], today: date) -> date | None:
    """The last day on which orders on file allow as many units of one class per 30 days as its ICHD-3 line has days.

    An upper bound: what was used is not on file. None when they do not reach the line today or later. Orders dated
    after today are left out; they count when their day has come.
    """
    orders = [
        each.order
        for each in treatments
        if each.role == "acute" and not each.forbidden and each.order.authored and each.order.authored.value <= today
    ]
    # Without new orders the figure changes only on the day after one leaves the window.
    span = timedelta(WINDOW - 1)
    ends = sorted({each.authored.value + span for each in orders if each.authored}, reverse=True)
    for end in ends:
        if end < today:
            break
        found = supply.authorised_units(orders, end - span, end)
        if any(each.threshold and (each.units_per_30_days or 0) >= each.threshold for each in found):
            return end
    return None


def _names(patient: Patient) -> dict[str, Any]:
    # Also without the signs between: "obrien" and "a77" find O'Brien and A-77.
    parts = [folded(each) for each in (patient.family, patient.given, patient.account_no)]
    joined = [bare for part in parts if (bare := re.sub(r"[\W_]+", "", part)) != part]
    said = " ".join(dict.fromkeys([*patient.search_text.split(), *joined]))
    return {
        "practice_id": patient.practice_id,
        "sort_name": f"{parts[0]}, {parts[1]}"[:120],
        "search_text": said[: Listing.SEARCHED],
        "birth_date": patient.birth_date,
    }


def _families(conditions: Sequence[Condition]) -> int:
    found = 0
    for condition in conditions:
        row = _classes().get(condition.headache_class)
        family = _SAME_FAMILY.get(row["family"], row["family"]) if row else ""
        if condition.stands and family in FAMILIES:
            found |= families_bit(family)
    return found


def _is_chronic(condition: Condition, today: date) -> bool:
    row = _classes().get(condition.headache_class)
    return row is not None and row["chronic"] == "yes" and condition.active(today)


def _cgrp_until(treatments: Sequence[Treatment], today: date) -> date | None:
    return max((until for each in treatments if (until := _active_until(each, today))), default=None)


def _active_until(treatment: Treatment, today: date) -> date | None:
    order = treatment.order
    if treatment.forbidden or not order.stands or order.status.strip().lower() not in {"", "active"}:
        return None
    if order.authored is None or order.authored.value > today or "cgrp" not in drug_groups.groups_of(treatment):
        return None
    lapses = order.authored.value + LAPSE
    until = min(lapses, order.bounds_end.last) if order.bounds_end else lapses
    return until if until >= today else None


def _midas_on(facts: Record, today: date) -> date | None:
    measured = [
        each.dated.value
        for each in facts.measures
        if each.group == "midas" and each.value is not None and each.dated and not each.out_of_range
    ]
    entered = [each.on for each in facts.assessments if each.midas is not None]
    return max((on for on in [*measured, *entered] if on <= today), default=None)


def _freshness(patient: Patient) -> dict[str, Any]:
    """as_of as patients.absence has it, and how the type Appointment stands."""
    outcomes = TypeOutcome.objects.filter(
        enrolment__connection__practice_id=patient.practice_id, enrolment__patient_fhir_id=patient.fhir_id
    )
    complete = Q(outcome=TypeOutcome.Outcome.COMPLETE)
    as_of = outcomes.aggregate(as_of=Min("confirmed_at", filter=complete))["as_of"]
    said = outcomes.filter(resource_type="Appointment").values_list("outcome", "reason")
    found = {PARTIAL if outcome == TypeOutcome.Outcome.COMPLETE and reason else outcome for outcome, reason in said}
    best = (TypeOutcome.Outcome.COMPLETE, PARTIAL, TypeOutcome.Outcome.NOT_FETCHED, TypeOutcome.Outcome.NOT_PERMITTED)
    last = TypeOutcome.Outcome.NOT_SUPPORTED if found else TypeOutcome.Outcome.NOT_FETCHED
    return {"as_of": as_of or NEVER, "appointments": next((each for each in best if each in found), last)}


def _schedule(patient: Patient, zone: ZoneInfo, today: date) -> None:
    """Replace the patient's rows when they differ from the appointments on file."""
    kept = ScheduledVisit.objects.filter(patient=patient)
    columns = ("source_id", "day", "starts_at", "title", "status", "off")
    wanted = sorted(_appointments(patient, zone, today - _KEPT_BACK), key=str)
    if sorted(kept.values_list(*columns), key=str) == wanted:
        return
    kept.delete()
    rows = [dict(zip(columns, each, strict=True)) for each in wanted]
    # An appointment that moved here from another patient leaves that one.
    ScheduledVisit.objects.filter(source__in=[row["source_id"] for row in rows]).delete()
    ScheduledVisit.objects.bulk_create(
        ScheduledVisit(practice_id=patient.practice_id, patient=patient, **row) for row in rows
    )


def _appointments(patient: Patient, zone: ZoneInfo, since: date) -> list[tuple[Any, ...]]:
    """Dated appointments from that day on. A moment falls on the day of the practice's clock, not of its spelling."""
    entries = patient.entries.filter(
        practice_id=patient.practice_id,
        kind=Entry.Kind.APPOINTMENT,
        date__gte=since,
        date_precision__in=["day", "time"],
        date_meaning="appointment",
    )
    found = []
    for source, on, title, status, detail in entries.values_list("source_id", "date", "title", "status", "detail"):
        moment = _moment(detail.get("at"))
        day = moment.astimezone(zone).date() if moment else on
        off = not _NOT_HELD.isdisjoint(part.strip() for part in status.lower().split(","))
        found.append((source, day, moment, title, status, off))
    return found


def _moment(said: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(said))
    except ValueError:
        return None
    return moment if moment.tzinfo else None


@cache
def _classes() -> dict[str, Row]:
    return {row["class"]: row for row in table("headache_classes")}
