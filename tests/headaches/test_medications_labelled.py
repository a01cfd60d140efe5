"""Recall and precision of the medication reader on hand-labelled texts."""

import csv
import sys
from collections.abc import Sequence
from decimal import Decimal
from functools import cache
from pathlib import Path

import pytest

from patients.headaches.medications import Medication, classify

_HERE = Path(__file__).parent


@cache
def _rows(name: str) -> tuple[dict[str, str], ...]:
    with (_HERE / f"{name}.csv").open(encoding="utf-8", newline="") as lines:
        return tuple(csv.DictReader(lines))


def _set(cell: str) -> set[str]:
    return set(filter(None, cell.split("+")))


def _read(row: dict[str, str]) -> Medication:
    dose = Decimal(row["dose_mg"]) if row.get("dose_mg") else None
    return classify(
        [],
        [row["text"]],
        route=row.get("route", ""),
        form=row.get("form", ""),
        dose_mg=dose,
        sig=row.get("sig", ""),
    )


def _share(part: int, whole: int) -> float:
    return 100 * part / whole


def _score(rows: Sequence[dict[str, str]]) -> tuple[float, float, list[str]]:
    """Recall and precision in percent over (text, ingredient) pairs, and a line for every wrong text."""
    expected = found = right = 0
    wrong = []
    for row in rows:
        want, got = _set(row["ingredients"]), set(_read(row).ingredients)
        expected, found, right = expected + len(want), found + len(got), right + len(want & got)
        if want != got:
            wrong.append(f"{row['text']}: expected {sorted(want)}, read {sorted(got)}")
    return _share(right, expected), _share(right, found), wrong


def test_labelled_set_is_large_enough() -> None:
    assert len({row["text"] for row in _rows("medication_texts")}) >= 400
    assert len({tuple(row.values()) for row in _rows("medication_near_misses")}) >= 100


def test_ingredients_recall_and_precision() -> None:
    recall, precision, wrong = _score(_rows("medication_texts") + _rows("medication_near_misses"))
    sys.stdout.write("\n".join([f"recall {recall:.1f} %, precision {precision:.1f} %", *wrong, ""]))
    assert recall >= 97, wrong
    assert precision >= 99, wrong


def test_product_classes_of_labelled_texts() -> None:
    rows = _rows("medication_texts")
    wrong = [
        f"{row['text']}: expected {row['class']}, read {got}"
        for row in rows
        if (got := _read(row).product_class) != row["class"]
    ]
    assert _share(len(rows) - len(wrong), len(rows)) >= 97, wrong


@pytest.mark.parametrize(
    "row", _rows("medication_near_misses"), ids=lambda row: f"{row['text']} {row['sig']} {row['why']}"
)
def test_near_miss_outcome(row: dict[str, str]) -> None:
    read = _read(row)
    assert set(read.ingredients) == _set(row["ingredients"])
    assert read.product_class == row["class"]
    assert bool(read.excluded_reason) == bool(row["excluded"])
    assert row["excluded"] in read.excluded_reason
    assert read.role == row["role"]
    assert read.unclassified == (not row["ingredients"])
