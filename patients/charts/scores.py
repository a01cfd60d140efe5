"""Chart D: MIDAS and HIT-6 over the bands of their grades. Bands have heights of their own, as grades are
read, not amounts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal

from patients.charts.axes import TimeAxis, time_marks, traces
from patients.charts.shapes import LEFT, RIGHT, Bar, Cell, Chart, Key, Label, Mark, Rule, Sign, room
from patients.codes import table
from patients.headaches.frequency import Score, Scores
from patients.wording import date_words, plain_number

_YEAR, _LONGEST = timedelta(365), timedelta(5 * 365)
_ROOM = timedelta(45)  # before the first point, for its figure
_BAND, _TOP_BAND = 18.0, 48.0  # pixels: most scores of a headache clinic lie in the top band
_TITLE, _GAP, _FOOT = 20.0, 12.0, 20.0


@dataclass(frozen=True, slots=True)
class _Band:
    """From `low` up to, not with, `high`; words: "Grade II", "some impact"."""

    low: Decimal
    high: Decimal
    words: str


def scores_chart(panels: Sequence[Scores], today: date, href: Callable[[str], str] = lambda source: "") -> Chart | None:
    """One panel per instrument that has a score in range; None when none has. Shows at most the last five years."""
    shown = [scores for scores in panels if any(not each.out_of_range for each in scores.points)]
    if not shown:
        return None
    points = [each for scores in shown for each in scores.points if not each.out_of_range]
    first = max(min(min(each.on for each in points), today - _YEAR) - _ROOM, today - _LONGEST)
    axis = TimeAxis(first, today, right=RIGHT - 2)
    marks: list[Mark] = []
    top = 0.0
    for scores in shown:
        bottom, drawn = _panel(scores, axis, top)
        marks += drawn
        top = bottom + _GAP
    bottom = top - _GAP
    named = [mark for mark in time_marks(axis, bottom, bottom) if isinstance(mark, Label)]
    return Chart(
        key="scores",
        title=" and ".join(scores.instrument for scores in shown),
        desc=" ".join(_desc(scores) for scores in shown),
        height=bottom + _FOOT,
        marks=(*marks, *named),
        legend=_legend(shown),
        head=("Date", "Instrument", "Score", "Band", "Origin"),
        rows=tuple(_row(name, each, href) for name, each in _newest(panels)),
        notes=tuple(_left_out(scores, first) for scores in shown if _left_out(scores, first)),
    )


def _panel(scores: Scores, axis: TimeAxis, top: float) -> tuple[float, list[Mark]]:
    """(bottom, marks) of one instrument's panel."""
    bands = _bands(scores)
    start = top + _TITLE
    bottom = start + _BAND * (len(bands) - 1) + _TOP_BAND
    marks: list[Mark] = [Label(0, top + 13, scores.instrument, "start", "strong")]
    for place, band in enumerate(bands):
        lower, upper = bottom - _BAND * place, _upper(place, bands, bottom)
        marks += [
            Bar(f"band-{place % 2}", LEFT, upper, RIGHT - LEFT, round(lower - upper, 1)),
            Rule("grid", LEFT, upper, RIGHT, upper),
            Label(LEFT, lower - 4, f"{band.low:f}", "end", "quiet", -4),
        ]
    marks.append(Rule("axis", LEFT, bottom, RIGHT, bottom))
    seen = [each for each in scores.points if not each.out_of_range and each.on >= axis.first]
    places = [(axis.x(each.on), _y(each.value, bands, bottom)) for each in seen]
    marks += traces(zip([each.on for each in seen], places, strict=True))
    for each, (x, y) in zip(seen, places, strict=True):
        marks.append(Sign("solid", x, y, "triangle" if each.value >= bands[-1].high else "dot"))
    return bottom, marks + _figures(seen, places, start)


def _upper(place: int, bands: Sequence[_Band], bottom: float) -> float:
    """The upper edge of a band."""
    tall = _TOP_BAND if place == len(bands) - 1 else _BAND
    return bottom - _BAND * place - tall


def _figures(seen: Sequence[Score], places: Sequence[tuple[float, float]], top: float) -> list[Mark]:
    """The values, from the latest back, as far as they do not touch each other or the band's name."""
    marks: list[Mark] = []
    limit = 200.0
    for each, (x, y) in reversed(list(zip(seen, places, strict=True))):
        text = plain_number(each.value)
        half = room(text) / 2
        if x + half < limit:
            marks.append(Label(min(x, 100 - half), y - 7 if y - 7 > top + 6 else y + 16, text, look="strong"))
            limit = x - half - 1
    return marks


def _bands(scores: Scores) -> list[_Band]:
    """The instrument's bands from below; one without words where its grades do not hold (under 18 years)."""
    rows = [row for row in table("instrument_bands") if row["instrument"] == scores.instrument]
    limits = next(row for row in table("instruments") if row["instrument"] == scores.instrument)
    most = Decimal(60) if scores.instrument == "MIDAS" else Decimal(limits["highest"])
    lows = [max(Decimal(row["from"]), Decimal(limits["lowest"])) for row in rows]
    highs = [*lows[1:], most]
    if not any(each.band for each in scores.points):
        return [_Band(lows[0], most, "no adult grade at this age")]
    return [_Band(low, high, row["band"]) for row, low, high in zip(rows, lows, highs, strict=True)]


def _y(value: Decimal, bands: Sequence[_Band], bottom: float) -> float:
    place = max((at for at, band in enumerate(bands) if band.low <= value), default=0)
    band = bands[place]
    share = min(max(float((value - band.low) / (band.high - band.low)), 0.0), 1.0)
    lower, upper = bottom - _BAND * place, _upper(place, bands, bottom)
    return round(lower - (lower - upper) * (share * 0.9 + 0.05), 1)


def _legend(shown: Sequence[Scores]) -> tuple[Key, ...]:
    """The marks, then what each band means."""
    bands = {scores.instrument: _bands(scores) for scores in shown}
    keys = [Key("solid", "score", "dot")]
    if any(
        each.value >= bands[scores.instrument][-1].high
        for scores in shown
        for each in scores.points
        if not each.out_of_range
    ):
        keys.append(Key("solid", "above the drawn range", "triangle"))
    for name, steps in bands.items():
        said = "; ".join(f"from {band.low:f} {band.words}" for band in reversed(steps))
        keys.append(Key("", f"{name}: {said}"))
    return tuple(keys)


def _desc(scores: Scores) -> str:
    said = "; ".join(
        f"{plain_number(each.value)} on {date_words(each.on)}" for each in scores.points if not each.out_of_range
    )
    return f"{scores.instrument}: {said}."


def _newest(panels: Sequence[Scores]) -> list[tuple[str, Score]]:
    found = [(scores.instrument, each) for scores in panels for each in scores.points]
    return sorted(found, key=lambda pair: (pair[1].on, pair[0]), reverse=True)


def _row(name: str, score: Score, href: Callable[[str], str]) -> tuple[Cell, ...]:
    band = "Outside the instrument's range" if score.out_of_range else score.band or "Not graded"
    return (
        Cell(date_words(score.on)),
        Cell(name),
        Cell(plain_number(score.value)),
        Cell(band),
        Cell(score.origin, href(score.source)),
    )


def _left_out(scores: Scores, first: date) -> str:
    outside = sum(each.out_of_range for each in scores.points)
    earlier = sum(each.on < first and not each.out_of_range for each in scores.points)
    said = []
    if outside:
        said.append(f"{outside} outside the range")
    if earlier:
        said.append(f"{earlier} of more than five years ago")
    return f"{scores.instrument}: {' and '.join(said)}, in the table only." if said else ""
