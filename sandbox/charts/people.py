"""Patients: names, addresses, the vendor's two identifiers, and what is wrong with some of them."""

import datetime as dt
import random

from sandbox.charts.codings import LOCAL_OID, Json, concept, hl7
from sandbox.charts.dates import date_time
from sandbox.charts.names import AREA_CODES, CITIES, FAMILY, FEMALE, MALE, MIDDLE, STREETS
from sandbox.charts.pen import Pen, shared
from sandbox.charts.story import Person

IDENTIFIER_SYSTEM = LOCAL_OID + ".1.2"
NO_DEATH = "1899-12-30T00:00:00-05:00"  # day zero of the vendor's date type: "no value", sent as a date


def invent(rng: random.Random, sex: str, ages: tuple[int, int]) -> Person:
    """A person of the given sex (`female`, `male`) and age range in years."""
    family = rng.choice(FAMILY)
    former = rng.choice(FAMILY) if sex == "female" and rng.random() < 0.15 else ""
    return Person(
        given=rng.choice(FEMALE if sex == "female" else MALE),
        family=family,
        sex=sex,
        age=rng.randint(*ages),
        born=(rng.randint(1, 12), rng.randint(1, 28)),
        middle=rng.choice(MIDDLE) if rng.random() < 0.4 else "",
        former_family=former if former != family else "",
        speaks="es" if rng.random() < 0.08 else "en",
    )


def birth_date(person: Person, today: dt.date) -> dt.date:
    """The date on which the person was born to be `person.age` years old today."""
    had_birthday = person.born <= (today.month, today.day)
    return dt.date(today.year - person.age - (0 if had_birthday else 1), *person.born)


def with_death_sentinel(patient: Json) -> Json:
    """A living patient carrying the vendor's empty date as date of death."""
    return patient | {"deceasedDateTime": NO_DEATH}


def deceased(patient: Json, on: dt.date) -> Json:
    """A patient who did die, with the time somebody typed."""
    return patient | {"deceasedDateTime": date_time(on, 0), "active": False}


def merged_into(patient: Json, number: int, pen: Pen) -> Json:
    """The chart that was closed when a second one of the same person was kept (R4 8.1.2 Patient.link)."""
    return inactive(patient) | {"link": [{"other": pen.other_patient(number), "type": "replaced-by"}]}


def merged_from(patient: Json, number: int, pen: Pen) -> Json:
    """The chart that was kept."""
    return patient | {"link": [{"other": pen.other_patient(number), "type": "replaces"}]}


def inactive(patient: Json) -> Json:
    """A living patient under treatment whose record says inactive."""
    return patient | {"active": False}


def with_former_name(patient: Json, family: str) -> Json:
    """Two names, the second with use `old`, the first without any use."""
    current, *_ = patient["name"]
    old = {"use": "old", "family": family, "given": current["given"]}
    return patient | {"name": [{k: v for k, v in current.items() if k != "use"}, old]}


def shouted(patient: Json) -> Json:
    """Names in capitals, as typed at the front desk years ago."""
    names = [n | {"family": n["family"].upper(), "given": [g.upper() for g in n["given"]]} for n in patient["name"]]
    return patient | {"name": names}


def patient(pen: Pen) -> Json:
    """The Patient resource, dirt included."""
    rng, person = pen.dice("patient"), pen.person
    clean = pen.head("Patient", pen.day(rng.randint(1, 60))) | {
        "identifier": [
            {"use": "usual", "system": IDENTIFIER_SYSTEM, "value": pen.id("Patient")},
            {"use": "secondary", "system": IDENTIFIER_SYSTEM, "value": str(9100 + 7 * pen.number)},
        ],
        "active": True,
        "name": [
            {
                "use": "official",
                "family": person.family,
                "given": [person.given] + ([person.middle] if person.middle else []),
            }
        ],
        "telecom": _telecom(rng, person),
        "gender": person.sex,
        "birthDate": birth_date(person, pen.today).isoformat(),
        "address": [_address(rng)],
        "communication": [_language(person)],
        "generalPractitioner": [pen.practitioner],
        "managingOrganization": shared(pen.seed, "Organization", 0),
    }
    return _ended(_soil(clean, pen, rng), pen)


def _ended(patient: Json, pen: Pen) -> Json:
    """Deaths and merges of the story, which outweigh whatever the dice made of the record."""
    story = pen.story
    if story.died is not None:
        return deceased(patient, pen.day(story.died))
    if story.replaced_by:
        return merged_into(patient, story.replaced_by, pen)
    return merged_from(patient, story.replaces, pen) if story.replaces else patient


def _soil(clean: Json, pen: Pen, rng: random.Random) -> Json:
    dirty = with_former_name(clean, pen.person.former_family) if pen.person.former_family else clean
    sentinel, closed, capitals, single = (rng.random() for _ in range(4))
    if pen.story.messy or sentinel < 0.12:
        dirty = with_death_sentinel(dirty)
    if pen.story.messy or closed < 0.05:
        dirty = inactive(dirty)
    if capitals < 0.06:
        dirty = shouted(dirty)
    if single < 0.5:
        dirty = dirty | {"maritalStatus": hl7("v3-MaritalStatus", "UNK", "unknown")}
    return dirty


def _telecom(rng: random.Random, person: Person) -> list[Json]:
    area, line = rng.choice(AREA_CODES), rng.randint(100, 199)
    numbers = [{"system": "phone", "use": "home", "value": f"{area}-555-0{line}"}]
    if rng.random() < 0.7:
        numbers.append({"system": "phone", "use": "mobile", "value": f"({area}) 555-0{rng.randint(100, 199)}"})
    if rng.random() < 0.5:
        ascii_name = person.given.encode("ascii", "ignore").decode().lower()
        numbers.append({"system": "email", "value": f"{ascii_name}.{line}@example.com"})
    return numbers


def _address(rng: random.Random) -> Json:
    city, state, zip_code = rng.choice(CITIES)
    lines = [f"{rng.randint(1, 980)} {rng.choice(STREETS)}"]
    if rng.random() < 0.25:
        lines.append(f"Apt {rng.randint(1, 40)}{rng.choice('ABCD')}")
    return {
        "use": "home",
        "line": lines,
        "city": city if rng.random() < 0.85 else city.upper(),
        "state": state,
        "postalCode": zip_code,
        "country": "US",
    }


def _language(person: Person) -> Json:
    text = "Spanish" if person.speaks == "es" else "English"
    return {
        "language": concept(text, {"system": "urn:ietf:bcp:47", "code": person.speaks, "display": text}),
        "preferred": True,
    }
