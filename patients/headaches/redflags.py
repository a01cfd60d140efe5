"""SNNOOP10 (Do et al., Neurology 2019;92:134-144): what structured data can show of it (codelists/red_flags.csv).

Progressive or atypical headache leaves no structured trace, and most of the others stand in notes alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Literal

from patients.codes import Row, table
from patients.headaches import signs
from patients.headaches.course import Course
from patients.headaches.exposure import Exposure
from patients.headaches.frequency import Frequency
from patients.headaches.record import Condition, Fact, Measure
from patients.headaches.signs import Chart, Sign
from patients.wording import date_words

Severity = Literal["high", "review", "info"]

_SEVERITIES: tuple[Severity, ...] = ("high", "review", "info")

CAUTION = "Absence of a flag in data never means “no red flags”."
_OLDER = 65  # years at onset
_INJURY_DAYS = 90
_PUERPERIUM_DAYS = 42
_PATTERN_DAYS = 183
_JUMP = 7  # more headache days per month than at the statement before, a setting
_TEMPERATURE = "8310-5"
_FEVER = {"": Decimal(38), "cel": Decimal(38), "°c": Decimal(38), "c": Decimal(38), "[degf]": Decimal("100.4")}
_FEVER |= {"°f": Decimal("100.4"), "degf": Decimal("100.4"), "f": Decimal("100.4")}


@dataclass(frozen=True, slots=True)
class RedFlag:
    """key, letter, item: of the table; severity: high before review before info; urgent: newly on file; evidence: keys
    of the facts, latest first."""

    key: str
    letter: str
    item: str
    severity: Severity
    urgent: bool
    text: str
    evidence: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class RedFlags:
    """found: by severity, then in the order of the table; caution: always shown with them."""

    found: tuple[RedFlag, ...] = ()
    caution: str = CAUTION


@dataclass(frozen=True, slots=True)
class _Seen:
    chart: Chart
    course: Course
    days: Frequency
    exposure: Exposure


def red_flags(made: Chart, course: Course, days: Frequency, exposure: Exposure) -> RedFlags:
    """Items of SNNOOP10 that the record shows. course, days, exposure: of the same record and day."""
    seen = _Seen(made, course, days, exposure)
    found = [flag for row in table("red_flags") if (flag := _flag(row, seen))]
    return RedFlags(tuple(sorted(found, key=lambda flag: _SEVERITIES.index(flag.severity))))


def _flag(row: Row, seen: _Seen) -> RedFlag | None:
    shown = [_shown(term, row, seen) for term in row["term"].split(" or ")]
    sign = signs.together(shown)
    if sign is None:
        return None
    severity = next(each for each in _SEVERITIES if each == row["severity"])
    return RedFlag(
        key=row["key"],
        letter=row["letter"],
        item=row["item"],
        severity=severity,
        urgent=bool(row["urgent_days"]) and _newly(row, seen),
        text=f"{row['item']}: record shows {sign.words}.",
        evidence=sign.sources,
        source=row["source"],
    )


def _newly(row: Row, seen: _Seen) -> bool:
    names = [term.partition(" ")[2] for term in row["term"].split(" or ")]
    conditions = [each for name in names for each in seen.chart.conditions.get(name, [])]
    return bool(signs.within_days(conditions, seen.chart, int(row["urgent_days"])))


def _shown(term: str, row: Row, seen: _Seen) -> Sign | None:
    kind, _, name = term.partition(" ")
    made = seen.chart
    if kind == "hx":
        facts = made.conditions.get(name, [])
        return signs.sign(signs.within_days(facts, made, int(row["days"])) if row["days"] else facts)
    if kind == "active":
        return signs.sign(made.active.get(name, []))
    return _OTHERS[kind](seen)


def _fever(seen: _Seen) -> Sign | None:
    hot = [each for each in seen.chart.record.measures if each.code == _TEMPERATURE and _is_fever(each)]
    return signs.sign(signs.within_days(hot, seen.chart, 14))


def _is_fever(measure: Measure) -> bool:
    limit = _FEVER.get(measure.unit.lower())
    return limit is not None and measure.value is not None and measure.value >= limit


def _onset(seen: _Seen) -> Sign | None:
    """Only a stated onset counts: the first recorded date says when the chart began."""
    born = seen.chart.record.person.born
    mine = [each for each in seen.chart.record.conditions if each.headache_class and each.stands and each.onset]
    first = min(mine, key=lambda each: (each.onset.order if each.onset else (), each.source), default=None)
    if born is None or first is None or first.onset is None:
        return None
    age = seen.chart.record.person.age(first.onset.value)
    return signs.sign([first]) if age is not None and age >= _OLDER else None


def _pattern(seen: _Seen) -> Sign | None:
    """A first chronic code within six months, or a jump of stated headache days."""
    since = seen.chart.today - timedelta(_PATTERN_DAYS)
    found = [
        Sign(each.sentence.removeprefix("Record ").rstrip("."), (*each.after.sources[-1:], *each.before.sources[:1]))
        for each in seen.course.transitions
        if each.after.first and each.after.first >= since
    ]
    stated = [each for each in seen.days.counts if each.headache is not None and each.on >= since]
    if len(stated) > 1 and (stated[-1].headache or 0) - (stated[-2].headache or 0) >= _JUMP:
        before, after = stated[-2], stated[-1]
        words = f"{before.headache:f} headache days stated on {date_words(before.on)} and {after.headache:f} on"
        found.append(Sign(f"{words} {date_words(after.on)}", (*after.sources, *before.sources)))
    return signs.together(found)


def _pregnant(seen: _Seen) -> Sign | None:
    return signs.sign(signs.pregnancy(seen.chart))


def _puerperium(seen: _Seen) -> Sign | None:
    """A delivery of the last six weeks."""
    ends: Sequence[Fact] = [
        *seen.chart.conditions.get("pregnancy-end", []),
        *(each for each in seen.chart.record.procedures if "delivery" in each.title.lower()),
    ]
    return signs.sign(signs.within_days(ends, seen.chart, _PUERPERIUM_DAYS))


def _injury(seen: _Seen) -> Sign | None:
    injuries: Sequence[Condition] = seen.chart.conditions.get("acute-head-injury", [])
    return signs.sign(signs.within_days(injuries, seen.chart, _INJURY_DAYS))


def _supply(seen: _Seen) -> Sign | None:
    """Classes whose orders of the last 90 days allow as many units per 30 days as the ICHD-3 line has days."""
    above = [
        each
        for each in seen.exposure.quarter.units
        if each.threshold and each.units_per_30_days is not None and each.units_per_30_days >= each.threshold
    ]
    if not above:
        return None
    words = " ".join(each.sentence for each in above).rstrip(".")
    return Sign(f"orders of the last 90 days. {words}", seen.exposure.quarter.sources)


_OTHERS = {
    "measured": _fever,
    "onset": _onset,
    "pattern": _pattern,
    "pregnant": _pregnant,
    "puerperium": _puerperium,
    "injury": _injury,
    "supply": _supply,
}
