"""The headline strip: what a specialist asks first, in six boxes."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal
from itertools import pairwise

from django.urls import reverse

from patients.absence import Completeness
from patients.charts.treatments import start_words
from patients.headaches.frequency import Frequency, Level, Score, Scores
from patients.headaches.ledger import TrialRow
from patients.headaches.record import when
from patients.histories.evidence import Evidence
from patients.histories.parts import Card, Link, Row, Said, Sources
from patients.histories.treatments import first_words
from patients.models import Patient
from patients.summaries import Summary
from patients.wording import date_words, number_words, plain_number

_ARROWS = {"fewer": "↓", "more": "↑", "same": "→"}


def cards(
    patient: Patient, made: Summary, evidence: Evidence, known: Completeness, ahead: tuple[Row, ...]
) -> tuple[Card, ...]:
    """ahead: coming appointments, nearest first."""
    entering = reverse("patients:assessment-new", args=[patient.pk])
    return (
        _diagnosis(made, evidence, known),
        _days(made.days, evidence, entering, known),
        _acute(made, evidence, known),
        _disability(made, evidence, entering, known),
        _preventive(made, evidence, known),
        _next(made, evidence, known, ahead),
    )


def _diagnosis(made: Summary, evidence: Evidence, known: Completeness) -> Card:
    course, title = made.course, "Headache diagnosis"
    head = course.headline
    if head is None:
        count = len(made.record.conditions)
        none = f"No headache diagnosis among the {number_words(count, 'diagnosis', 'diagnoses')} on file."
        return Card("diagnosis", title, absent=none if count else known.of("Condition").sentence)
    state = "active in the record" if made.course.headline_active else "not called active in the record"
    named = [Said(" · ".join(filter(None, (head.code, state))), evidence.sources(head.sources, "?all=diagnosis"))]
    if course.onset:
        named.append(Said(f"Onset stated: {course.onset}", evidence.sources([course.onset_source])))
    if course.first_recorded:
        named.append(Said(f"First recorded {course.first_recorded}", evidence.sources([course.first_recorded_source])))
    named += [
        Said(each.sentence, evidence.sources((*each.after.sources[-1:], *each.before.sources[-1:])))
        for each in course.transitions
    ]
    named += [Said(each, mark="warn") for each in course.both_active]
    return Card("diagnosis", title, head.words, tuple(named))


def _days(days: Frequency, evidence: Evidence, entering: str, known: Completeness) -> Card:
    title, action = "Headache days", Link("Enter days", entering)
    latest = days.headache.latest
    if latest is None or latest.headache is None:
        if days.migraine.latest is not None and days.migraine.latest.migraine is not None:
            big = _amount(days.migraine.latest.migraine, "migraine day")
            return Card("days", title, big, tuple(_level(days.migraine, "migraine", evidence)), action=action)
        return Card(
            "days", title, absent=not_measured("Never stated, neither here nor by the EMR.", known), action=action
        )
    said = list(_level(days.headache, "headache", evidence))
    migraine = days.migraine.latest
    if migraine is not None and migraine.migraine is not None:
        same = "" if migraine.on == latest.on else f", stated {date_words(migraine.on)}"
        words = f"{_amount(migraine.migraine, 'migraine day')}{same}"
        said.insert(1, Said(words, evidence.sources(migraine.sources)))
    if days.band:
        said.append(Said(f"{days.band[:1].upper()}{days.band[1:]}: {days.band_definition}"))
    return Card("days", title, _amount(latest.headache, "day"), tuple(said), action=action)


def not_measured(none: str, known: Completeness) -> str:
    """A measure that nobody stated, and how the EMR's measures stand."""
    return f"{none} Measures of the EMR: {known.of('Observation').sentence}"


def _level(level: Level, kind: str, evidence: Evidence) -> Iterable[Said]:
    """When it was stated, the 90-day mean and the trend of one kind of days."""
    latest = level.latest
    if latest is None:
        return
    late = "" if level.recent else ", more than 30 days ago"
    yield Said(f"per month, stated {date_words(latest.on)}{late}", evidence.sources(latest.sources))
    if level.mean is not None and level.points > 1:
        yield Said(f"90-day mean {plain_number(level.mean)} ({level.points} statements)")
    if level.trend is not None:
        trend = level.trend
        amount = plain_number(abs(trend.change))
        words = "no change" if trend.direction == "same" else f"{amount} {trend.direction}"
        yield Said(f"{_ARROWS[trend.direction]} {words} {kind} days since {date_words(trend.since)}")


def _acute(made: Summary, evidence: Evidence, known: Completeness) -> Card:
    title, latest = "Acute medication", made.days.acute.latest
    window = made.exposure.quarter if made.exposure.quarter.units else made.exposure.year
    period = "last 90 days" if window is made.exposure.quarter else "last 12 months"
    said: list[Said] = []
    big = ""
    if latest is not None and latest.acute is not None:
        big = _amount(latest.acute, "day")
        late = "" if made.days.acute.recent else ", more than 30 days ago"
        said.append(Said(f"per month, stated {date_words(latest.on)}{late}", evidence.sources(latest.sources)))
    for number, sentence in enumerate(made.exposure.sentences):
        sources = evidence.sources(window.sources, "?all=treatment") if number == 0 else evidence.sources(())
        said.append(Said(f"{sentence.removesuffix(' Actual days unknown.')}", sources))
    if made.exposure.sentences:
        said.append(Said(f"From orders of the {period}: an upper bound. Actual days unknown."))
    if said:
        return Card("acute", title, big or "Days not stated", tuple(said))
    earlier = any(each.role == "acute" for each in made.record.treatments)
    none = (
        "No acute order of the last 12 months authorises supply."
        if earlier
        else _no_orders(made, known, "acute headache medication")
    )
    return Card("acute", title, absent=f"{none} Days not stated.")


def _no_orders(made: Summary, known: Completeness, what: str) -> str:
    count = len(made.record.treatments)
    if count:
        return f"No {what} among the {number_words(count, 'order')} on file."
    return known.of("MedicationRequest").sentence


def _disability(made: Summary, evidence: Evidence, entering: str, known: Completeness) -> Card:
    title, action = "Disability and impact", Link("Enter MIDAS or HIT-6", entering)
    scored = [(scores, scores.latest) for scores in (made.midas, made.hit6) if scores.latest]
    if not scored:
        return Card("disability", title, absent=not_measured("No MIDAS or HIT-6 score on file.", known), action=action)
    big = " · ".join(f"{scores.instrument} {plain_number(latest.value)}" for scores, latest in scored)
    said = [_score(scores, latest, evidence) for scores, latest in scored]
    said += [Said(f"No {each.instrument} score on file.") for each in (made.midas, made.hit6) if each.latest is None]
    return Card("disability", title, big, tuple(said), action=action)


def _score(scores: Scores, latest: Score, evidence: Evidence) -> Said:
    band = latest.band or "not graded at this age"
    named = band if band.startswith("Grade") else f"{band[:1].lower()}{band[1:]}"
    change = f"; {scores.change_words}" if scores.change_words else ""
    words = f"{scores.instrument}: {named}, {date_words(latest.on)}{change}"
    return Said(words, evidence.sources([latest.source]))


def _preventive(made: Summary, evidence: Evidence, known: Completeness) -> Card:
    title, now = "Preventive now", made.preventive_now
    if now:
        return Card(
            "preventive", title, ", ".join(row.drug for row in now), tuple(_running(row, evidence) for row in now)
        )
    if made.trials.rows:
        latest = max(made.trials.rows, key=lambda row: row.last or row.first or date.min)
        last = f"; the last on file is {latest.drug}, {_last_words(latest)}" if latest.first else ""
        return Card("preventive", title, absent=f"No preventive order's supply reaches today{last}.")
    return Card("preventive", title, absent=_no_orders(made, known, "preventive medication"))


def _last_words(row: TrialRow) -> str:
    return f"to {date_words(row.last)}" if row.last else f"from {first_words(row)}, end unknown"


def _running(row: TrialRow, evidence: Evidence) -> Said:
    words = ", ".join(filter(None, (row.class_words, row.dose_words, f"since {_since(row)}")))
    return Said(f"{row.drug}: {words}", evidence.sources(row.sources, "?all=treatment"))


def _since(row: TrialRow) -> str:
    """The start of the running episode, else of the sessions."""
    running = [episode for episode in row.episodes if episode.ongoing]
    if running:
        return start_words(running[0])
    return date_words(row.sessions[0][0]) if row.sessions else first_words(row)


def _next(made: Summary, evidence: Evidence, known: Completeness, ahead: tuple[Row, ...]) -> Card:
    said: list[Said] = []
    for row in ahead[:1]:
        words = " · ".join(filter(None, (row.title, row.status)))
        said.append(Said(words, Sources(1, (Link(f"Appointment {row.when}", row.href),))))
    if len(ahead) > 1:
        said.append(Said(f"{number_words(len(ahead) - 1, 'later appointment')} on file"))
    for visit in made.utilisation.last_visits[:1]:
        said.append(Said(f"Last visit {when(visit.dated)}: {visit.title}", evidence.sources([visit.source])))
    said += _sessions(made, evidence)
    if ahead:
        return Card("next", "Next", ahead[0].when, tuple(said))
    state = known.of("Appointment")
    none = "No coming appointment on file." if state.complete else f"Appointments: {state.sentence}"
    return Card("next", "Next", "", tuple(said), absent=none)


def _sessions(made: Summary, evidence: Evidence) -> Iterable[Said]:
    """Toxin sessions: the last one and the weeks between them, without a judgement."""
    sessions = next((row.sessions for row in made.trials.rows if row.sessions), ())
    if not sessions:
        return
    last = sessions[-1][0]
    weeks = (made.today - last).days // 7
    gaps = [str((after - before).days // 7) for (before, _), (after, _) in pairwise(sessions[-4:])]
    between = f"; weeks between sessions: {', '.join(gaps)}" if gaps else ""
    yield Said(
        f"Botulinum toxin: last session {date_words(last)}, {number_words(weeks, 'week')} ago{between}",
        evidence.sources([source for _, source in reversed(sessions)], "?all=procedure"),
    )


def _amount(value: Decimal, one: str) -> str:
    """1 day, 9.5 days."""
    return f"{plain_number(value)} {one if value == 1 else one + 's'}"
