"""One patient's chart, from the story to the resources."""

import datetime as dt
import random
from collections.abc import Iterator

from sandbox.charts import (
    allergies,
    appointments,
    conditions,
    encounters,
    forms,
    medications,
    papers,
    procedures,
    reports,
    scores,
    vitals,
)
from sandbox.charts.archetypes import somebody
from sandbox.charts.cast import CAST
from sandbox.charts.codings import Json
from sandbox.charts.dirt import soil
from sandbox.charts.featured import FEATURED
from sandbox.charts.pen import Pen
from sandbox.charts.people import patient
from sandbox.charts.story import Person, Story

SECTIONS = (
    conditions.conditions,
    encounters.encounters,
    medications.orders,
    allergies.allergies,
    scores.surveys,
    vitals.vitals,
    reports.reports,
    procedures.procedures,
    forms.responses,
    papers.documents,
)
KNOWN = CAST + FEATURED


def who(number: int, seed: int) -> tuple[Person, Story]:
    """Person and story of patient `number` (from 1): the cast, one of each other kind, then thrown."""
    if number <= len(KNOWN):
        return KNOWN[number - 1]
    return somebody(random.Random(f"{seed}/{number}/story"))


def chart(number: int, *, seed: int, today: dt.date, booked: bool = False) -> Iterator[Json]:
    """Everything of one patient, Patient first, Appointments last and only when `booked`.

    Depends on nothing but its arguments.
    """
    person, story = who(number, seed)
    pen = Pen(seed, number, today, person, story)
    pen = pen.with_visits(encounters.plan(pen))
    dice = pen.dice("dirt")
    yield patient(pen)
    for section in SECTIONS:
        yield from soil(section(pen), dice)
    if booked:
        yield from soil(appointments.appointments(pen), dice)
