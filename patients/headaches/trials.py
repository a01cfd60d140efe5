"""Preventive trials: episodes of one ingredient as orders document them.

Days are authorised, not observed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from patients.headaches.orders import EvidenceLevel, Order
from patients.headaches.supply import Supply, supply

EndKind = Literal["explicit", "estimated", "unknown"]
Exposure = Literal["documented", "likely", "unknown"]

TRIAL_DAYS = 56  # 8 weeks (AHS 2021 consensus statement)
_LEAST_GAP = 30
# Two order dates further apart than an order's usual validity do not suggest supply in between.
_LONGEST_SILENCE = 365


@dataclass(frozen=True, slots=True)
class Episode:
    """Orders of one ingredient that follow each other without a long gap.

    start: first covered day; end: last day, None when unknown; end_kind: explicit (the record names it),
    estimated (from authorised supply) or unknown; covered_low..covered_high: days with authorised supply up
    to today, each day once; level: weakest evidence among the orders; ongoing: supply authorised by an order
    that the record still calls active reaches today; max_daily_mg: highest stated daily dose, None when not
    stated.
    """

    ingredient: str
    start: date
    end: date | None
    end_kind: EndKind
    covered_low: int
    covered_high: int
    level: EvidenceLevel
    ongoing: bool
    max_daily_mg: Fraction | None
    orders: tuple[Order, ...]


@dataclass(frozen=True, slots=True)
class Trial:
    """All episodes of one ingredient, oldest first.

    exposure: "documented" when one episode has at least 56 covered days at levels A to C; "likely" when only
    the upper figure reaches them or orders without supply lie at least 56 days apart; else "unknown".
    documented_days: covered days of the longest episode.
    """

    ingredient: str
    episodes: tuple[Episode, ...]
    exposure: Exposure
    documented_days: int
    max_daily_mg: Fraction | None


@dataclass(frozen=True, slots=True)
class _Span:
    order: Order
    supply: Supply
    start: date
    low: int
    high: int

    def last(self, days: int) -> date:
        return self.start + timedelta(days=max(days, 1) - 1)


def trials(orders: Iterable[Order], today: date) -> tuple[Trial, ...]:
    """Trials per ingredient, in the order of their first episode.

    orders: preventive orders in any order; repeated identical ones count once. Orders that are void, plans or
    proposals, undated or dated after today are left out; reported ones count as a date without supply.
    """
    by_ingredient: dict[str, list[_Span]] = {}
    for order in dict.fromkeys(orders):
        if span := _span(order, today):
            for ingredient in order.ingredients:
                by_ingredient.setdefault(ingredient, []).append(span)
    found = [_trial(ingredient, spans, today) for ingredient, spans in by_ingredient.items()]
    return tuple(sorted(found, key=lambda trial: (trial.episodes[0].start, trial.ingredient)))


def _span(order: Order, today: date) -> _Span | None:
    begun = order.bounds_start or order.authored
    if not order.stands or begun is None or begun.value > today:
        return None
    authorised = supply(order)
    known = order.authorises and authorised.days_low is not None and begun.precision in ("day", "time")
    low = int(authorised.days_low or 0) if known else 0
    high = -int(-(authorised.days_high or 0) // 1) if known else 0
    return _Span(order, authorised, begun.value, low, high)


def _trial(ingredient: str, spans: list[_Span], today: date) -> Trial:
    ordered = sorted(spans, key=lambda span: (span.start, span.high, span.low, span.order.key, span.order.sig))
    episodes = tuple(_episode(ingredient, group, today) for group in _joined(ordered))
    doses = [episode.max_daily_mg for episode in episodes if episode.max_daily_mg is not None]
    return Trial(
        ingredient=ingredient,
        episodes=episodes,
        exposure=_exposure(episodes, ordered),
        documented_days=max(episode.covered_low for episode in episodes),
        max_daily_mg=max(doses, default=None),
    )


def _joined(spans: Sequence[_Span]) -> list[list[_Span]]:
    """Groups of spans with gaps of at most 30 days or half the supply before the gap."""
    groups: list[list[_Span]] = []
    reach = date.min
    allowed = _LEAST_GAP
    for span in spans:
        if groups and (span.start - reach).days - 1 <= allowed:
            groups[-1].append(span)
        else:
            groups.append([span])
            reach = date.min
        if span.last(span.high) >= reach:
            reach = span.last(span.high)
            allowed = max(_LEAST_GAP, span.high // 2)
    return groups


def _episode(ingredient: str, spans: Sequence[_Span], today: date) -> Episode:
    end, end_kind = _end(spans)
    doses = [span.supply.daily_mg for span in spans if span.supply.daily_mg is not None]
    levels: list[EvidenceLevel] = [span.supply.level if span.high else "D" for span in spans]
    return Episode(
        ingredient=ingredient,
        start=spans[0].start,
        end=end,
        end_kind=end_kind,
        covered_low=_covered([(span.start, span.last(span.low)) for span in spans if span.low], today),
        covered_high=_covered([(span.start, span.last(span.high)) for span in spans if span.high], today),
        level=max(levels),
        ongoing=any(_reaches(span, today) for span in spans),
        max_daily_mg=max(doses, default=None),
        orders=tuple(span.order for span in spans),
    )


def _end(spans: Sequence[_Span]) -> tuple[date | None, EndKind]:
    """The end of the order that reaches furthest; a later order without any end leaves it unknown."""
    stated = [(span.order.bounds_end.last, span) for span in spans if span.order.bounds_end]
    estimated = [span.last(span.high) for span in spans if span.high]
    newest = max(span.start for span in spans)
    last_stated = max((day for day, _ in stated), default=None)
    last_estimated = max(estimated, default=None)
    if last_stated and last_stated >= max(last_estimated or newest, newest):
        return last_stated, "explicit"
    if last_estimated and last_estimated >= newest:
        return last_estimated, "estimated"
    return None, "unknown"


def _covered(intervals: Sequence[tuple[date, date]], today: date) -> int:
    """Days in the union of closed intervals, none after today."""
    total = 0
    reach = date.min
    for start, last in sorted(intervals):
        first = max(start, reach + timedelta(days=1)) if reach > date.min else start
        last = min(last, today)
        if last >= first:
            total += (last - first).days + 1
            reach = last
    return total


def _reaches(span: _Span, today: date) -> bool:
    active = span.order.status.strip().lower() in ("active", "")
    return active and bool(span.high) and span.last(span.high) >= today


def _exposure(episodes: Sequence[Episode], spans: Sequence[_Span]) -> Exposure:
    if any(episode.covered_low >= TRIAL_DAYS for episode in episodes):
        return "documented"
    if any(episode.covered_high >= TRIAL_DAYS for episode in episodes):
        return "likely"
    return "likely" if _chain_days([span.start for span in spans if not span.high]) >= TRIAL_DAYS else "unknown"


def _chain_days(starts: Sequence[date]) -> int:
    """Longest time between order dates that follow each other within a year."""
    longest = 0
    first = starts[0] if starts else date.min
    for before, after in pairwise(starts):
        if (after - before).days > _LONGEST_SILENCE:
            first = after
        longest = max(longest, (after - first).days)
    return longest
