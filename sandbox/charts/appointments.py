"""Appointments: what the front desk booked. Vendors differ on whether they serve them at all."""

import datetime as dt

from sandbox.charts.codings import Json, concept
from sandbox.charts.pen import Pen, Visit

MINUTES = 20


def appointment(pen: Pen, visit: Visit) -> Json | None:
    """The booking of a visit to come, or of one that did not take place; in UTC, unlike everything else."""
    if visit.status == "finished":
        return None
    status = "booked" if visit.on >= pen.today else "noshow"
    if visit.status == "cancelled" and "NO SHOW" not in visit.reason:
        status = "cancelled"
    start = dt.datetime.combine(visit.on, dt.time(), dt.UTC) + dt.timedelta(minutes=visit.minutes + 300)
    resource = pen.head("Appointment", visit.on, visit.number) | {
        "status": status,
        "appointmentType": concept("Follow up" if visit.number else "New patient"),
        "description": visit.reason,
        "start": f"{start:%Y-%m-%dT%H:%M:00Z}",
        "end": f"{start + dt.timedelta(minutes=MINUTES):%Y-%m-%dT%H:%M:00Z}",
        "minutesDuration": MINUTES,
        "participant": [
            {"actor": pen.patient, "status": "accepted"},
            {"actor": pen.practitioner | {"display": "Okonkwo, Adaeze MD"}, "status": "accepted"},
            {"actor": pen.location | {"display": "Headache Center - Main St"}, "status": "accepted"},
        ],
    }
    if status == "cancelled":
        resource["cancelationReason"] = concept("pt called, ride fell through")
    return resource


def appointments(pen: Pen) -> list[Json]:
    """All Appointment resources of the patient."""
    written = [appointment(pen, visit) for visit in pen.visits]
    return [each for each in written if each is not None]
