"""What a medication is to a headache clinic: ingredients, class, role and overuse threshold.

Steps: codes with their system, then names in all texts, brand combinations, one class per product, route and
form, and nothing dropped: a text that no rule knows comes back as unclassified.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cache, lru_cache
from itertools import pairwise
from typing import Literal

from patients.codes import Row, split, table
from patients.headaches import medication_names as names
from patients.headaches.coding import RXNORM, Coding
from patients.headaches.medication_routes import local_route

Confidence = Literal["code", "name", "none"]

EXCLUDED = "excluded"
_BARE_TOXIN = "botulinum toxin type A"
_LOW_ASPIRIN_MG = Decimal(100)
_PRN = re.compile(
    r"\bp\.?r\.?n\b|\b(?:as|when|if) needed\b|\bas necessary\b|\bonset\b|\bfor (?:acute|breakthrough)\b", re.I
)
_EVERY_OTHER_DAY = re.compile(
    r"\b(?:every|each) other (?:day|morning|evening|night)\b|\bq\.?\s?o\.?\s?d\b|\bevery (?:48 h(?:ours"
    r"|rs?)?|2 days|two days|2nd day|second day)\b"
    r"|\b(?:on )?alternate days\b|\bq\s?(?:48\s?h|2\s?d)\b",
    re.I,
)
_ROLES = {
    "acute": "acute",
    "preventive": "preventive",
    "acute;preventive": "acute or preventive",
    "acute;preventive-offlabel": "acute or preventive",
    "acute;preventive-indo": "acute or preventive",
    "preventive;cluster": "preventive",
    "cluster": "preventive",
    "cluster-acute": "acute",
    "acute-adjunct": "adjunct",
    "adjunct": "adjunct",
    "component": "adjunct",
    "bridge": "bridge",
    "interaction": "interaction",
    "iih": "other",
}
_ANALGESIC_CLASSES = frozenset({"simple-analgesic", "nsaid", "adjuvant", "combination-analgesic"})


@dataclass(frozen=True, slots=True)
class Medication:
    """A classified medication.

    ingredients: names of codelists/rxnorm_ingredients.csv, sorted; product_class: one class for the product,
    "excluded" for a recognized product that is none for headache, "" when unclassified; class_words: the
    class for people; role: preventive, acute, acute or preventive, adjunct, bridge, interaction, other, or
    ""; moh_days: days of use per month from which ICHD-3 8.2 speaks of overuse of this class, None without a
    number; confidence: how the ingredients were found; excluded_reason: why it is no headache product, "";
    unclassified: no rule knows the texts; assumptions: respelt words, product not stated, codes and words
    that disagree.
    """

    ingredients: tuple[str, ...] = ()
    product_class: str = ""
    class_words: str = ""
    role: str = ""
    moh_days: int | None = None
    confidence: Confidence = "none"
    excluded_reason: str = ""
    unclassified: bool = True
    assumptions: tuple[str, ...] = ()


def classify(
    codings: Sequence[Coding],
    texts: Sequence[str],
    *,
    route: str = "",
    form: str = "",
    dose_mg: Decimal | None = None,
    sig: str = "",
) -> Medication:
    """Classify a product from its codings and texts.

    codings: of the medication and of its listed ingredients; texts: every further wording (displays of
    codings are read anyway); route, form: words of the order or Medication; dose_mg: milligrams of one
    administration; sig: dosage text, read only for "as needed" and "every other day".
    """
    return _classify(tuple(codings), tuple(texts), route or "", form or "", dose_mg, sig or "")


@lru_cache(maxsize=8192)
def _classify(
    codings: tuple[Coding, ...],
    texts: tuple[str, ...],
    route: str,
    form: str,
    dose_mg: Decimal | None,
    sig: str,
) -> Medication:
    wordings = [names.tokens(text) for text in (*texts, *(coding.display for coding in codings)) if text]
    hits = [hit for words in wordings for hit in names.find(words)]
    coded = _coded(codings)
    named = {ingredient for hit in hits for ingredient in hit.ingredients}
    if not coded and not named:
        return Medication()
    disagree = bool(coded and named and not coded & named)
    found = coded if disagree else coded | named
    context = [*wordings, names.tokens(route), names.tokens(form)]
    reason = next((hit.reason for hit in hits if hit.reason), "") or (
        "weight-management combination" if "phentermine" in found else ""
    )
    reason = reason or local_route(context, found) or _antiplatelet(wordings, found, dose_mg)
    assumptions = _assumptions(hits, found, named if disagree else set())
    confidence: Confidence = "code" if coded else "name"
    if reason:
        return Medication(
            tuple(sorted(found)),
            EXCLUDED,
            "Not a headache product",
            "other",
            None,
            confidence,
            reason,
            False,
            assumptions,
        )
    return _product(found, confidence, assumptions, sig)


def _product(found: set[str], confidence: Confidence, assumptions: tuple[str, ...], sig: str) -> Medication:
    product_class = _product_class(found)
    row = _classes()[product_class]
    return Medication(
        ingredients=tuple(sorted(found)),
        product_class=product_class,
        class_words=row["words"],
        role=_role(found, product_class, sig),
        moh_days=int(row["moh_days"]) if row["moh_days"] else None,
        confidence=confidence,
        unclassified=False,
        assumptions=assumptions,
    )


def _coded(codings: Iterable[Coding]) -> set[str]:
    return {
        ingredient
        for coding in codings
        if coding.vocabulary == RXNORM
        for ingredient in _by_rxcui().get(coding.code.strip(), ())
    }


def _product_class(found: set[str]) -> str:
    classes = [_ingredient_class(name) for name in found]
    first = min(classes, key=lambda name: int(_classes()[name]["order"]))
    # ICHD-3 8.2.5: more than one analgesic (or one with caffeine) in a product is a combination analgesic.
    if first in ("nsaid", "simple-analgesic") and sum(name in _ANALGESIC_CLASSES for name in classes) > 1:
        return "combination-analgesic"
    return first


def _role(found: set[str], product_class: str, sig: str) -> str:
    if product_class == "combination-analgesic":
        return "acute"
    roles = {_ROLES[_ingredient(name)["roles"]] for name in found if _ingredient_class(name) == product_class}
    role = roles.pop() if len(roles) == 1 else "other"
    if role != "acute or preventive":
        return role
    as_needed, alternate = bool(_PRN.search(sig)), bool(_EVERY_OTHER_DAY.search(sig))
    if as_needed != alternate:
        return "acute" if as_needed else "preventive"
    return role


def _antiplatelet(wordings: Sequence[tuple[str, ...]], found: set[str], dose_mg: Decimal | None) -> str:
    if found != {"aspirin"}:
        return ""
    low = any("low" in words and {"strength", "dose"} & set(words) for words in wordings)
    dose = dose_mg if dose_mg is not None else _strength(wordings)
    if low or (dose is not None and dose <= _LOW_ASPIRIN_MG):
        return "antiplatelet dose (aspirin 100 mg or less)"
    return ""


def _strength(wordings: Sequence[tuple[str, ...]]) -> Decimal | None:
    """The strength in mg: the number before "mg", or the only number of a text."""
    for words in wordings:
        numbers = [word for word in words if word[0].isdigit()]
        milligrams = [a for a, b in pairwise(words) if a[0].isdigit() and b == "mg"]
        if milligrams or len(numbers) == 1:
            return Decimal((milligrams or numbers)[0])
    return None


def _assumptions(hits: Iterable[names.Hit], found: set[str], disagreeing: set[str]) -> tuple[str, ...]:
    lines = [f"“{hit.written}” read as {hit.respelt}" for hit in hits if hit.respelt]
    if _BARE_TOXIN in found:
        lines.append("type A, product not stated")
    if disagreeing:
        lines.append(f"the text names {', '.join(sorted(disagreeing))}; the code says otherwise")
    return tuple(dict.fromkeys(lines))


def _ingredient(name: str) -> Row:
    return _ingredients()["onabotulinumtoxinA" if name == _BARE_TOXIN else name]


def _ingredient_class(name: str) -> str:
    return _ingredient(name)["class"]


@cache
def _ingredients() -> dict[str, Row]:
    return {row["name"]: row for row in table("rxnorm_ingredients")}


@cache
def _classes() -> dict[str, Row]:
    return {row["class"]: row for row in table("medication_classes")}


@cache
def _by_rxcui() -> dict[str, tuple[str, ...]]:
    """Ingredients by RXCUI. Only verified codes: RXCUIs in public code are often wrong."""
    ingredients = {row["rxcui"]: (row["name"],) for row in table("rxnorm_ingredients") if row["rxcui"]}
    return ingredients | {row["rxcui"]: split(row["ingredients"]) for row in table("rxnorm_codes")}
