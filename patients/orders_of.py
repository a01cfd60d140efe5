"""From an Entry of kind treatment to the Order and Treatment the rules read (keys of detail: see projection)."""

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from patients.headaches.dates import PartialDate, Precision, parse
from patients.headaches.orders import Order, Timing
from patients.headaches.record import Treatment

Detail = Mapping[str, Any]

_STRENGTH = re.compile(r"(?<![\d.,])(\d{1,4}(?:\.\d{1,3})?)\s*-?(mg|mcg|g|gm)\b(?!\s*/|\w)", re.I)
_IN_MG = {"mg": Decimal(1), "mcg": Decimal("0.001"), "g": Decimal(1000), "gm": Decimal(1000)}
_PRECISIONS: dict[str, Precision] = {"year": "year", "month": "month", "day": "day", "time": "time"}


def treatment(
    source: str, title: str, on: date | None, precision: str, until: date | None, group: str, role: str, detail: Detail
) -> Treatment:
    """The order of one Entry: source: its key; the rest: the Entry's columns of those names."""
    return Treatment(
        order=_order(source, title, on, precision, until, group, detail),
        title=title,
        role=role,
        class_words=detail.get("class_words", ""),
        moh_days=detail.get("moh_days"),
        excluded_reason=detail.get("excluded_reason", ""),
        forbidden=bool(detail.get("do_not_perform")),
        unclassified=bool(detail.get("unclassified")),
        texts=tuple(detail.get("other_names", ())),
    )


@lru_cache(maxsize=16384)
def dated(on: date | None, precision: str) -> PartialDate | None:
    """An Entry's date column as precise as the record; None when undated."""
    if on is None:
        return None
    known = _PRECISIONS.get(precision, "day")
    raw = on.isoformat()
    return PartialDate(on, known, raw[:4] if known == "year" else raw[:7] if known == "month" else raw)


def decimal(said: object) -> Decimal | None:
    """A number kept as text in detail; None for anything else ("<5")."""
    try:
        read = Decimal(str(said)) if said is not None and said != "" else None
    except InvalidOperation:
        return None
    return read if read is not None and read.is_finite() else None


def _order(
    source: str, title: str, on: date | None, precision: str, until: date | None, group: str, detail: Detail
) -> Order:
    lines = detail.get("dosage") or []
    # A dose that changes from line to line is none; the sig of all lines says so to its reader.
    line: Detail = lines[0] if len(lines) == 1 and isinstance(lines[0], dict) else {}
    dose = decimal(line.get("dose"))
    ingredients = tuple(detail.get("ingredients", ()))
    return Order(
        ingredients=ingredients,
        product_class=group,
        authored=dated(on, precision),
        status=str(detail.get("status", "")),
        intent=str(detail.get("intent", "")),
        quantity=decimal(detail.get("quantity")),
        quantity_unit=str(detail.get("quantity_unit", "")),
        repeats=detail.get("repeats"),
        supply_days=decimal(detail.get("supply_days")),
        dose_low=dose if dose is not None else decimal(line.get("dose_low")),
        dose_high=dose if dose is not None else decimal(line.get("dose_high")),
        dose_unit=str(line.get("dose_unit", "")),
        timing=_timing(line),
        as_needed=True if detail.get("as_needed") else None,
        sig=str(detail.get("sig", "")),
        strength_mg=strength_mg(title) if len(ingredients) == 1 else None,
        bounds_start=parse(line.get("from")),
        bounds_end=parse(line.get("until")) or dated(until, "day"),
        bounds_days=decimal(line.get("days")),
        reported=bool(detail.get("reported")),
        key=source,
    )


_NO_TIMING = Timing()


def _timing(line: Detail) -> Timing:
    if "frequency" not in line and "count" not in line:
        return _NO_TIMING
    return Timing(
        frequency=decimal(line.get("frequency")),
        frequency_max=decimal(line.get("frequency_max")),
        period=decimal(line.get("period")),
        period_max=decimal(line.get("period_max")),
        period_unit=str(line.get("period_unit", "")),
        count=decimal(line.get("count")),
    )


@lru_cache(maxsize=4096)
def strength_mg(title: str) -> Decimal | None:
    """Milligrams of one unit of a single-ingredient product by its name ("Topiramate 50 mg tablet").

    None when the name states none, several, or one per volume ("140 mg/mL").
    """
    found = {Decimal(amount) * _IN_MG[unit.lower()] for amount, unit in _STRENGTH.findall(title)}
    return found.pop() if len(found) == 1 else None
