"""Scores of MIDAS, HIT-6, PHQ-9, GAD-7 and monthly days from the items of a questionnaire.

Items are told apart by their wording or LOINC code (codelists/questionnaire_items.csv). A total is summed only
when every item of the instrument is answered, and never over a total that the record states.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cache

from patients.codes import table
from patients.headaches import instrument_texts, instruments
from patients.headaches.coding import LOINC, Coding
from patients.headaches.instruments import Measure

_LARGEST_ITEM = {"MIDAS": 92}  # days of three months
_TOTAL = re.compile(r"(?:total|sum|overall|final)?[\s-]*(?:score|total|sum)\W*", re.I)
_PEDIATRIC = re.compile(r"\bped(?:iatric|s)?[\s-]*MIDAS\b|\bPedMIDAS\b", re.I)


@dataclass(frozen=True, slots=True)
class Answer:
    """One question and what was answered.

    number: a number, or the ordinal value of a choice; None when the answer has none. codings: of the question.
    """

    question: str = ""
    words: str = ""
    number: Decimal | None = None
    codings: tuple[Coding, ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """One instrument's score with the answers behind it.

    computed: how the total came about when the record states none ("sum of 5 items"); conflict: a sentence when
    items and stated total disagree; both "" otherwise.
    """

    measure: Measure
    items: tuple[Answer, ...] = ()
    computed: str = ""
    conflict: str = ""


def scores(name: str, answers: Sequence[Answer]) -> tuple[Score, ...]:
    """The scores that a questionnaire called `name` holds, each instrument once; () when it holds none."""
    called = _instrument_of(name)
    items: dict[str, dict[str, Answer]] = {}
    stated: dict[str, Measure] = {}
    for instrument in _scales():
        if called in {"", instrument} and not (instrument == "MIDAS" and _PEDIATRIC.search(name)):
            items[instrument] = _items(instrument, answers, named=called == instrument)
    of_items = {id(each) for found in items.values() for each in found.values()}
    for answer in answers:
        if id(answer) not in of_items:
            for measure in _stated(called, answer):
                stated.setdefault(measure.instrument, measure)
    found = [_score(each, items.get(each, {}), stated.get(each)) for each in dict.fromkeys([*stated, *items])]
    return tuple(each for each in found if each is not None)


def _instrument_of(name: str) -> str:
    plain = re.sub(r"[_/.:|]+", " ", name)
    return "" if _PEDIATRIC.search(plain) else instrument_texts.named(plain)


def _score(instrument: str, items: dict[str, Answer], stated: Measure | None) -> Score | None:
    total = _sum(instrument, items)
    stated = replace(stated, value=_plain(stated.value)) if stated is not None else None
    kept = tuple(items.values())
    if stated is not None:
        differs = total is not None and stated.value is not None and total != stated.value
        conflict = f"The record states {stated.value:f}, its items add up to {total:f}" if differs else ""
        return Score(stated, kept, conflict=conflict)
    if total is None:
        return None
    (measure,) = instruments.read(text=f"{instrument} total", value_number=total)
    return Score(measure, kept, computed=f"sum of {len(_summed(instrument))} items")


def _stated(called: str, answer: Answer) -> tuple[Measure, ...]:
    question = answer.question
    if called and _TOTAL.fullmatch(question.strip()):
        question = f"{called} {question}"
    found = instruments.read(
        codings=answer.codings,
        text=question,
        value_number=answer.number,
        value_string="" if answer.number is not None else answer.words,
    )
    return found or _days(answer)


def _days(answer: Answer) -> tuple[Measure, ...]:
    """“How many days in the past month did you have a headache?”"""
    if answer.number is None:
        return ()
    for instrument, item, pattern, _ in _rows():
        if item == "total" and pattern.search(answer.question):
            return instruments.read(text=instrument, value_number=answer.number)
    return ()


def _items(instrument: str, answers: Sequence[Answer], *, named: bool) -> dict[str, Answer]:
    """The answers to its items by item, in the instrument's order; {} unless it is surely this instrument."""
    found: dict[str, Answer] = {}
    for _, item, pattern, loinc in (row for row in _rows() if row[0] == instrument):
        for answer in answers:
            if answer not in found.values() and (_has_code(answer, loinc) or pattern.search(answer.question)):
                found[item] = answer
                break
    whole = all(item in found for item in _summed(instrument))
    return found if named or whole else {}


def _has_code(answer: Answer, loinc: str) -> bool:
    return bool(loinc) and any(each.vocabulary == LOINC and each.code == loinc for each in answer.codings)


def _plain(value: Decimal | None) -> Decimal | None:
    """22 for 22.000000, without turning 20 into 2E+1."""
    if value is None or value != value.to_integral_value():
        return value
    return value.quantize(Decimal(1))


def _sum(instrument: str, items: dict[str, Answer]) -> Decimal | None:
    wanted = _summed(instrument)
    points = [_points(instrument, items[item]) for item in wanted if item in items]
    known = [each for each in points if each is not None]
    return sum(known, Decimal(0)) if wanted and len(known) == len(wanted) else None


def _points(instrument: str, answer: Answer) -> Decimal | None:
    """What an answer adds to the total; None when it cannot be one of the instrument's answers."""
    allowed = _allowed(instrument)
    if answer.number is None:
        return allowed.get(" ".join(answer.words.casefold().split()))
    number = answer.number.normalize()
    if instrument in _LARGEST_ITEM:
        return number if 0 <= number <= _LARGEST_ITEM[instrument] else None
    return number if number in allowed.values() else None


@cache
def _rows() -> tuple[tuple[str, str, re.Pattern[str], str], ...]:
    """(instrument, item, pattern, LOINC) of codelists/questionnaire_items.csv."""
    rows = table("questionnaire_items")
    return tuple(
        (row["instrument"], row["item"], re.compile(row["pattern"], re.I | re.S), row["loinc"]) for row in rows
    )


@cache
def _scales() -> tuple[str, ...]:
    return tuple(dict.fromkeys(instrument for instrument, item, _, _ in _rows() if item != "total"))


@cache
def _summed(instrument: str) -> tuple[str, ...]:
    """The items that make the total: numbered ones, not MIDAS A and B."""
    return tuple(item for name, item, _, _ in _rows() if name == instrument and item.isdigit())


@cache
def _allowed(instrument: str) -> dict[str, Decimal]:
    rows = table("questionnaire_answers")
    return {row["words"]: Decimal(row["points"]) for row in rows if row["instrument"] == instrument}
