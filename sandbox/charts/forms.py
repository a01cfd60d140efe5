"""Questionnaires with their items, as the check-in tablet files them. Item texts are short ones of our own."""

import random

from sandbox.charts.codings import LOINC, Json, coding
from sandbox.charts.dates import date_time
from sandbox.charts.pen import Pen, Visit
from sandbox.charts.scores import HIT6_RANGE, MIDAS_RANGE, trended

DISPLAY = "http://hl7.org/fhir/StructureDefinition/display"
ORDINAL = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
MIDAS = (
    "Days in the last 3 months missed at work or school because of headache",
    "Days in the last 3 months with work or school halved by headache",
    "Days in the last 3 months household work was not done",
    "Days in the last 3 months with household work halved",
    "Days in the last 3 months missed with family, social or leisure plans",
)
MIDAS_EXTRA = ("A. Days in the last 3 months with a headache", "B. Average pain, scale of 0-10")
HIT6 = (
    "Pain severe during headache",
    "Usual daily activities limited",
    "Wish to lie down",
    "Too tired for work or daily activities",
    "Fed up or irritated",
    "Hard to concentrate",
)
CHOICES = (("Never", 6), ("Rarely", 8), ("Sometimes", 10), ("Very often", 11), ("Always", 13))
PHQ9 = (
    ("44250-9", "Little interest or pleasure"),
    ("44255-8", "Feeling down, depressed or hopeless"),
    ("44259-0", "Trouble falling or staying asleep"),
    ("44254-1", "Feeling tired or having little energy"),
    ("44251-7", "Poor appetite or overeating"),
    ("44258-2", "Feeling bad about yourself"),
    ("44252-5", "Trouble concentrating on things"),
    ("44253-3", "Moving or speaking slowly, or restless"),
    ("44260-8", "Thoughts of being better off dead"),
)
FREQUENCIES = (
    ("LA6568-5", "Not at all"),
    ("LA6569-3", "Several days"),
    ("LA6570-1", "More than half the days"),
    ("LA6571-9", "Nearly every day"),
)


def integer(link: str, text: str, value: int) -> Json:
    """An item answered with a number."""
    return {"linkId": link, "text": text, "answer": [{"valueInteger": value}]}


def midas_items(score: int, days: int, rng: random.Random) -> list[Json]:
    """The five items, which add up to the score, and the two that are not counted."""
    cuts = sorted(rng.randint(0, score) for _ in range(len(MIDAS) - 1))
    parts = [high - low for low, high in zip([0, *cuts], [*cuts, score], strict=True)]
    items = [integer(f"m{n}", text, part) for n, (text, part) in enumerate(zip(MIDAS, parts, strict=True), 1)]
    return [*items, integer("mA", MIDAS_EXTRA[0], min(92, days * 3)), integer("mB", MIDAS_EXTRA[1], rng.randint(4, 9))]


def hit6_items(score: int, rng: random.Random) -> tuple[list[Json], int]:
    """Six choices that come as near to the score as their points allow, and their sum."""
    items, total = [], 0
    for n, text in enumerate(HIT6, 1):
        wanted = (score - total) / (len(HIT6) - n + 1)
        word, points = min(CHOICES, key=lambda choice: abs(choice[1] - wanted))
        total += points
        choice: Json = {"code": f"h{points}", "display": word}
        if rng.random() < 0.5:
            choice["extension"] = [{"url": ORDINAL, "valueDecimal": points}]
        items.append({"linkId": f"h{n}", "text": text, "answer": [{"valueCoding": choice}]})
    return items, total


def phq9_items(score: int) -> list[Json]:
    """Nine choices by LOINC answer code, adding up to the score."""
    items, left = [], score
    for code, text in PHQ9:
        points = min(3, left)
        left -= points
        answer = coding(LOINC, *FREQUENCIES[points])
        items.append({"linkId": f"/{code}", "text": text, "answer": [{"valueCoding": answer}]})
    return items


def _response(pen: Pen, visit: Visit, name: str, title: str, items: list[Json]) -> Json:
    resource = pen.head("QuestionnaireResponse", visit.on, name, visit.number) | {
        "questionnaire": f"http://forms.example.com/Questionnaire/{name}",
        "status": "completed",
        "subject": pen.patient,
        "encounter": pen.encounter(visit),
        "authored": date_time(visit.on, visit.minutes - 12),
        "item": items,
    }
    if pen.number % 2:
        resource["_questionnaire"] = {"extension": [{"url": DISPLAY, "valueString": title}]}
    return resource


def midas(pen: Pen, visit: Visit, part: float, rng: random.Random) -> Json | None:
    """MIDAS; every other tablet also files the total."""
    trend = pen.story.trend
    if trend.midas is None:
        return None
    score = trended(trend.midas, part, rng, MIDAS_RANGE)
    items = midas_items(score, trended(trend.headache_days or (9, 9), part, rng, (1, 30)), rng)
    if visit.number % 2:
        items.append(integer("total", "MIDAS total score", score))
    return _response(pen, visit, "midas", "Migraine Disability Assessment (MIDAS)", items)


def hit6(pen: Pen, visit: Visit, part: float, rng: random.Random) -> Json | None:
    """HIT-6, in a group under a heading."""
    if pen.story.trend.hit6 is None:
        return None
    items, total = hit6_items(trended(pen.story.trend.hit6, part, rng, HIT6_RANGE), rng)
    if visit.number % 2:
        items.append({"linkId": "sum", "text": "Total score", "answer": [{"valueDecimal": total}]})
    group = {"linkId": "g", "text": "Headache impact (last 4 weeks)", "item": items}
    return _response(pen, visit, "hit-6", "Headache Impact Test (HIT-6)", [group])


def phq9(pen: Pen, visit: Visit, part: float, rng: random.Random) -> Json | None:
    """PHQ-9 without its total."""
    if pen.story.trend.phq9 is None:
        return None
    items = phq9_items(trended(pen.story.trend.phq9, part, rng, (0, 27)))
    return _response(pen, visit, "phq-9", "PHQ-9", items)


def intake(pen: Pen, visit: Visit, part: float, rng: random.Random) -> Json | None:
    """The clinic's own check-in form."""
    if pen.story.trend.headache_days is None:
        return None
    days = trended(pen.story.trend.headache_days, part, rng, (0, 30))
    items = [
        integer("1", "How many days in the past month did you have a headache?", days),
        {"linkId": "2", "text": "What helps?", "answer": [{"valueString": "dark room, ice"}]},
        {"linkId": "3", "text": "Anything new since last time?", "answer": [{"valueBoolean": False}]},
    ]
    return _response(pen, visit, "ha-check-in", "Headache check-in", items)


FORMS = {"midas": midas, "hit6": hit6, "phq9": phq9, "intake": intake}


def responses(pen: Pen) -> list[Json]:
    """All QuestionnaireResponse resources of the patient: each form at every other office visit."""
    rng = pen.dice("forms")
    visits = [visit for visit in pen.seen() if not visit.is_emergency]
    found: list[Json] = []
    for offset, name in enumerate(pen.story.forms):
        for index, visit in enumerate(visits):
            if index % 2 == offset % 2:
                written = FORMS[name](pen, visit, index / max(1, len(visits) - 1), rng)
                found += [written] if written else []
    return found
