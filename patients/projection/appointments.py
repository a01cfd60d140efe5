"""Appointment (FHIR R4 12.3) → appointments. Times stay as sent: the page tells them on the practice's clock."""

from collections.abc import Iterator

from patients.models import Entry
from patients.projection import reasons
from patients.projection.chart import Chart
from patients.projection.facts import Dated, Fact, first_date, modifier_note, stated, whole_day
from patients.projection.readers import (
    Body,
    all_words_of,
    joined,
    keywords,
    node,
    nodes,
    reference,
    status_words,
    text,
    words_of,
)


def read(body: Body, chart: Chart) -> Iterator[Fact]:
    """One appointment, whatever became of it."""
    if "entered-in-error" in keywords(body.get("status")):
        return
    described = text(body.get("description"))
    kind = joined([words_of(body.get("appointmentType")), all_words_of(body.get("serviceType"))])
    reason = reasons.read(body)
    headache = reason.headache_class or reasons.spoken(joined([described, reason.words]))
    dated = _dated(body)
    end = text(body.get("end"))
    yield Fact(
        kind=Entry.Kind.APPOINTMENT,
        title=described or reason.words or kind or "Appointment",
        dated=dated,
        end_date=whole_day(end),
        status=status_words(body.get("status")),
        about_headache=bool(headache),
        detail=stated(
            type=kind,
            reason=reason.words,
            reason_class=headache,
            at=dated.raw if dated.precision == "time" else None,
            until=end,
            minutes=text(body.get("minutesDuration")),
            cancelled_because=words_of(body.get("cancelationReason")),
            people=_people(body),
            note=text(body.get("comment")),
            modifier=modifier_note(body),
        ),
    )


def _dated(body: Body) -> Dated:
    asked = [each.get("start") for each in nodes(body.get("requestedPeriod"))]
    return first_date((body.get("start"), "appointment"), *((each, "requested") for each in asked))


def _people(body: Body) -> str:
    """Who and what else is asked to come: staff, rooms, devices."""
    actors = [reference(node(each).get("actor")) for each in nodes(body.get("participant"))]
    return joined([each.display for each in actors if each.type != "Patient"])
