"""QuestionnaireResponse (FHIR R4 2.41) → measures by instrument, else that a questionnaire was answered."""

import re
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Any

from patients.headaches import questionnaires
from patients.headaches.coding import Coding
from patients.headaches.questionnaires import Answer, Score
from patients.models import Entry
from patients.projection import observations
from patients.projection.chart import Chart
from patients.projection.facts import NOT_NAMED, Dated, Fact, first_date, modifier_note, stated
from patients.projection.readers import (
    Body,
    contained,
    items,
    joined,
    keywords,
    node,
    nodes,
    number,
    reference,
    status_words,
    text,
)
from patients.projection.values import value_of

_LOINC = "http://loinc.org"
_LOINC_CODE = re.compile(r"/?(\d{1,7}-\d)")  # LHC-Forms writes the code of an item into its linkId: "/44250-9"
_DISPLAY = "http://hl7.org/fhir/StructureDefinition/display"
# The points of a choice: R4 names, and the one that R5 gives it.
_POINTS = {
    "http://hl7.org/fhir/StructureDefinition/ordinalValue",
    "http://hl7.org/fhir/StructureDefinition/itemWeight",
    "http://hl7.org/fhir/StructureDefinition/iso21090-CO-value",
}
_DEEPEST = 12


def read(body: Body, chart: Chart) -> Iterator[Fact]:
    """One measure per instrument found in the answers; else one entry that names the questionnaire."""
    if "entered-in-error" in keywords(body.get("status")):
        return
    groups, answers = _walk(body)
    title, dated = _title(body), _dated(body)
    name = title or _address(body)
    plain = Fact(
        kind=Entry.Kind.MEASURE,
        title=name or next(iter(groups), "") or NOT_NAMED,
        dated=dated,
        status=status_words(body.get("status")),
        detail=stated(
            questionnaire=name,
            by=reference(body.get("author")).display,
            at=dated.raw if dated.precision == "time" else None,
            modifier=modifier_note(body),
        ),
    )
    found = questionnaires.scores(joined([name, *groups], " "), answers)
    if not found:
        yield replace(plain, detail=plain.detail | stated(answers=_listed(answers)))
    for score in found:
        yield _scored(plain if title else replace(plain, title=score.measure.instrument), score)


def _scored(plain: Fact, score: Score) -> Fact:
    measure = score.measure
    fact = observations.instrument(plain, measure)
    shown = "" if measure.value is None else f"{measure.value.normalize():f}"
    more = stated(items=_listed(score.items), computed=score.computed, conflict=score.conflict)
    return replace(fact, value_text=shown or measure.matched_text, detail=fact.detail | more)


def _listed(answers: tuple[Answer, ...] | list[Answer]) -> list[dict[str, str]]:
    return [stated(question=each.question, answer=each.words) for each in answers if each.words]


def _dated(body: Body) -> Dated:
    updated = text(node(body.get("meta")).get("lastUpdated"))
    return first_date((body.get("authored"), "answered"), (updated, "recorded"))


def _title(body: Body) -> str:
    """The questionnaire's title as displayed or contained; "" when there is only an address."""
    for each in nodes(node(body.get("_questionnaire")).get("extension")):
        if text(each.get("url")) == _DISPLAY and text(each.get("valueString")):
            return text(each.get("valueString"))
    address = text(body.get("questionnaire"))
    inside = contained(body, address[1:]) if address.startswith("#") else {}
    return text(inside.get("title")) or text(inside.get("name")) or text(node(body.get("questionnaire")).get("display"))


def _address(body: Body) -> str:
    """The end of its canonical address in words: "phq 9"."""
    address = text(body.get("questionnaire")).partition("|")[0].partition("#")[0]
    return address.rstrip("/").rpartition("/")[2].replace("-", " ").replace("_", " ").strip()


def _walk(body: Body) -> tuple[list[str], list[Answer]]:
    """The headings of item groups, and every answered item, in order."""
    groups: list[str] = []
    answers: list[Answer] = []
    pending = [(each, 0) for each in reversed(nodes(body.get("item")))]
    while pending:
        item, depth = pending.pop()
        given = [each for each in items(item.get("answer")) if each is not None]
        if given:
            answers.append(_answer(item, given))
        elif text(item.get("text")):
            groups.append(text(item.get("text")))
        inner = nodes(item.get("item")) + [each for part in given for each in nodes(node(part).get("item"))]
        if depth < _DEEPEST:
            pending += [(each, depth + 1) for each in reversed(inner)]
    return groups, answers


def _answer(item: Body, given: list[Any]) -> Answer:
    link = text(item.get("linkId"))
    code = _LOINC_CODE.fullmatch(link)
    values = [value_of(each) if isinstance(each, dict) else value_of({"valueString": each}) for each in given]
    digits = [each.number for each in values if each.number is not None]
    points = [found for each in given if (found := _points(each)) is not None]
    numbers = digits or points
    return Answer(
        question=text(item.get("text")) or ("" if code else link),
        words=joined([each.text for each in values]),
        number=numbers[0] if len(given) == 1 and numbers else None,
        codings=(Coding(_LOINC, code[1]),) if code else (),
    )


def _points(answer: Any) -> Decimal | None:
    """The ordinal value that an extension puts on a choice."""
    choice = node(node(answer).get("valueCoding"))
    for holder in (choice, node(answer)):
        for each in nodes(holder.get("extension")):
            if text(each.get("url")) in _POINTS:
                return number(each.get("valueDecimal"))
    return None
