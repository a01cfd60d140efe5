"""Acute medication: what orders authorise and what days were stated, side by side and never mixed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

from patients.headaches.frequency import Frequency, months_before
from patients.headaches.orders import Order
from patients.headaches.record import Treatment
from patients.headaches.supply import AuthorisedUnits, authorised_units, days_range

_QUARTER, _YEAR = 90, 365


@dataclass(frozen=True, slots=True)
class Authorised:
    """Authorised units per class of one window, with the orders behind them (sources, latest first)."""

    first: date
    last: date
    units: tuple[AuthorisedUnits, ...]
    sources: tuple[str, ...]

    @property
    def bounds(self) -> tuple[Fraction, Fraction] | None:
        """Largest of one class to sum of all, units per 30 days; None without a figure."""
        return days_range([each for each in self.units if each.threshold])


@dataclass(frozen=True, slots=True)
class Reported:
    """Days with acute medication of a month as stated; None for a gap, never zero."""

    first: date
    days: Fraction | None
    origin: str = ""
    sources: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Exposure:
    """months, reported: the last 12 calendar months, oldest first; quarter, year: the last 90 and 365 days.

    thresholds: ICHD-3 days per month by class, of the classes that appear.
    """

    months: tuple[Authorised, ...]
    reported: tuple[Reported, ...]
    quarter: Authorised
    year: Authorised
    thresholds: tuple[tuple[str, int], ...]

    @property
    def basis(self) -> Authorised:
        """The last 90 days where their orders state an amount, else the last year."""
        stated = any(each.units_per_30_days is not None for each in self.quarter.units)
        return self.quarter if stated or not self.year.units else self.year

    @property
    def basis_words(self) -> str:
        """What the sentences rest on."""
        return f"Orders of the last {(self.basis.last - self.basis.first).days + 1} days"

    @property
    def sentences(self) -> tuple[str, ...]:
        """One neutral sentence per class over `basis`."""
        return tuple(each.sentence for each in self.basis.units)


def exposure(treatments: Sequence[Treatment], days: Frequency, today: date) -> Exposure:
    """Exposure to acute medication: authorised by orders of role acute, and stated as days."""
    orders = _acute(treatments, today)
    starts = months_before(today)
    ends = [*(each - timedelta(1) for each in starts[1:]), today]
    months = tuple(_window(orders, start, end) for start, end in zip(starts, ends, strict=True))
    year = _window(orders, today - timedelta(_YEAR - 1), today)
    seen = [*year.units, *(each for month in months for each in month.units)]
    lines = {each.class_words: each.threshold for each in seen if each.threshold}
    return Exposure(
        months=months,
        reported=tuple(_reported(days, first) for first in starts),
        quarter=_window(orders, today - timedelta(_QUARTER - 1), today),
        year=year,
        thresholds=tuple(sorted(lines.items())),
    )


def _acute(treatments: Sequence[Treatment], today: date) -> list[Order]:
    """Acute orders, oldest first; of those before the windows only the newest with repeats per class."""
    orders = [
        each.order
        for each in treatments
        if each.role == "acute" and not each.forbidden and each.order.authorises and each.order.authored
    ]
    return sorted(orders, key=lambda order: (order.authored.value if order.authored else date.min, order.key))


def _window(orders: Sequence[Order], start: date, end: date) -> Authorised:
    inside: list[Order] = []
    earlier: dict[str, Order] = {}
    for order in orders:
        if order.authored is None or order.authored.value > end:
            continue
        if order.authored.value >= start:
            inside.append(order)
        elif order.repeats and (start - order.authored.value).days < _YEAR:  # prescriptions lapse within a year
            earlier[order.product_class] = order
    units = authorised_units([*earlier.values(), *inside], start, end)
    return Authorised(start, end, units, tuple(order.key for order in reversed(inside)))


def _reported(days: Frequency, first: date) -> Reported:
    inside = [
        each
        for each in days.counts
        if each.acute is not None and (each.on.year, each.on.month) == (first.year, first.month)
    ]
    if not inside:
        return Reported(first, None)
    latest = max(inside, key=lambda each: (each.on, each.origin == "clinic entry", each.sources))
    return Reported(first, Fraction(latest.acute or 0), latest.origin, latest.sources)
