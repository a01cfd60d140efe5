"""What every Observation of this vendor has in common."""

from sandbox.charts.codings import Json, hl7
from sandbox.charts.dates import date_time
from sandbox.charts.pen import Pen, Visit

CATEGORIES = ("laboratory", "vital-signs", "social-history", "survey", "exam")


def observation(pen: Pen, visit: Visit, category: str, code: Json, *key: object) -> Json:
    """An Observation without value, made at a visit; exactly one category."""
    return pen.head("Observation", visit.on, *key, visit.number) | {
        "status": "final",
        "category": [hl7("observation-category", category)],
        "code": code,
        "subject": pen.patient,
        "encounter": pen.encounter(visit),
        "effectiveDateTime": date_time(visit.on, visit.minutes),
    }


def undated(resource: Json) -> Json:
    """An Observation that lost its time; only the encounter tells when it was."""
    return {key: value for key, value in resource.items() if key != "effectiveDateTime"}
