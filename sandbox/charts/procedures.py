"""Procedures: toxin sessions and nerve blocks, coded when billed, in words when not, or never performed."""

import datetime as dt

from sandbox.charts.codings import ABSENT, CPT, HCPCS, Json, coding, concept
from sandbox.charts.dates import date_time
from sandbox.charts.pen import Pen, Visit

TOXIN_LABEL = "Chemodenervation head/neck, chronic migraine"
BLOCK_LABEL = "Greater occipital nerve block"

# What else is done in a headache clinic: (text, code system, code); no code where nobody bills it here.
OTHERS: dict[str, tuple[str, str, str]] = {
    "ecg": ("12 lead ECG", CPT, "93000"),
    "spg": ("SPG block bilat, Tx360", "", ""),
    "lumbar-puncture": ("Lumbar puncture, OP 14", CPT, "62270"),
    "cocktail": ("IV migraine cocktail", "", ""),
}


def toxin_session(pen: Pen, visit: Visit, ordinal: int) -> Json:
    """A session as billed (CPT 64615), every third also with the drug code (HCPCS J0585)."""
    codings = [coding(CPT, "64615", TOXIN_LABEL)]
    if ordinal % 3 == 0:
        codings.append(coding(HCPCS, "J0585", "onabotulinumtoxinA, per unit"))
    resource = _procedure(pen, visit.on, "completed", concept("Botox 155 U, 31 sites", *codings), "botox", visit.number)
    return resource | {
        "encounter": pen.encounter(visit),
        "performedDateTime": date_time(visit.on, visit.minutes + 5),
    }


def nerve_block(pen: Pen, ago: int, *, billed: bool) -> Json:
    """An occipital nerve block: coded (CPT 64405) or in the words of the person who did it."""
    code = concept(BLOCK_LABEL, coding(CPT, "64405", BLOCK_LABEL)) if billed else concept("GONB bilat, lido/bupi")
    return _procedure(pen, pen.day(ago), "completed", code, "block", ago) | {
        "performedDateTime": pen.day(ago).isoformat()
    }


def other(pen: Pen, kind: str, ago: int) -> Json:
    """An ECG, puncture or infusion; its time is kept to the day."""
    text, system, code = OTHERS[kind]
    written = concept(text, *([coding(system, code)] if code else []))
    done = _procedure(pen, pen.day(ago), "completed", written, kind, ago)
    return done | {"performedPeriod": {"start": pen.day(ago).isoformat()}}


def never_performed(pen: Pen, text: str) -> Json:
    """Scheduled and not done: no date, only the extension that says so."""
    resource = _procedure(pen, pen.day(10), "not-done", concept(text), "not-done")
    return resource | {"_performedDateTime": {"extension": [{"url": ABSENT, "valueCode": "not-performed"}]}}


def procedures(pen: Pen) -> list[Json]:
    """All Procedure resources of the patient."""
    rng = pen.dice("procedures")
    sessions = [visit for visit in pen.seen() if visit.kind == "botox"]
    found = [toxin_session(pen, visit, ordinal) for ordinal, visit in enumerate(sessions)]
    found += [nerve_block(pen, ago, billed=rng.random() < 0.6) for ago in pen.story.blocks]
    found += [other(pen, done.kind, done.ago) for done in pen.story.done]
    if rng.random() < 0.15 and pen.story.died is None:
        found.append(never_performed(pen, rng.choice(("Botox injection", "SPG block", "Lumbar puncture"))))
    return found


def _procedure(pen: Pen, on: dt.date, status: str, code: Json, *key: object) -> Json:
    return pen.head("Procedure", on, *key) | {
        "status": status,
        "code": code,
        "subject": pen.patient,
        "performer": [{"actor": pen.practitioner}],
    }
