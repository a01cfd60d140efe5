"""MIDAS, HIT-6, headache days, PHQ-9 and GAD-7: every clinic's template keeps them somewhere else.

No LOINC code exists for MIDAS, HIT-6 or headache days, so they carry a local code or only words.
"""

import random
from collections.abc import Callable

from sandbox.charts.codings import LOCAL_OID, LOINC, Json, coding, concept, quantity
from sandbox.charts.observations import observation
from sandbox.charts.pen import Pen, Visit

MIDAS_NAMES = ("MIDAS", "MIDAS score", "Migraine Disability Assessment (MIDAS)", "MIDAS total")
HIT6_NAMES = ("HIT-6", "HIT6 Score", "Headache Impact Test", "HIT-6 total score")
MIDAS_ITEMS = (
    "MIDAS 1 missed work/school days",
    "MIDAS 2 work/school days halved",
    "MIDAS 3 missed household days",
    "MIDAS 4 household days halved",
    "MIDAS 5 missed family/social days",
)
MIDAS_RANGE, HIT6_RANGE, DAYS_RANGE = (0, 270), (36, 78), (0, 30)


def midas_grade(score: int) -> str:
    """Grade in words: 0-5 little or none, 6-10 mild, 11-20 moderate, from 21 severe (Stewart 2001)."""
    bands = ((5, "little or none"), (10, "mild"), (20, "moderate"))
    return next((word for top, word in bands if score <= top), "severe")


def hit6_band(score: int) -> str:
    """Impact in words: to 49 little, 50-55 some, 56-59 substantial, from 60 severe."""
    bands = ((49, "little"), (55, "some"), (59, "substantial"))
    return next((word for top, word in bands if score <= top), "severe")


def midas_as_text(score: int, rng: random.Random) -> Json:
    """The score inside a sentence."""
    text = rng.choice((f"MIDAS {score} - {midas_grade(score)}", f"MIDAS: {score}", f"{score} ({midas_grade(score)})"))
    return {"valueString": text}


def hit6_as_text(score: int, rng: random.Random) -> Json:
    """The score inside a sentence."""
    return {"valueString": rng.choice((f"HIT-6: {score}", f"HIT 6 = {score}, {hit6_band(score)}", str(score)))}


def as_quantity(score: int, rng: random.Random) -> Json:
    """valueQuantity with an invented unit, or none."""
    return {"valueQuantity": {"value": score} | rng.choice(({"unit": "score"}, {"unit": "points"}, {}))}


def as_integer(score: int, rng: random.Random) -> Json:
    """valueInteger."""
    return {"valueInteger": score}


def midas_as_components(score: int, rng: random.Random) -> Json:
    """The five items and the total as components, no value of its own."""
    parts = _split(score, len(MIDAS_ITEMS), rng)
    items = [{"code": concept(text), "valueInteger": part} for text, part in zip(MIDAS_ITEMS, parts, strict=True)]
    return {"component": [*items, {"code": concept("MIDAS total"), "valueInteger": score}]}


def hit6_as_components(score: int, rng: random.Random) -> Json:
    """Total and band as components."""
    return {
        "component": [
            {"code": concept("HIT-6 total"), "valueQuantity": quantity(score, "score")},
            {"code": concept("HIT-6 impact"), "valueString": hit6_band(score)},
        ]
    }


def midas_in_note(score: int, rng: random.Random) -> Json:
    """No value at all: the score was typed into the note."""
    return {
        "dataAbsentReason": _as_text_only(),
        "note": [{"text": f"pt completed form today, MIDAS {score}"}],
    }


def hit6_in_note(score: int, rng: random.Random) -> Json:
    """No value at all: the score was typed into the note."""
    return {"dataAbsentReason": _as_text_only(), "note": [{"text": f"HIT-6 {score} today"}]}


Shape = Callable[[int, random.Random], Json]
MIDAS_SHAPES: tuple[Shape, ...] = (midas_as_text, as_quantity, midas_as_components, as_integer, midas_in_note)
HIT6_SHAPES: tuple[Shape, ...] = (as_quantity, hit6_as_text, hit6_in_note, hit6_as_components, as_integer)


def named(names: tuple[str, ...], local: str, rng: random.Random) -> Json:
    """A name in one of its spellings: text only, local code with display, or both."""
    text, throw = rng.choice(names), rng.random()
    if throw < 0.4:
        return concept(text)
    local_code = coding(LOCAL_OID + ".77", local, text)
    return concept("", local_code) if throw < 0.65 else concept(text, local_code)


def headache_days(pen: Pen, visit: Visit, days: int, rng: random.Random) -> Json:
    """A headache-days statement: a quantity, a phrase, or both kinds of day in one sentence."""
    migraine = max(0, round(days * rng.uniform(0.4, 0.7)))
    name, value = rng.choice(
        (
            ("Headache days per month", {"valueQuantity": quantity(days, "days/month")}),
            ("HA frequency", {"valueString": f"{days} HA days/mo, {migraine} migraine days"}),
            ("Headache days/month (MHD)", {"valueString": str(days)}),
            ("Headache history", {"valueString": f"headache days per month: {days}"}),
            ("Migraine days per month", {"valueInteger": migraine}),
        )
    )
    return observation(pen, visit, "survey", concept(name), "days") | value


def mood(pen: Pen, visit: Visit, code: str, name: str, score: int, rng: random.Random) -> Json:
    """PHQ-9 or GAD-7 total: these do have LOINC codes."""
    value = {"valueQuantity": quantity(score, "{score}", "{score}")} if rng.random() < 0.6 else {"valueInteger": score}
    return observation(pen, visit, "survey", concept(name, coding(LOINC, code, name)), code) | value


def surveys(pen: Pen) -> list[Json]:
    """All survey Observations of the patient, from bad to better (or not), at visits since `trend.since`."""
    trend, rng = pen.story.trend, pen.dice("scores")
    visits = [v for v in pen.seen() if not v.is_emergency and (pen.today - v.on).days <= trend.since]
    found: list[Json] = []
    for index, visit in enumerate(visits):
        part = index / max(1, len(visits) - 1)
        if trend.midas and (index == 0 or rng.random() < trend.share):
            score = trended(trend.midas, part, rng, MIDAS_RANGE)
            code = named(MIDAS_NAMES, "MIDAS", rng)
            value = MIDAS_SHAPES[(index + pen.number) % len(MIDAS_SHAPES)](score, rng)
            found.append(observation(pen, visit, "survey", code, "midas") | value)
        if trend.hit6 and (index == 0 or rng.random() < trend.share):
            score = trended(trend.hit6, part, rng, HIT6_RANGE)
            code = named(HIT6_NAMES, "HIT6", rng)
            value = HIT6_SHAPES[(index + pen.number) % len(HIT6_SHAPES)](score, rng)
            found.append(observation(pen, visit, "survey", code, "hit6") | value)
        if trend.headache_days and rng.random() < trend.share:
            found.append(headache_days(pen, visit, trended(trend.headache_days, part, rng, DAYS_RANGE), rng))
        found += _moods(pen, visit, part, rng)
    if pen.story.messy and visits:
        found.append(beyond_scale(pen, visits[-1]))
    return found


def beyond_scale(pen: Pen, visit: Visit) -> Json:
    """A typing error: HIT-6 ends at 78."""
    return observation(pen, visit, "survey", concept("HIT-6"), "hit6-typo") | {"valueString": "HIT-6: 86"}


def _moods(pen: Pen, visit: Visit, part: float, rng: random.Random) -> list[Json]:
    found = []
    for ends, code, name, top in (
        (pen.story.trend.phq9, "44261-6", "PHQ-9 total score", 27),
        (pen.story.trend.gad7, "70274-6", "GAD-7 total score", 21),
    ):
        if ends and rng.random() < 0.3:
            found.append(mood(pen, visit, code, name, trended(ends, part, rng, (0, top)), rng))
    return found


def trended(ends: tuple[int, int], part: float, rng: random.Random, limits: tuple[int, int]) -> int:
    """A score at `part` (0 to 1) of the way between the ends, with some noise, within the scale's limits."""
    middle = ends[0] + (ends[1] - ends[0]) * part
    spread = 0.05 * max(ends[0], 4)
    return min(max(round(rng.gauss(middle, spread)), limits[0]), limits[1])


def _split(total: int, parts: int, rng: random.Random) -> list[int]:
    cuts = sorted(rng.randint(0, total) for _ in range(parts - 1))
    return [high - low for low, high in zip([0, *cuts], [*cuts, total], strict=True)]


def _as_text_only() -> Json:
    return {"coding": [coding("http://terminology.hl7.org/CodeSystem/data-absent-reason", "as-text")]}
