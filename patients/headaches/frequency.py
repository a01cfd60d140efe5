"""Headache days per month and disability scores over time, from clinic entries and measures of the record.

A month without a statement is a gap, never zero. Days are never derived from visits or orders.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Literal

from patients.codes import Row, table
from patients.headaches import instruments
from patients.headaches.record import Assessment, Measure, day_of
from patients.wording import date_words

Direction = Literal["fewer", "more", "same"]

MONTHS = 12
_RECENT, _MEAN, _TREND, _YEAR = 30, 90, 180, 365  # days
_MOST = 31
_HIT6_CHANGE = 6  # Houts 2020: fewer points by 6 is a response in chronic migraine
_ADULT = 18  # MIDAS grades were made for adults
_DAYS_GROUPS = {"headache-days": "headache", "migraine-days": "migraine", "acute-medication-days": "acute"}


@dataclass(frozen=True, slots=True)
class DayCount:
    """One statement of days per 30 days. headache, migraine, acute: None when not stated.

    origin: "clinic entry", "measured value" or "value in a note"; documented_days: diary days behind it, None
    when the figures were told; period_days: what was asked about, figures are per month all the same.
    """

    on: date
    headache: Decimal | None
    migraine: Decimal | None
    acute: Decimal | None
    origin: str
    sources: tuple[str, ...]
    documented_days: int | None = None
    period_days: int = 30

    @property
    def other(self) -> Decimal | None:
        """Headache days that were no migraine days; None unless both are stated and agree."""
        if self.headache is None or self.migraine is None or self.migraine > self.headache:
            return None
        return self.headache - self.migraine


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month; count: its latest statement with headache or migraine days, None for a gap."""

    first: date
    count: DayCount | None

    @property
    def few_diary_days(self) -> bool:
        """Fewer than 20 diary days stand behind the figure (a hollow bar)."""
        days = self.count.documented_days if self.count else None
        return days is not None and days < 20


@dataclass(frozen=True, slots=True)
class Trend:
    """Change of headache days from the first to the last statement of the last 180 days."""

    change: Decimal
    since: date
    until: date

    @property
    def direction(self) -> Direction:
        return "same" if not self.change else "fewer" if self.change < 0 else "more"


@dataclass(frozen=True, slots=True)
class Level:
    """latest: newest statement; recent: it is at most 30 days old; mean: of the statements of the last 90
    days, None without any; points: how many those are; trend: None with fewer than two statements."""

    latest: DayCount | None = None
    recent: bool = False
    mean: Fraction | None = None
    points: int = 0
    trend: Trend | None = None


@dataclass(frozen=True, slots=True)
class Frequency:
    """months: the last 12 calendar months, oldest first; headache, migraine, acute: present level of each.

    band, band_definition: of the 90-day mean of headache days, else of the latest statement of a year, "" without
    either; band_basis: which of the two; contradictions: sources of statements with more migraine days than
    headache days.
    """

    months: tuple[Month, ...] = ()
    counts: tuple[DayCount, ...] = ()
    headache: Level = Level()
    migraine: Level = Level()
    acute: Level = Level()
    band: str = ""
    band_definition: str = ""
    band_basis: str = ""
    contradictions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """One MIDAS or HIT-6 total. band: "" when out of range or not gradable at this age; items: MIDAS items."""

    on: date
    value: Decimal
    band: str
    out_of_range: bool
    origin: str
    source: str
    items: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Scores:
    """points: oldest first; latest: newest in range; change: latest minus the last one in range of an earlier day."""

    instrument: str
    points: tuple[Score, ...] = ()
    latest: Score | None = None
    change: Decimal | None = None

    @property
    def change_words(self) -> str:
        """The change in words, with the published threshold where there is one; "" without two scores."""
        if self.change is None:
            return ""
        words = (
            f"{abs(self.change):f} points {'lower' if self.change < 0 else 'higher'}" if self.change else "no change"
        )
        if self.instrument == "HIT-6" and self.change <= -_HIT6_CHANGE:
            return f"{words} (6 or more is a response in chronic migraine, Houts 2020)"
        return words


def frequency(assessments: Sequence[Assessment], measures: Sequence[Measure], today: date) -> Frequency:
    """Headache, migraine and acute-medication days of a record up to today."""
    counts = sorted(_counts(assessments, measures, today), key=lambda each: (each.on, each.origin, each.sources))
    headache = _level(counts, "headache", today)
    present, basis = _present(headache, today)
    row = _band(present)
    return Frequency(
        months=tuple(Month(first, _of_month(counts, first)) for first in months_before(today)),
        counts=tuple(counts),
        headache=headache,
        migraine=_level(counts, "migraine", today),
        acute=_level(counts, "acute", today),
        band=row["band"] if row else "",
        band_definition=row["definition"] if row else "",
        band_basis=basis,
        contradictions=tuple(
            source
            for each in counts
            if each.headache is not None and each.migraine is not None and each.migraine > each.headache
            for source in each.sources
        ),
    )


def disability(
    instrument: str, assessments: Sequence[Assessment], measures: Sequence[Measure], today: date, age: int | None
) -> Scores:
    """All totals of "MIDAS" or "HIT-6" up to today. age: under 18 MIDAS has no grade here (PedMIDAS has its
    own)."""
    found = [*_entered(instrument, assessments), *_measured(instrument, measures)]
    graded = not (instrument == "MIDAS" and age is not None and age < _ADULT)
    points = [each if graded else _ungraded(each) for each in found if each.on <= today]
    unique = {(each.on, each.value): each for each in reversed(points)}
    points = sorted(unique.values(), key=lambda each: (each.on, each.value, each.source))
    valid = [each for each in points if not each.out_of_range]
    latest = valid[-1] if valid else None
    before = [each for each in valid if latest and each.on < latest.on]
    change = latest.value - before[-1].value if latest and before else None
    return Scores(instrument, tuple(points), latest, change)


def months_before(today: date) -> tuple[date, ...]:
    """First days of the last 12 calendar months, the present one included, oldest first."""
    index = today.year * 12 + today.month - 1
    return tuple(date(place // 12, place % 12 + 1, 1) for place in range(index - MONTHS + 1, index + 1))


def _counts(assessments: Iterable[Assessment], measures: Iterable[Measure], today: date) -> Iterable[DayCount]:
    for each in assessments:
        days = (each.headache_days, each.migraine_days, each.acute_days)
        if each.on <= today and any(day is not None for day in days):
            headache, migraine, acute = (_monthly(day, each.period_days) for day in days)
            source, diary = (each.source,), each.documented_days
            yield DayCount(each.on, headache, migraine, acute, each.origin, source, diary, each.period_days)
    stated: dict[tuple[date, str], dict[str, Measure]] = {}
    for measure in measures:
        on, kind = day_of(measure), _DAYS_GROUPS.get(measure.group)
        if kind and on and on <= today and not measure.out_of_range and _is_days(measure.value):
            stated.setdefault((on, measure.origin), {})[kind] = measure
    for (on, origin), parts in stated.items():
        values = {kind: part.value for kind, part in parts.items()}
        keys = tuple(dict.fromkeys(part.source for part in parts.values()))
        yield DayCount(on, values.get("headache"), values.get("migraine"), values.get("acute"), origin, keys)


def _monthly(days: int | None, period: int) -> Decimal | None:
    """As stated for 28 to 31 days, which all mean a month; a longer period's days per 30, to a tenth."""
    if days is None:
        return None
    return Decimal(days) if period <= _MOST else (Decimal(days) * _RECENT / period).quantize(Decimal("0.1"))


def _is_days(value: Decimal | None) -> bool:
    return value is not None and 0 <= value <= _MOST


def _of_month(counts: Sequence[DayCount], first: date) -> DayCount | None:
    """The latest statement of that month; on one day the clinic's own goes before the record's."""
    inside = [
        each
        for each in counts
        if (each.on.year, each.on.month) == (first.year, first.month)
        and (each.headache is not None or each.migraine is not None)
    ]
    return max(inside, key=lambda each: (each.on, each.origin == "clinic entry", each.sources), default=None)


def _level(counts: Sequence[DayCount], kind: str, today: date) -> Level:
    stated = [each for each in counts if getattr(each, kind) is not None]
    # One statement a day, so that a value kept both here and in the EMR counts once.
    daily = {each.on: each for each in sorted(stated, key=lambda each: each.origin == "clinic entry")}
    stated = [daily[on] for on in sorted(daily)]
    if not stated:
        return Level()
    near = [getattr(each, kind) for each in stated if (today - each.on).days < _MEAN]
    last = [each for each in stated if (today - each.on).days < _TREND]
    trend = None
    if len(last) > 1:
        trend = Trend(getattr(last[-1], kind) - getattr(last[0], kind), last[0].on, last[-1].on)
    return Level(
        latest=stated[-1],
        recent=today - stated[-1].on < timedelta(_RECENT),
        mean=Fraction(sum(near, Decimal(0))) / len(near) if near else None,
        points=len(near),
        trend=trend,
    )


def _present(level: Level, today: date) -> tuple[Fraction | None, str]:
    """Headache days that a band may be named after, and what they rest on."""
    if level.mean is not None:
        return level.mean, f"mean of {level.points} in the last {_MEAN} days"
    latest = level.latest
    if latest is None or latest.headache is None or (today - latest.on).days >= _YEAR:
        return None, ""
    return Fraction(latest.headache), f"statement of {date_words(latest.on)}"


def _band(days: Fraction | None) -> Row | None:
    reached = [row for row in table("frequency_bands") if days is not None and int(row["from"]) <= days]
    return reached[-1] if reached else None


def _entered(instrument: str, assessments: Iterable[Assessment]) -> Iterable[Score]:
    for each in assessments:
        value = each.midas if instrument == "MIDAS" else each.hit6
        if value is not None:
            (read,) = instruments.read(text=instrument, value_number=Decimal(value))
            items = each.midas_items if instrument == "MIDAS" else ()
            yield Score(each.on, Decimal(value), read.band, read.out_of_range, each.origin, each.source, items)


def _measured(instrument: str, measures: Iterable[Measure]) -> Iterable[Score]:
    for each in measures:
        on = day_of(each)
        if each.group == instrument.lower() and on and each.value is not None:
            yield Score(on, each.value, each.band, each.out_of_range, each.origin, each.source)


def _ungraded(score: Score) -> Score:
    return Score(score.on, score.value, "", score.out_of_range, score.origin, score.source, score.items)
