"""Charts whose every text is an attack: what of it becomes markup on the pages staff see."""

import copy
import datetime
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html.parser import HTMLParser
from typing import Any

from django.test import Client
from django.utils import timezone

from emr.models import Practice, Resource
from emr.wire import strictjson
from patients import projection
from patients.models import Patient
from sandbox.charts import chart
from sandbox.charts.practice import medications
from tests.pages import charts

MARK = "xq7"
_CORES = [
    "<script>window.{m}=1</script>",
    "<img src=x onerror=window.{m}=1>",
    "<svg onload=window.{m}=1>",
    "<svg><script>window.{m}=1</script></svg>",
    "<body onload=window.{m}=1>",
    "<iframe srcdoc='<script>parent.{m}=1</script>'>",
    "<a href=javascript:window.{m}=1>{m}</a>",
    "<details open ontoggle=window.{m}=1>",
    "<style>*{{display:none}}</style>{m}",
    "<input autofocus onfocus=window.{m}=1>",
    "<math><mtext></p><img src=x onerror=window.{m}=1>",
    "<base href=//evil.example>{m}",
    "<meta http-equiv=refresh content='0;url=//evil.example'>{m}",
    "<link rel=stylesheet href=//evil.example>{m}",
    "<form action=//evil.example><button>{m}</button></form>",
    "<object data=javascript:window.{m}=1>",
    "<template><img src=x onerror=window.{m}=1></template>",
    "<noscript><p title='</noscript><img src=x onerror=window.{m}=1>'>",
    "<div xmlns='http://www.w3.org/1999/xhtml'><script>window.{m}=1</script></div>",
    "{{{{ {m} }}}}{{% debug %}}",
    "<x hx-get=/ hx-trigger=load>{m}</x>",
    "<b style=position:fixed>{m}</b>",
    "&lt;script&gt;window.{m}=1&lt;/script&gt;",
    "<!--><img src=x onerror=window.{m}=1>-->",
]
_ROUNDS = ["{}", '">{}', "'>{}", "</title></textarea></script>{}", '" autofocus onfocus=window.{m}=1 x="{}']
PAYLOADS = [
    wrap.replace("{m}", MARK).replace("{}", core.replace("{m}", MARK).replace("{{", "{").replace("}}", "}"))
    for wrap in _ROUNDS
    for core in _CORES
]
TYPES = {
    "Patient",
    "Condition",
    "MedicationRequest",
    "MedicationStatement",
    "Observation",
    "AllergyIntolerance",
    "Encounter",
    "Procedure",
    "DiagnosticReport",
    "DocumentReference",
    "Appointment",
    "QuestionnaireResponse",
    "Medication",
    "Immunization",
    "CarePlan",
}
# What makes a record what it is: with these gone it would not be shown at all.
_LEFT = {"resourceType", "id", "reference", "system", "code", "fhirVersion", "url"}
EACH = 5  # records of a type, of different make-up
PAGES = ("", "timeline/", "print/", "exports/", "assessments/")


def attacked(value: Any, payload: str, name: str = "") -> Any:
    """The value with the payload as, or behind, each of its texts."""
    if isinstance(value, dict):
        return {key: attacked(inner, payload, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [attacked(inner, payload, name) for inner in value]
    if not isinstance(value, str) or name in _LEFT or _is_date(value):
        return value
    return payload if name in {"display", "text", "family", "div", "valueString"} else value


def _is_date(text: str) -> bool:
    return text[:4].isdigit() and text[4:5] in {"-", ""}


def person_with(practice: Practice, payload: str, number: int) -> tuple[Patient, set[str]]:
    """A generated chart with the payload in it, on file and projected; and which types it holds."""
    records = copy.deepcopy(_records())
    person = next(record for record in records if record["resourceType"] == "Patient")
    old, new = person["id"], f"x{number}"
    text = json.dumps([attacked(record, payload) for record in records]).replace(f"Patient/{old}", f"Patient/{new}")
    now = timezone.now()
    rows = []
    for index, record in enumerate(json.loads(text)):
        shared = record["resourceType"] == "Medication"
        record["id"] = new if record["resourceType"] == "Patient" else record["id"] if shared else f"{new}.{index}"
        rows.append(
            Resource(
                practice=practice,
                resource_type=record["resourceType"],
                fhir_id=record["id"],
                patient_fhir_id="" if shared else new,
                body=json.dumps(record),
                content_hash=strictjson.content_hash(record),
                query="x",
                first_seen_at=now,
                changed_at=now,
            )
        )
    Resource.objects.bulk_create(rows, ignore_conflicts=True)
    projection.rebuild(practice.pk, new)
    found = Patient.objects.get(practice=practice, fhir_id=new)
    charts.enrol(found)
    return found, {row.resource_type for row in rows}


@cache
def _records() -> list[dict[str, Any]]:
    """A few records of every type there is, the Medications among them that the orders refer to."""
    whole = list(chart(1, seed=7, today=datetime.date(2026, 11, 21), booked=True))
    kept: list[dict[str, Any]] = []
    for kind in dict.fromkeys(record["resourceType"] for record in whole):
        own = [record for record in whole if record["resourceType"] == kind]
        by_shape = {(*sorted(record), _heading(record)): record for record in own}
        kept += list(by_shape.values())[:EACH]
    asked = {record["medicationReference"]["reference"] for record in kept if "medicationReference" in record}
    drugs = medications(7, datetime.date(2026, 11, 21))
    return [drug for drug in drugs if f"Medication/{drug['id']}" in asked] + kept


def _heading(record: dict[str, Any]) -> str:
    category = record.get("category")
    return json.dumps(category)[:200]


class _Shapes(HTMLParser):
    """Elements with the names of their attributes, and attribute values that could run."""

    def __init__(self) -> None:
        super().__init__()
        self.shapes: set[tuple[str, str]] = set()
        self.running: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.shapes |= {(tag, "")} | {(tag, name) for name, _ in attrs}
        for name, value in attrs:
            told = (value or "").strip().lower()
            runs = name.startswith("on") or name in {"style", "srcdoc"} or told.startswith(("javascript:", "data:text"))
            away = name in {"href", "src", "action", "data"} and told.startswith(("//", "http:", "https:"))
            if runs or away or (name.startswith("hx-") and MARK in told):
                self.running.append(f"<{tag} {name}={told[:80]}>")


def shapes(html: str) -> _Shapes:
    parser = _Shapes()
    parser.feed(html)
    return parser


def pages(client: Client, patient: Patient) -> Iterator[tuple[str, str]]:
    """Every page about the patient, and every source record."""
    for page in PAGES:
        yield page, client.get(f"/patients/{patient.pk}/{page}").content.decode()
    yield "search/", client.post(f"/patients/{patient.pk}/search/", {"q": MARK}).content.decode()
    keys = Resource.objects.filter(practice=patient.practice_id, patient_fhir_id=patient.fhir_id)
    by_type = dict(keys.values_list("resource_type", "pk"))
    for kind, pk in by_type.items():
        yield f"source of {kind}", client.get(f"/sources/{pk}/").content.decode()


@dataclass(frozen=True)
class Outcome:
    payloads: int
    types: int
    shown: int
    executable: tuple[str, ...]


def run(client: Client, practice: Practice, payloads: list[str]) -> Outcome:
    """Every payload in every text of a chart: elements that a harmless text would not have made, or that could run."""
    harmless, kinds = person_with(practice, f"harmless {MARK} words", 0)
    usual = {shape for _, html in pages(client, harmless) for shape in shapes(html).shapes}
    executable, shown = [], 0
    for number, payload in enumerate(payloads, start=1):
        attacked_person, _ = person_with(practice, payload, number)
        for name, html in pages(client, attacked_person):
            found = shapes(html)
            shown += MARK in html
            odd = sorted(found.shapes - usual - _ALWAYS)
            executable += [f"{name}: {payload!r} made {odd or found.running}"] * bool(odd or found.running)
    return Outcome(len(set(payloads)), len(kinds & TYPES), shown, tuple(executable))


# Shapes a page has or has not by what the text says in words, not by its markup.
_ALWAYS = {("small", ""), ("mark", ""), ("b", ""), ("span", "class"), ("span", "")}


def some(count: int) -> list[str]:
    return random.Random(5).sample(PAYLOADS, count)
