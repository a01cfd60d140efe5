"""Charts A to D of one summary, and what of the record goes into each."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta

from patients.charts import Chart, Event, Span, acute_chart, days_chart, scores_chart, treatment_chart
from patients.headaches import condition_lists
from patients.headaches.record import Condition, Happening, day_of
from patients.headaches.signs import PREGNANCY_DAYS
from patients.histories.evidence import Evidence
from patients.summaries import Summary

# Group of a procedure: (lane, sign).
_PROCEDURES = {
    "botox-procedure": ("Botulinum toxin", "triangle"),
    "nerve-block": ("Nerve blocks", "diamond"),
    "cgrp-infusion": ("Infusions", "square"),
    "dhe": ("Infusions", "square"),
    "lumbar-puncture": ("Lumbar puncture", "cross"),
}
_NOT_HELD = frozenset({"not-done", "entered-in-error", "preparation", "cancelled", "planned"})


@dataclass(frozen=True, slots=True)
class Drawn:
    """Charts A, B, C and D; None where there is nothing to draw."""

    days: Chart | None
    treatments: Chart | None
    acute: Chart | None
    scores: Chart | None


def charts(made: Summary, evidence: Evidence) -> Drawn:
    href = evidence.href
    events = sorted(_events(made), key=lambda event: (list(_LANES).index(event.lane), event.on))
    return Drawn(
        days=days_chart(made.days.months, href),
        treatments=treatment_chart(
            made.trials.rows,
            events,
            _pregnancies(made.record.conditions, made.today),
            made.days.counts,
            made.today,
            href,
        ),
        acute=acute_chart(made.exposure, href),
        scores=scores_chart((made.midas, made.hit6), made.today, href),
    )


_LANES = ("Botulinum toxin", "Nerve blocks", "Infusions", "Lumbar puncture", "Emergency visits")


def _events(made: Summary) -> Iterable[Event]:
    """What was done, one per day and kind, and emergency visits."""
    seen = set()
    for each in made.record.procedures:
        lane, shape = _PROCEDURES.get(each.group, ("", ""))
        on = day_of(each)
        if lane and on and on <= made.today and each.status not in _NOT_HELD and (lane, on) not in seen:
            seen.add((lane, on))
            yield Event(lane, on, each.title, shape, source=each.source)
    for each in made.record.visits:
        on = day_of(each)
        if each.group == "emergency" and on and on <= made.today and _held(each):
            yield Event("Emergency visits", on, each.words or each.title, "square", each.about_headache, each.source)


def _held(visit: Happening) -> bool:
    return visit.status not in _NOT_HELD and visit.attended != "no"


def _pregnancies(conditions: Iterable[Condition], today: date) -> tuple[Span, ...]:
    """Spans from pregnancy codes: to the stated end, else at most 280 days; overlapping ones are one."""
    found: list[Span] = []
    for each in sorted(conditions, key=lambda each: (day_of(each) or date.max, each.source)):
        first = day_of(each)
        if first is None or first > today or not each.stands or "pregnancy" not in condition_lists.lists_of(each):
            continue
        last = min(each.end or first + timedelta(PREGNANCY_DAYS), today)
        if found and first <= found[-1].last:
            continue
        found.append(Span("Pregnancy on record", first, max(first, last), each.title, each.end is None, each.source))
    return tuple(found)
