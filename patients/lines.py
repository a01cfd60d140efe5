"""One Entry as one line of a table: every text ready, so that a page of hundreds of lines only prints."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from patients.models import Entry
from patients.projection.values import pretty_unit
from patients.wording import date_words, plain

Kind = Entry.Kind
Detail = Mapping[str, Any]

# The columns a line is made of.
COLUMNS = (
    "source_id", "kind", "title", "code", "status", "group", "role", "about_headache",
    "date", "date_precision", "date_meaning", "end_date", "value", "value_text", "unit", "detail",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Line:
    """A dated fact as the page shows it.

    when: spelled as precisely as the record, "" when undated; meaning: what the date is (onset, recorded,
    ordered …); future: it lies after today; value: a measure with its unit; about: the class in words;
    words: sig, reactions and the like, as the record has them; tags: what a reader should notice; source: the
    address of the source record; dated, said: the date and all the rest in one text each.
    """

    source: str
    title: str
    code: str
    status: str
    when: str
    meaning: str
    until: str
    future: bool
    value: str
    about: str
    words: str
    tags: tuple[str, ...]
    dated: str
    said: str


def line(row: Mapping[str, Any], today: date, source: str) -> Line:
    """The line of an Entry given as a mapping of COLUMNS; `source`: the address of its source record."""
    detail = row["detail"] if isinstance(row["detail"], dict) else {}
    about, words, tags = _READERS[row["kind"]](row, detail)
    title = _said(detail, "full_title") or row["title"]
    value = _value(row, detail)
    when, until = date_words(row["date"], row["date_precision"]), date_words(row["end_date"])
    future = row["date"] is not None and row["date"] > today
    dated = (
        when and f"{when} {row['date_meaning']}",
        until and f"until {until}",
        "(future date)" if future else "",
    )
    return Line(
        source=source,
        title=title,
        code=row["code"],
        status=row["status"],
        when=when,
        meaning=row["date_meaning"],
        until=until,
        future=future,
        value=value,
        about=about,
        words=words,
        tags=tags,
        dated=" ".join(filter(None, dated)) or "No date",
        said=" · ".join(filter(None, (value or title, words, row["status"], *tags))),
    )


def _said(detail: Detail, *keys: str) -> str:
    """The first of those keys that holds anything: lists with commas, codings as code and display."""
    for key in keys:
        found = detail.get(key)
        if found is None or isinstance(found, str):
            said = found or ""
        else:
            said = ", ".join(filter(None, map(_text, found if isinstance(found, list) else [found])))
        if said:
            return said
    return ""


def _text(value: object) -> str:
    if isinstance(value, dict):
        return f"{value.get('code', '')} {value.get('display', '')}".strip()
    return "" if value is None or isinstance(value, bool) else str(value)


def _labelled(detail: Detail, labels: Mapping[str, str]) -> str:
    """What the record has of `labels` (key to words before it), with dots between."""
    return " · ".join(
        f"{labels[key]} {said}" if labels[key] else said
        for key in labels
        if key in detail and (said := _said(detail, key))
    )


def _value(row: Mapping[str, Any], detail: Detail) -> str:
    text = _said(detail, "full_value_text") or row["value_text"]
    if not text and row["value"] is None:
        return _said(detail, "absent")  # FHIR dataAbsentReason: the record says why it has no value
    text = text or f"{row['value'].normalize():f}"
    unit = row["unit"]
    return text if text.endswith((unit, pretty_unit(unit))) else f"{text} {unit}"


Parts = tuple[str, str, tuple[str, ...]]

# Keys of Entry.detail in the order they are read out, with the words before each.
_DIAGNOSIS_WORDS = {
    "category": "",
    "severity": "severity",
    "onset": "onset",
    "end": "until",
    "other_codes": "also coded",
    "assumption": "",
    "note": "note:",
}
_TREATMENT_WORDS = {
    "sig": "",
    "quantity": "quantity",
    "repeats": "repeats",
    "dose": "dose",
    "reason": "for",
    "status_reason": "status reason",
    "note": "note:",
}
_MEASURE_WORDS = {"panel": "part of", "reference_range": "reference", "method": "method", "note": "note:"}
_ALLERGY_WORDS = {"reactions": "reaction", "onset": "onset", "note": "note:"}
_VISIT_WORDS = {
    "reason": "for",
    "people": "with",
    "places": "at",
    "admitted_from": "admitted from",
    "discharged_to": "discharged to",
    "note": "note:",
}
_REPORT_WORDS = {"conclusion": "", "modality": "", "region": "", "by": "by", "attached": "attached"}
_PROCEDURE_WORDS = {
    "absent": "",
    "reason": "for",
    "site": "site",
    "outcome": "outcome",
    "complications": "complications",
    "by": "by",
    "place": "at",
    "note": "note:",
}
_APPOINTMENT_WORDS = {
    "type": "",
    "reason": "for",
    "people": "with",
    "cancelled_because": "cancelled because",
    "note": "note:",
}
_DOCUMENT_WORDS = {"category": "", "description": "", "titles": "", "author": "by", "attached": ""}
# Entries of the allergy list that name no substance.
_STATED = {"no-known": "Statement that there are none", "not-asked": "Statement that nobody asked"}


def _diagnosis(row: Mapping[str, Any], detail: Detail) -> Parts:
    tags = [_said(detail, "conflicts"), _said(detail, "modifier")]
    if detail.get("matched_by") == "text":
        tags.append("recognised by its words, not by a code")
    return (
        _said(detail, "words", "class_words") or plain(row["group"]),
        _labelled(detail, _DIAGNOSIS_WORDS),
        _kept(tags),
    )


def _treatment(row: Mapping[str, Any], detail: Detail) -> Parts:
    intent = _said(detail, "intent")
    tags = [
        "reported, not ordered here" if detail.get("reported") else "",
        f"intent {plain(intent)}" if intent not in {"", "order"} else "",
        "do not perform" if detail.get("do_not_perform") else "",
        row["role"] if " or " in row["role"] else "",
        _said(detail, "excluded_reason"),
        _said(detail, "problem"),
        _said(detail, "assumptions"),
        "not classified" if detail.get("unclassified") else "",
        _said(detail, "modifier"),
    ]
    return (
        _said(detail, "class_words") or plain(row["group"]),
        _labelled(detail, _TREATMENT_WORDS),
        _kept(tags),
    )


def _measure(row: Mapping[str, Any], detail: Detail) -> Parts:
    tags = [
        _said(detail, "band"),
        "outside the scale's range" if detail.get("out_of_range") else "",
        "read from a note" if detail.get("from_note") else "",
        _said(detail, "interpretation"),
        _said(detail, "modifier"),
    ]
    return _said(detail, "instrument") or plain(row["group"]), _labelled(detail, _MEASURE_WORDS), _kept(tags)


def _allergy(row: Mapping[str, Any], detail: Detail) -> Parts:
    criticality = _said(detail, "criticality")
    tags = [
        _said(detail, "type"),
        _said(detail, "category"),
        f"criticality {plain(criticality)}" if criticality else "",
        _said(detail, "modifier"),
    ]
    return _STATED.get(row["group"], ""), _labelled(detail, _ALLERGY_WORDS), _kept(tags)


def _visit(row: Mapping[str, Any], detail: Detail) -> Parts:
    tags = ["record says not attended" if detail.get("attended") == "no" else "", _said(detail, "modifier")]
    told = {key: words for key, words in _VISIT_WORDS.items() if _said(detail, key) != row["title"]}
    return _said(detail, "class") or plain(row["group"]), _labelled(detail, told), _kept(tags)


def _simple(labels: Mapping[str, str]) -> Callable[[Mapping[str, Any], Detail], Parts]:
    def read(row: Mapping[str, Any], detail: Detail) -> Parts:
        tags = [
            "not final" if detail.get("not_final") else "",
            "not performed" if detail.get("not_performed") else "",
            _said(detail, "excluded_reason"),
            _said(detail, "modifier"),
        ]
        told = {key: words for key, words in labels.items() if _said(detail, key) != row["title"]}
        return plain(row["group"]), _labelled(detail, told), _kept(tags)

    return read


def _kept(tags: list[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, tags)))


_READERS = {
    Kind.DIAGNOSIS.value: _diagnosis,
    Kind.TREATMENT.value: _treatment,
    Kind.MEASURE.value: _measure,
    Kind.ALLERGY.value: _allergy,
    Kind.VISIT.value: _visit,
    Kind.REPORT.value: _simple(_REPORT_WORDS),
    Kind.PROCEDURE.value: _simple(_PROCEDURE_WORDS),
    Kind.APPOINTMENT.value: _simple(_APPOINTMENT_WORDS),
    Kind.DOCUMENT.value: _simple(_DOCUMENT_WORDS),
}
