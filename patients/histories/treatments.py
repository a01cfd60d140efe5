"""The table of preventive trials, the acute drugs, and everything else that was ordered."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from patients.absence import Completeness
from patients.charts.treatments import start_words
from patients.headaches.ledger import TrialRow
from patients.headaches.record import Treatment, newest, when
from patients.histories.evidence import Evidence
from patients.summaries import Summary
from patients.wording import date_words, number_words, plain

ORDERS = 5  # lines inside one drug
DRUGS = 30  # drugs of a list on the page

_OUTCOME_UNKNOWN = "Not stated"
_FOR_HEADACHE = {"yes": "Yes", "no": "No"}


@dataclass(frozen=True, slots=True)
class OrderLine:
    dated: str
    said: str
    href: str


@dataclass(frozen=True, slots=True)
class Drug:
    """All orders of one drug: first, last: spelled dates; statuses: the record's words, latest first; lines: the
    latest few."""

    name: str
    class_words: str
    first: str
    last: str
    count: int
    statuses: str
    latest: str
    future: bool
    tags: tuple[str, ...]
    lines: tuple[OrderLine, ...]

    @property
    def hidden(self) -> int:
        return self.count - len(self.lines)


@dataclass(frozen=True, slots=True)
class Drugs:
    """drugs: the latest ordered first; count: orders in all; hidden: drugs left out; absent: why there is none."""

    drugs: tuple[Drug, ...] = ()
    count: int = 0
    hidden: int = 0
    absent: str = ""


@dataclass(frozen=True, slots=True)
class TrialLine:
    """One preventive as the record and the staff state it. days: documented days, "" when the orders give none;
    level: the evidence level A to D; count: orders and
    sessions; lines: the latest few of them; stated: who stated the outcome, "" when nobody did; attest: the form."""

    class_words: str
    drug: str
    dose: str
    first: str
    last: str
    days: str
    level: str
    evidence: str
    outcome: str
    reason: str
    for_headache: str
    stated: str
    attest: str
    count: int
    lines: tuple[OrderLine, ...]

    @property
    def hidden(self) -> int:
        return self.count - len(self.lines)


@dataclass(frozen=True, slots=True)
class Trials:
    rows: tuple[TrialLine, ...]
    sentence: str
    absent: str


@dataclass(frozen=True, slots=True)
class Treatments:
    trials: Trials
    acute: Drugs
    other: Drugs
    total: int


def treatments(made: Summary, evidence: Evidence, known: Completeness) -> Treatments:
    """All treatments of the record, each in one of the three lists."""
    tried = {row.ingredient for row in made.trials.rows}
    acute, others = [], []
    for group in _by_drug(made.record.treatments):
        if any(each.role.startswith("acute") for each in group):
            acute.append(group)
        elif not tried.intersection(group[0].order.ingredients):
            others.append(group)
    total = len(made.record.treatments)

    def none(what: str) -> str:
        if total:
            return f"No {what} among the {number_words(total, 'order')} on file."
        return known.of("MedicationRequest").sentence

    return Treatments(
        trials=_trials(made, evidence, none("preventive")),
        acute=_drugs(acute, evidence, made.today, none("acute headache medication")),
        other=_drugs(others, evidence, made.today, none("other medication")),
        total=total,
    )


def _by_drug(orders: Sequence[Treatment]) -> list[list[Treatment]]:
    """Orders by ingredients, else by name; latest first, within and among groups."""
    found: dict[tuple[str, ...], list[Treatment]] = {}
    for each in newest(orders):
        found.setdefault(each.order.ingredients or (each.title.casefold(),), []).append(each)
    return list(found.values())


def _drugs(groups: Sequence[Sequence[Treatment]], evidence: Evidence, today: date, absent: str) -> Drugs:
    return Drugs(
        drugs=tuple(_drug(group, evidence, today) for group in groups[:DRUGS]),
        count=sum(map(len, groups)),
        hidden=max(len(groups) - DRUGS, 0),
        absent="" if groups else absent,
    )


def _drug(group: Sequence[Treatment], evidence: Evidence, today: date) -> Drug:
    latest = group[0]
    dated = [each for each in group if each.dated]
    name = " + ".join(latest.order.ingredients) or latest.title
    return Drug(
        name=name[:1].upper() + name[1:],
        class_words=latest.class_words,
        first=when(dated[-1].dated) if dated else "",
        last=when(dated[0].dated) if dated else "",
        count=len(group),
        statuses="; ".join(dict.fromkeys(each.order.status for each in group if each.order.status)),
        latest=order_words(latest),
        future=bool(latest.dated and latest.dated.value > today),
        tags=_tags(latest),
        lines=tuple(_line(each, evidence) for each in group[:ORDERS]),
    )


def _line(each: Treatment, evidence: Evidence) -> OrderLine:
    said = " · ".join(filter(None, (order_words(each), each.order.status, *_tags(each))))
    return OrderLine(when(each.dated) if each.dated else "No date", said, evidence.href(each.source))


def order_words(each: Treatment) -> str:
    """The product, the instructions and the supply as ordered."""
    order = each.order
    amount = f"quantity {order.quantity.normalize():f} {order.quantity_unit}".strip() if order.quantity else ""
    repeats = f"repeats {order.repeats}" if order.repeats is not None else ""
    return " · ".join(filter(None, (each.title, order.sig, amount, repeats)))


def _tags(each: Treatment) -> tuple[str, ...]:
    order = each.order
    tags = [
        "reported, not ordered here" if order.reported else "",
        f"intent {plain(order.intent)}" if order.intent not in {"", "order"} else "",
        "do not perform" if each.forbidden else "",
        each.excluded_reason,
        "not classified" if each.unclassified else "",
    ]
    return tuple(filter(None, tags))


def _trials(made: Summary, evidence: Evidence, none: str) -> Trials:
    by_source = {each.source: each for each in made.record.treatments}
    rows = tuple(_trial(row, evidence, by_source) for row in _by_class(made.trials.rows))
    return Trials(rows, made.trials.sentence if rows else "", "" if rows else none)


def _by_class(rows: Iterable[TrialRow]) -> list[TrialRow]:
    """Classes together, in the order of their first trial."""
    first: dict[str, int] = {}
    listed = list(rows)
    for place, row in enumerate(listed):
        first.setdefault(row.class_words, place)
    return sorted(listed, key=lambda row: first[row.class_words])


def _trial(row: TrialRow, evidence: Evidence, by_source: Mapping[str, Treatment]) -> TrialLine:
    stated = row.attestation
    return TrialLine(
        class_words=row.class_words or "Class not known",
        drug=row.drug,
        dose=row.dose_words or "Not stated",
        first=first_words(row) or "Not on file",
        last=_last(row),
        days=f"{row.documented_days:,}" if row.documented_days else "",
        level=row.level or "",
        evidence=row.evidence_words,
        outcome=stated.outcome_words or stated.outcome if stated else _OUTCOME_UNKNOWN,
        reason=stated.reason or _OUTCOME_UNKNOWN if stated else _OUTCOME_UNKNOWN,
        for_headache=_FOR_HEADACHE.get(stated.for_headache, _OUTCOME_UNKNOWN) if stated else _OUTCOME_UNKNOWN,
        stated=_stated(stated.by, stated.on) if stated else "",
        attest=evidence.attest(row.ingredient, row.drug_class),
        count=len(row.sources),
        lines=tuple(_source_line(source, evidence, by_source.get(source)) for source in row.sources[:ORDERS]),
    )


def _source_line(source: str, evidence: Evidence, order: Treatment | None) -> OrderLine:
    """An order as a line; a session by its name."""
    if order is not None:
        return _line(order, evidence)
    named = evidence.fact(source)
    return OrderLine(
        when(named.dated) if named else "No date", named.title if named else "Source", evidence.href(source)
    )


def _stated(by: str, on: date | None) -> str:
    return ", ".join(filter(None, (by, date_words(on))))


def first_words(row: TrialRow) -> str:
    """The first day of all episodes and sessions, as precise as the record; "" without any."""
    for episode in row.episodes:
        if episode.start == row.first:
            return start_words(episode)
    stated = row.attestation.started if row.attestation else None
    return when(stated) if stated and stated.value == row.first else date_words(row.first)


def _last(row: TrialRow) -> str:
    if row.ongoing:
        return "supply reaches today"
    if row.last is None:
        return "end unknown" if row.first else "Not on file"
    return f"{date_words(row.last)}{' (estimated)' if row.last_kind == 'estimated' else ''}"
