"""What orders authorise: days of a scheduled drug, units of an as-needed one. Never what was used.

Evidence levels: A expected supply duration, B quantity with structured timing, C quantity with a parsed sig,
D only the order itself.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from fractions import Fraction
from functools import cache

from patients.codes import Row, table
from patients.headaches import sigs
from patients.headaches.orders import EvidenceLevel, Order, Timing

_PERIOD_DAYS = {
    "min": Fraction(1, 1440),
    "h": Fraction(1, 24),
    "d": Fraction(1),
    "wk": Fraction(7),
    "mo": Fraction(30),
    "a": Fraction(365),
}
# More than three years on one order is a slip of the pen (900 for 90, or mL taken for tablets).
_LONGEST_DAYS = 1100
_COUNTABLE = frozenset({"piece", "spray"})
_MONTH = 30
_CADENCE_ORDERS = 3
_CADENCE_DAYS = 90


@dataclass(frozen=True, slots=True)
class Supply:
    """Supply one order authorises, all fills together.

    level: evidence; days_low..days_high: days of scheduled use, None for as-needed or unknown; units: amount
    authorised in unit, None when the record does not say; as_needed; repeats_stated: False when the number of
    repeats is absent and one fill was counted; daily_mg: highest daily dose in mg, None when not stated.
    """

    level: EvidenceLevel
    days_low: Fraction | None
    days_high: Fraction | None
    units: Fraction | None
    unit: str
    as_needed: bool
    repeats_stated: bool
    daily_mg: Fraction | None


@dataclass(frozen=True, slots=True)
class AuthorisedUnits:
    """Upper bound of one product class in a window.

    units_per_30_days: authorised by the orders of the window, None when no order states an amount; orders:
    how many were counted; uncounted: orders of the class without a usable amount; earlier_repeats: an order
    from before the window has repeats that may reach into it; threshold: ICHD-3 days per month, None without
    one.
    """

    product_class: str
    class_words: str
    units_per_30_days: Fraction | None
    orders: int
    uncounted: int
    earlier_repeats: bool
    level: EvidenceLevel
    threshold: int | None

    @property
    def sentence(self) -> str:
        """The figure in neutral words."""
        if self.units_per_30_days is None:
            return f"{self.class_words}: orders of this period state no amount. Actual days unknown."
        line = f" (threshold for days of use: {self.threshold})" if self.threshold else ""
        return (
            f"Orders allow up to {_rounded_up(self.units_per_30_days)} units of {self.class_words} "
            f"per 30 days{line}. Actual days unknown."
        )


@dataclass(frozen=True, slots=True)
class Cadence:
    """Mean units per 30 days between first and last order of one ingredient; not pharmacy fills."""

    ingredient: str
    units_per_30_days: Fraction
    first: date
    last: date
    orders: int


def supply(order: Order) -> Supply:
    """What one order authorises, with the best evidence it offers."""
    structured, written = _structured(order), sigs.parse(order.sig)
    as_needed = order.as_needed if order.as_needed is not None else written.as_needed
    usage, level = _usage(order, structured, written)
    fills = 1 + (order.repeats or 0)
    low, high = (None, None) if as_needed else _days(order, usage, fills)
    if not as_needed and order.supply_days and low is not None:
        level = "A"
    elif low is None and not as_needed:
        level = "D"
    units, unit = _units(order, usage, fills)
    if as_needed and units is None:
        level = "D"
    elif as_needed and level == "D":
        level = "C" if written.as_needed else "B"
    daily = None if as_needed else _daily_mg(order, usage)
    return Supply(level, low, high, units, unit, bool(as_needed), order.repeats is not None, daily)


def authorised_units(orders: Iterable[Order], start: date, end: date) -> tuple[AuthorisedUnits, ...]:
    """Units authorised per 30 days and product class by orders authored from start to end (both included).

    Raises ValueError when end is before start. A treated day uses at least one unit, so treated days per
    month are at most this figure, for these products; medicines bought without an order are not in it.
    """
    window = (end - start).days + 1
    if window < 1:
        raise ValueError("the window ends before it starts")
    by_class: dict[str, list[Order]] = {}
    for order in orders:
        if order.authorises and order.authored and order.product_class and order.authored.value <= end:
            by_class.setdefault(order.product_class, []).append(order)
    found = (_of_class(name, group, start, window) for name, group in sorted(by_class.items()))
    return tuple(each for each in found if each)


def days_range(supplies: Sequence[AuthorisedUnits]) -> tuple[Fraction, Fraction] | None:
    """Bounds of treated days over several classes: largest of one class to sum of all; None without figures.

    One day may hold medicines of several classes, so the sum alone would overstate.
    """
    figures = [each.units_per_30_days for each in supplies if each.units_per_30_days is not None]
    return (max(figures), sum(figures, Fraction(0))) if figures else None


def cadence(orders: Iterable[Order], ingredient: str) -> Cadence | None:
    """Mean authorised units per 30 days from order dates; None with fewer than 3 orders, less than 90 days
    between first and last, or an order without an amount."""
    dated = [
        (order.authored.value, supply(order).units)
        for order in dict.fromkeys(orders)
        if order.authorises and order.authored and order.authored.precision in ("day", "time")
        and ingredient in order.ingredients
    ]  # fmt: skip
    if len(dated) < _CADENCE_ORDERS:
        return None
    dated.sort(key=lambda each: each[0])
    first, last = dated[0][0], dated[-1][0]
    amounts = [units for _, units in dated[:-1]]
    if (last - first).days < _CADENCE_DAYS or any(units is None for units in amounts):
        return None
    total = sum((units for units in amounts if units is not None), Fraction(0))
    return Cadence(ingredient, total / (last - first).days * _MONTH, first, last, len(dated))


def _of_class(name: str, orders: Sequence[Order], start: date, window: int) -> AuthorisedUnits | None:
    inside = [order for order in orders if order.authored and order.authored.value >= start]
    earlier = any(order.repeats for order in orders if order not in inside)
    if not inside and not earlier:
        return None
    supplies = [supply(order) for order in inside]
    counted = [each for each in supplies if each.units is not None and each.unit in _COUNTABLE]
    total = sum((each.units for each in counted if each.units is not None), Fraction(0))
    row = _classes().get(name)
    return AuthorisedUnits(
        product_class=name,
        class_words=row["words"] if row else name,
        units_per_30_days=total / window * _MONTH if counted else None,
        orders=len(counted),
        uncounted=len(supplies) - len(counted),
        earlier_repeats=earlier,
        level=max((each.level for each in counted), default="D"),
        threshold=int(row["moh_days"]) if row and row["moh_days"] else None,
    )


def _structured(order: Order) -> sigs.Usage:
    timing = order.timing
    low, high = _structured_rate(timing)
    dose_low = order.dose_low if order.dose_low is not None else order.dose_high
    dose_high = order.dose_high if order.dose_high is not None else order.dose_low
    return sigs.Usage(
        _fraction(dose_low),
        _fraction(dose_high),
        sigs.unit_family(order.dose_unit),
        low,
        high,
        bool(order.as_needed),
    )


def _structured_rate(timing: Timing) -> tuple[Fraction | None, Fraction | None]:
    unit = _PERIOD_DAYS.get(timing.period_unit)
    if unit is None or not timing.frequency or not timing.period or timing.period < 0 or timing.frequency < 0:
        return None, None
    often, most = Fraction(timing.frequency), Fraction(timing.frequency_max or timing.frequency)
    short, long = Fraction(timing.period), Fraction(timing.period_max or timing.period)
    return min(often, most) / (max(short, long) * unit), max(often, most) / (min(short, long) * unit)


def _usage(order: Order, structured: sigs.Usage, written: sigs.Usage) -> tuple[sigs.Usage, EvidenceLevel]:
    in_pieces = _in_pieces(order, structured), _in_pieces(order, written)
    for usage in (structured, in_pieces[0]):
        if _computable(order, usage):
            return usage, "B"
    for usage in (written, in_pieces[1]):
        if _computable(order, usage):
            return usage, "C"
    return (structured if structured.per_day_low or structured.dose_low else written), "D"


def _in_pieces(order: Order, usage: sigs.Usage) -> sigs.Usage:
    """A dose in mg as a number of units of the ordered strength."""
    if usage.dose_unit != "mg" or not usage.dose_low or not usage.dose_high or not order.strength_mg:
        return usage
    strength = Fraction(order.strength_mg)
    return replace(usage, dose_low=usage.dose_low / strength, dose_high=usage.dose_high / strength, dose_unit="piece")


def _computable(order: Order, usage: sigs.Usage) -> bool:
    """Whether quantity / (dose x rate) has a meaning: all stated, positive, and counted in the same unit."""
    if not usage.dose_low or usage.dose_low < 0 or not usage.per_day_low or not order.quantity or order.quantity < 0:
        return False
    family = sigs.unit_family(order.quantity_unit)
    if family == "package":
        return False
    if not usage.dose_unit or not family:
        return {usage.dose_unit, family} <= {"", "piece"}
    return usage.dose_unit == family


def _days(order: Order, usage: sigs.Usage, fills: int) -> tuple[Fraction | None, Fraction | None]:
    low = high = None
    if order.supply_days and order.supply_days > 0:
        low = high = Fraction(order.supply_days) * fills
    elif order.quantity and _computable(order, usage):
        per_day_low = (usage.dose_low or 0) * (usage.per_day_low or 0)
        per_day_high = (usage.dose_high or 0) * (usage.per_day_high or 0)
        low, high = (
            Fraction(order.quantity) / per_day_high * fills,
            Fraction(order.quantity) / per_day_low * fills,
        )
    if low is None or high is None:
        return None, None
    caps = _caps(order, usage)
    low, high = min(low, *caps), min(high, *caps)
    return (None, None) if high > _LONGEST_DAYS else (low, high)


def _caps(order: Order, usage: sigs.Usage) -> list[Fraction]:
    caps = [Fraction(10**9)] * 2
    if order.bounds_days and order.bounds_days > 0:
        caps.append(Fraction(order.bounds_days))
    start = order.bounds_start or order.authored
    if order.bounds_end and start and order.bounds_end.last >= start.value:
        caps.append(Fraction((order.bounds_end.last - start.value).days + 1))
    if order.timing.count and order.timing.count > 0 and usage.per_day_low:
        caps.append(Fraction(order.timing.count) / usage.per_day_low)
    return caps


def _units(order: Order, usage: sigs.Usage, fills: int) -> tuple[Fraction | None, str]:
    family = sigs.unit_family(order.quantity_unit) or "piece"
    if not order.quantity or order.quantity < 0 or family == "package":
        return None, family
    amount = Fraction(order.quantity) * fills
    if family not in _COUNTABLE and usage.dose_unit == family and usage.dose_low:
        return amount / usage.dose_low, "piece"  # 3 mL in doses of 0.5 mL are 6 administrations
    return amount, family


def _daily_mg(order: Order, usage: sigs.Usage) -> Fraction | None:
    if not usage.dose_high or not usage.per_day_high:
        return None
    if usage.dose_unit == "mg":
        return usage.dose_high * usage.per_day_high
    if usage.dose_unit in ("", "piece") and order.strength_mg:
        return usage.dose_high * usage.per_day_high * Fraction(order.strength_mg)
    return None


def _fraction(value: object) -> Fraction | None:
    return Fraction(str(value)) if value is not None else None


def _rounded_up(value: Fraction) -> int:
    """An upper bound is rounded up, never down."""
    return -(-value.numerator // value.denominator)


@cache
def _classes() -> dict[str, Row]:
    return {row["class"]: row for row in table("medication_classes")}
