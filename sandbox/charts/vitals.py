"""Vital signs, smoking status and what was written under examination."""

import random

from sandbox.charts.codings import LOINC, SNOMED, Json, coding, concept, quantity
from sandbox.charts.observations import observation, undated
from sandbox.charts.pen import Pen, Visit

SMOKING = {
    "never": ("266919005", "Never smoked tobacco"),
    "former": ("8517006", "Ex-smoker"),
    "daily": ("449868002", "Smokes tobacco daily"),
}
SYSTOLIC = ("8480-6", "Systolic blood pressure")
DIASTOLIC = ("8462-4", "Diastolic blood pressure")
EXAMS = (
    ("Neuro exam", "CN II-XII intact, strength 5/5, gait normal"),
    ("Fundi", "discs sharp OU"),
    ("Neck", "trapezius tender bilat, ROM full"),
    ("General", "NAD"),
)


def _loinc(pair: tuple[str, str]) -> Json:
    return concept(pair[1], coding(LOINC, *pair))


def pressure_as_components(pen: Pen, visit: Visit, systolic: int, diastolic: int) -> list[Json]:
    """One blood pressure panel with two components."""
    parts = ((SYSTOLIC, systolic), (DIASTOLIC, diastolic))
    panel = observation(pen, visit, "vital-signs", _loinc(("85354-9", "Blood pressure panel")), "bp")
    components = [{"code": _loinc(p), "valueQuantity": quantity(v, "mm[Hg]", "mm[Hg]")} for p, v in parts]
    return [panel | {"component": components}]


def pressure_as_two(pen: Pen, visit: Visit, systolic: int, diastolic: int) -> list[Json]:
    """Two Observations, as older templates store them."""
    parts = ((SYSTOLIC, systolic), (DIASTOLIC, diastolic))
    return [
        observation(pen, visit, "vital-signs", _loinc(pair), pair[0]) | {"valueQuantity": quantity(v, "mmHg")}
        for pair, v in parts
    ]


def pressure(pen: Pen, visit: Visit, rng: random.Random) -> list[Json]:
    """Blood pressure of one visit in one of its two shapes."""
    systolic = round(rng.gauss(pen.story.pressure[0], 6))
    diastolic = round(rng.gauss(pen.story.pressure[1], 4))
    write = pressure_as_components if (visit.number + pen.number) % 5 < 3 else pressure_as_two
    return write(pen, visit, systolic, diastolic)


def single(
    pen: Pen, visit: Visit, pair: tuple[str, str], value: float, unit: tuple[str, str], rng: random.Random
) -> Json:
    """One vital sign; a few have lost their time."""
    resource = observation(pen, visit, "vital-signs", _loinc(pair), pair[0])
    resource["valueQuantity"] = quantity(value, *unit)
    return undated(resource) if rng.random() < 0.05 else resource


def _body(pen: Pen, visit: Visit, rng: random.Random) -> list[Json]:
    kilograms = round(rng.gauss(pen.story.weight_kg, 1.5), 1)
    pounds = pen.number % 2 == 0
    weight = (round(kilograms * 2.20462, 1), ("lbs", "[lb_av]")) if pounds else (kilograms, ("kg", "kg"))
    height = pen.story.height_cm
    index = round(kilograms / (height / 100) ** 2, 1)
    found = [
        single(pen, visit, ("29463-7", "Body weight"), *weight, rng),
        single(pen, visit, ("39156-5", "Body mass index (BMI)"), index, ("kg/m2", "kg/m2"), rng),
    ]
    if rng.random() < 0.4:
        found.append(single(pen, visit, ("8302-2", "Body height"), height, ("cm", "cm"), rng))
    return found


def smoking(pen: Pen, visit: Visit, rng: random.Random) -> Json:
    """Tobacco status: coded with text, or only in words."""
    code, display = SMOKING[pen.story.smoking]
    resource = observation(pen, visit, "social-history", _loinc(("72166-2", "Tobacco smoking status")), "tobacco")
    if rng.random() < 0.25:
        return resource | {"valueString": display.lower()}
    return resource | {"valueCodeableConcept": concept(display, coding(SNOMED, code, display))}


def examination(pen: Pen, visit: Visit, rng: random.Random) -> Json:
    """A line of the examination, or the pain rating the nurse asked for."""
    if rng.random() < 0.4:
        pain = _loinc(("72514-3", "Pain severity 0-10 verbal numeric rating"))
        return observation(pen, visit, "exam", pain, "exam") | {"valueInteger": rng.randint(0, 9)}
    name, text = rng.choice(EXAMS)
    return observation(pen, visit, "exam", concept(name), "exam") | {"valueString": text}


def vitals(pen: Pen) -> list[Json]:
    """Vital signs, smoking status and examination lines of all visits."""
    rng = pen.dice("vitals")
    found: list[Json] = []
    for index, visit in enumerate(pen.seen()):
        if index % 3 == 0 or visit.is_emergency:
            found += pressure(pen, visit, rng)
            rate = round(rng.gauss(72, 7))
            found.append(single(pen, visit, ("8867-4", "Heart rate"), rate, ("bpm", "/min"), rng))
        if index % 4 == 0:
            found += _body(pen, visit, rng)
        if index % 5 == 0:
            found.append(examination(pen, visit, rng))
        if index in (0, 7):
            found.append(smoking(pen, visit, rng))
    return found
