"""The headache history on one sheet of paper: every text ready, numbers a payer or colleague needs first.

Each number stands with its date and origin. A number that nobody stated is told as such, never as zero.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from patients import histories, wording
from patients.absence import Completeness
from patients.headaches.course import CodeSpan
from patients.headaches.frequency import DayCount, Level, Scores
from patients.headaches.ledger import TrialRow, is_preventive
from patients.headaches.record import Happening, newest, when
from patients.histories import Banner
from patients.lines import Line
from patients.models import Patient
from patients.summaries import Summary, summary
from patients.wording import date_words, number_words, plain_number

DIAGNOSES = 8  # rows of a table on the sheet; the rest is counted and left to the page
IMAGING = 4
VISITS = 3
ACTIVE = 3  # orders that are named where no figure can be given
_NOT_STATED = "Not stated"


@dataclass(frozen=True, slots=True)
class Figure:
    """label, value and what it rests on: date, origin, bounds."""

    label: str
    value: str
    basis: str


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of ready text; more: how many rows are left out; absent: why there is none; caution: why more may exist."""

    rows: tuple[tuple[str, ...], ...]
    more: int
    absent: str
    caution: str


@dataclass(frozen=True, slots=True)
class Sheet:
    """What is printed. allergies: all of them; exposure, notes: sentences."""

    practice: str
    printed: str
    banner: Banner
    completeness: Completeness
    figures: tuple[Figure, ...]
    allergies: Table
    trials: Table
    trials_sentence: str
    exposure: tuple[str, ...]
    exposure_absent: str
    diagnoses: Table
    imaging: Table
    notes: tuple[str, ...]


def sheet(patient: Patient, *, now: datetime) -> Sheet:
    """The sheet of `patient` (loaded with its practice) at that moment. Five queries, one more for a merged record."""
    zone = ZoneInfo(patient.practice.time_zone)
    today = now.astimezone(zone).date()
    top = histories.heading(patient, today)
    known = top.completeness
    made = summary(patient, today, known)
    acute = made.exposure.sentences
    return Sheet(
        practice=patient.practice.name,
        printed=wording.moment_words(now, zone),
        banner=top.banner,
        completeness=known,
        figures=tuple(_figures(made, known)),
        allergies=_table([_allergy(line) for line in top.allergies.lines], None, known, "AllergyIntolerance"),
        trials=_table([_trial(row) for row in made.trials.rows], None, known, "MedicationRequest"),
        trials_sentence=f"{made.trials.sentence}." if made.trials.rows else "",
        exposure=acute,
        exposure_absent="" if acute else _no_orders(made, known),
        diagnoses=_table([_span(each) for each in _latest_first(made)], DIAGNOSES, known, "Condition"),
        imaging=_table([_study(each) for each in made.imaging], IMAGING, known, "DiagnosticReport"),
        notes=tuple(_notes(made)),
    )


def _table(rows: list[tuple[str, ...]], limit: int | None, known: Completeness, resource_type: str) -> Table:
    state = known.of(resource_type)
    return Table(
        rows=tuple(rows[:limit]),
        more=max(len(rows) - limit, 0) if limit else 0,
        absent="" if rows else state.sentence,
        caution=state.caution if rows else "",
    )


def _figures(made: Summary, known: Completeness) -> Iterable[Figure]:
    yield _headline(made, known)
    yield _days("Headache days per month", made.days.headache, "headache")
    yield _days("Migraine days per month", made.days.migraine, "migraine")
    yield _days("Days with acute medication", made.days.acute, "acute")
    yield _score(made.midas)
    yield _score(made.hit6)
    yield _preventive(made)


def _preventive(made: Summary) -> Figure:
    """Supply that nobody can compute is no absence: orders that the record calls active are named with their date."""
    now = ", ".join(row.drug for row in made.preventive_now)
    if now:
        return Figure("Preventive now", now, "authorised supply reaches today")
    orders = newest(each for each in made.record.treatments if is_preventive(each) and each.order.status == "active")
    active = dict.fromkeys(f"{each.title} ({when(each.dated)})" for each in orders)
    basis = f"orders still called active: {', '.join(list(active)[:ACTIVE])}" if active else ""
    return Figure("Preventive now", "No order's supply is known to reach today", basis)


def _headline(made: Summary, known: Completeness) -> Figure:
    course, span = made.course, made.course.headline
    if span is None:
        return Figure("Headache diagnosis", "None on file", known.of("Condition").caution)
    basis = (
        "" if course.headline_active else "not active in the record",
        f"first recorded {course.first_recorded}" if course.first_recorded else "",
        f"onset {course.onset}" if course.onset else "",
    )
    return Figure("Headache diagnosis", span.name, "; ".join(filter(None, basis)))


def _days(label: str, level: Level, name: str) -> Figure:
    count: DayCount | None = level.latest
    said = getattr(count, name) if count else None
    if count is None or said is None:
        return Figure(label, _NOT_STATED, "no statement on file; never read from visits or orders")
    mean = level.mean if level.points > 1 else None
    basis = (
        f"{date_words(count.on)}, {count.origin}",
        f"90-day mean {plain_number(mean)} of {level.points} statements" if mean is not None else "",
        "" if level.recent else "more than 30 days ago",
    )
    return Figure(label, plain_number(said), "; ".join(filter(None, basis)))


def _score(scores: Scores) -> Figure:
    latest = scores.latest
    if latest is None:
        return Figure(scores.instrument, _NOT_STATED, "no score on file")
    basis = (latest.band, f"{date_words(latest.on)}, {latest.origin}", scores.change_words)
    return Figure(scores.instrument, plain_number(latest.value), "; ".join(filter(None, basis)))


def _allergy(line: Line) -> tuple[str, ...]:
    kind = ", ".join(line.tags)
    return line.title, line.words or "reaction not stated", ", ".join(filter(None, (kind, line.status))), line.dated


def _trial(row: TrialRow) -> tuple[str, ...]:
    stated = row.attestation
    dose = f"{plain_number(row.max_daily_mg)} mg a day" if row.max_daily_mg is not None else row.dose_words
    last = date_words(row.last) if row.last else "end not known"
    until = {"explicit": last, "estimated": f"{last} (estimated)"}.get(row.last_kind, "end not known")
    outcome = (stated.outcome_words, stated.reason, f"stated by {stated.by}" if stated.by else "") if stated else ()
    return (
        row.drug,
        row.class_words,
        f"{_start(row) or 'start not known'} to {'today' if row.ongoing else until}",
        number_words(row.documented_days, "day") if row.documented_days else "",
        row.evidence_words,
        dose or _NOT_STATED,
        "; ".join(filter(None, outcome)) or "outcome not stated",
    )


def _start(row: TrialRow) -> str:
    """As precise as the order that it is read from."""
    orders = [order for episode in row.episodes for order in episode.orders]
    dates = [each for order in orders for each in (order.bounds_start, order.authored)]
    said = next((each for each in dates if each and each.value == row.first), None)
    return when(said) if said else date_words(row.first)


def _latest_first(made: Summary) -> list[CodeSpan]:
    return sorted(made.course.spans, key=lambda span: (span.active, span.last or date.min), reverse=True)


def _span(span: CodeSpan) -> tuple[str, ...]:
    dates = " to ".join(dict.fromkeys(filter(None, (span.first_words, span.last_words)))) or "no date"
    status = "active" if span.active else "not active"
    return span.words or span.title, span.code or "no code", dates, number_words(span.count, "entry", "entries"), status


def _study(study: Happening) -> tuple[str, ...]:
    return study.title, when(study.dated), study.words or "no conclusion on file"


def _no_orders(made: Summary, known: Completeness) -> str:
    """Why there is no figure: no acute order at all, none lately, or none whose amount can be counted."""
    acute = newest(each for each in made.record.treatments if each.role == "acute")
    if not acute:
        count = len(made.record.treatments)
        none = f"No acute medication among the {number_words(count, 'order')} on file."
        return none if count else known.of("MedicationRequest").sentence
    latest = dict.fromkeys(f"{each.title} ({when(each.dated)})" for each in acute)
    return f"No acute order of the last 12 months states an amount. Latest on file: {'; '.join(list(latest)[:ACTIVE])}."


def _notes(made: Summary) -> Iterable[str]:
    if made.utilisation.sentence:
        yield made.utilisation.sentence
    visits = [when(each.dated) for each in made.utilisation.last_visits[:VISITS]]
    if visits:
        yield f"Last visits on file: {', '.join(visits)}."
    if made.utilisation.next_appointment:
        yield f"Next appointment on file: {when(made.utilisation.next_appointment.dated)}."
    if made.comorbidities:
        yield f"Comorbidities on record: {', '.join(each.words for each in made.comorbidities)}."
