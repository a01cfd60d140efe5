"""What in a record is missing, doubled or contradicts itself: counted, with the facts behind each count."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from patients.headaches import signs
from patients.headaches.course import Course
from patients.headaches.frequency import Frequency
from patients.headaches.record import Fact, Record, Treatment, day_of

_STALE_DAYS = 365  # a prescription lapses after a year


@dataclass(frozen=True, slots=True)
class Finding:
    """key: what kind; words: the sentence; count: how many; evidence: keys of the facts, () when they are not
    shown at all."""

    key: str
    words: str
    count: int
    evidence: tuple[str, ...] = ()


def findings(
    record: Record,
    course: Course,
    days: Frequency,
    today: date,
    *,
    missing: Sequence[str] = (),
) -> tuple[Finding, ...]:
    """Findings with a count above zero. missing: a sentence for each resource type that is not complete."""
    facts = _facts(record)
    conflicting = (each for each in record.conditions if each.conflicts)
    outside = (each for each in record.measures if each.out_of_range)
    found = [
        _found("undated", "{} without a usable date (none on file, or a filler that stands for none)", _undated(facts)),
        _found("future", "{} dated in the future", _future(facts, today)),
        _duplicates(facts, record.repeated),
        _found("stale", "{} called active a year or more after the last order", _stale(record, today)),
        _found("conflict", "{} whose codes or words disagree", conflicting),
        _found("unclassified", "{} whose medication text is in no table", _unclassified(record)),
        _found("no-known", "{} of no known allergies beside a recorded allergy", _contradicted(record)),
        _found("out-of-range", "{} outside the range of the instrument", outside),
    ]  # fmt: skip
    both = course.both_active
    found.append(Finding("episodic-chronic", " ".join(both), len(both)))
    doubted = days.contradictions
    found.append(Finding("days", "Statements with more migraine days than headache days", len(doubted), doubted))
    hidden = f"{_records(record.hidden)} entered in error, or no longer sent by the EMR, not shown"
    found.append(Finding("hidden", hidden, record.hidden))
    found += [Finding("not-complete", sentence, 1) for sentence in missing]
    return tuple(each for each in found if each.count)


def _found(key: str, words: str, facts: Iterable[Fact]) -> Finding:
    mine = list(facts)
    return Finding(
        key, words.format(_records(len(mine))), len(mine), tuple(dict.fromkeys(each.source for each in mine))
    )


def _records(count: int) -> str:
    return f"{count} {'record' if count == 1 else 'records'}"


def _facts(record: Record) -> list[Fact]:
    return [
        *record.conditions, *record.treatments, *record.allergies, *record.measures, *record.reports,
        *record.visits, *record.procedures,
    ]  # fmt: skip


def _undated(facts: Iterable[Fact]) -> Iterator[Fact]:
    return (each for each in facts if each.dated is None)


def _future(facts: Iterable[Fact], today: date) -> Iterator[Fact]:
    """Visits may be planned; what is recorded, ordered or measured cannot lie ahead."""
    return (each for each in facts if each.origin != "visit" and (day_of(each) or today) > today)


def _duplicates(facts: Iterable[Fact], repeated: int) -> Finding:
    """How many records say again what another says of the same day."""
    groups: defaultdict[tuple[str, str, date], set[str]] = defaultdict(set)
    for each in facts:
        day = day_of(each)
        if day is not None:
            groups[each.origin, each.said, day].add(each.source)
    again = [group for group in groups.values() if len(group) > 1]
    count = sum(len(group) - 1 for group in again) + repeated
    sources = dict.fromkeys(source for group in again for source in sorted(group))
    words = f"{_records(count)} repeating what another says of the same day"
    return Finding("duplicate", words, count, tuple(sources))


def _stale(record: Record, today: date) -> Iterator[Treatment]:
    """Active orders older than a year whose supply has ended, with no later order of the same substance."""
    latest: dict[tuple[str, ...], date] = {}
    key: Callable[[Treatment], tuple[str, ...]] = lambda each: each.order.ingredients or (each.title.lower(),)  # noqa: E731
    for each in record.treatments:
        day = day_of(each)
        if day is not None and each.order.stands:
            latest[key(each)] = max(latest.get(key(each), day), day)
    for each in record.treatments:
        newest = latest.get(key(each))
        if newest is None or (today - newest).days <= _STALE_DAYS or each.order.status.lower() != "active":
            continue
        last = signs.last_day(each)
        if last is None or last < today:
            yield each


def _unclassified(record: Record) -> Iterator[Treatment]:
    """One for each distinct text."""
    texts = {each.title.casefold(): each for each in record.treatments if each.unclassified and not each.forbidden}
    return iter(texts.values())


def _contradicted(record: Record) -> Iterator[Fact]:
    """Statements of no known (drug) allergies while an allergy stands."""
    if any(each.stands for each in record.allergies):
        yield from (each for each in record.allergies if each.none_known in ("all", "drug"))
