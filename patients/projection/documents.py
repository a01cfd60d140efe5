"""DocumentReference (FHIR R4 2.38) → documents: that they exist. Their contents are not read."""

from collections.abc import Iterable, Iterator

from patients.headaches.coding import LOINC
from patients.models import Entry
from patients.projection.chart import Chart
from patients.projection.facts import NOT_NAMED, Dated, Fact, first_date, modifier_note, stated
from patients.projection.readers import (
    Body,
    all_words_of,
    best_coding,
    codings,
    displays,
    joined,
    keywords,
    node,
    nodes,
    own_id,
    reference,
    status_words,
    text,
    words_of,
)

_HIDDEN = {"superseded", "entered-in-error"}


def read(body: Body, chart: Chart) -> Iterator[Fact]:
    """One document; none for one that was superseded, by its own word or another's."""
    withdrawn = (keywords(body.get("status")) | keywords(body.get("docStatus"))) & _HIDDEN
    if withdrawn or f"DocumentReference/{text(body.get('id'))}" in chart.replaced:
        return
    best = best_coding(codings(body.get("type")), LOINC)
    attachments = [node(each.get("attachment")) for each in nodes(body.get("content"))]
    titles = joined([text(each.get("title")) for each in attachments])
    dated = _dated(body, attachments)
    yield Fact(
        kind=Entry.Kind.DOCUMENT,
        title=words_of(body.get("type"))
        or text(body.get("description"))
        or titles
        or all_words_of(body.get("category"))
        or NOT_NAMED,
        dated=dated,
        code=best.code,
        system=best.system,
        status=joined([status_words(body.get(name)) for name in ("status", "docStatus")]),
        detail=stated(
            category=all_words_of(body.get("category")),
            description=text(body.get("description")),
            author=displays(body.get("author")),
            authenticator=reference(body.get("authenticator")).display,
            custodian=reference(body.get("custodian")).display,
            attachments=len(attachments) or None,
            attached=joined([text(each.get("contentType")) for each in attachments]),
            titles=titles,
            at=dated.raw if dated.precision == "time" else None,
            modifier=modifier_note(body),
        ),
    )


def _dated(body: Body, attachments: list[Body]) -> Dated:
    period = node(node(body.get("context")).get("period"))
    return first_date(
        (body.get("date"), "recorded"),
        *((each.get("creation"), "created") for each in attachments),
        (period.get("start"), "visit"),
        (body.get("created"), "created"),
    )


def replaced(bodies: Iterable[Body], practice_code: str) -> frozenset[str]:
    """ "DocumentReference/id" of those that another one of the chart says it replaces."""
    return frozenset(
        f"DocumentReference/{target}"
        for body in bodies
        if not keywords(body.get("status")) & _HIDDEN
        for related in nodes(body.get("relatesTo"))
        if text(related.get("code")) == "replaces"
        and (target := own_id(related.get("target"), "DocumentReference", practice_code))
        and target != text(body.get("id"))
    )
