"""Who comes today and tomorrow: the appointments the EMR has sent, and those of the list that staff brought in."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Exists, F, QuerySet
from django.urls import reverse

from emr.models import Connection, Enrolment, Practice, TypeOutcome
from patients import search, wording
from patients.models import Listing, ScheduledVisit
from patients.models.listing import APPOINTMENTS, PARTIAL

Outcome = TypeOutcome.Outcome
MOST = 60  # appointments of one day that are shown
READ = 1000  # of both days
_ANY = UUID(int=0)
_ANSWERED = frozenset({Outcome.COMPLETE.value, PARTIAL})
# How appointments may stand, each with the name of its column in the query that looks which of them there are.
_FOUND = {value: value.replace("-", "_") for value, _ in APPOINTMENTS}


@dataclass(frozen=True, slots=True)
class Slot:
    """One appointment. at: 09:30 on the practice's clock, "" when the record names the day only; off: it is
    cancelled, or the patient was not seen; status: the record's own word; source: its address, "" of a list."""

    patient: search.Found
    at: str
    title: str
    status: str
    off: bool
    source: str


@dataclass(frozen=True, slots=True)
class Day:
    """name: Today, Tomorrow; date: spelled with its weekday; more: appointments that are left out."""

    name: str
    date: str
    slots: tuple[Slot, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Schedule:
    """days: none when nothing can be said about any; absent: why not; caution: why a day may hold more than shown."""

    days: tuple[Day, ...]
    absent: str
    caution: str


_ABSENT = {
    Outcome.NOT_PERMITTED: "No schedule: appointments are not granted to this connection.",
    Outcome.NOT_SUPPORTED: "No schedule: the EMR does not offer appointments here.",
    Outcome.NOT_FETCHED: "No schedule: appointments have not been fetched.",
}
_PARTLY = {
    PARTIAL: "only partly received",
    Outcome.NOT_PERMITTED: "not granted",
    Outcome.NOT_SUPPORTED: "not offered",
    Outcome.NOT_FETCHED: "not fetched",
}


def schedule(visits: QuerySet[ScheduledVisit], listed: QuerySet[Listing], practice: Practice, today: date) -> Schedule:
    """Today and tomorrow of the practice. visits, listed: those of the practice that the person may see.

    Six queries, and one more for a list that staff brought in, whatever the number of appointments.
    """
    days = (today, today + timedelta(1))
    zone, address = ZoneInfo(practice.time_zone), reverse("emr:source", args=[_ANY])
    columns = ("patient_id", "day", "starts_at", "title", "status", "off", "source_id")
    ordered = visits.filter(day__in=days).order_by("day", F("starts_at").asc(nulls_first=True), "id")
    rows = list(ordered.values(*columns)[:READ])
    brought = list(_brought(rows, listed, practice, zone, days))
    states = _states(listed, practice)
    rows = sorted([*rows, *brought], key=_in_order)
    if not rows and states.isdisjoint(_ANSWERED):
        return Schedule((), _why(practice, states), "")
    found = search.described(practice, list({row["patient_id"] for row in rows}), today)
    slots = [(row["day"], _slot(row, found[row["patient_id"]], zone, address)) for row in rows]
    return Schedule(
        tuple(
            _day(name, day, [slot for on, slot in slots if on == day])
            for name, day in zip(("Today", "Tomorrow"), days, strict=True)
        ),
        "",
        _caution(states, bool(brought)),
    )


def _brought(
    sent: list[dict[str, Any]], listed: QuerySet[Listing], practice: Practice, zone: ZoneInfo, days: tuple[date, date]
) -> Iterator[dict[str, Any]]:
    """Appointments that a list of the practice named and the EMR has not sent."""
    start, end = (datetime.combine(day, time(), zone) for day in (days[0], days[-1] + timedelta(1)))
    coming = Enrolment.objects.filter(
        connection__practice=practice, next_appointment_at__gte=start, next_appointment_at__lt=end
    ).exclude(connection__state=Connection.State.REVOKED)
    named = coming.values_list("patient_fhir_id", "next_appointment_at")[:READ]
    at = {fhir_id: starts_at for fhir_id, starts_at in named if starts_at is not None}
    known = {(row["patient_id"], row["day"]) for row in sent}
    people = listed.filter(practice=practice, patient__fhir_id__in=at) if at else listed.none()
    for patient_id, fhir_id in people.values_list("patient_id", "patient__fhir_id"):
        day = at[fhir_id].astimezone(zone).date()
        if (patient_id, day) not in known:
            yield {
                "patient_id": patient_id, "day": day, "starts_at": at[fhir_id], "title": "On the practice’s list",
                "status": "", "off": False, "source_id": None,
            }  # fmt: skip


def _in_order(row: Mapping[str, Any]) -> tuple[date, float]:
    """By day and time; those without a time first."""
    return row["day"], row["starts_at"].timestamp() if row["starts_at"] else 0.0


def _states(listed: QuerySet[Listing], practice: Practice) -> set[str]:
    """How the type Appointment stands: each outcome that any patient has. Looks for one row each in an index."""
    found = Practice.objects.filter(pk=practice.pk).values(
        **{name: Exists(listed.filter(appointments=value)) for value, name in _FOUND.items()}
    )
    has: dict[str, Any] = dict(found.get())
    return {value for value, name in _FOUND.items() if has[name]}


def _slot(row: Mapping[str, Any], patient: search.Found, zone: ZoneInfo, address: str) -> Slot:
    starts_at = row["starts_at"]
    return Slot(
        patient=patient,
        at=f"{starts_at.astimezone(zone):%H:%M}" if starts_at else "",
        title=row["title"],
        status=row["status"],
        off=row["off"],
        source=address.replace(str(_ANY), str(row["source_id"])) if row["source_id"] else "",
    )


def _day(name: str, day: date, slots: list[Slot]) -> Day:
    return Day(name, f"{day:%a} {wording.date_words(day)}", tuple(slots[:MOST]), max(len(slots) - MOST, 0))


def _why(practice: Practice, states: set[str]) -> str:
    """The reason that says most. What no connection asks for, its EMR grants nobody: that is kept in its profile."""
    if not states <= {Outcome.NOT_FETCHED.value}:
        denied = Outcome.NOT_PERMITTED.value in states
        return _ABSENT[Outcome.NOT_PERMITTED if denied else Outcome.NOT_SUPPORTED]
    connections = list(Connection.objects.filter(practice=practice).select_related("registration"))
    asked = any(query.resource_type == "Appointment" for each in connections for query in each.profile.plan)
    return _ABSENT[Outcome.NOT_FETCHED if asked or not connections else Outcome.NOT_PERMITTED]


def _caution(states: set[str], brought: bool) -> str:
    if brought and states.isdisjoint(_ANSWERED):
        return "From the list that staff brought in; appointments of the EMR itself are not on file."
    missing = [words for state, words in _PARTLY.items() if state in states]
    return f"May be incomplete: appointments of some patients are {' or '.join(missing)}." if missing else ""
