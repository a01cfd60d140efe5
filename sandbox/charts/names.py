"""Invented names and places (`names.json`).

Town names are invented and ZIP codes are of the range 000, which was never assigned.
"""

import json
from pathlib import Path

_LISTS = json.loads(Path(__file__).with_name("names.json").read_text(encoding="utf-8"))

FEMALE: list[str] = _LISTS["female"]
MALE: list[str] = _LISTS["male"]
MIDDLE: list[str] = _LISTS["middle"]
FAMILY: list[str] = _LISTS["family"]
STREETS: list[str] = _LISTS["streets"]
CITIES: list[tuple[str, str, str]] = [(city, state, code) for city, state, code in _LISTS["cities"]]
AREA_CODES: list[str] = _LISTS["area_codes"]
