"""The code tables of codelists/*.csv, each row with its source, read once per process."""

import csv
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType

_FOLDER = Path(__file__).parent / "codelists"

Row = Mapping[str, str]


@cache
def table(name: str) -> tuple[Row, ...]:
    """Rows of codelists/<name>.csv in file order, as read-only mappings from column to text.

    Raises FileNotFoundError for an unknown name, ValueError when a row is short, long or has no source.
    """
    with (_FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    for number, row in enumerate(rows, start=2):
        if None in row or None in row.values() or not row.get("source"):
            raise ValueError(f"codelists/{name}.csv line {number}: a value or the source is missing")
    return tuple(MappingProxyType(row) for row in rows)


def names() -> tuple[str, ...]:
    """Names of all tables, sorted."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.csv")))


def split(cell: str) -> tuple[str, ...]:
    """The parts of a cell that holds several values with | between."""
    return tuple(part.strip() for part in cell.split("|") if part.strip())
