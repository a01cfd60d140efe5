"""The table of preventive trials: episodes from orders, procedures done, and what staff stated about them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from fractions import Fraction
from functools import cache
from itertools import pairwise

from patients.codes import Row, table
from patients.headaches.orders import EvidenceLevel
from patients.headaches.record import Attestation, Happening, Treatment, day_of
from patients.headaches.supply import supply
from patients.headaches.trials import TRIAL_DAYS, EndKind, Episode, Exposure, Trial, trials

_TOXIN = "onabotulinumtoxinA"
_TOXIN_GROUP = "botox-procedure"
_TOXIN_DAYS = 84  # labelled interval between sessions: at least 12 weeks
_NOT_DONE = frozenset({"not-done", "entered-in-error", "preparation"})


@dataclass(frozen=True, slots=True)
class TrialRow:
    """One preventive ingredient.

    first, last: of all episodes and sessions, last None when unknown, last_kind how it is known; ongoing:
    authorised supply of an active order reaches today; sessions: dates of injections with their sources;
    documented_days: covered days of the longest episode (or of sessions, 84 days each); exposure, level: how
    well that is documented, level "" without orders; max_daily_mg: highest stated daily dose, None when not
    stated; attestation: what staff stated, None when nobody did; sources: of orders and sessions, latest first.
    """

    ingredient: str
    drug_class: str
    class_words: str
    episodes: tuple[Episode, ...] = ()
    sessions: tuple[tuple[date, str], ...] = ()
    first: date | None = None
    last: date | None = None
    last_kind: EndKind = "unknown"
    ongoing: bool = False
    documented_days: int = 0
    exposure: Exposure = "unknown"
    level: EvidenceLevel | None = None
    max_daily_mg: Fraction | None = None
    attestation: Attestation | None = None
    sources: tuple[str, ...] = ()

    @property
    def drug(self) -> str:
        name = self.ingredient or f"{self.class_words} (class)"
        return name[:1].upper() + name[1:]

    @property
    def dose_words(self) -> str:
        """The highest stated daily dose, else the dose staff stated, else ""."""
        if self.max_daily_mg is not None:
            # A dose a month, told by the day, has no end of decimals.
            exact = self.max_daily_mg == round(self.max_daily_mg, 1)
            return f"{float(round(self.max_daily_mg, 1)):g} mg a day{'' if exact else ' on average'}"
        return self.attestation.dose if self.attestation else ""

    @property
    def evidence_words(self) -> str:
        """What the days rest on, in neutral words."""
        if not self.episodes and not self.sessions:
            return "stated by staff; no order on file"
        if self.sessions and not self.episodes:
            return f"{len(self.sessions)} {'session' if len(self.sessions) == 1 else 'sessions'} on file"
        return _LEVELS[self.level or "D"]

    @property
    def interval_ends(self) -> date | None:
        """When the labelled interval after the last session ends; None without sessions."""
        return self.sessions[-1][0] + timedelta(_TOXIN_DAYS) if self.sessions else None

    @property
    def counts(self) -> bool:
        """Whether it counts as tried: staff may have stated that it was not for headache."""
        return self.attestation is None or self.attestation.for_headache != "no"


@dataclass(frozen=True, slots=True)
class Ledger:
    """rows: oldest trial first. classes: distinct classes of the rows that count; documented: those of them
    with a trial of at least 56 documented days."""

    rows: tuple[TrialRow, ...] = ()
    classes: tuple[str, ...] = ()
    documented: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """“Classes tried: 4 (2 documented for 56 days or more)”."""
        if not self.rows:
            return "No preventive trial on file"
        return f"Classes tried: {len(self.classes)} ({len(self.documented)} documented for {TRIAL_DAYS} days or more)"


_LEVELS = {
    "A": "days from stated supply",
    "B": "days from quantity and structured timing",
    "C": "days from quantity and written instructions",
    "D": "order dates only",
}


def ledger(
    treatments: Sequence[Treatment], procedures: Sequence[Happening], attestations: Sequence[Attestation], today: date
) -> Ledger:
    """Trials of a record. attestations: the present one per ingredient (the last in the sequence stands).

    Rimegepant and its like count where the order gives scheduled days; as-needed ones are acute.
    """
    mine = [each for each in treatments if is_preventive(each)]
    stated = {each.ingredient or f"class {each.drug_class}": each for each in attestations}
    found = {
        trial.ingredient: _row(trial, stated.get(trial.ingredient))
        for trial in trials((each.order for each in mine), today)
        if _is_preventive_ingredient(trial.ingredient)
    }
    sessions = _sessions(procedures, today)
    if sessions:
        found[_TOXIN] = _with_sessions(found.get(_TOXIN), sessions, stated.get(_TOXIN), today)
    for subject, attestation in stated.items():
        if subject not in found:
            found[subject] = _stated_only(attestation)
    rows = tuple(sorted(found.values(), key=lambda row: (row.first or date.max, row.ingredient, row.drug_class)))
    classes = {row.drug_class: row for row in rows if row.counts and row.drug_class}
    documented = {row.drug_class for row in rows if row.counts and row.drug_class and row.exposure == "documented"}
    return Ledger(rows, tuple(classes), tuple(each for each in classes if each in documented))


def _stated_only(attestation: Attestation) -> TrialRow:
    """A trial that no order on file shows. A statement on a class is a row of its own, without an ingredient."""
    row = _blank(attestation.ingredient)
    drug_class = attestation.drug_class or row.drug_class
    return replace(
        row,
        drug_class=drug_class,
        class_words=_class_words().get(drug_class, ""),
        first=attestation.started.value if attestation.started else None,
        last=attestation.ended.last if attestation.ended else None,
        last_kind="explicit" if attestation.ended else "unknown",
        attestation=attestation,
    )


def is_preventive(treatment: Treatment) -> bool:
    """Whether an order is for prevention by its class, or by being scheduled where the drug may be either."""
    if treatment.forbidden or not treatment.role:
        return False
    if treatment.role == "acute or preventive":
        found = supply(treatment.order)
        scheduled = found.days_low is not None or treatment.order.timing.frequency is not None
        return scheduled and not found.as_needed
    return treatment.role == "preventive"


def _is_preventive_ingredient(ingredient: str) -> bool:
    """Drops what only comes along: caffeine, hydrochlorothiazide."""
    row = _ingredients().get(ingredient)
    return row is None or any(part in row["roles"] for part in ("preventive", "cluster"))


def _row(trial: Trial, attestation: Attestation | None) -> TrialRow:
    last = trial.episodes[-1]
    orders = [order for episode in trial.episodes for order in episode.orders]
    return replace(
        _blank(trial.ingredient),
        episodes=trial.episodes,
        first=trial.episodes[0].start,
        last=last.end,
        last_kind=last.end_kind,
        ongoing=any(episode.ongoing for episode in trial.episodes),
        documented_days=trial.documented_days,
        exposure=trial.exposure,
        level=min(episode.level for episode in trial.episodes),
        max_daily_mg=trial.max_daily_mg,
        attestation=attestation,
        sources=tuple(dict.fromkeys(order.key for order in reversed(orders))),
    )


def _with_sessions(
    row: TrialRow | None, sessions: tuple[tuple[date, str], ...], attestation: Attestation | None, today: date
) -> TrialRow:
    row = row or replace(_blank(_TOXIN), attestation=attestation)
    days = [on for on, _ in sessions]
    covered = sum(min(_TOXIN_DAYS, (after - before).days) for before, after in pairwise([*days, today]))
    # A second session shows that the first one's interval was lived through.
    documented = len(days) > 1 and covered >= TRIAL_DAYS
    last = max([days[-1], *([row.last] if row.last else [])])
    return replace(
        row,
        sessions=sessions,
        first=min([days[0], *([row.first] if row.first else [])]),
        last=last,
        last_kind="explicit" if last == days[-1] else row.last_kind,
        ongoing=row.ongoing or today - days[-1] < timedelta(_TOXIN_DAYS),
        documented_days=max(covered, row.documented_days),
        exposure="documented" if documented else row.exposure,
        sources=tuple(dict.fromkeys([*(source for _, source in reversed(sessions)), *row.sources])),
    )


def _sessions(procedures: Sequence[Happening], today: date) -> tuple[tuple[date, str], ...]:
    """One per day: a session is often coded twice, as injection and as drug."""
    found = {
        on: each.source
        for each in procedures
        if each.group == _TOXIN_GROUP
        and not each.excluded_reason
        and each.status not in _NOT_DONE
        and (on := day_of(each))
        and on <= today
    }
    return tuple(sorted(found.items()))


def _blank(ingredient: str) -> TrialRow:
    row = _ingredients().get(ingredient)
    drug_class = row["class"] if row else ""
    return TrialRow(ingredient, drug_class, _class_words().get(drug_class, ""))


@cache
def _ingredients() -> dict[str, Row]:
    return {row["name"]: row for row in table("rxnorm_ingredients")}


@cache
def _class_words() -> dict[str, str]:
    return {row["class"]: row["words"] for row in table("medication_classes")}
