"""Dosage text of the usual kinds: "Take 1 tablet by mouth twice daily", "1-2 tabs q4-6h prn, max 2/24h"."""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

_WORDS = {
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "half": "0.5",
    "a": "1",
    "an": "1",
}
_UNITS = {
    "piece": r"tab(?:let)?s?|cap(?:sule|let)?s?|pills?|odts?|wafers?|films?|supp(?:ositor(?:y|ies))?s?"
    r"|packets?|lozenges?|each|ea"
    r"|patch(?:es)?|pens?|syringes?|injections?|auto-?injectors?|vials?|doses?",
    "spray": r"sprays?|puffs?|squirts?",
    "mL": r"mls?|cc|milliliters?",
    "mg": r"mgs?|milligrams?",
    "mcg": r"mcgs?|micrograms?",
    "g": r"g|grams?",
    "unit": r"units?|iu",
}
_PACKAGES = re.compile(r"box(?:es)?|kits?|packages?|packs?|pkg|cartons?|bottles?|tubes?|inhalers?|blisters?", re.I)
_UNIT = "|".join(_UNITS.values())
_NUMBER = r"\d+(?:\.\d+)?"
_DOSE = re.compile(rf"(?P<low>{_NUMBER})(?:\s*(?:-|to|or)\s*(?P<high>{_NUMBER}))?\s*(?P<unit>{_UNIT})\b")
_TIMES = {"once": 1, "twice": 2, "thrice": 3}
_HOURS = re.compile(
    rf"\b(?:q|every|each)\s*(?P<low>{_NUMBER})(?:\s*(?:-|to)\s*(?P<high>{_NUMBER}))?\s*(?:h|hrs?|hours?)\b"
)
_EVERY = re.compile(
    rf"\b(?:q|every|each|once (?:a|per|every))\s*(?P<low>{_NUMBER})?(?:\s*(?:-|to)\s*(?P<high>{_NUMBER}))?\s*"
    r"(?P<unit>days?|d|weeks?|wks?|w|months?|mos?)\b"
)
_PER = re.compile(
    rf"\b(?P<times>once|twice|thrice|{_NUMBER}\s*(?:x|times?))?\s*(?:a|per|each|every|/)\s*(?P<unit>day"
    rf"|week|wk|month)\b"
)
_SPAN_DAYS = {"d": 1, "w": 7, "m": 30}
_FIXED = (
    (
        re.compile(r"\b(?:every other (?:day|night|morning|evening)|q\.?\s?o\.?\s?d|alternate days)\b"),
        Fraction(1, 2),
    ),
    (
        re.compile(r"\b(?:four times (?:a |per )?dai?l?y|q\.?i\.?d)\b|\b4\s*(?:x|times)\s*(?:a |per )?da(?:y|ily)\b"),
        Fraction(4),
    ),
    (
        re.compile(r"\b(?:three times (?:a |per )?dai?l?y|t\.?i\.?d)\b|\b3\s*(?:x|times)\s*(?:a |per )?da(?:y|ily)\b"),
        Fraction(3),
    ),
    (
        re.compile(r"\b(?:twice (?:a |per )?dai?l?y|b\.?i\.?d)\b|\b2\s*(?:x|times)\s*(?:a |per )?da(?:y|ily)\b"),
        Fraction(2),
    ),
    (re.compile(r"\bquarterly\b|\b(?:q|every) (?:quarter|three months)\b"), Fraction(1, 90)),
    (re.compile(r"\bmonthly\b|\bonce a month\b"), Fraction(1, 30)),
    (re.compile(r"\bweekly\b"), Fraction(1, 7)),
)
_DAILY = re.compile(
    r"\b(?:daily|q\.?d|q\.?\s?day|every day|once a day|nightly|q\.?\s?h\.?s|hs|q\.?a\.?m|q\.?p\.?m"
    r"|at bed ?time|every (?:morning|evening|night)"
    r"|in the (?:morning|evening)|at night|q\s?(?:24\s?h|night|evening|bed ?time))\b"
)
_PRN = re.compile(r"\bp\.?r\.?n\b|\b(?:as|when|if) needed\b|\bonset\b|\bmay repeat\b|\bmr ?x ?1\b|\bat first sign\b")
_LIMIT = re.compile(
    rf"\b(?:max(?:imum)?(?: of| dose)?|not to exceed|nte|up to"
    rf"|no more than)[\s:]*(?P<low>{_NUMBER})\s*(?:{_UNIT})?\s*"
    r"(?:/|per|in|a|every|within|daily)?\s*(?:an?y?\s*)?(?P<unit>24\s*h(?:ou)?rs?|24\s*h|day|daily|d"
    r"|week|wk|month|mo)\b"
)
_LIMIT_DAYS = {"2": 1, "d": 1, "w": 7, "m": 30}
# Doses that change over time, or are told elsewhere, are not one rate.
_CHANGING = re.compile(
    r"\b(?:then|increase|taper|titrat\w*|increment|reduce|week \d|as directed|per package|dose ?pack)\b"
)


@dataclass(frozen=True, slots=True)
class Usage:
    """What a dosage says.

    dose_low..dose_high: amount of one administration in dose_unit (piece, spray, mL, mg, mcg, g, unit, "");
    per_day_low..per_day_high: administrations per day; None where not stated. as_needed: no fixed rate;
    limit: most units per day, None when not stated. A dosage that changes over time has no dose and no rate.
    """

    dose_low: Fraction | None = None
    dose_high: Fraction | None = None
    dose_unit: str = ""
    per_day_low: Fraction | None = None
    per_day_high: Fraction | None = None
    as_needed: bool = False
    limit: Fraction | None = None


def unit_family(unit: str) -> str:
    """Family of a quantity or dose unit, "package" for boxes and kits, "" when empty, the word itself
    else."""
    plain = re.sub(r"\(.*?\)|\{|\}|\.", "", unit.strip().lower()).strip()
    if not plain:
        return ""
    for family, pattern in _UNITS.items():
        if re.fullmatch(pattern, plain):
            return family
    return "package" if _PACKAGES.fullmatch(plain) else plain


@lru_cache(maxsize=8192)
def parse(sig: str) -> Usage:
    """Read a sig; unreadable parts stay None, nothing is guessed."""
    text = _plain(sig)
    as_needed = bool(_PRN.search(text))
    limit = _limit(text)
    text = _LIMIT.sub(" ", text)
    if _CHANGING.search(text):
        return Usage(as_needed=as_needed, limit=limit)
    if both := _two_times(text):
        return Usage(both, both, _family(text), Fraction(1), Fraction(1), as_needed, limit)
    doses = list(_DOSE.finditer(text))
    low, high = _rate(text)
    if not doses or (len(doses) > 1 and not as_needed):
        return Usage(None, None, "", low, high, as_needed, limit)
    dose = doses[0]
    smallest = Fraction(dose["low"])
    largest = Fraction(dose["high"] or dose["low"])
    return Usage(smallest, max(smallest, largest), unit_family(dose["unit"]), low, high, as_needed, limit)


def _plain(sig: str) -> str:
    text = " ".join(sig.lower().split()).replace("½", " 0.5 ").replace("–", "-").replace("—", "-")
    text = re.sub(r"(\d)\s+1/2\b", r"\1.5", text)
    text = re.sub(r"\b1/2\b|\bone[ -]half\b|\bhalf an?\b", "0.5", text)
    text = re.sub(r"\b(?:one|two|three|four|five|six)\s*\((\d+)\)", r"\1", text)
    text = re.sub(r"(\d)\s*\((?:one|two|three|four|five|six|\d+)\)", r"\1", text)
    units = rf"(?=\s*(?:-|to|or|{_UNIT}|x|times)\b)"
    text = re.sub(rf"\b({'|'.join(_WORDS)})\b{units}", lambda match: _WORDS[match[1]], text)
    text = re.sub(rf"\b(or|to|-)\s+({'|'.join(_WORDS)})\b", lambda match: f"{match[1]} {_WORDS[match[2]]}", text)
    # "1 (50 mg) tablet" and "1 tablet (50 mg total)": the count is meant, the milligrams repeat it.
    return " ".join(re.sub(r"\([^)]*\)", " ", text).split())


def _family(text: str) -> str:
    dose = _DOSE.search(text)
    return unit_family(dose["unit"]) if dose else ""


def _two_times(text: str) -> Fraction | None:
    """Units per day of "1 tab in the morning and 2 tabs at bedtime", None for any other sig."""
    halves = re.split(r"\s*(?:,|&|\+|\band\b)\s*", text)
    doses = [_DOSE.search(half) for half in halves]
    if len(halves) != 2 or not all(doses) or not all(_DAILY.search(half) for half in halves):
        return None
    if any(dose["high"] for dose in doses if dose) or len({_family(half) for half in halves}) != 1:
        return None
    return sum((Fraction(dose["low"]) for dose in doses if dose), Fraction(0))


def _rate(text: str) -> tuple[Fraction | None, Fraction | None]:
    """Administrations per day, as an interval."""
    if match := _HOURS.search(text):
        return _interval(match, Fraction(1, 24))
    for pattern, times in _FIXED:
        if pattern.search(text):
            return times, times
    if match := _EVERY.search(text):
        return _interval(match, Fraction(_SPAN_DAYS[match["unit"][0]]), days=True)
    if match := _PER.search(text):
        times = Fraction(_TIMES.get(match["times"] or "once") or re.sub(r"[^\d.]", "", match["times"]))
        rate = times / _SPAN_DAYS[match["unit"][0]]
        return rate, rate
    return (Fraction(1), Fraction(1)) if _DAILY.search(text) else (None, None)


def _interval(match: re.Match[str], unit: Fraction, *, days: bool = False) -> tuple[Fraction | None, Fraction | None]:
    shortest = Fraction(match["low"] or 1) * unit
    longest = Fraction(match["high"] or match["low"] or 1) * unit
    if not shortest or not longest:
        return None, None
    return 1 / max(shortest, longest), 1 / min(shortest, longest)


def _limit(text: str) -> Fraction | None:
    match = _LIMIT.search(text)
    return Fraction(match["low"]) / _LIMIT_DAYS[match["unit"][0]] if match else None
