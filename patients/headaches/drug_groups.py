"""Which groups of codelists/drug_groups.csv a treatment belongs to, by its ingredients and their classes.

Drugs that the ingredient table does not hold (anticoagulants …) are found by their names.
"""

import re
from functools import cache, lru_cache

from patients.codes import Row, split, table
from patients.headaches.record import Treatment

# Products that are none for headache and act on the whole body all the same.
_SYSTEMIC = ("weight-management", "antiplatelet")


def groups_of(treatment: Treatment) -> frozenset[str]:
    """Names of all groups; none for a local form (eye drops, gels) or another product than the words suggest."""
    if treatment.excluded_reason and not treatment.excluded_reason.startswith(_SYSTEMIC):
        return frozenset()
    return _groups_of(treatment.order.ingredients, (treatment.title, *treatment.texts))


@lru_cache(maxsize=4096)
def _groups_of(ingredients: tuple[str, ...], texts: tuple[str, ...]) -> frozenset[str]:
    names = set(ingredients)
    classes = {class_of(name) for name in names}
    words = " ".join(texts)
    return frozenset(
        row["group"]
        for row, pattern in _rows()
        if names & set(_parts(row["ingredients"]))
        or classes & set(_parts(row["classes"]))
        or (pattern and pattern.search(words))
    )


@cache
def groups_of_ingredient(ingredient: str) -> frozenset[str]:
    """Groups that a single ingredient belongs to; "cgrp-preventive" stands for all of "cgrp"."""
    found = _groups_of((ingredient,), ())
    return found | {"cgrp-preventive"} if "cgrp" in found else found


@cache
def class_of(ingredient: str) -> str:
    """The class of an ingredient of codelists/rxnorm_ingredients.csv, "" for any other."""
    return next((row["class"] for row in table("rxnorm_ingredients") if row["name"] == ingredient), "")


@cache
def _parts(cell: str) -> tuple[str, ...]:
    return split(cell)


@cache
def _rows() -> tuple[tuple[Row, re.Pattern[str] | None], ...]:
    return tuple(
        (row, re.compile(rf"\b(?:{row['texts']})\b", re.I) if row["texts"] else None) for row in table("drug_groups")
    )
