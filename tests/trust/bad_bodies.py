"""Pages that hold one bad record among good ones: the good are kept, the bad is in quarantine or kept as sent.

A family is one kind of badness; its members differ in their values. Every page goes the product's whole way: over
HTTP, into rows, and into the patient's history.
"""

import json
import random
import string
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import DatabaseError, transaction

from emr import store
from emr.models import Practice, Quarantine, Resource
from emr.wire import fhir
from emr.wire.errors import WireError
from emr.wire.http import Door
from patients import projection
from tests.pages import charts
from tests.trust.recording import Recording, Said, running

PATIENT = "p1"
GOOD = ("good-1", "good-2", "good-3")
Make = Callable[[random.Random], str]
_NUMBERS = iter(range(10**9))


def _condition(**members: Any) -> dict[str, Any]:
    code = {"coding": [{"system": "http://hl7.org/fhir/sid/icd-10-cm", "code": "G43.709", "display": "Migraine"}]}
    return {
        "resourceType": "Condition",
        "id": f"bad-{next(_NUMBERS)}",
        "subject": {"reference": f"Patient/{PATIENT}"},
        "code": code,
        "recordedDate": "2024-03-01",
    } | members


def _with_literal(literal: Callable[[random.Random], str]) -> Make:
    """A record with one member whose value is written as no JSON writer would."""

    def make(chance: random.Random) -> str:
        name = f"x{chance.randrange(10**6)}"
        return json.dumps(_condition()).removesuffix("}") + f', "{name}": {literal(chance)}}}'

    return make


def _with(name: str, values: Callable[[random.Random], Any]) -> Make:
    return lambda chance: json.dumps(_condition(**{name: values(chance)}))


def _without(name: str) -> Make:
    def make(chance: random.Random) -> str:
        body = _condition(note=[{"text": str(chance.random())}])
        del body[name]
        return json.dumps(body)

    return make


def _twice(name: str) -> Make:
    def make(chance: random.Random) -> str:
        body = json.dumps(_condition())
        return body.removesuffix("}") + f', "{name}": {json.dumps(str(chance.random()))}}}'

    return make


def _words(chance: random.Random, length: int = 12) -> str:
    return "".join(chance.choices(string.ascii_letters, k=length))


def _deep(chance: random.Random, opening: str, closing: str) -> str:
    depth = chance.randint(120, 900)
    return opening * depth + "1" + closing * depth


QUARANTINED: dict[str, Make] = {
    "NaN": _with_literal(lambda c: "NaN"),
    "Infinity": _with_literal(lambda c: "Infinity"),
    "minus Infinity": _with_literal(lambda c: "-Infinity"),
    "number beyond range": _with_literal(lambda c: f"{c.randint(1, 9)}e{c.randint(400, 9999)}"),
    "integer of thousands of digits": _with_literal(lambda c: "9" * c.randint(4400, 6000)),
    "lone high surrogate": _with_literal(lambda c: f'"\\ud8{c.randint(0, 9)}{c.randint(0, 9)}"'),
    "lone low surrogate": _with_literal(lambda c: f'"\\udc{c.randint(0, 9)}{c.randint(0, 9)}x"'),
    "zero character": _with_literal(lambda c: f'"{_words(c)}\\u0000"'),
    "arrays too deep": _with_literal(lambda c: _deep(c, "[", "]")),
    "objects too deep": _with_literal(lambda c: _deep(c, '{"a":', "}")),
    "member twice": _twice("recordedDate"),
    "id twice": _twice("id"),
    "type twice": _twice("resourceType"),
    "member twice, inside": _with_literal(lambda c: f'{{"a": {c.random()}, "a": {c.random()}}}'),
    "no id": _without("id"),
    "id empty": _with("id", lambda c: ""),
    "id null": _with("id", lambda c: None),
    "id a number": _with("id", lambda c: c.randrange(10**9)),
    "id a list": _with("id", lambda c: [_words(c)]),
    "id an object": _with("id", lambda c: {"value": _words(c)}),
    "id with a slash": _with("id", lambda c: f"{_words(c)}/{_words(c)}"),
    "id with a blank": _with("id", lambda c: f"{_words(c)} {_words(c)}"),
    "id with steps up": _with("id", lambda c: f"../{_words(c)}"),
    "id too long": _with("id", lambda c: _words(c, c.randint(200, 400))),
    "id with markup": _with("id", lambda c: f"<b>{_words(c)}</b>"),
    "no type": _without("resourceType"),
    "type null": _with("resourceType", lambda c: None),
    "type a number": _with("resourceType", lambda c: c.randrange(10**6)),
    "type a list": _with("resourceType", lambda c: ["Condition", _words(c)]),
    "type with a slash": _with("resourceType", lambda c: f"Condition/{_words(c)}"),
    "type too long": _with("resourceType", lambda c: "C" + _words(c, c.randint(64, 200))),
    "another patient": _with("subject", lambda c: {"reference": f"Patient/{_words(c)}"}),
    "another patient, whole address": _with(
        "subject", lambda c: {"reference": f"https://x.example/Patient/{_words(c)}"}
    ),
    "null for a record": lambda c: "null",
    "text for a record": lambda c: json.dumps(_words(c)),
    "number for a record": lambda c: str(c.random()),
    "list for a record": lambda c: json.dumps([_words(c)]),
}


def _anything(chance: random.Random, depth: int = 0) -> Any:
    """A value of a kind nobody expects there."""
    kinds: list[Callable[[], Any]] = [
        lambda: None,
        lambda: chance.random() * 10 ** chance.randint(-9, 9),
        lambda: chance.random() < 0.5,
        lambda: _words(chance),
        lambda: "",
        lambda: "<script>alert(1)</script>" + _words(chance),
        lambda: [],
        lambda: {},
        lambda: -chance.randrange(10**12),
        lambda: "9999-99-99",
        lambda: "0000-00-00T00:00:00Z",
        lambda: "\u202e" + _words(chance),
    ]
    if depth < 3:
        kinds += [
            lambda: [_anything(chance, depth + 1) for _ in range(chance.randint(1, 3))],
            lambda: {name: _anything(chance, depth + 1) for name in chance.sample(_NAMES, 3)},
        ]
    return chance.choice(kinds)()


_NAMES = [
    "coding",
    "code",
    "system",
    "display",
    "text",
    "value",
    "unit",
    "start",
    "end",
    "reference",
    "extension",
    "url",
    "valueString",
    "low",
    "high",
    "status",
    "div",
    "id",
]
# Members of records that histories read, whatever they hold: kept as sent.
KEPT: dict[str, Make] = {
    f"{name} of any kind": _with(name, _anything)
    for name in (
        "code",
        "clinicalStatus",
        "verificationStatus",
        "category",
        "severity",
        "bodySite",
        "onsetDateTime",
        "onsetAge",
        "onsetPeriod",
        "onsetString",
        "abatementDateTime",
        "abatementString",
        "recordedDate",
        "recorder",
        "asserter",
        "stage",
        "evidence",
        "note",
        "meta",
        "text",
        "extension",
        "identifier",
        "contained",
        "encounter",
        "language",
        "implicitRules",
        "modifierExtension",
        "_recordedDate",
    )
}


@dataclass(frozen=True)
class Outcome:
    families: int
    tried: int
    crashes: int
    lost: int
    miscounted: int
    slowest: float
    told: tuple[str, ...]


class _Page:
    def __init__(self) -> None:
        self.bad = ""

    def says(self, path: str, body: str) -> Said:
        good = [json.dumps(_condition(id=fhir_id)) for fhir_id in GOOD]
        entries = [*good[:1], self.bad, *good[1:]]
        inside = ", ".join(f'{{"resource": {text}}}' for text in entries)
        said = f'{{"resourceType": "Bundle", "type": "searchset", "entry": [{inside}]}}'
        return 200, {"Content-Type": "application/fhir+json"}, said.encode("utf-8", "surrogatepass")


def run(practice: Practice, *, each: int, seed: int = 20261122) -> Outcome:
    """`each` members of every family, one page each, rolled back after it was looked at."""
    chance = random.Random(seed)
    person = charts.patient(practice, PATIENT)
    charts.enrol(person)
    page = _Page()
    server = Recording(page.says)
    seen: set[str] = set()
    crashes = lost = miscounted = 0
    slowest, told = 0.0, []
    with (
        running(server),
        Door(f"http://{server.host_port}/fhir/r4/AAAAAA", insecure=frozenset({server.host_port})) as door,
    ):
        for family, (make, wanted) in _families().items():
            for _ in range(each):
                page.bad = make(chance)
                seen.add(page.bad)
                began = time.perf_counter()
                try:
                    kept, quarantined = _once(door, practice, person.practice_id, rebuild=not wanted)
                except (
                    WireError,
                    DatabaseError,
                    ArithmeticError,
                    LookupError,
                    TypeError,
                    ValueError,
                    AttributeError,
                    RecursionError,
                ) as error:
                    crashes += 1
                    told.append(f"{family}: {type(error).__name__} {error}"[:200])
                    continue
                slowest = max(slowest, time.perf_counter() - began)
                lost += len(GOOD) - kept
                miscounted += quarantined != wanted
                if kept != len(GOOD) or quarantined != wanted:
                    told.append(f"{family}: {kept} good kept, {quarantined} quarantined: {page.bad[:160]}")
    return Outcome(len(_families()), len(seen), crashes, lost, miscounted, slowest, tuple(told))


def _families() -> dict[str, tuple[Make, int]]:
    return {name: (make, 1) for name, make in QUARANTINED.items()} | {name: (make, 0) for name, make in KEPT.items()}


def _once(door: Door, practice: Practice, practice_id: Any, *, rebuild: bool) -> tuple[int, int]:
    """(good records kept, records in quarantine) of the page as it is now."""
    with transaction.atomic():
        got = fhir.search(door, "bearer", door.base_url, "Condition", [("patient", PATIENT)])
        link = charts.connection(practice)
        store.keep(got.entries, connection=link, patient_fhir_id=PATIENT, query="Condition?patient")
        if rebuild:
            projection.rebuild(practice_id, PATIENT)
        kept = Resource.objects.filter(practice=practice, resource_type="Condition", fhir_id__in=GOOD).count()
        quarantined = Quarantine.objects.filter(practice=practice).count()
        transaction.set_rollback(True)
    return kept, quarantined
