"""Safety prompts: neutral notes on two things a record shows together (codelists/prompts.csv).

No prompt says what to do. Not prompted on purpose, as alerts nobody reads hide the others: a triptan beside an
SSRI or SNRI, and topiramate beside a sulfonamide allergy.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from patients.codes import Row, table
from patients.headaches import drug_groups, medications, signs
from patients.headaches.record import Allergy, Fact, Treatment, day_of, newest, when
from patients.headaches.signs import Chart, Sign
from patients.headaches.trials import trials

Severity = Literal["H", "M", "L"]

FERTILE = range(12, 51)  # years of age, a setting
_GAP = 90  # days between orders that still count as one stretch


@dataclass(frozen=True, slots=True)
class Prompt:
    """A note for a clinician. id, version, severity, source: of codelists/prompts.csv (H: on top, M: in the
    panel, L: in the details); evidence: keys of the facts, latest first; fingerprint: 64 hex digits that change
    when what the evidence says changes, so that a dismissed prompt is shown again (a renewal in the same words
    is no change).
    """

    id: str
    version: str
    severity: Severity
    text: str
    evidence: tuple[str, ...]
    fingerprint: str
    source: str = ""
    date: str = ""


def prompts(made: Chart) -> tuple[Prompt, ...]:
    """All prompts that the record gives rise to today, by severity, then by id."""
    found = [prompt for row in table("prompts") if (prompt := _prompt(row, made))]
    return tuple(sorted(found, key=lambda prompt: ("HML".index(prompt.severity), prompt.id)))


def _prompt(row: Row, made: Chart) -> Prompt | None:
    if not _concerns(row["who"], made):
        return None
    shown = []
    for cell in filter(None, (row["first"], row["second"])):
        found = _shown(cell, made)
        if found is None:
            return None
        shown.append(found)
    if row["unless"] and _shown(row["unless"], made):
        return None
    said = json.dumps([row["id"], row["version"], [each.said for each in shown]])
    severity: Severity = "H" if row["severity"] == "H" else "M" if row["severity"] == "M" else "L"
    return Prompt(
        id=row["id"],
        version=row["version"],
        severity=severity,
        text=f"Record shows {' and '.join(each.words for each in shown)}. {row['sentence']} For clinician review.",
        evidence=tuple(dict.fromkeys(source for each in shown for source in each.sources)),
        fingerprint=hashlib.sha256(said.encode()).hexdigest(),
        source=row["source"],
        date=row["date"],
    )


def _concerns(who: str, made: Chart) -> bool:
    """`who` is "", "female" or "female 12-50"."""
    if not who:
        return True
    if made.record.person.sex != "female":
        return False
    age = made.record.person.age(made.today)
    return who == "female" or (age is not None and age in FERTILE)


def _shown(cell: str, made: Chart) -> Sign | None:
    """The facts of all alternatives of a cell ("hx a or hx b") as one sign."""
    found: list[Fact] = []
    for kind, name in _terms(cell):
        if kind in _WORDED:
            return _WORDED[kind](made, name)
        found += _TERMS[kind](made, name)
    return signs.sign(found)


@cache
def _terms(cell: str) -> tuple[tuple[str, str], ...]:
    parts = (term.partition(" ") for term in cell.split(" or "))
    return tuple((kind, name) for kind, _, name in parts)


def _active(made: Chart, name: str) -> Sequence[Fact]:
    return made.active.get(name, [])


def _hx(made: Chart, name: str) -> Sequence[Fact]:
    return made.conditions.get(name, [])


def _recent(made: Chart, name: str) -> Sequence[Fact]:
    return signs.recent_treatments(made, name, signs.MAOI_DAYS)


def _two(made: Chart, name: str) -> Sign | None:
    """Active orders of at least two different ingredients of a group, each named by its newest order."""
    treatments = signs.preventive_cgrp(made) if name == "cgrp-preventive" else made.active.get(name, [])
    parts = {}
    for ingredient in sorted({each for treatment in treatments for each in treatment.order.ingredients}):
        if name in drug_groups.groups_of_ingredient(ingredient):
            parts[ingredient] = signs.sign(each for each in treatments if ingredient in each.order.ingredients)
    return signs.together(parts.values()) if len(parts) > 1 else None


def _two_products(made: Chart, name: str) -> Sequence[Fact]:
    """Active orders of the group when they name at least two different products."""
    found = made.active.get(name, [])
    return found if len({each.said for each in found}) > 1 else []


def _pregnant(made: Chart, name: str) -> Sequence[Fact]:
    return signs.pregnancy_of_20_weeks(made) if name == "20-weeks" else signs.pregnancy(made)


def _measured(made: Chart, name: str) -> Sequence[Fact]:
    return _MEASURES[name](made)


def _headache(made: Chart, name: str) -> Sequence[Fact]:
    return [each for each in made.record.conditions if each.headache_class and each.stands]


def _allergic(made: Chart, name: str) -> Sign | None:
    """Active treatments of an ingredient or class that the allergy list names, after the allergies."""
    active = [each for each in made.record.treatments if each.order.ingredients and signs.is_active(each, made.today)]
    allergies: list[Fact] = []
    drugs: dict[str, Fact] = {}
    for allergy in made.record.allergies:
        if allergy.stands:
            substances, classes = _substances(allergy)
            hit = {each.source: each for each in active if _is_of(each, substances, classes)}
            allergies += [allergy] if hit else []
            drugs |= hit
    return signs.together((signs.sign(allergies), signs.sign(drugs.values())))


def names_headache_drug(allergy: Allergy) -> bool:
    """Whether an allergy names a drug or class of the headache tables."""
    return any(_substances(allergy))


def _is_of(treatment: Treatment, substances: frozenset[str], classes: frozenset[str]) -> bool:
    names = set(treatment.order.ingredients)
    return bool(names & substances or {drug_groups.class_of(name) for name in names} & classes)


def _substances(allergy: Allergy) -> tuple[frozenset[str], frozenset[str]]:
    """(ingredients, classes) that an allergy names."""
    read = medications.classify(allergy.codings, [allergy.title])
    words = " ".join((allergy.title, *(coding.display for coding in allergy.codings)))
    return frozenset(read.ingredients), frozenset(name for pattern, name in _class_names() if pattern.search(words))


@cache
def _class_names() -> tuple[tuple[re.Pattern[str], str], ...]:
    return tuple((re.compile(rf"\b(?:{row['text']})\b", re.I), row["class"]) for row in table("allergy_classes"))


def _long(made: Chart, name: str) -> Sequence[Fact]:
    """Orders of one stretch of metoclopramide that spans more than 84 days and ends in the last 90."""
    mine = [each for each in made.ordered.get(name, []) if each.order.stands and not each.forbidden]
    for trial in trials((each.order for each in mine), made.today):
        if trial.ingredient != name:
            continue
        episode = trial.episodes[-1]
        begun = [order.authored.value for order in episode.orders if order.authored]
        last = min(max([*begun, *([episode.end] if episode.end else [])]), made.today)
        if (last - episode.start).days + 1 > signs.METOCLOPRAMIDE_DAYS and (made.today - last).days <= _GAP:
            keys = {order.key for order in episode.orders}
            return [each for each in mine if each.source in keys]
    return []


def _year(made: Chart, name: str) -> Sign | None:
    """Opioid and butalbital orders of the last 12 months: how many, and the last."""
    orders = {each.source: each for group in name.split("-") for each in made.ordered.get(group, [])}
    recent = signs.within_days(orders.values(), made, signs.YEAR_DAYS)
    found = newest(each for each in recent if each.order.stands and not each.forbidden)
    if not found:
        return None
    count = f"{len(found)} {'order' if len(found) == 1 else 'orders'}"
    words = (
        f"{count} with an opioid or butalbital in the last 12 months, the latest {found[0].title} "
        f"({when(found[0].dated)}, {found[0].origin})"
    )
    said = tuple(sorted(f"{each.said}|{day_of(each)}" for each in found))
    return Sign(words, tuple(each.source for each in found), said)


def _person(made: Chart, name: str) -> Sign:
    age = made.record.person.age(made.today)
    return Sign(f"{made.record.person.sex} sex, age {age}", (), ("female of 12 to 50 years",))


_TERMS: dict[str, Callable[[Chart, str], Iterable[Fact]]] = {
    "active": _active,
    "hx": _hx,
    "recent": _recent,
    "two-products": _two_products,
    "pregnant": _pregnant,
    "measured": _measured,
    "headache": _headache,
    "long": _long,
}
_WORDED: dict[str, Callable[[Chart, str], Sign | None]] = {
    "year": _year,
    "person": _person,
    "two": _two,
    "allergic": _allergic,
}
_MEASURES: dict[str, Callable[[Chart], Sequence[Fact]]] = {
    "pressure-high": signs.high_pressure,
    "pressure-after-cgrp": signs.pressure_after_cgrp,
    "heart-rate-low": signs.low_heart_rate,
    "bicarbonate-low": signs.low_bicarbonate,
    "egfr-low": signs.low_egfr,
}
