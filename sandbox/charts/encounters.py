"""Visits: when they were, and the Encounter resources that tell about them in free text."""

import datetime as dt
import random

from sandbox.charts.codings import HL7, Json, absent, coding, concept
from sandbox.charts.dates import date_time
from sandbox.charts.pen import EMERGENCIES, Pen, Visit

OFFICE = (
    "3 month f/u",
    "HA f/u",
    "6 mo f/u, HA diary reviewed",
    "Migraine follow up",
    "f/u HA, med refill",
    "HA f/u, going ok",
    "telehealth - HA check",
    "med check",
    "Follow Up: headaches",
)
EMERGENCY = ("severe HA x3 days, vomiting", "migraine, ED - IV cocktail", "HA, n/v, given IV fluids", "HA")
INJURY = ("MVA, hit head on window, HA", "fall, head injury, no LOC")
NO_SHOW = "NO SHOW - HA f/u"
FIRST = ("New patient - headaches", "NP consult HA, ref by PCP", "new pt, migraine eval")
CLASSES = {
    "office": ("AMB", "ambulatory"),
    "botox": ("AMB", "ambulatory"),
    "emergency": ("EMER", "emergency"),
    "injury": ("EMER", "emergency"),
}
BOTOX_DAYS = 84  # labelled schedule: at least 12 weeks apart


def plan(pen: Pen) -> tuple[Visit, ...]:
    """Every visit of the story, oldest first: office, toxin, emergency; cancelled and planned ones too."""
    rng, story = pen.dice("visits"), pen.story
    botox = _botox_days(story.botox_since, rng)
    office = [ago for ago in _office_days(pen, rng) if all(abs(ago - other) > 12 for other in botox)]
    days = [(ago, "office") for ago in office] + [(ago, "botox") for ago in botox]
    days += [(ago, "emergency") for ago in story.emergencies]
    days += [(story.injury, "injury")] if story.injury is not None else []
    visits: list[Visit] = []
    injections = 0
    for number, (ago, kind) in enumerate(sorted(days, reverse=True)):
        injections += kind == "botox"
        on = pen.day(ago) if kind in EMERGENCIES else _weekday(pen.day(ago))
        reason = _reason(rng, kind, number, injections)
        cancelled = kind == "office" and number > 0 and rng.random() < 0.04
        if cancelled and number % 2:
            reason = NO_SHOW
        visits.append(
            Visit(
                number,
                on,
                480 + 15 * rng.randrange(32),
                kind,
                reason,
                "cancelled" if cancelled else "finished",
            )
        )
    return (*visits, *_planned(pen, rng, len(visits)))


def planned_in_the_past(pen: Pen, number: int, ago: int) -> Visit:
    """A visit that came and went without anybody changing its status."""
    return Visit(number, _weekday(pen.day(ago)), 615, "office", "3 month f/u", "planned")


def _planned(pen: Pen, rng: random.Random, number: int) -> list[Visit]:
    found = []
    stale, coming, ago, ahead = rng.random(), rng.random(), rng.randint(30, 400), rng.randint(3, 80)
    if pen.story.last_visit:
        return []
    if pen.story.messy or stale < 0.3:
        found.append(planned_in_the_past(pen, number, min(ago, pen.story.first_visit)))
    if coming < 0.6:
        on = _weekday(pen.today + dt.timedelta(days=ahead + 2))
        found.append(Visit(number + 1, on, 540, "office", "HA f/u", "planned"))
    return found


def _office_days(pen: Pen, rng: random.Random) -> list[int]:
    days, ago = [pen.story.first_visit], pen.story.first_visit
    while (ago := ago - int(pen.story.interval * rng.uniform(0.8, 1.25))) > max(4, pen.story.last_visit):
        days.append(ago)
    return days


def _botox_days(since: int | None, rng: random.Random) -> list[int]:
    days, ago = [], since
    while ago is not None and ago > 3:
        days.append(ago)
        ago -= BOTOX_DAYS + rng.choice((0, 0, 0, 7))
    return days


def _weekday(day: dt.date) -> dt.date:
    # Forwards over the weekend for Sunday, back for Saturday: toxin sessions start on the same weekday and
    # move together, so that twelve weeks stay twelve weeks.
    return day + dt.timedelta(days={5: -1, 6: 1}.get(day.weekday(), 0))


def _reason(rng: random.Random, kind: str, number: int, injections: int) -> str:
    if kind == "botox":
        return f"{rng.choice(('HA f/u, botox', 'Botox', 'CM, botox inj'))} #{injections}"
    if kind in EMERGENCIES:
        return rng.choice(INJURY if kind == "injury" else EMERGENCY)
    return rng.choice(FIRST if number == 0 else OFFICE)


def encounter(pen: Pen, visit: Visit, rng: random.Random) -> Json:
    """One Encounter. `type` is never known to this vendor: it sends the reason why it is absent."""
    code, display = CLASSES[visit.kind]
    resource = pen.head("Encounter", visit.on, visit.number) | {
        "status": visit.status,
        "class": coding(HL7 + "v3-ActCode", code, display),
        "type": [absent("unknown")],
        "subject": pen.patient,
        "participant": [{"individual": pen.practitioner}],
        "period": {"start": date_time(visit.on, visit.minutes)},
        "location": [{"location": pen.location}],
    }
    if visit.status == "finished" and rng.random() < 0.7:
        resource["period"]["end"] = date_time(visit.on, visit.minutes + 25)
    if rng.random() < 0.92:
        resource["reasonCode"] = [concept(visit.reason)]
    return resource


def encounters(pen: Pen) -> list[Json]:
    """All Encounter resources of the patient."""
    rng = pen.dice("encounters")
    return [encounter(pen, visit, rng) for visit in pen.visits]
