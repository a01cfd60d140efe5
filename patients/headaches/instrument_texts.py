"""Instrument names and scores in free text: "MIDAS 24 – severe", "HIT-6: 64", "12 migraine days/month"."""

import re
from dataclasses import dataclass
from decimal import Decimal
from functools import cache

_MONTH = (
    r"(?:per|a|each|every|/|in (?:the )?(?:last|past)|last|past)\s*"
    r"(?:calendar )?(?:month|mo|30\s*days|4\s*weeks|28\s*days)\b"
)
_MONTHLY = r"(?:monthly|mean monthly|average monthly)\s+"
_DAYS = {
    "migraine days": (r"migraine[\s-]+days?", r"MMDs?"),
    "headache days": (r"(?:head\s?ache|HA)[\s-]+days?", r"MHDs?"),
    "acute medication days": (
        r"(?:acute|abortive|rescue|triptan|analgesic)?[\s-]*(?:medication|medicine|med|triptan|analgesic"
        r"|abortive)[\s-]+(?:use[\s-]+)?days?"
        r"|days? (?:of|with) (?:acute|abortive|rescue) (?:medications?|meds?|treatment)(?: use)?",
        r"AMDs?",
    ),
}
# Another period than a month: such figures are not monthly days and are not converted.
_OTHER_PERIOD = re.compile(
    r"(?:3|three|6|six|12)[\s-]*months?\b|\b90\s*days\b|\b12\s*weeks\b|quarter|(?:per|a|/|each|last"
    r"|past)\s*(?:week|wk|year|yr)\b|weekly",
    re.I,
)
_NAMES = {
    "MIDAS": re.compile(
        r"(?<!ped)(?<!ped[\s-])(?<!pediatric[\s-])\bMIDAS\b|\bmigraine disability assessment(?: (?:scale"
        r"|test|score))?",
        re.I,
    ),
    "HIT-6": re.compile(r"\bHIT[\s-]?6\b(?:\s*\u2122)?|\bheadache impact test(?:[\s-]*6\b)?", re.I),
    "PHQ-9": re.compile(r"\bPHQ[\s-]?9\b|\bpatient health questionnaire[\s-]*9\b", re.I),
    "GAD-7": re.compile(r"\bGAD[\s-]?7\b|\bgenerali[sz]ed anxiety disorder[\s-]*7\b", re.I),
}
_ABBREVIATION = re.compile(r"\([A-Z]{2,5}(?:-\d)?\)")
# What a MIDAS item is about: days missed or halved at work, at home, with family. An item has no grade.
_ABOUT = r"(?:miss(?:ed)?|halved|reduced|household|housework|chores|work|school|family|social|leisure)\b"
_ITEM = re.compile(
    r"\s*[-,:(]?\s*(?:item|question|q(?:uestion)?\s?\d|part|[AB]\b(?!\w)|#?\s?[1-5]\b[.):]?\s+(?:days?\s+)?"
    + _ABOUT
    + ")",
    re.I,
)
_ITEM_TITLE = re.compile(r"[^;\n]{0,40}?\b" + _ABOUT, re.I)
_DATE = re.compile(
    r"\b(?:\d{4}-\d{2}-\d{2}|\d{1,2}/\d{1,2}(?:/\d{2,4})?(?=\s*[:)\],]|\s+(?:was|is|score)|\s*[-–]\s|$)"
    r"|\d{1,2}/\d{1,2}/\d{2,4})"
)
_GRADE = re.compile(
    r"\b(?i:grade)\s*[:=]?\s*(IV|III|II|I|[1-4])(?:[\s-]?[AB])?\b|^[\s:=(,-]*(IV|III|II|I)(?:[\s-]?[AB])?\b"
)
_NUMBER = r"(?<![\w./-])(\d{1,4}(?:\.\d+)?)(?![\w%]|\.\d|/\d{1,2}/)"
_SCORE = re.compile(
    r"(?:(?:from\s+)?\d{1,3}\s*(?:to|->|→|⇒)\s*)?" + _NUMBER + r"(?:\s*(?:/|out of|of)\s*\d{1,3}\b)?", re.I
)
_RANGE = re.compile(r"\d{1,3}\s*(?:-|–|to|or)\s*\d{1,3}")
_CHANGE = re.compile(r"\b(?:by|change[ds]?(?: of)?|points?|lower|higher|improved|delta)\s*[+-]?\s*$", re.I)
_DIFFERENCE = re.compile(
    r"\s*(?:-?points?|pts)\s+(?:lower|higher|better|worse|improve|drop|decrease|increase|reduc)", re.I
)
_END = re.compile(r"[;\n]|\.(?!\d)")
_ARABIC = {"1": "I", "2": "II", "3": "III", "4": "IV"}
_PAIN = re.compile(
    r"\b(?:pain|head\s?ache|HA|migraine)(?: (?:severity|intensity|score|scale|level"
    r"|rating))?\b[^.;\d]{0,15}?(\d{1,3}(?:\.\d)?)\s*(?:/|out of)\s*10\b",
    re.I,
)
_PAIN_TITLE = re.compile(r"\b(?:pain|head\s?ache|migraine) (?:severity|intensity|score|scale|level|rating)\b", re.I)


@dataclass(frozen=True, slots=True)
class Reading:
    """value, or grade "I".."IV", or neither when the text gives a range."""

    instrument: str
    value: Decimal | None
    grade: str
    matched_text: str


def named(title: str) -> str:
    """The instrument whose total a title names, "" for none, for one item of it or for another period."""
    for instrument, pattern in _NAMES.items():
        if match := pattern.search(title):
            item = _ITEM.match(title, match.end()) or _ITEM_TITLE.match(title, match.end())
            return "" if item else instrument
    if _OTHER_PERIOD.search(title):
        return ""
    for instrument, (words, short) in _DAYS.items():
        if re.search(rf"\b(?:{words}|{short})\b", title, re.I):
            return instrument
    return "pain" if _PAIN_TITLE.search(title) else ""


def answer(instrument: str, words: str) -> Reading | None:
    """The score in an answer whose question already names the instrument."""
    return _score(instrument, words, words)


def readings(words: str) -> list[Reading]:
    """Every instrument named in free text together with its score."""
    words = re.sub(r"[^\S\n]+", " ", words)
    found = [reading for instrument in _NAMES for reading in _named_scores(instrument, words)]
    found += [reading for instrument in _DAYS for reading in _days(instrument, words)]
    found += [Reading("pain", Decimal(match[1]), "", match[0].strip()) for match in _PAIN.finditer(words)]
    return found


def _named_scores(instrument: str, words: str) -> list[Reading]:
    others = [match.start() for pattern in _NAMES.values() for match in pattern.finditer(words)]
    found = []
    for match in _NAMES[instrument].finditer(words):
        if _ITEM.match(words, match.end()):
            continue
        stop = min((start for start in others if start > match.start()), default=len(words))
        tail = _END.split(words[match.end() : stop])[0]
        if reading := _score(instrument, tail, match[0] + tail):
            found.append(reading)
    return found


def _score(instrument: str, tail: str, matched_text: str) -> Reading | None:
    plain = _ABBREVIATION.sub(" ", _DATE.sub(" ", tail))
    grade = _GRADE.search(plain) if instrument == "MIDAS" else None
    without_grade = plain[: grade.start()] + plain[grade.end() :] if grade else plain
    without_period = _OTHER_PERIOD.sub(" ", without_grade)
    for match in _SCORE.finditer(without_period[:60]):
        if _CHANGE.search(without_period[: match.start()]) or _DIFFERENCE.match(without_period, match.end()):
            continue
        if _RANGE.match(without_period, match.start(1)):
            return Reading(instrument, None, "", matched_text.strip())
        return Reading(instrument, Decimal(match[1]), "", matched_text.strip())
    if grade:
        roman = grade[1] or grade[2]
        return Reading(instrument, None, _ARABIC.get(roman, roman), matched_text.strip())
    return None


def _days(instrument: str, words: str) -> list[Reading]:
    found = []
    for clause in _END.split(words):
        if _OTHER_PERIOD.search(clause):
            continue
        for pattern in _day_patterns(instrument):
            if match := pattern.search(clause):
                low, high = match["low"], match["high"]
                value = None if high else Decimal(low)
                found.append(Reading(instrument, value, "", match[0].strip()))
                break
    return found


@cache
def _day_patterns(instrument: str) -> tuple[re.Pattern[str], ...]:
    words, short = _DAYS[instrument]
    number = r"(?<![\w./-])(?P<low>\d{1,3}(?:\.\d+)?)(?:\s*(?:-|–|to)\s*(?P<high>\d{1,3}))?(?![\w./]*\d)"
    after = rf"[\s:=]{{0,4}}(?:of|is|was|are|about|approximately|~)?[\s:=~]{{0,4}}{number}"
    sources = (
        rf"{number}\s*(?:{_MONTHLY})?(?:{words})\s*{_MONTH}",
        rf"{number}\s*{_MONTHLY}(?:{words})\b",
        rf"{number}\s*{short}\b",
        rf"\b{short}\b{after}",
        rf"(?:{words})\s*{_MONTH}{after}",
        rf"{_MONTHLY}(?:{words}){after}",
        rf"(?:{words}){after}\s*{_MONTH}",
        rf"(?:{words})[\s:=]{{1,4}}{number}(?:\s*/\s*(?:month|mo|30)\b)",
    )
    return tuple(re.compile(source, re.I) for source in sources)
