"""Orders: the same drug again at each visit, in text-only sigs, without ends, in whatever status was left."""

import datetime as dt
import random

from sandbox.charts.catalogue import PRODUCTS, Product
from sandbox.charts.codings import Json, concept
from sandbox.charts.dates import date_time, month_only, year_only
from sandbox.charts.pen import Pen, Visit
from sandbox.charts.practice import CODED, NDC_ONLY, medication_reference, writings
from sandbox.charts.story import Course

USUAL = 0.985  # how often a re-order picks the drug record it had before
FAVOURITE = 0.75  # how often a free text is the one that most of the staff use for this drug
# Every second drug of the catalogue is always picked from the formulary, never typed: a practice has fewer
# drug records than orders, and each record costs a client a read.
ALWAYS_PICKED = 2
NEAR = 20  # days between a story's date and the visit that belongs to it
EARLIER = ("completed",) * 6 + ("active",) * 2 + ("unknown",) + ("stopped",)
EARLIER_IN_A_MESS = ("active",) * 7 + ("unknown",) * 2 + ("completed",)


def orders(pen: Pen) -> list[Json]:
    """All MedicationRequest resources of the patient."""
    rng = pen.dice("orders")
    found: list[Json] = []
    for index, course in enumerate(pen.story.courses):
        found += _course(pen, index, course, rng)
    own = [order for order in found if order["status"] == "active" and "encounter" in order]
    if own and (pen.story.messy or rng.random() < 0.06):
        found.append(dated_in_the_future(pen, own[-1]))
    return found


def _course(pen: Pen, index: int, course: Course, rng: random.Random) -> list[Json]:
    occasions = _occasions(pen, course)
    usual = _writing(PRODUCTS[course.product], rng)
    found = []
    for ordinal, (on, visit) in enumerate(occasions):
        status = _status(pen, course, rng, last=ordinal == len(occasions) - 1)
        writing = usual if rng.random() < USUAL else _writing(PRODUCTS[course.product], rng)
        order = _order(pen, (index, ordinal), course, on, status, writing, rng)
        if visit is not None:
            order["encounter"] = pen.encounter(visit)
        found.append(order)
        found += _copies(pen, order, (index, ordinal), course, rng)
    return found


def _occasions(pen: Pen, course: Course) -> list[tuple[dt.date, Visit | None]]:
    """The start (at the nearest visit, else by telephone), then every visit at which it was due again."""
    start, stop = pen.day(course.start), pen.day(course.stop or 0)
    if course.reported:
        return [(start, None)]
    visits = [visit for visit in pen.seen() if not visit.is_emergency]
    near = [visit for visit in visits if abs((visit.on - start).days) <= NEAR]
    first = min(near, key=lambda visit: abs((visit.on - start).days), default=None)
    found: list[tuple[dt.date, Visit | None]] = [(first.on if first else start, first)]
    for visit in visits:
        if visit.on <= stop and (visit.on - found[-1][0]).days >= course.every:
            found.append((visit.on, visit))
    return found


def _status(pen: Pen, course: Course, rng: random.Random, *, last: bool) -> str:
    if last:
        return course.ending if course.stop is not None else "active"
    return rng.choice(EARLIER_IN_A_MESS if pen.story.messy else EARLIER)


def _writing(product: Product, rng: random.Random) -> str:
    """How the drug is recorded this time: coded in half the orders, else one of the free texts."""
    throw, spellings = rng.random(), writings(product)[2:]
    if throw < 0.55 or list(PRODUCTS).index(product.key) % ALWAYS_PICKED == 0:
        return CODED
    if throw < 0.58:
        return NDC_ONLY
    return spellings[-1] if rng.random() < FAVOURITE else rng.choice(spellings)


def _order(
    pen: Pen,
    key: tuple[object, ...],
    course: Course,
    on: dt.date,
    status: str,
    writing: str,
    rng: random.Random,
) -> Json:
    product = PRODUCTS[course.product]
    order = pen.head("MedicationRequest", on, *key) | {
        "status": status,
        "intent": "plan" if rng.random() < 0.05 else "order",
        "medicationReference": medication_reference(pen.seed, product, writing),
        "subject": pen.patient,
        "authoredOn": date_time(on, 645) if rng.random() < 0.7 else on.isoformat(),
        "requester": pen.practitioner,
        "dosageInstruction": [{"text": rng.choice(product.sigs)}],
    }
    if rng.random() < 0.35:
        order["medicationReference"] = order["medicationReference"] | {"display": product.texts[0]}
    if course.reported:
        order = reported_by_patient(order, on, rng)
    elif product.quantity and rng.random() < 0.65:
        order["dispenseRequest"] = supply(product, on, rng)
    if rng.random() < 0.12:
        order["reasonCode"] = [concept(rng.choice(("Migraine", "HA", "headache ppx", "G43.909")))]
    return order


def supply(product: Product, on: dt.date, rng: random.Random) -> Json:
    """Quantity, most times with repeats, now and then with a unit nobody can compute with ("box") or none."""
    unit = rng.choice((product.unit,) * 6 + ("", "box"))
    amount: Json = {"value": 1 if unit == "box" else product.quantity} | ({"unit": unit} if unit else {})
    request: Json = {"quantity": amount}
    if rng.random() < 0.75:
        request["numberOfRepeatsAllowed"] = product.repeats
    if rng.random() < 0.3:
        end = (on + dt.timedelta(days=365)).isoformat()
        request["validityPeriod"] = {"start": on.isoformat(), "end": end}
    return request


def reported_by_patient(order: Json, on: dt.date, rng: random.Random) -> Json:
    """Not ordered here: told by the patient, its date kept to the year, the month or not at all."""
    kept = {key: value for key, value in order.items() if key not in {"authoredOn", "requester"}}
    throw = rng.random()
    if throw < 0.8:
        kept["authoredOn"] = year_only(on) if throw < 0.5 else month_only(on)
    return kept | {"reportedBoolean": True}


def _copies(pen: Pen, order: Json, key: tuple[int, int], course: Course, rng: random.Random) -> list[Json]:
    found = []
    error, twice = rng.random(), rng.random()
    if error < 0.025 or (pen.story.messy and error < 0.15):
        found.append(_again(pen, order, *key, "error") | {"status": "entered-in-error"})
    if pen.story.messy and twice < 0.5:
        other = medication_reference(pen.seed, PRODUCTS[course.product], "text0")
        found.append(_again(pen, order, *key, "twice") | {"medicationReference": other})
    return found


def _again(pen: Pen, order: Json, *key: object) -> Json:
    """The same order under another id."""
    return order | {"id": pen.id("MedicationRequest", *key)}


def dated_in_the_future(pen: Pen, order: Json) -> Json:
    """An order of today that carries the date of its next refill."""
    ahead = pen.today + dt.timedelta(days=21)
    return _again(pen, order, "ahead") | {"status": "active", "authoredOn": ahead.isoformat()}
