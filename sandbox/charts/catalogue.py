"""The drugs this clinic orders and the many ways in which its staff have typed them (`catalogue.csv`).

RxNorm codes there are ingredient codes, or product (SCD) codes where one could be verified; other products
carry no RxNorm code at all.
"""

import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Product:
    """A drug as ordered. `texts`: first the full product name, then the other ways it is written.
    `group`: acute, preventive or other. `quantity`, `unit`, `repeats`: the usual dispense request; quantity
    0 = never stated."""

    group: str
    key: str
    rxnorm: str
    rxnorm_display: str
    quantity: int
    unit: str
    repeats: int
    texts: tuple[str, ...]
    sigs: tuple[str, ...]


def _product(row: dict[str, str]) -> Product:
    return Product(
        group=row["group"],
        key=row["key"],
        rxnorm=row["rxnorm"],
        rxnorm_display=row["rxnorm_display"],
        quantity=int(row["quantity"]),
        unit=row["unit"],
        repeats=int(row["repeats"]),
        texts=tuple(row["texts"].split("|")),
        sigs=tuple(row["sigs"].split("|")),
    )


def _read(path: Path) -> dict[str, Product]:
    with path.open(encoding="utf-8", newline="") as lines:
        return {row["key"]: _product(row) for row in csv.DictReader(lines)}


PRODUCTS: dict[str, Product] = _read(Path(__file__).with_name("catalogue.csv"))
