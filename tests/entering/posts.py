"""What the forms post, filled in sensibly; a test says only what it changes."""

import html
import re
import uuid
from typing import Any

MIDAS = {f"midas_{number}": str(days) for number, days in enumerate((4, 6, 3, 5, 6), start=1)}  # 24
HIT6 = {f"hit6_{number}": str(points) for number, points in enumerate((11, 10, 10, 10, 8, 11), start=1)}  # 60


def assessment(**changes: Any) -> dict[str, Any]:
    """An assessment with every answer. A change to None leaves the field out."""
    filled = {
        "submission": str(uuid.uuid4()),
        "date": "2026-11-21",
        "period_days": "30",
        "headache_days": "9",
        "migraine_days": "6",
        "acute_medication_days": "8",
        "diary_days": "28",
        "four_hours": "True",
        **MIDAS,
        "midas_a": "31",
        "midas_b": "7",
        **HIT6,
        "origin": "rooming",
        "note": "",
    }
    return {name: value for name, value in (filled | changes).items() if value is not None}


def bare(**answers: Any) -> dict[str, Any]:
    """An assessment with those answers alone."""
    frame = ("submission", "date", "period_days", "origin")
    return {name: value for name, value in assessment().items() if name in frame} | answers


def attestation(**changes: Any) -> dict[str, Any]:
    return {
        "submission": str(uuid.uuid4()),
        "outcome": "partly-effective",
        "for_headache": "yes",
        "target_dose": "yes",
        "dose_reached": "100 mg daily",
        "stopped": "adverse-effect",
        "stopped_words": "word finding",
        "start_year": "2017",
        "start_month": "3",
        "end_year": "2018",
        "end_month": "",
        "origin": "clinician",
        "note": "",
    } | changes


def errors(page: str) -> dict[str, str]:
    """Of the error summary: target of the link ("" for errors of no field) → text."""
    summary = page.partition('role="alert"')[2].partition("</div>")[0]
    found = re.findall(r"<li>(?:<a href=\"#([^\"]+)\">)?(.*?)(?:</a>)?</li>", summary)
    return {target: html.unescape(text) for target, text in found}
