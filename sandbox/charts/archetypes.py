"""Stories for the patients after the cast: weighted kinds of headache patient, each thrown anew."""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

from sandbox.charts.allergies import LINES
from sandbox.charts.people import invent
from sandbox.charts.story import Course, Diagnosis, Done, Person, Story, Study, Trend

ANTIDEPRESSANTS = ["amitriptyline", "nortriptyline", "venlafaxine", "duloxetine"]
ANTIHYPERTENSIVES = ["propranolol", "metoprolol", "candesartan", "lisinopril", "verapamil"]
ANTICONVULSANTS = ["topiramate", "divalproex", "gabapentin", "zonisamide"]
ORALS = [*ANTIDEPRESSANTS, *ANTIHYPERTENSIVES, *ANTICONVULSANTS, "memantine"]
ANTIBODIES = ["erenumab", "fremanezumab", "galcanezumab", "eptinezumab"]
ADVANCED = [*ANTIBODIES, "atogepant", "rimegepant-every-other-day"]
TRIPTANS = [
    "sumatriptan",
    "rizatriptan",
    "eletriptan",
    "naratriptan",
    "zolmitriptan",
    "sumatriptan-injection",
]
GEPANTS = ["rimegepant", "ubrogepant", "zavegepant", "lasmiditan"]
ANALGESICS = ["ibuprofen", "naproxen", "acetaminophen", "excedrin", "ketorolac"]
SICKNESS = ["ondansetron", "metoclopramide", "prochlorperazine"]
RESCUE = ["butalbital", "butalbital-codeine", "tramadol", "oxycodone", "hydrocodone"]
UNRELATED = ["sertraline", "atorvastatin", "levothyroxine", "albuterol", "omeprazole", "tizanidine", "qsymia"]
ENDINGS = ("stopped", "stopped", "completed", "unknown", "active")
COMORBID = (
    "F41.9",
    "F32.A",
    "G47.00",
    "M54.2",
    "E66.9",
    "J45.909",
    "K58.9",
    "I10",
    "M79.7",
    "E03.9",
    "R11.0",
)
ALLERGIES = tuple(key for key in LINES if key not in {"nkda", "none-known"})


@dataclass(frozen=True)
class Archetype:
    """A kind of patient: how common (weight), who they are, and how their story is made."""

    name: str
    weight: int
    ages: tuple[int, int]
    female: float
    tell: Callable[[random.Random], Story]


def _orals(rng: random.Random, count: int, start: int, end: int) -> list[Course]:
    """Preventives one after the other from `start` to `end` days before today, with pauses between them."""
    span = max(60, (start - end) // max(1, count))
    found = []
    for ordinal, product in enumerate(rng.sample(ORALS, count)):
        begin = start - ordinal * span
        stop = max(end, begin - int(span * rng.uniform(0.3, 0.95)))
        found.append(Course(product, begin, stop or 1, ending=rng.choice(ENDINGS)))
    return found


def _acute(rng: random.Random, start: int, pool: list[str]) -> list[Course]:
    found = [Course(product, start, every=110) for product in rng.sample(pool, 1)]
    if rng.random() < 0.6:
        found.append(Course(rng.choice(ANALGESICS), start, every=200, reported=rng.random() < 0.5))
    if rng.random() < 0.4:
        found.append(Course(rng.choice(SICKNESS), start // 2, every=220))
    return found


def _chronic(rng: random.Random, code: str, earlier: str) -> Story:
    start = rng.randint(500, 1400)
    turn = int(start * rng.uniform(0.45, 0.8))
    courses = _orals(rng, rng.randint(2, 4), start, turn // 2 + 60)
    toxin = rng.random() < 0.35
    if toxin:
        courses.append(Course("botox", turn // 2))
    else:
        courses.append(Course(rng.choice(ADVANCED), turn // 2))
    worst = rng.randint(25, 110)
    best = int(worst * rng.uniform(0.2, 1.0))
    return Story(
        "chronic migraine",
        diagnoses=(Diagnosis(code, since=turn), Diagnosis(earlier, since=start, until=turn + 1)),
        courses=(*courses, *_acute(rng, start, TRIPTANS + GEPANTS)),
        trend=Trend(
            (worst, best),
            (rng.randint(62, 75), rng.randint(48, 66)),
            (rng.randint(16, 30), rng.randint(5, 18)),
            (rng.randint(6, 18), rng.randint(2, 12)) if rng.random() < 0.5 else None,
            (rng.randint(5, 14), rng.randint(2, 10)) if rng.random() < 0.3 else None,
        ),
        first_visit=start,
        interval=rng.randint(150, 280),
        botox_since=turn // 2 if toxin else None,
        blocks=(rng.randint(30, start),) if rng.random() < 0.25 else (),
        emergencies=(rng.randint(10, start),) if rng.random() < 0.4 else (),
    )


def chronic_without_aura(rng: random.Random) -> Story:
    """Episodic, then chronic migraine: several orals, then an antibody, a gepant or toxin."""
    return _chronic(rng, rng.choice(("G43.709", "G43.709", "G43.719", "G43.711")), rng.choice(("G43.009", "G43.909")))


def chronic_with_aura(rng: random.Random) -> Story:
    """The same with aura."""
    return _chronic(rng, rng.choice(("G43.E09", "G43.E19")), "G43.109")


def episodic(rng: random.Random) -> Story:
    """Four to fourteen headache days a month, one or two preventives, a triptan."""
    start = rng.randint(300, 1200)
    code = rng.choice(("G43.009", "G43.009", "G43.909", "G43.829", "G43.019"))
    return Story(
        "episodic migraine",
        diagnoses=(Diagnosis(code, since=start),),
        courses=(
            *_orals(rng, rng.randint(1, 2), start, rng.choice((0, start // 2))),
            *_acute(rng, start, TRIPTANS + GEPANTS[:2]),
        ),
        trend=Trend(
            (rng.randint(8, 30), rng.randint(2, 20)),
            (rng.randint(56, 68), rng.randint(46, 60)),
            (rng.randint(5, 14), rng.randint(2, 9)) if rng.random() < 0.7 else None,
        ),
        first_visit=start,
        interval=rng.randint(120, 260),
    )


def with_aura(rng: random.Random) -> Story:
    """Episodic migraine with aura; in some charts an estrogen-containing contraceptive."""
    story = episodic(rng)
    extra: tuple[Course, ...] = ()
    if rng.random() < 0.35:
        pill = rng.choice(("ethinyl-estradiol", "ethinyl-estradiol-low"))
        extra = (Course(pill, story.first_visit, every=160, reported=rng.random() < 0.3),)
    aura = Diagnosis(rng.choice(("G43.109", "G43.109", "G43.119")), since=story.first_visit)
    return replace(story, name="migraine with aura", diagnoses=(aura,), courses=(*story.courses, *extra))


def low_frequency(rng: random.Random) -> Story:
    """A visit or two and one triptan."""
    start = rng.randint(60, 500)
    return Story(
        "low-frequency migraine",
        diagnoses=(Diagnosis(rng.choice(("G43.009", "G43.109", "G43.909")), start, listed=rng.random() < 0.5),),
        courses=(Course(rng.choice(TRIPTANS), start, every=150),),
        trend=Trend(midas=(rng.randint(0, 8), rng.randint(0, 6))) if rng.random() < 0.4 else Trend(),
        first_visit=start,
        interval=rng.randint(180, 400),
    )


def medication_overuse(rng: random.Random) -> Story:
    """Chronic migraine with drug-induced headache on record and frequent orders of acute drugs."""
    story = _chronic(rng, "G43.709", "G43.909")
    code, since = rng.choice(("G44.40", "G44.41")), story.first_visit // 2
    rescue = tuple(Course(product, story.first_visit, every=28) for product in rng.sample(RESCUE, rng.randint(1, 2)))
    return replace(
        story,
        name="medication overuse headache",
        diagnoses=(*story.diagnoses, Diagnosis(code, since)),
        courses=(*story.courses, *rescue),
        interval=rng.randint(80, 130),
        first_visit=story.first_visit,
    )


def tension_type(rng: random.Random) -> Story:
    """Tension-type or unspecified headache with little treatment."""
    start = rng.randint(100, 700)
    code = rng.choice(("G44.209", "G44.219", "G44.229", "R51.9", "G44.86"))
    courses = _orals(rng, 1, start, 0) if rng.random() < 0.3 else []
    return Story(
        "tension-type headache",
        diagnoses=(Diagnosis(code, start), Diagnosis("R51.9", start, start - 30, listed=False)),
        courses=(*courses, Course(rng.choice(ANALGESICS), start, reported=True)),
        trend=Trend(hit6=(rng.randint(48, 62), rng.randint(44, 58))) if rng.random() < 0.5 else Trend(),
        first_visit=start,
        interval=rng.randint(100, 240),
    )


def cluster(rng: random.Random) -> Story:
    """Episodic cluster headache: verapamil, injections, steroid bridges."""
    start = rng.randint(300, 1200)
    return Story(
        "cluster headache",
        diagnoses=(Diagnosis("G44.019", start),),
        courses=(
            Course("verapamil", start, every=130),
            Course("oxygen", start, every=200),
            Course("sumatriptan-injection", start, every=100),
            Course("prednisone", start // 2, start // 2 - 8, ending="completed"),
        ),
        done=tuple(Done("ecg", ago) for ago in (start - 2, start // 2)),
        trend=Trend(hit6=(rng.randint(62, 76), rng.randint(50, 66))),
        first_visit=start,
        interval=rng.randint(90, 180),
        smoking="daily",
    )


def hemiplegic(rng: random.Random) -> Story:
    """Hemiplegic migraine; in some charts a triptan is still on the list."""
    start = rng.randint(400, 1000)
    triptan = (Course(rng.choice(TRIPTANS), start, start - 20, ending="active"),) if rng.random() < 0.4 else ()
    return Story(
        "hemiplegic migraine",
        diagnoses=(Diagnosis(rng.choice(("G43.409", "G43.419")), start),),
        courses=(Course("verapamil", start, every=120), Course("naproxen", start, every=200), *triptan),
        trend=Trend((rng.randint(10, 30), rng.randint(5, 20)), (rng.randint(58, 68), rng.randint(50, 62))),
        first_visit=start,
        interval=rng.randint(120, 200),
    )


def post_traumatic(rng: random.Random) -> Story:
    """Headache after a head injury, which brought the patient to the emergency department and its scanner."""
    story = episodic(rng)
    found = (Diagnosis("G44.329", story.first_visit), Diagnosis("F07.81", story.first_visit, at_visits=False))
    injury = story.first_visit + rng.randint(10, 90)
    return replace(
        story,
        name="post-traumatic headache",
        diagnoses=found,
        injury=injury,
        studies=(Study("ct-ed", injury),) if rng.random() < 0.7 else (),
    )


ARCHETYPES: tuple[Archetype, ...] = (
    Archetype("chronic migraine without aura", 28, (20, 66), 0.82, chronic_without_aura),
    Archetype("chronic migraine with aura", 8, (20, 60), 0.82, chronic_with_aura),
    Archetype("episodic migraine", 20, (16, 64), 0.75, episodic),
    Archetype("migraine with aura", 10, (15, 55), 0.78, with_aura),
    Archetype("low-frequency migraine", 8, (15, 60), 0.65, low_frequency),
    Archetype("medication overuse headache", 9, (24, 68), 0.78, medication_overuse),
    Archetype("tension-type headache", 9, (18, 78), 0.6, tension_type),
    Archetype("cluster headache", 3, (25, 65), 0.25, cluster),
    Archetype("hemiplegic migraine", 2, (16, 50), 0.7, hemiplegic),
    Archetype("post-traumatic headache", 3, (16, 60), 0.5, post_traumatic),
)
WEIGHTS = [archetype.weight for archetype in ARCHETYPES]


def somebody(rng: random.Random) -> tuple[Person, Story]:
    """A person and a story, thrown with `rng`."""
    (kind,) = rng.choices(ARCHETYPES, WEIGHTS)
    sex = "female" if rng.random() < kind.female else "male"
    person = invent(rng, sex, kind.ages)
    return person, _furnish(_without_contraceptive(kind.tell(rng), person), person, rng)


def _without_contraceptive(story: Story, person: Person) -> Story:
    if person.sex == "female" and person.age <= 50:
        return story
    kept = tuple(course for course in story.courses if not course.product.startswith("ethinyl"))
    return replace(story, courses=kept)


def _furnish(story: Story, person: Person, rng: random.Random) -> Story:
    """What every story gets: other conditions and drugs, allergies, studies, a body."""
    start = story.first_visit
    others = tuple(
        Diagnosis(code, rng.randint(1, start), at_visits=False)
        for code in rng.sample(COMORBID, rng.choice((0, 1, 1, 2, 3)))
    )
    unrelated = tuple(
        Course(product, rng.randint(1, start), reported=True)
        for product in rng.sample(UNRELATED, rng.choice((0, 0, 1, 2)))
    )
    kinds = [
        kind for kind, share in (("mri", 0.5), ("bmp", 0.45), ("ct", 0.15), ("liver", 0.1)) if rng.random() < share
    ]
    high = any(diagnosis.icd == "I10" for diagnosis in others)
    return replace(
        story,
        diagnoses=story.diagnoses + others,
        courses=story.courses + unrelated,
        allergies=_allergies(story, rng),
        studies=story.studies + tuple(Study(kind, rng.randint(1, start)) for kind in kinds),
        forms=story.forms or rng.choice(((), (), ("hit6",), ("midas", "hit6"))),
        papers=rng.choice((0, 0, 1, 2, 3)),
        pressure=(rng.randint(134, 152), rng.randint(82, 94)) if high else (rng.randint(104, 132), rng.randint(64, 82)),
        height_cm=round(rng.gauss(163 if person.sex == "female" else 176, 6)),
        weight_kg=round(rng.gauss(72 if person.sex == "female" else 84, 13)),
        smoking="daily" if story.smoking == "daily" else rng.choice(("never",) * 6 + ("former", "former", "daily")),
        messy=rng.random() < 0.04,
    )


def _allergies(story: Story, rng: random.Random) -> tuple[str, ...]:
    throw = rng.random()
    if throw < 0.2:
        return ()
    if throw < 0.38:
        return ("nkda",)
    if throw < 0.52:
        return ("none-known",)
    found = rng.sample(ALLERGIES, rng.choice((1, 1, 2, 3)))
    topiramate = any(course.product == "topiramate" and course.stop for course in story.courses)
    if topiramate and rng.random() < 0.3:
        found.append(rng.choice(("topiramate", "topiramate-text")))
    return tuple(dict.fromkeys(found))
