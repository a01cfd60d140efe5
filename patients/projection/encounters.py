"""Encounter (FHIR R4 8.11) → visits."""

import re
from collections.abc import Iterator
from typing import Any

from patients.models import Entry
from patients.projection import reasons
from patients.projection.chart import Chart
from patients.projection.facts import NOT_NAMED, Dated, Fact, first_date, modifier_note, stated, whole_day
from patients.projection.readers import (
    Body,
    best_coding,
    codings,
    items,
    joined,
    keywords,
    named,
    node,
    nodes,
    reference,
    status_words,
    text,
    words_of,
)

# HL7 v3 ActEncounterCode, and the plain words that stand in for it.
_CLASSES = {
    "emer": "emergency", "emergency": "emergency",
    "imp": "inpatient", "acute": "inpatient", "nonac": "inpatient", "inpatient": "inpatient",
    "inpatient-encounter": "inpatient",
    "obsenc": "observation", "ss": "short stay", "prenc": "pre-admission",
    "amb": "ambulatory", "ambulatory": "ambulatory", "outpatient": "ambulatory", "office": "ambulatory",
    "vr": "virtual", "virtual": "virtual", "telehealth": "virtual",
    "hh": "home", "home-health": "home", "fld": "field",
}  # fmt: skip
_EMERGENCY = re.compile(r"\bemergency\b|\bE[DR] (?:visit|room|encounter)\b|^E[DR]$|\baccident and emergency\b", re.I)
_AFTER = re.compile(r"follow(?:ing|ed)?[\s-]*up|\bf/u\b|\bafter\b|\bpost[\s-]", re.I)
_URGENT = re.compile(r"\burgent care\b", re.I)
_VIRTUAL = re.compile(r"\btele(?:health|medicine|visit|phone|neurology)\b|\bvideo (?:visit|call)\b|\bvirtual\b", re.I)
_NO_SHOW = re.compile(r"\bno[\s-]?show(?:ed)?\b|\bdid not (?:attend|show)\b", re.I)
_HELD = {"arrived", "triaged", "in-progress", "onleave", "finished", "completed", "discharged"}
_ADMITTED_BY_EMERGENCY = "emd"  # http://terminology.hl7.org/CodeSystem/admit-source


def read(body: Body, chart: Chart) -> Iterator[Fact]:
    """One visit; whether a planned one is overdue is for the reader of today to say."""
    status = status_words(body.get("status"))
    if "entered-in-error" in keywords(body.get("status")):
        return
    kinds = joined([*map(named, items(body.get("type"))), named(body.get("serviceType"))])
    reason = reasons.read(body)
    headache = reason.headache_class or reasons.spoken(reason.words or kinds)
    diagnosed = text(body.get("id")) in chart.headache_visits
    class_words = _class(body.get("class"))
    missed = status == "noshow" or bool(_NO_SHOW.search(joined([kinds, reason.words])))
    best = best_coding(tuple(code for each in items(body.get("type")) for code in codings(each)))
    yield Fact(
        kind=Entry.Kind.VISIT,
        title=kinds or reason.words or (f"{class_words} visit".capitalize() if class_words else NOT_NAMED),
        dated=_dated(body),
        end_date=whole_day(node(body.get("period")).get("end")),
        code=best.code,
        system=best.system,
        status=status,
        group=_group(body, class_words, kinds, reason.words),
        about_headache=bool(headache) or diagnosed,
        detail=stated(
            **{"class": class_words},
            type=kinds,
            reason=reason.words,
            reason_class=headache,
            headache_by="reason" if headache else "diagnosis recorded at this visit" if diagnosed else None,
            attended=_attended(status, missed=missed),
            no_show=missed or None,
            admitted_from=words_of(node(body.get("hospitalization")).get("admitSource")),
            discharged_to=words_of(node(body.get("hospitalization")).get("dischargeDisposition")),
            places=_places(body),
            people=joined([reference(each.get("individual")).display for each in nodes(body.get("participant"))]),
            **_times(body),
            modifier=modifier_note(body),
        ),
    )


def dated(body: Body) -> Dated:
    """When the visit began, for what was recorded at it without a date of its own; undated when planned."""
    return Dated() if status_words(body.get("status")) in {"planned", "cancelled"} else _dated(body)


def _dated(body: Body) -> Dated:
    meaning = "planned" if status_words(body.get("status")) == "planned" else "visit"
    period = node(body.get("period"))
    return first_date((period.get("start"), meaning), (period.get("end"), meaning))


def _times(body: Body) -> dict[str, Any]:
    found = _dated(body)
    return stated(at=found.raw if found.precision == "time" else None, until=text(node(body.get("period")).get("end")))


def _class(value: Any) -> str:
    """The class in one of our words, else as the record has it; a Coding, or a list of concepts as in R5."""
    for each in items(value):
        for word in keywords(each):
            if word in _CLASSES:
                return _CLASSES[word]
    return next((words for each in items(value) if (words := words_of(each))), "")


def _group(body: Body, class_words: str, kinds: str, reason: str) -> str:
    """The class, or what type and place say where servers call everything ambulatory."""
    if class_words == "emergency" or _came_by_emergency(body):
        return "emergency"
    named = joined([kinds, _places(body)])
    if _EMERGENCY.search(named) and not _AFTER.search(named):
        return "emergency"
    if _URGENT.search(named):
        return "urgent-care"
    # The vendor sends no type at all: that a visit was by video stands in its reason.
    if class_words in {"", "ambulatory"} and _VIRTUAL.search(joined([kinds, reason])):
        return "virtual"
    known = class_words if class_words in _CLASSES.values() else ""
    return known.replace(" ", "-")


def _came_by_emergency(body: Body) -> bool:
    earlier = [_class(each.get("class")) for each in nodes(body.get("classHistory"))]
    source = keywords(node(body.get("hospitalization")).get("admitSource"))
    return "emergency" in earlier or _ADMITTED_BY_EMERGENCY in source


def _attended(status: str, *, missed: bool) -> str | None:
    """ "yes" or "no" where the record says so; None for what is planned or unknown."""
    if missed or status == "cancelled":
        return "no"
    return "yes" if status in _HELD else None


def _places(body: Body) -> str:
    return joined([reference(each.get("location")).display for each in nodes(body.get("location"))])
