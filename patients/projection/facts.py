"""What a resource says, before it becomes an Entry row."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from typing import Any

from patients.headaches import dates
from patients.headaches.coding import Coding
from patients.models import Entry
from patients.projection import readers

NOT_NAMED = "Not named in the record"
# verificationStatus of a statement that the record itself takes back.
WITHDRAWN = {"refuted", "entered-in-error"}
UNKNOWN_MODIFIER = "has a modifier we do not know"

_LENGTHS: dict[str, int] = {
    name: getattr(Entry._meta.get_field(name), "max_length", 0)
    for name in ("title", "code", "system", "status", "group", "role", "value_text", "unit", "date_meaning")
}


@dataclass(frozen=True, slots=True)
class Dated:
    """A fact's date as the record has it.

    meaning: a word of the date's own element (onset, recorded, ordered, measured, issued, performed, examined …);
    "visit" for the visit at which an undated fact was recorded.
    """

    on: date | None = None
    precision: str = ""
    meaning: str = ""
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Fact:
    """One Entry without its keys; the fields are the Entry's."""

    kind: str
    title: str
    dated: Dated = Dated()
    end_date: date | None = None
    code: str = ""
    system: str = ""
    status: str = ""
    group: str = ""
    role: str = ""
    about_headache: bool = False
    value: Decimal | None = None
    value_text: str = ""
    unit: str = ""
    detail: dict[str, Any] = field(default_factory=dict)

    def columns(self) -> dict[str, Any]:
        """The Entry's columns, cut to their lengths, with the fingerprint over all of them.

        What is cut is kept whole in detail under "full_<column>".
        """
        detail = dict(self.detail)
        row: dict[str, Any] = {
            "kind": self.kind,
            "date": self.dated.on,
            "date_precision": self.dated.precision,
            "date_meaning": self.dated.meaning,
            "end_date": self.end_date,
            "about_headache": self.about_headache,
            "value": self.value,
        }
        for name in ("title", "code", "system", "status", "group", "role", "value_text", "unit"):
            whole: str = getattr(self, name)
            if len(whole) > _LENGTHS[name]:
                detail[f"full_{name}"] = whole
                whole = whole[: _LENGTHS[name] - 1] + "…"
            row[name] = whole
        row["detail"] = detail
        said = json.dumps(row, sort_keys=True, default=str)
        return row | {"fingerprint": hashlib.sha256(said.encode()).hexdigest()}


def first_date(*candidates: tuple[object, str]) -> Dated:
    """The first (raw date, meaning) that is a date."""
    for raw, meaning in candidates:
        read = dates.parse(readers.text(raw))
        if read is not None:
            return Dated(read.value, read.precision, meaning, read.raw)
    return Dated()


def whole_day(raw: object) -> date | None:
    """That day; None when the record gives only a month or year, for columns that hold no precision."""
    read = dates.parse(readers.text(raw))
    return read.value if read is not None and read.precision in {"day", "time"} else None


def date_words(raw: object) -> str:
    """The day, month or year that a date names ("2024-03"); "" for a filler or what is no date."""
    read = dates.parse(readers.text(raw))
    return read.raw[:10] if read is not None else ""


def stated(**facts: Any) -> dict[str, Any]:
    """The facts that the record has: None and empty ones are left out of an Entry's detail."""
    return {name: fact for name, fact in facts.items() if fact is not None and fact not in ("", [], {}, ())}


def modifier_note(body: readers.Body) -> str | None:
    """Set when a modifierExtension may change what the resource means: staff must read the source."""
    return UNKNOWN_MODIFIER if readers.has_unknown_modifier(body) else None


def as_listed(codings: tuple[Coding, ...]) -> list[dict[str, str]]:
    """Codings for an Entry's detail."""
    return [stated(system=each.system, code=each.code, display=each.display) for each in codings]


def words_of_time(body: readers.Body, element: str) -> str:
    """onset[x] and abatement[x] that are no plain day: "childhood", "35 years", "2019"."""
    moment = body.get(f"{element}DateTime")
    return readers.joined(
        [
            "" if whole_day(moment) else readers.text(moment),
            readers.text(body.get(f"{element}String")),
            readers.quantity_words(body.get(f"{element}Age")),
            readers.range_words(body.get(f"{element}Range")),
        ]
    )
