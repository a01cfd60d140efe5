"""Observation (FHIR R4 10.1) → measures: headache instruments, blood pressure, any other value."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from functools import lru_cache

from patients.headaches import instruments
from patients.headaches.coding import LOINC, Coding
from patients.headaches.instruments import Measure
from patients.models import Entry
from patients.projection.chart import Chart
from patients.projection.facts import NOT_NAMED, Dated, Fact, first_date, modifier_note, stated
from patients.projection.readers import (
    Body,
    all_words_of,
    best_coding,
    codings,
    items,
    joined,
    keywords,
    named,
    node,
    nodes,
    notes_of,
    range_words,
    status_words,
    text,
    words_of,
)
from patients.projection.values import Value, pretty_unit, value_of

_NOT_MEASURED = {"entered-in-error", "cancelled"}
_ABOUT_HEADACHE = {"midas", "hit-6", "headache-days", "migraine-days", "acute-medication-days"}
_TOTAL = {"total", "sum", "score", "total-score", "sum-score"}
_PRESSURES = {"8480-6": "systolic", "8462-4": "diastolic"}


def read(body: Body, chart: Chart) -> Iterator[Fact]:
    """One measure per value: of the observation, each component, each instrument in its notes.

    The two components of a blood pressure are one measure. A panel of other Observations has none itself.
    """
    if keywords(body.get("status")) & _NOT_MEASURED:
        return
    whole = _plain(body)
    components = nodes(body.get("component"))
    pressures = {kind: part for part in reversed(components) if (kind := _pressure(part))}
    facts = [_blood_pressure(whole, pressures)] if pressures else []
    facts += _of_part(whole, body, is_component=False)
    for part in components:
        if not any(part is pressure for pressure in pressures.values()):
            facts += _of_part(whole, part, is_component=True)
    facts += _of_notes(whole, body, facts)
    if facts:
        yield from facts
    elif not items(body.get("hasMember")):
        yield replace(whole, detail=whole.detail | _remarks(body))


def _plain(body: Body) -> Fact:
    """The observation without its value."""
    best = best_coding(codings(body.get("code")), LOINC)
    dated = _date(body)
    return Fact(
        kind=Entry.Kind.MEASURE,
        title=_title(body) or notes_of(body) or NOT_NAMED,
        dated=dated,
        code=best.code,
        system=best.system,
        status=status_words(body.get("status")),
        detail=stated(
            category=all_words_of(body.get("category")),
            at=dated.raw if dated.precision == "time" else None,
            note=notes_of(body),
            modifier=modifier_note(body),
        ),
    )


def _title(part: Body) -> str:
    concept = part.get("code")
    best = best_coding(codings(concept), LOINC)
    return text(concept) or text(node(concept).get("text")) or best.display or named(concept)


def _date(body: Body) -> Dated:
    period = node(body.get("effectivePeriod"))
    events = items(node(body.get("effectiveTiming")).get("event"))
    return first_date(
        *((each, "measured") for each in (body.get("effectiveDateTime"), body.get("effectiveInstant"))),
        *((each, "measured") for each in (period.get("start"), period.get("end"), *events)),
        (body.get("issued"), "issued"),
    )


def _remarks(part: Body) -> dict[str, object]:
    ranges = [text(each.get("text")) or range_words(each) for each in nodes(part.get("referenceRange"))]
    return stated(
        interpretation=all_words_of(part.get("interpretation")),
        reference_range=joined(ranges, "; "),
        absent=words_of(part.get("dataAbsentReason")),
        body_site=words_of(part.get("bodySite")),
        method=words_of(part.get("method")),
    )


def _of_part(whole: Fact, part: Body, *, is_component: bool) -> list[Fact]:
    """The measures of the observation's own value, or of one component's."""
    value = value_of(part)
    if not value.text:
        return []
    fact = _component(whole, part) if is_component else whole
    fact = replace(
        fact, value=value.number, value_text=value.text, unit=value.unit, detail=fact.detail | _remarks(part)
    )
    found = codings(part.get("code"))
    name = _instrument_name(whole, fact) if is_component else fact.title
    name = "" if name in {each.display for each in found} else name
    if value.number is not None and not value.is_words and not _names_instrument(found, name):
        return [fact]
    measures = instruments.read(
        codings=found,
        text=name,
        value_number=value.number,
        value_string=value.text if value.is_words else "",
        value_codes=value.codes,
    )
    if len(measures) == 1:
        return [instrument(fact, measures[0])]
    return [replace(instrument(fact, each), value_text=each.matched_text) for each in measures] or [fact]


@lru_cache(maxsize=4096)
def _names_instrument(found: tuple[Coding, ...], name: str) -> bool:
    """Whether a number under this code is an instrument's: most are vital signs and laboratory values."""
    return bool(instruments.read(codings=found, text=name, value_number=Decimal(0)))


def _component(whole: Fact, part: Body) -> Fact:
    best = best_coding(codings(part.get("code")), LOINC)
    return replace(
        whole,
        title=_title(part) or whole.title,
        code=best.code,
        system=best.system,
        detail=whole.detail | stated(panel=whole.title),
    )


def _instrument_name(panel: Fact, component: Fact) -> str:
    """In a panel called MIDAS a component called "Total score" is the MIDAS total."""
    is_total = "-".join(component.title.lower().split()) in _TOTAL
    return f"{panel.title} {component.title}" if is_total else component.title


def _of_notes(whole: Fact, body: Body, found: list[Fact]) -> list[Fact]:
    """Instruments named in the notes, unless a value already gave the same reading."""
    known = {(fact.group, fact.value) for fact in found}
    notes = [words for each in items(body.get("note")) if (words := text(each) or text(node(each).get("text")))]
    measures = instruments.read(notes=list(filter(None, notes))) if notes else ()
    facts = [replace(instrument(whole, each), value_text=each.matched_text) for each in measures]
    return [
        replace(fact, detail=fact.detail | {"from_note": True})
        for fact in facts
        if (fact.group, fact.value) not in known
    ]


def instrument(fact: Fact, measure: Measure) -> Fact:
    """The fact as one reading of an instrument."""
    group = "-".join(measure.instrument.lower().split())
    reading = stated(instrument=measure.instrument, band=measure.band, out_of_range=measure.out_of_range or None)
    return replace(
        fact,
        group=group,
        about_headache=group in _ABOUT_HEADACHE,
        value=measure.value,
        detail=fact.detail | reading,
    )


def _pressure(part: Body) -> str:
    """Which half of a blood pressure a component is: "systolic", "diastolic" or neither."""
    for coding in codings(part.get("code")):
        if coding.vocabulary == LOINC and coding.code in _PRESSURES:
            return _PRESSURES[coding.code]
    words = _title(part).lower()
    return next((kind for kind in _PRESSURES.values() if kind in words and "pressure" in words), "")


def _blood_pressure(whole: Fact, pressures: dict[str, Body]) -> Fact:
    read = {kind: value_of(part) for kind, part in pressures.items()}
    upper, lower = read.get("systolic", Value()), read.get("diastolic", Value())
    unit = upper.unit or lower.unit
    both = f"{upper.digits or '–'}/{lower.digits or '–'} {pretty_unit(unit)}".strip()
    remarks = {key: value for part in pressures.values() for key, value in _remarks(part).items()}
    return replace(
        whole,
        group="blood-pressure",
        value_text=both if upper.digits or lower.digits else "",
        unit=unit,
        detail=whole.detail | remarks | stated(systolic=upper.digits, diastolic=lower.digits),
    )
