"""Procedure (FHIR R4 9.3) → procedures: toxin sessions, nerve blocks, imaging, others."""

from collections.abc import Iterator
from typing import Any

from patients.headaches import procedures
from patients.headaches.coding import SNOMED
from patients.headaches.procedures import Recognised
from patients.models import Entry
from patients.projection import reasons
from patients.projection.chart import Chart
from patients.projection.facts import (
    NOT_NAMED,
    Dated,
    Fact,
    as_listed,
    first_date,
    modifier_note,
    stated,
    whole_day,
    words_of_time,
)
from patients.projection.readers import (
    Body,
    absent_reason,
    all_words_of,
    best_coding,
    codings,
    joined,
    keywords,
    named,
    node,
    nodes,
    notes_of,
    reference,
    status_words,
    text,
    words_of,
)

# Nothing was done (or not yet): such a procedure is shown, and counts nowhere.
_NOT_PERFORMED = {"not-done", "preparation"}


def read(body: Body, chart: Chart) -> Iterator[Fact]:
    """One procedure. One that was not performed keeps its status and has no group: it is no session of anything."""
    status = status_words(body.get("status"))
    if "entered-in-error" in keywords(body.get("status")):
        return
    found = codings(body.get("code"))
    words = text(body.get("code")) or text(node(body.get("code")).get("text"))
    what = procedures.recognise(found, words)
    best = best_coding(found, SNOMED)
    reason = reasons.read(body)
    group = what.group if what else ""
    performed = status not in _NOT_PERFORMED
    yield Fact(
        kind=Entry.Kind.PROCEDURE,
        title=words or best.display or (what.label if what else "") or named(body.get("code")) or NOT_NAMED,
        dated=_dated(body),
        end_date=whole_day(node(body.get("performedPeriod")).get("end")),
        code=best.code,
        system=best.system,
        status=status,
        group=group if performed else "",
        about_headache=bool(what and what.about_headache) or bool(reason.headache_class),
        detail=_said(body)
        | stated(
            reason=reason.words,
            reason_class=reason.headache_class,
            not_performed=None if performed else True,
            would_be=None if performed else group,
            other_codes=as_listed(tuple(each for each in found if each != best)),
        )
        | (_reading(what) if what else {}),
    )


def _dated(body: Body) -> Dated:
    period = node(body.get("performedPeriod"))
    return first_date(
        (body.get("performedDateTime"), "performed"),
        (period.get("start"), "performed"),
        (period.get("end"), "performed"),
    )


def _said(body: Body) -> dict[str, Any]:
    dated = _dated(body)
    return stated(
        category=words_of(body.get("category")),
        at=dated.raw if dated.precision == "time" else None,
        when=words_of_time(body, "performed"),
        absent=_absent(body),
        status_reason=words_of(body.get("statusReason")),
        site=all_words_of(body.get("bodySite")),
        outcome=words_of(body.get("outcome")),
        complications=all_words_of(body.get("complication")),
        by=joined([reference(each.get("actor")).display for each in nodes(body.get("performer"))]),
        place=reference(body.get("location")).display,
        note=notes_of(body),
        modifier=modifier_note(body),
    )


def _absent(body: Body) -> str:
    """Why it has no date, in words: "not performed"."""
    reason = absent_reason(body, "performedDateTime") or absent_reason(body, "performedPeriod")
    return reason.replace("-", " ")


def _reading(what: Recognised) -> dict[str, Any]:
    return stated(
        label=what.label,
        recognised_by=what.matched_by,
        modality=what.modality,
        region=what.region,
        also=list(what.also),
        excluded_reason=what.excluded_reason,
    )
