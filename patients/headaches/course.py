"""The course of a patient's headache diagnoses: codes with their first and last dates, and what leads."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache

from patients.codes import Row, table
from patients.headaches.record import Condition, day_of, when

_ICD10 = re.compile(r"(?:G43|G44|R51)[0-9A-Z]{0,4}")
_EPISODIC_BY_DEFAULT = "migraine"  # ICD-10-CM has no word "episodic": G43.0, G43.1, G43.9 stand beside G43.7


@dataclass(frozen=True, slots=True)
class CodeSpan:
    """One headache code (or class, where the record gives words only) as the record states it over time.

    first, last: earliest and latest date of its statements, None when undated; first_words, last_words: the
    same as precise as the record; count: statements; active: any of them is active; chronic: True, False, or
    None when the code does not say; sources: latest first.
    """

    code: str
    title: str
    headache_class: str
    words: str
    chronic: bool | None
    specificity: int
    first: date | None
    first_words: str
    last: date | None
    last_words: str
    count: int
    active: bool
    sources: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.words} ({self.code})" if self.code else self.words


@dataclass(frozen=True, slots=True)
class Transition:
    """An episodic code followed by a chronic one of the same family."""

    before: CodeSpan
    after: CodeSpan

    @property
    def sentence(self) -> str:
        return (
            f"Record changes from {self.before.name}, first {self.before.first_words}, "
            f"to {self.after.name}, first {self.after.first_words}."
        )


@dataclass(frozen=True, slots=True)
class Course:
    """spans: code history, oldest first, undated last. headline: the most specific active diagnosis, else the
    most specific of all, None without any; headline_active: whether the record calls it active; first_recorded:
    earliest recorded date of any headache diagnosis; onset: earliest stated onset in words, "" when none is;
    both_active: notes on episodic and chronic codes of one family that are active side by side.
    """

    spans: tuple[CodeSpan, ...] = ()
    transitions: tuple[Transition, ...] = ()
    headline: CodeSpan | None = None
    headline_active: bool = False
    first_recorded: str = ""
    first_recorded_source: str = ""
    onset: str = ""
    onset_source: str = ""
    both_active: tuple[str, ...] = ()


def course(conditions: Sequence[Condition], today: date) -> Course:
    """The course from all conditions of a record; those without a headache class are passed over.

    Statements dated after today count for no span's dates.
    """
    mine = [each for each in conditions if each.headache_class and each.stands]
    groups: dict[str, list[Condition]] = {}
    for condition in mine:
        groups.setdefault(_key(condition), []).append(condition)
    spans = sorted((_span(group, today) for group in groups.values()), key=_by_first)
    active = [span for span in spans if span.active]
    recorded = [each for each in mine if each.recorded and each.recorded.value <= today]
    first = min(recorded, key=lambda each: (each.recorded.order, each.source) if each.recorded else (), default=None)
    onset, onset_source = _onset(mine, today)
    return Course(
        spans=tuple(spans),
        transitions=tuple(_transitions(spans)),
        headline=max(active or spans, key=_leading, default=None),
        headline_active=bool(active),
        first_recorded=when(first.recorded) if first else "",
        first_recorded_source=first.source if first else "",
        onset=onset,
        onset_source=onset_source,
        both_active=tuple(_both_active(active)),
    )


def _key(condition: Condition) -> str:
    return "".join(condition.code.upper().split()).replace(".", "") or condition.headache_class


def _dotted(code: str) -> str:
    """G43709 and g43.709 as the classification prints it; any other code as received."""
    bare = code.upper().replace(".", "")
    return f"{bare[:3]}.{bare[3:]}".rstrip(".") if _ICD10.fullmatch(bare) else code


def _span(group: Sequence[Condition], today: date) -> CodeSpan:
    dated = [each for each in group if each.dated and each.dated.value <= today]
    dated.sort(key=lambda each: each.dated.order if each.dated else ())
    latest = dated[-1] if dated else group[-1]
    row = _class(latest.headache_class)
    undated = [each for each in group if not each.dated or each.dated.value > today]
    newest_first = [*reversed(dated), *undated]
    return CodeSpan(
        code=_dotted(latest.code),
        title=latest.title,
        headache_class=latest.headache_class,
        words=latest.words or row["words"],
        chronic=_chronic(row),
        specificity=int(row["specificity"]),
        first=day_of(dated[0]) if dated else None,
        first_words=when(dated[0].dated if dated else None),
        last=day_of(latest) if dated else None,
        last_words=when(latest.dated if dated else None),
        count=len(group),
        active=any(each.active(today) for each in group),
        sources=tuple(dict.fromkeys(each.source for each in newest_first)),
    )


def _chronic(row: Row) -> bool | None:
    if row["chronic"]:
        return row["chronic"] == "yes"
    return False if row["family"] == _EPISODIC_BY_DEFAULT else None


def _by_first(span: CodeSpan) -> tuple[bool, date, str]:
    return span.first is None, span.first or date.min, span.code


def _leading(span: CodeSpan) -> tuple[int, date, str]:
    return span.specificity, span.last or date.min, span.code


def _transitions(spans: Sequence[CodeSpan]) -> list[Transition]:
    """Per family, the last new code before the first chronic one, and that one."""
    found = []
    for family in dict.fromkeys(_family(span) for span in spans):
        members = [span for span in spans if _family(span) == family and span.first]
        chronic = [span for span in members if span.chronic]
        if not chronic:
            continue
        after = chronic[0]
        before = [span for span in members if span.chronic is False and (span.first or after.first) < after.first]  # type: ignore[operator]
        if before:
            found.append(Transition(before[-1], after))
    return found


def _both_active(active: Sequence[CodeSpan]) -> list[str]:
    lines = []
    for family in dict.fromkeys(_family(span) for span in active):
        chronic = [span for span in active if _family(span) == family and span.chronic]
        episodic = [span for span in active if _family(span) == family and span.chronic is False]
        if chronic and episodic:
            names = " and ".join(span.name for span in (chronic[-1], episodic[-1]))
            lines.append(f"{names} are both active in the record.")
    return lines


def _onset(conditions: Sequence[Condition], today: date) -> tuple[str, str]:
    dated = [each for each in conditions if each.onset and each.onset.value <= today]
    if dated:
        first = min(dated, key=lambda each: (each.onset.order if each.onset else (), each.source))
        return when(first.onset), first.source
    worded = [each for each in conditions if each.onset_words]
    return (worded[0].onset_words, worded[0].source) if worded else ("", "")


def _family(span: CodeSpan) -> str:
    return _class(span.headache_class)["family"]


def _class(name: str) -> Row:
    """Its row. A class that has left the table since the record was read stands for itself until it is read anew."""
    alone = {"words": re.sub(r"[/-]", " ", name), "chronic": "", "family": name, "specificity": "0"}
    return _classes().get(name) or alone


@cache
def _classes() -> dict[str, Row]:
    """Rows of codelists/headache_classes.csv by class."""
    return {row["class"]: row for row in table("headache_classes")}
