"""Chart B: one lane for each preventive, grouped by class, over what was done and what happened.

A bar is solid up to the last order, or to the end the record states; hatched from the last order to an end that is
estimated from authorised supply; with an arrow when supply of an active order reaches today. An order without a
usable supply is a point with a fading tail.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby

from patients.charts.axes import TimeAxis, time_marks, traces
from patients.charts.shapes import RIGHT, Bar, Cell, Chart, Key, Label, Mark, Rule, Sign
from patients.headaches.frequency import DayCount
from patients.headaches.ledger import TrialRow
from patients.headaches.orders import Order
from patients.headaches.record import when
from patients.headaches.supply import supply
from patients.headaches.trials import Episode
from patients.wording import date_words, plain_number

_LEFT = 0.5
_LONGEST = timedelta(12 * 365 + 3)
_LEAST = timedelta(365)
_AHEAD = 0.03  # of the span, to the right of today
_TAIL = timedelta(90)
_LANE, _BAR, _EVENTS, _DAYS, _FOOT = 33.0, 10.0, 30.0, 66.0, 22.0
_MOST_DAYS = 31


@dataclass(frozen=True, slots=True)
class Event:
    """Something on one day. lane: what stands before the lane; about_headache: drawn filled, else hollow."""

    lane: str
    on: date
    words: str
    shape: str = "triangle"
    about_headache: bool = True
    source: str = ""


@dataclass(frozen=True, slots=True)
class Span:
    """Something from `first` to `last`. open: the record states no end."""

    lane: str
    first: date
    last: date
    words: str
    open: bool = False
    source: str = ""


def treatment_chart(
    trials: Sequence[TrialRow],
    events: Sequence[Event],
    spans: Sequence[Span],
    counts: Sequence[DayCount],
    today: date,
    href: Callable[[str], str] = lambda source: "",
) -> Chart | None:
    """The chart; None when there is nothing to draw. Shows at most the last 12 years."""
    lanes = _by_class([row for row in trials if row.episodes])
    starts = [episode.start for row in lanes for episode in row.episodes]
    starts += [*(event.on for event in events), *(span.first for span in spans)]
    if not starts:
        return None
    axis = _axis(min(starts), today)
    marks, top = _days(counts, axis)
    for drug_class, rows in groupby(lanes, key=lambda row: row.class_words):
        if marks:
            marks.append(Rule("grid", _LEFT, top, RIGHT, top))
        for row in rows:
            marks += _lane(row, drug_class, axis, top, today)
            top += _LANE
    below, bottom = _below(events, spans, axis, top)
    return Chart(
        key="treatments",
        title="Treatment and events over time",
        desc=_desc(lanes, events, spans),
        height=bottom + _FOOT,
        marks=(*time_marks(axis, 0, bottom), *_today(axis, today, bottom), *marks, *below),
        legend=_legend(lanes, events, spans),
        head=("What", "From", "To", "How the end is known", "Source"),
        rows=tuple(_rows(lanes, events, spans, href)),
        notes=_notes(lanes, events, spans, axis.first),
    )


def _by_class(rows: Sequence[TrialRow]) -> list[TrialRow]:
    """Classes by their first start, drugs of a class by theirs."""
    first: dict[str, date] = {}
    for row in rows:
        start = row.first or date.max
        first[row.class_words] = min(first.get(row.class_words, start), start)
    return sorted(rows, key=lambda row: (first[row.class_words], row.class_words, row.first or date.max))


def _axis(first: date, today: date) -> TimeAxis:
    start = max(min(first - timedelta(20), today - _LEAST), today - _LONGEST)
    return TimeAxis(start, today + (today - start) * _AHEAD, left=_LEFT)


def _today(axis: TimeAxis, today: date, bottom: float) -> list[Mark]:
    x = axis.x(today)
    return [Rule("limit", x, 0, x, bottom)]


def _days(counts: Sequence[DayCount], axis: TimeAxis) -> tuple[list[Mark], float]:
    """Stated headache days above the lanes, on the same axis."""
    seen = [(each.on, each.headache) for each in counts if each.headache is not None and each.on >= axis.first]
    if not seen:
        return [], 0.0
    bottom = _DAYS - 6
    places = [(axis.x(on), round(bottom - float(days) * (bottom - 26) / _MOST_DAYS, 1)) for on, days in seen]
    marks: list[Mark] = [Label(_LEFT, 13, "Headache days a month, as stated", "start", "strong")]
    marks += traces(zip([on for on, _ in seen], places, strict=True))
    marks += [Sign("solid", x, y, "dot") for x, y in places]
    for at in dict.fromkeys((len(seen) - 1, 0)):
        x, y = places[at]
        if at == 0 and len(seen) > 1 and places[-1][0] - x < 8:
            continue
        marks.append(Label(x, y - 7, plain_number(seen[at][1]), "end" if x > 50 else "start", "strong"))
    return marks, _DAYS


def _lane(row: TrialRow, drug_class: str, axis: TimeAxis, top: float, today: date) -> list[Mark]:
    told = " · ".join(filter(None, (drug_class, row.dose_words)))
    marks: list[Mark] = [Label(_LEFT, top + 13, row.drug, "start", "strong", then=told)]
    for episode in row.episodes:
        marks += _episode(episode, axis, top + 18, today)
    return marks


def _episode(episode: Episode, axis: TimeAxis, y: float, today: date) -> list[Mark]:
    if episode.end is None:
        return [mark for order in episode.orders for mark in _alone(order, axis, y, today)]
    end = min(episode.end, today)
    if end < axis.first:
        return []
    begun = [order.authored.value for order in episode.orders if order.authored and order.authored.value <= today]
    last_order = max(begun, default=episode.start)
    certain = end if episode.end_kind == "explicit" else min(max(last_order, episode.start), end)
    marks: list[Mark] = []
    if certain > episode.start:
        marks.append(_bar("dark", episode.start, certain, axis, y))
    if certain < end or not marks:
        look = "dark" if episode.end_kind == "explicit" else "hatch"
        marks.append(_bar(look, max(certain, episode.start), end, axis, y))
    if episode.ongoing:
        return [*marks, Sign("dark", axis.x(end), y + _BAR / 2, "arrow")]
    if episode.end_kind == "explicit":
        x = axis.x(end)
        marks.append(Rule("cap", x, y - 2, x, y + _BAR + 2))
    return marks


def _bar(look: str, first: date, last: date, axis: TimeAxis, y: float) -> Bar:
    x = axis.x(first)
    return Bar(look, x, y, round(max(axis.x(last) - x, 0.6), 2), _BAR)


def _alone(order: Order, axis: TimeAxis, y: float, today: date) -> list[Mark]:
    """One order of an episode whose end is unknown: its supply where it states one, else a point with a tail."""
    if order.authored is None or order.authored.value > today:
        return []
    first = order.authored.value
    days = supply(order).days_low
    if days is not None and order.authorises:
        last = min(first + timedelta(int(days)), today)
        return [_bar("hatch", first, last, axis, y)] if last >= axis.first else []
    if first < axis.first:
        return []
    tail = _bar("tail", first, min(first + _TAIL, axis.last), axis, y)
    return [tail, Sign("solid", axis.x(first), y + _BAR / 2, "dot")]


def _below(events: Sequence[Event], spans: Sequence[Span], axis: TimeAxis, top: float) -> tuple[list[Mark], float]:
    """Lanes of events and spans, in the order they come."""
    marks: list[Mark] = []
    for lane in dict.fromkeys([*(event.lane for event in events), *(span.lane for span in spans)]):
        marks += [Rule("grid", _LEFT, top, RIGHT, top), Label(_LEFT, top + 12, lane, "start", "strong")]
        y = top + 22
        for span in spans:
            if span.lane == lane and span.last >= axis.first:
                marks.append(_bar("hatch" if span.open else "span", span.first, span.last, axis, y - 5))
        for event in events:
            if event.lane == lane and event.on >= axis.first:
                marks.append(Sign("solid" if event.about_headache else "hollow", axis.x(event.on), y, event.shape))
        top += _EVENTS
    return marks, top


def _legend(lanes: Sequence[TrialRow], events: Sequence[Event], spans: Sequence[Span]) -> tuple[Key, ...]:
    episodes = [episode for row in lanes for episode in row.episodes]
    keys = []
    if any(each.end for each in episodes):
        keys.append(Key("dark", "orders on file, up to the last order or a stated end"))
    if any(each.end_kind == "estimated" for each in episodes) or any(span.open for span in spans):
        keys.append(Key("hatch", "end estimated"))
    if any(each.ongoing for each in episodes):
        keys.append(Key("dark", "supply of an active order reaches today", "arrow"))
    if any(each.end is None for each in episodes):
        keys.append(Key("tail", "order without a usable supply: its end is unknown"))
    if any(not event.about_headache for event in events):
        keys.append(Key("hollow", "no headache among its reasons", "square"))
    return tuple(keys)


def _desc(lanes: Sequence[TrialRow], events: Sequence[Event], spans: Sequence[Span]) -> str:
    said = [f"{row.drug} from {start_words(row.episodes[0])} to {_until(row)}" for row in lanes]
    counted: dict[str, int] = {}
    for event in events:
        counted[event.lane] = counted.get(event.lane, 0) + 1
    said += [f"{lane}: {count}" for lane, count in counted.items()]
    said += [f"{span.lane} from {date_words(span.first)}" for span in spans]
    return ". ".join(said) + "."


def start_words(episode: Episode) -> str:
    """The first day as precise as its order: 2016, Mar-2017, 04-Mar-2017."""
    for order in episode.orders:
        begun = order.bounds_start or order.authored
        if begun is not None and begun.value == episode.start:
            return when(begun)
    return date_words(episode.start)


def _until(row: TrialRow) -> str:
    if row.ongoing:
        return "today"
    return date_words(row.last) or "an unknown day"


def _rows(
    lanes: Sequence[TrialRow], events: Sequence[Event], spans: Sequence[Span], href: Callable[[str], str]
) -> list[tuple[Cell, ...]]:
    ends = {"explicit": "stated", "estimated": "estimated from authorised supply", "unknown": "not known"}
    rows: list[tuple[Cell, ...]] = []
    for row in lanes:
        for episode in row.episodes:
            count = len(episode.orders)
            source = href(episode.orders[-1].key)
            to = date_words(episode.end) or "Unknown"
            words = f"{count} {'order' if count == 1 else 'orders'}"
            known = "active order" if episode.ongoing else ends[episode.end_kind]
            rows.append((Cell(row.drug), Cell(start_words(episode)), Cell(to), Cell(known), Cell(words, source)))
    for event in events:
        day = date_words(event.on)
        rows.append((Cell(event.lane), Cell(day), Cell(day), Cell(event.words), Cell("Source", href(event.source))))
    for span in spans:
        to = "Not stated" if span.open else date_words(span.last)
        cells = (Cell(span.lane), Cell(date_words(span.first)), Cell(to), Cell(span.words))
        rows.append((*cells, Cell("Source", href(span.source))))
    return rows


def _notes(lanes: Sequence[TrialRow], events: Sequence[Event], spans: Sequence[Span], first: date) -> tuple[str, ...]:
    starts = [episode.start for row in lanes for episode in row.episodes]
    early = sum(day < first for day in [*starts, *(event.on for event in events), *(span.first for span in spans)])
    notes = ["Bars show what orders authorise, not what was used."] if lanes else []
    if early:
        notes.append(f"Drawn from {date_words(first)}; {early} earlier in the table.")
    return tuple(notes)
