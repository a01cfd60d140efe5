"""What a chart shows of the things that prompts and red flags ask for, with the facts it shows them by."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal

from patients.headaches import condition_lists, drug_groups
from patients.headaches.ledger import is_preventive
from patients.headaches.record import Condition, F, Fact, Measure, Record, Treatment, cited, day_of, newest
from patients.headaches.supply import supply

_INTENTS = frozenset({"", "order", "plan", "original-order", "reflex-order", "filler-order", "instance-order"})
_ACTIVE = frozenset({"active", "on-hold", ""})
_ENDED = frozenset({"stopped", "cancelled", "entered-in-error", "draft"})
_CITED = 2  # facts named in a sentence; all of them are evidence

PREGNANCY_DAYS = 280
HALF_DAYS = 140  # 20 weeks
PRESSURE_DAYS = 183
PRESSURE_READINGS = 3
LAB_DAYS = 365
YEAR_DAYS = 365
MAOI_DAYS = 14
METOCLOPRAMIDE_DAYS = 84
_BICARBONATE = frozenset({"1963-8", "2028-9"})
_EGFR = frozenset({"98979-8", "62238-1", "69405-9"})
_HCG = frozenset({"2106-3", "2110-5", "2112-1"})
_HEART_RATE = frozenset({"8867-4"})
_MOLAR = frozenset({"", "mmol/l", "meq/l"})


@dataclass(frozen=True, slots=True)
class Sign:
    """Something the record shows. words: for a sentence; sources: all evidence, latest first; said: what the
    evidence says, without dates of renewals: the same words later are no news."""

    words: str
    sources: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


@dataclass(frozen=True)
class Chart:
    """A record indexed for today's questions."""

    record: Record
    today: date
    conditions: dict[str, list[Condition]] = field(default_factory=dict)
    active: dict[str, list[Treatment]] = field(default_factory=dict)
    ordered: dict[str, list[Treatment]] = field(default_factory=dict)


def chart(record: Record, today: date) -> Chart:
    """Index the record: conditions by list (those that stand, in any clinical status), treatments by group."""
    made = Chart(record, today)
    for condition in record.conditions:
        if condition.stands:
            for name in condition_lists.lists_of(condition):
                made.conditions.setdefault(name, []).append(condition)
    for treatment in record.treatments:
        groups = drug_groups.groups_of(treatment)
        present = bool(groups) and is_active(treatment, today)
        for name in groups:
            made.ordered.setdefault(name, []).append(treatment)
            if present:
                made.active.setdefault(name, []).append(treatment)
    return made


def is_active(treatment: Treatment, today: date) -> bool:
    """Whether an order or plan is active or on hold, or its authorised supply reaches today."""
    order = treatment.order
    status = order.status.strip().lower()
    if treatment.forbidden or order.intent.strip().lower() not in _INTENTS or status in _ENDED:
        return False
    if status in _ACTIVE:
        return True
    last = last_day(treatment)
    return last is not None and last >= today


def last_day(treatment: Treatment) -> date | None:
    """The last day an order names or supplies; None when it does neither."""
    order = treatment.order
    if order.bounds_end:
        return order.bounds_end.last
    if order.authored is None:
        return None
    days = supply(order).days_high
    return order.authored.value + timedelta(int(days) - 1) if days else None


def sign(facts: Iterable[Fact]) -> Sign | None:
    """The facts as a sign, None without any. Facts that say the same are named once, by the newest."""
    found = newest(facts)
    if not found:
        return None
    distinct = list({fact.said: fact for fact in reversed(found)}.values())[::-1]
    words = " and ".join(cited(fact) for fact in distinct[:_CITED])
    if len(distinct) > _CITED:
        words += f" and {len(distinct) - _CITED} more"
    sources = tuple(dict.fromkeys(fact.source for fact in found))
    return Sign(words, sources, tuple(sorted(fact.said for fact in distinct)))


def together(signs: Iterable[Sign | None]) -> Sign | None:
    """Several signs as one; None without any."""
    found = [each for each in signs if each]
    if not found:
        return None
    sources = dict.fromkeys(source for each in found for source in each.sources)
    said = tuple(sorted({line for each in found for line in each.said}))
    return Sign(" and ".join(each.words for each in found), tuple(sources), said)


def recent_treatments(made: Chart, group: str, days: int) -> list[Treatment]:
    """Active ones of a group, and those whose stated or supplied end lies at most that many days back."""
    limit = made.today - timedelta(days)
    ended = [each for each in made.ordered.get(group, []) if (last := last_day(each)) and limit <= last <= made.today]
    stands = [each for each in ended if each.order.stands and not each.forbidden]
    return list(dict.fromkeys([*made.active.get(group, []), *stands]))


def preventive_cgrp(made: Chart) -> list[Treatment]:
    """Active preventive CGRP agents: antibodies, atogepant, and rimegepant where it is ordered as a preventive."""
    return [each for each in made.active.get("cgrp", []) if is_preventive(each)]


def pregnancy(made: Chart) -> list[Fact]:
    """Evidence of a present pregnancy: a code or positive hCG of the last 280 days (or an open undated code)
    without a delivery or other end on or after it."""
    since = made.today - timedelta(PREGNANCY_DAYS)
    active = [each for each in made.conditions.get("pregnancy", []) if each.active(made.today)]
    conditions = [each for each in active if _dated_since(each, since, made)]
    tests = [each for each in _coded(made, _HCG, PREGNANCY_DAYS) if _positive(each)]
    ends = [day_of(each) for each in made.conditions.get("pregnancy-end", [])]
    ends += [day_of(each) for each in made.record.procedures if "delivery" in each.title.lower()]
    last_end = max((end for end in ends if end and end <= made.today), default=None)
    found: list[Fact] = [*conditions, *tests]
    return [each for each in found if last_end is None or last_end < (_latest(each) or date.min)]


def pregnancy_of_20_weeks(made: Chart) -> list[Fact]:
    """Evidence that is 20 weeks old, or names 20 weeks or more."""
    found = pregnancy(made)
    first = min((day for each in found if (day := day_of(each))), default=None)
    if first and (made.today - first).days >= HALF_DAYS:
        return found
    return [each for each in found if each in made.conditions.get("pregnancy-20-weeks", [])]


def high_pressure(made: Chart) -> list[Measure]:
    """The readings of 160 or 100 and above, when at least 2 of the last 3 of six months are."""
    last = [each for each in _pressures(made) if _within(each, made, PRESSURE_DAYS)][:PRESSURE_READINGS]
    high = [each for each in last if _reaches(each, 160, 100)]
    return high if len(high) > 1 else []


def pressure_after_cgrp(made: Chart) -> list[Measure]:
    """Readings of 140/90 and above after the first order of an active CGRP agent, when there are two."""
    names = {name for each in made.active.get("cgrp", []) for name in each.order.ingredients}
    same = [each for each in made.ordered.get("cgrp", []) if names & set(each.order.ingredients)]
    start = min((day for each in same if (day := day_of(each))), default=None)
    if start is None:
        return []
    high = [each for each in _pressures(made) if (day_of(each) or date.min) > start and _reaches(each, 140, 90)]
    return high if len(high) > 1 else []


def low_heart_rate(made: Chart) -> list[Measure]:
    """The last heart rate of six months when it is below 50."""
    return _last_below(made, _HEART_RATE, PRESSURE_DAYS, 50)


def low_bicarbonate(made: Chart) -> list[Measure]:
    """The last bicarbonate of a year when it is below 18 mmol/L."""
    found = _last_below(made, _BICARBONATE, LAB_DAYS, 18)
    return [each for each in found if each.unit.lower() in _MOLAR]


def low_egfr(made: Chart) -> list[Measure]:
    """The last eGFR of a year when it is below 60."""
    return _last_below(made, _EGFR, LAB_DAYS, 60)


def _last_below(made: Chart, codes: frozenset[str], days: int, limit: int) -> list[Measure]:
    last = newest(each for each in _coded(made, codes, days) if each.value is not None)[:1]
    return [each for each in last if each.value is not None and each.value < limit]


def _coded(made: Chart, codes: frozenset[str], days: int) -> list[Measure]:
    return [each for each in made.record.measures if each.code in codes and _within(each, made, days)]


def _pressures(made: Chart) -> list[Measure]:
    return newest(
        each
        for each in made.record.measures
        if each.group == "blood-pressure" and (day := day_of(each)) and day <= made.today
    )


def _reaches(reading: Measure, systolic: int, diastolic: int) -> bool:
    upper, lower = reading.systolic or Decimal(0), reading.diastolic or Decimal(0)
    return upper >= systolic or lower >= diastolic


def _positive(test: Measure) -> bool:
    words = test.value_text.lower()
    return ("pos" in words or "detected" in words) and "not " not in words and "neg" not in words


def _within(fact: Fact, made: Chart, days: int) -> bool:
    day = day_of(fact)
    return day is not None and 0 <= (made.today - day).days <= days


def _dated_since(condition: Condition, since: date, made: Chart) -> bool:
    latest = _latest(condition)
    return latest is None or since <= latest <= made.today


def _latest(fact: Fact) -> date | None:
    dates = [day_of(fact)]
    if isinstance(fact, Condition):
        dates.append(fact.recorded.value if fact.recorded else None)
    return max((day for day in dates if day), default=None)


def within_days(facts: Iterable[F], made: Chart, days: int) -> list[F]:
    """Facts dated in the last so many days, today included."""
    return [each for each in facts if _within(each, made, days)]
