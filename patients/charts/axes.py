"""Axes of time: where a day lies, and which months or years are named."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise

from patients.charts.shapes import LEFT, RIGHT, Label, Mark, Rule, across, room
from patients.wording import month_word

_SILENCE = timedelta(200)
_STEPS = (1, 2, 3, 6, 12, 24, 60, 120)  # months between named ones


@dataclass(frozen=True, slots=True)
class TimeAxis:
    """Days from `first` to `last` over the plot. first is before last."""

    first: date
    last: date
    left: float = LEFT
    right: float = RIGHT

    def x(self, day: date) -> float:
        """Percent; days outside lie on the edge."""
        span = (self.last - self.first).days or 1
        share = (day - self.first).days / span
        return across(min(max(share, 0.0), 1.0), self.left, self.right)

    def ticks(self) -> tuple[tuple[date, str], ...]:
        """First days of months to be named, with their names: years alone when they are a year or more apart."""
        months = _months(self.first, self.last)
        for step in _STEPS:
            named = [each for each in months if (each.year * 12 + each.month - 1) % step == 0]
            words = [(each, _tick_words(each, step)) for each in named]
            if self._fit(words):
                return tuple(words)
        return ()

    def _fit(self, words: Sequence[tuple[date, str]]) -> bool:
        places = [(self.x(day), room(text)) for day, text in words]
        return all(after[0] - before[0] > (before[1] + after[1]) / 2 + 1.5 for before, after in pairwise(places))


def time_marks(axis: TimeAxis, top: float, bottom: float) -> list[Mark]:
    """Vertical lines at the named months, their names below."""
    marks: list[Mark] = []
    for day, text in axis.ticks():
        x, half = axis.x(day), room(text) / 2
        marks.append(Rule("grid", x, top, x, bottom))
        if half <= x <= 100 - half:
            marks.append(Label(x, bottom + 14, text, look="quiet"))
    marks.append(Rule("axis", axis.left, bottom, axis.right, bottom))
    return marks


def traces(points: Iterable[tuple[date, tuple[float, float]]]) -> list[Mark]:
    """Lines between points that follow each other within half a year: a longer silence is a gap."""
    return [
        Rule("trace", x1, y1, x2, y2)
        for (before, (x1, y1)), (after, (x2, y2)) in pairwise(points)
        if after - before <= _SILENCE
    ]


def month_marks(firsts: Sequence[date], bottom: float) -> list[Mark]:
    """Names of consecutive months under their slots, the year under the first and under each January."""
    marks: list[Mark] = [Rule("axis", LEFT, bottom, RIGHT, bottom)]
    for place, first in enumerate(firsts):
        x = across((place + 0.5) / len(firsts))
        marks.append(Label(x, bottom + 14, month_word(first), look="quiet"))
        if first.month == 1 or (place == 0 and first.month < 11):
            marks.append(Label(x, bottom + 27, str(first.year), look="quiet"))
    return marks


def _months(first: date, last: date) -> list[date]:
    start, end = first.year * 12 + first.month - 1, last.year * 12 + last.month - 1
    found = [date(place // 12, place % 12 + 1, 1) for place in range(start, end + 1)]
    return [each for each in found if first <= each <= last]


def _tick_words(day: date, step: int) -> str:
    return str(day.year) if step >= 12 else f"{month_word(day)} {day:%y}"
