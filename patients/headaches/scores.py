"""Totals of MIDAS (Stewart 2001) and HIT-6 (Kosinski 2003) from their items, and the band of a total."""

from collections.abc import Sequence
from decimal import Decimal

from patients.codes import table
from patients.headaches import instruments

MIDAS_ITEMS = 5
MIDAS_MOST_DAYS = 92  # the longest three months
HIT6_ITEMS = 6
# Points of an answer → its words.
HIT6_POINTS = {
    int(row["points"]): row["words"].capitalize()
    for row in table("questionnaire_answers")
    if row["instrument"] == "HIT-6"
}


def midas_total(items: Sequence[int | None]) -> int | None:
    """Sum of the five items in days of the last three months; None while any is missing.

    The extra questions A (headache days) and B (pain) are not part of it. Raises ValueError for another number
    of items or one outside 0 to 92.
    """
    if len(items) != MIDAS_ITEMS or any(item is not None and not 0 <= item <= MIDAS_MOST_DAYS for item in items):
        raise ValueError(f"MIDAS has {MIDAS_ITEMS} items of 0 to {MIDAS_MOST_DAYS} days, not {list(items)}")
    return _total(items)


def hit6_total(items: Sequence[int | None]) -> int | None:
    """Sum of the six answers in points (keys of HIT6_POINTS), 36 to 78; None while any is missing.

    Raises ValueError for another number of items or points that no answer has.
    """
    if len(items) != HIT6_ITEMS or any(item is not None and item not in HIT6_POINTS for item in items):
        raise ValueError(f"HIT-6 has {HIT6_ITEMS} items of {sorted(HIT6_POINTS)} points, not {list(items)}")
    return _total(items)


def band(instrument: str, total: int) -> str:
    """Words of codelists/instrument_bands.csv for a total; `instrument`: MIDAS or HIT-6. "" outside its range."""
    (measure,) = instruments.read(text=instrument, value_number=Decimal(total))
    return measure.band


def _total(items: Sequence[int | None]) -> int | None:
    known = [item for item in items if item is not None]
    return sum(known) if len(known) == len(items) else None
