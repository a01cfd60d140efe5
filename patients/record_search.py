"""Searching within one patient's record: what the history made of it, and the plain text of the resources.

Looks at one patient's rows only, newest resources first, and stops at limits that it tells. The words are folded like
names (patients.projection.patient.folded): case and accents do not count.
"""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID

from django.urls import reverse

from emr.models import Resource
from patients import wording
from patients.models import Entry, Patient
from patients.projection.patient import folded

LONGEST = 200  # characters of a query that are looked at
WORDS = 8
MOST_HITS = 100
MOST_RESOURCES = 20_000
PLACES = 3  # places of a match that are shown for each resource
_AROUND = 60  # characters each side of a match

# Elements of no use to a reader: addresses, versions, picture and document bytes.
_PASSED_OVER = frozenset(
    {"resourceType", "reference", "system", "url", "profile", "versionId", "lastUpdated", "data", "hash", "id"}
)
_TAG = re.compile(r"<[^>]*>")
_COLUMNS = ("source_id", "kind", "date", "date_precision", "title", "code", "status", "value_text", "unit", "detail")


@dataclass(frozen=True, slots=True)
class Place:
    """Where words were found: the element, and the text as before, match and after."""

    element: str
    before: str
    match: str
    after: str


@dataclass(frozen=True, slots=True)
class Hit:
    """One resource that holds all words. source: its page; marks: entered in error, no longer sent."""

    source: str
    kind: str
    title: str
    when: str
    places: tuple[Place, ...]
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Search:
    """words: what was looked for; looked_at: resources; more: hits may be missing beyond MOST_HITS; cut: there are
    more resources than were looked at."""

    words: tuple[str, ...]
    hits: tuple[Hit, ...]
    looked_at: int
    more: bool
    cut: bool


@dataclass(frozen=True, slots=True)
class _Told:
    """What the history says of a resource, with its texts."""

    kind: str
    title: str
    when: str
    texts: tuple[tuple[str, str], ...]


def search(patient: Patient, typed: str, *, today: date) -> Search:
    """The resources of `patient` that hold every word of `typed`, newest dates first. Two queries.

    A word may be part of a longer one. All words must be in one resource, in whatever elements.
    """
    words = tuple(dict.fromkeys(folded(typed[:LONGEST]).split()))[:WORDS]
    told = _told(patient)
    resources = (
        Resource.objects.filter(practice_id=patient.practice_id, patient_fhir_id=patient.fhir_id)
        .order_by("-changed_at", "pk")
        .values_list("pk", "resource_type", "body", "entered_in_error", "no_longer_sent_at")
    )
    hits: list[tuple[str, Hit]] = []
    looked_at = 0
    for pk, kind, body, in_error, gone in resources[:MOST_RESOURCES].iterator(chunk_size=500):
        looked_at += 1
        about = told.get(pk, [])
        if not words or not _may_hold(words, body, about):
            continue
        texts = [text for each in about for text in each.texts] + list(_texts(body))
        if places := _places(words, texts):
            marks = ("entered in error" if in_error else "", "no longer sent by the EMR" if gone else "")
            hits.append(_hit(pk, kind, about, places, tuple(filter(None, marks))))
            if len(hits) > MOST_HITS:
                break
    hits.sort(key=lambda hit: hit[0], reverse=True)
    shown = tuple(hit for _, hit in hits[:MOST_HITS])
    return Search(words, shown, looked_at, len(hits) > MOST_HITS, looked_at == MOST_RESOURCES)


def _told(patient: Patient) -> dict[UUID, list[_Told]]:
    found: dict[UUID, list[_Told]] = {}
    rows = Entry.objects.filter(patient=patient, practice_id=patient.practice_id).order_by("ordinal")
    for source, kind, on, precision, title, code, status, value, unit, detail in rows.values_list(*_COLUMNS):
        texts = [("title", title), ("code", code), ("status", status), ("value", f"{value} {unit}".strip())]
        texts += _detail_texts(detail)
        when = wording.date_words(on, precision)
        order = on.isoformat() if on else ""
        said = _Told(str(Entry.Kind(kind).label), title, f"{order}|{when}", tuple((n, t) for n, t in texts if t))
        found.setdefault(source, []).append(said)
    return found


def _detail_texts(detail: dict[str, Any]) -> list[tuple[str, str]]:
    return [(wording.plain(name), text) for name in detail for _, text in _strings(name, detail[name])]


def _may_hold(words: tuple[str, ...], body: str, about: list[_Told]) -> bool:
    """Quick no: whether every word is somewhere in the JSON text or in what the history says."""
    plain = body.isascii() and "\\u" not in body and "&" not in body
    whole = body.lower() if plain else folded(html.unescape(_unescaped(body)))
    rest = [word for word in words if word not in whole]
    if not rest:
        return True
    said = folded(" ".join(text for each in about for _, text in each.texts))
    return all(word in said for word in rest)


def _unescaped(body: str) -> str:
    try:
        return json.dumps(json.loads(body), ensure_ascii=False)
    except (ValueError, RecursionError):
        return body


def _texts(body: str) -> Iterator[tuple[str, str]]:
    """(element, text) of every string in the resource. Narrative is read as text; its tags are dropped."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return
    yield from _strings("", found)


def _strings(element: str, value: object, depth: int = 0) -> Iterator[tuple[str, str]]:
    if isinstance(value, str):
        yield element, value
    elif isinstance(value, bool) or value is None or depth > 30:
        return
    elif isinstance(value, int | float):
        yield element, str(value)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(element, each, depth + 1)
    elif isinstance(value, dict):
        for name, each in value.items():
            if name == "div" and isinstance(each, str):
                yield "narrative", " ".join(html.unescape(_TAG.sub(" ", each)).split())
            elif name not in _PASSED_OVER:
                yield from _strings(f"{element}.{name}".lstrip("."), each, depth + 1)


def _places(words: tuple[str, ...], texts: list[tuple[str, str]]) -> tuple[Place, ...]:
    """Where the words are, each text once, the text with most of them first; none unless every word is somewhere."""
    missing = set(words)
    places: dict[str, tuple[int, Place]] = {}
    for element, text in texts:
        plain = folded(text)
        held = [word for word in words if word in plain]
        if held:
            missing -= set(held)
            places.setdefault(text, (len(held), _place(element, text, max(held, key=len))))
    best = sorted(places.values(), key=lambda each: each[0], reverse=True)
    return tuple(place for _, place in best[:PLACES]) if not missing else ()


def _place(element: str, text: str, word: str) -> Place:
    """The text around the first match. Folding may change lengths: then the match is not marked."""
    spread = " ".join(text.split())
    at = folded(spread).find(word)
    if at < 0 or len(folded(spread)) != len(spread):
        return Place(element, spread[: 2 * _AROUND] + ("…" if len(spread) > 2 * _AROUND else ""), "", "")
    end = at + len(word)
    before = ("…" if at > _AROUND else "") + spread[max(at - _AROUND, 0) : at]
    after = spread[end : end + _AROUND] + ("…" if len(spread) > end + _AROUND else "")
    return Place(element, before, spread[at:end], after)


def _hit(pk: UUID, kind: str, about: list[_Told], places: tuple[Place, ...], marks: tuple[str, ...]) -> tuple[str, Hit]:
    first = about[0] if about else None
    order, _, when = first.when.partition("|") if first else ("", "", "")
    hit = Hit(
        source=reverse("emr:source", args=[pk]),
        kind=first.kind if first else kind,
        title=first.title if first else kind,
        when=when,
        places=places,
        marks=marks,
    )
    return order, hit
