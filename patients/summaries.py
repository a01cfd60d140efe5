"""Everything the rules have to say about one patient, in one frozen tree for pages, prints and exports."""

from dataclasses import dataclass
from datetime import date

from patients.absence import Completeness
from patients.chart_facts import facts_of
from patients.headaches import course, exposure, frequency, ledger, prompts, quality, redflags, signs, utilisation
from patients.headaches.record import Allergy, Condition, Happening, Record, newest
from patients.models import Patient


@dataclass(frozen=True, slots=True)
class Comorbidity:
    """A diagnosis that bears on the choice of treatment: words of codelists/comorbidities.csv; conditions latest
    first."""

    key: str
    words: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """One patient as of `today`. Keys in `evidence`, `source` and `sources` are ids of Resource rows, or
    "assessment:<id>" and "attestation:<id>" of what was entered in the clinic.

    preventive_now: trials with authorised supply today; allergies: those that stand, with a headache drug first;
    imaging: latest first; record: the facts themselves.
    """

    today: date
    record: Record
    course: course.Course
    days: frequency.Frequency
    midas: frequency.Scores
    hit6: frequency.Scores
    exposure: exposure.Exposure
    trials: ledger.Ledger
    prompts: tuple[prompts.Prompt, ...]
    red_flags: redflags.RedFlags
    allergies: tuple[Allergy, ...]
    comorbidities: tuple[Comorbidity, ...]
    imaging: tuple[Happening, ...]
    utilisation: utilisation.Utilisation
    quality: tuple[quality.Finding, ...]

    @property
    def preventive_now(self) -> tuple[ledger.TrialRow, ...]:
        return tuple(row for row in self.trials.rows if row.ongoing)


def summary(patient: Patient, today: date, known: Completeness | None = None) -> Summary:
    """The summary of `patient` as of `today`. Three queries.

    known: what is on file and what is missing, for the data-quality findings.
    """
    return summarise(facts_of(patient, today), today, _missing(known))


def summarise(record: Record, today: date, missing: tuple[str, ...] = ()) -> Summary:
    """The summary of a record; pure. missing: a sentence for each resource type that is not complete."""
    made = signs.chart(record, today)
    age = record.person.age(today)
    of_course = course.course(record.conditions, today)
    days = frequency.frequency(record.assessments, record.measures, today)
    acute = exposure.exposure(record.treatments, days, today)
    return Summary(
        today=today,
        record=record,
        course=of_course,
        days=days,
        midas=frequency.disability("MIDAS", record.assessments, record.measures, today, age),
        hit6=frequency.disability("HIT-6", record.assessments, record.measures, today, age),
        exposure=acute,
        trials=ledger.ledger(record.treatments, record.procedures, record.attestations, today),
        prompts=prompts.prompts(made),
        red_flags=redflags.red_flags(made, of_course, days, acute),
        allergies=_allergies(record),
        comorbidities=_comorbidities(record),
        imaging=utilisation.studies(record.reports, record.procedures),
        utilisation=utilisation.utilisation(record, today),
        quality=quality.findings(record, of_course, days, today, missing=missing),
    )


def _missing(known: Completeness | None) -> tuple[str, ...]:
    states = known.states if known else ()
    return tuple(f"{state.name}: {state.sentence}" for state in states if not state.complete)


def _allergies(record: Record) -> tuple[Allergy, ...]:
    standing = newest(each for each in record.allergies if each.stands)
    return tuple(sorted(standing, key=lambda each: not prompts.names_headache_drug(each)))


def _comorbidities(record: Record) -> tuple[Comorbidity, ...]:
    found: dict[str, list[Condition]] = {}
    for condition in newest(record.conditions):
        if condition.comorbidity and condition.stands:
            found.setdefault(condition.comorbidity, []).append(condition)
    return tuple(
        Comorbidity(key, conditions[0].comorbidity_words or key, tuple(conditions)) for key, conditions in found.items()
    )
