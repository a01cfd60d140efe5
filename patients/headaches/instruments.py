"""Headache instruments in whatever shape an EMR keeps them: value, component, string, coded answer or note.

MIDAS, HIT-6 and headache days have no LOINC code, so they are found by their names in any code system.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

from patients.codes import Row, split, table
from patients.headaches import instrument_texts as texts
from patients.headaches.coding import LOINC, Coding


@dataclass(frozen=True, slots=True)
class Component:
    """One component of a panel Observation."""

    codings: tuple[Coding, ...] = ()
    text: str = ""
    value_number: Decimal | None = None
    value_string: str = ""
    value_codes: tuple[Coding, ...] = ()


@dataclass(frozen=True, slots=True)
class Measure:
    """One reading of one instrument.

    instrument: a name of codelists/instruments.csv; value: as recorded, never clipped or rounded, None when
    only a grade or a range is stated; band: words of codelists/instrument_bands.csv, "" when none applies;
    out_of_range: the value cannot be a score of this instrument; matched_text: the words it was read from.
    """

    instrument: str
    value: Decimal | None
    band: str
    out_of_range: bool
    matched_text: str


def read(
    *,
    codings: Sequence[Coding] = (),
    text: str = "",
    value_number: Decimal | None = None,
    value_string: str = "",
    value_codes: Sequence[Coding] = (),
    components: Sequence[Component] = (),
    notes: Sequence[str] = (),
) -> tuple[Measure, ...]:
    """All instrument readings of one Observation (or questionnaire answer), without repeats.

    codings, text: its code; value_*: its value[x]; notes: note texts, read by name only.
    """
    whole = Component(tuple(codings), text, value_number, value_string, tuple(value_codes))
    found = [measure for part in (whole, *components) for measure in _from_part(part)]
    found += [measure for note in notes for measure in _from_words(note)]
    unique = {(measure.instrument, measure.value, measure.band): measure for measure in reversed(found)}
    return tuple(reversed(unique.values()))


def _from_part(part: Component) -> list[Measure]:
    title = " ".join(filter(None, (part.text, *(coding.display for coding in part.codings))))
    answers = [part.value_string, *(coding.display for coding in part.value_codes)]
    instrument = _by_loinc(part.codings) or texts.named(title)
    if not instrument:
        return [measure for answer in answers for measure in _from_words(answer)]
    if part.value_number is not None:
        return [_measure(instrument, part.value_number, f"{title.strip()} {part.value_number}".strip())]
    measures = []
    for answer in filter(str.strip, answers):
        # "HIT-6: 64" as the value of a "MIDAS / HIT-6" panel names its own instrument.
        own = _from_words(answer)
        reading = texts.answer(instrument, answer)
        measures += own or ([_from_reading(reading)] if reading else [])
    return measures


def _from_words(words: str) -> list[Measure]:
    return [_from_reading(reading) for reading in texts.readings(words)]


def _from_reading(reading: texts.Reading) -> Measure:
    if reading.value is None:
        return Measure(reading.instrument, None, _graded(reading.grade), False, reading.matched_text)
    return _measure(reading.instrument, reading.value, reading.matched_text)


def _measure(instrument: str, value: Decimal, matched_text: str) -> Measure:
    limits = _instruments()[instrument]
    outside = not Decimal(limits["lowest"]) <= value <= Decimal(limits["highest"])
    return Measure(instrument, value, "" if outside else _band(instrument, value), outside, matched_text)


def _band(instrument: str, value: Decimal) -> str:
    reached = [
        row for row in table("instrument_bands") if row["instrument"] == instrument and Decimal(row["from"]) <= value
    ]
    return reached[-1]["band"] if reached else ""


def _graded(grade: str) -> str:
    return next((row["band"] for row in table("instrument_bands") if grade and row["grade"] == grade), "")


def _by_loinc(codings: Sequence[Coding]) -> str:
    codes = {coding.code.strip() for coding in codings if coding.vocabulary == LOINC}
    return next((name for name, row in _instruments().items() if codes & set(split(row["loinc"]))), "")


@cache
def _instruments() -> dict[str, Row]:
    return {row["instrument"]: row for row in table("instruments")}
