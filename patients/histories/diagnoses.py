"""Headache diagnoses with the history of their codes, comorbidities that steer choice, and the rest."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from patients.absence import Completeness
from patients.headaches.course import CodeSpan
from patients.headaches.record import Condition, Measure, newest, when
from patients.histories.evidence import Evidence
from patients.histories.parts import Row, Rows, Sources
from patients.summaries import Summary
from patients.wording import number_words

OTHERS = 40  # other diagnoses on the page
_PRESSURES = 3


@dataclass(frozen=True, slots=True)
class CodeLine:
    """One code over time. count: statements."""

    words: str
    title: str
    code: str
    first: str
    last: str
    count: int
    active: bool
    leads: bool
    tags: tuple[str, ...]
    sources: Sources


@dataclass(frozen=True, slots=True)
class Diagnoses:
    """codes: oldest first, as they followed each other; notes: what changed or contradicts; total: diagnoses on
    file."""

    codes: tuple[CodeLine, ...]
    notes: tuple[str, ...]
    absent: str
    comorbidities: Rows
    readings: tuple[Row, ...]
    others: Rows
    total: int


def diagnoses(made: Summary, evidence: Evidence, known: Completeness, readings: Sequence[Row]) -> Diagnoses:
    """readings: further measures that steer choice, ready made."""
    course, record = made.course, made.record
    tags = _tags(record.conditions)
    codes = tuple(_code(span, span is course.headline, tags, evidence) for span in course.spans)
    others = [each for each in newest(record.conditions) if not each.headache_class]
    total = len(record.conditions)

    def none(what: str) -> str:
        if total:
            return f"No {what} among the {number_words(total, 'diagnosis', 'diagnoses')} on file."
        return known.of("Condition").sentence

    steering = tuple(_comorbidity(each.words, each.conditions, evidence, made.today) for each in made.comorbidities)
    return Diagnoses(
        codes=codes,
        notes=(*(each.sentence for each in course.transitions), *course.both_active),
        absent="" if codes else none("headache diagnosis"),
        comorbidities=Rows(steering, len(steering), "" if steering else none("comorbidity that steers choice")),
        readings=(*_pressures(record.measures, made.today, evidence), *readings),
        others=_others(others, evidence),
        total=total,
    )


def _code(span: CodeSpan, leads: bool, tags: dict[str, tuple[str, ...]], evidence: Evidence) -> CodeLine:
    return CodeLine(
        words=span.words,
        title=span.title if span.title.casefold() != span.words.casefold() else "",
        code=span.code,
        first=span.first_words,
        last=span.last_words,
        count=span.count,
        active=span.active,
        leads=leads,
        tags=tuple(dict.fromkeys(tag for source in span.sources for tag in tags.get(source, ()))),
        sources=evidence.sources(span.sources, "?all=diagnosis"),
    )


def _tags(conditions: Iterable[Condition]) -> dict[str, tuple[str, ...]]:
    return {each.source: each.conflicts for each in conditions if each.conflicts}


def _comorbidity(words: str, conditions: Sequence[Condition], evidence: Evidence, today: date) -> Row:
    latest = conditions[0]
    count = f"{len(conditions)} entries" if len(conditions) > 1 else ""
    return Row(
        title=words,
        when=when(latest.dated),
        meaning=latest.meaning,
        about=" · ".join(filter(None, (latest.title, latest.code, count))),
        status="active" if any(each.active(today) for each in conditions) else latest.clinical,
        href=evidence.href(latest.source),
    )


def _pressures(measures: Sequence[Measure], today: date, evidence: Evidence) -> Iterable[Row]:
    """The last three blood pressures in one row."""
    taken = [each for each in newest(measures) if each.group == "blood-pressure" and each.dated]
    taken = [each for each in taken if each.dated and each.dated.value <= today][:_PRESSURES]
    if taken:
        earlier = ", ".join(f"{each.value_text} ({when(each.dated)})" for each in taken[1:])
        yield Row(
            title="Blood pressure",
            when=when(taken[0].dated),
            words=taken[0].value_text,
            about=f"before: {earlier}" if earlier else "",
            href=evidence.href(taken[0].source),
        )


def _others(conditions: Sequence[Condition], evidence: Evidence) -> Rows:
    """One row for each code, else name; the latest statement of each."""
    found: dict[str, list[Condition]] = {}
    for each in conditions:
        found.setdefault(each.code or each.title.casefold(), []).append(each)
    rows = tuple(
        Row(
            title=group[0].title,
            when=when(group[0].dated),
            meaning=group[0].meaning,
            about=" · ".join(filter(None, (group[0].code, f"{len(group)} entries" if len(group) > 1 else ""))),
            status=group[0].clinical,
            href=evidence.href(group[0].source),
        )
        for group in list(found.values())[:OTHERS]
    )
    return Rows(rows, len(found))
