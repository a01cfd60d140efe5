"""Faults of a resource are told with their places, and never with a value; what is remembered hides none of them."""

import copy
import random
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from emr import validate
from emr.wire import strictjson

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"
CODE = {"coding": [{"system": "http://loinc.org", "code": "8867-4", "display": "Heart rate"}], "text": "Heart rate"}
NUMBERED = {"url": "http://example.org/n", "valueDecimal": Decimal("0.50")}
OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation", "id": "o1", "status": "final", "category": [CODE], "code": CODE,
    "valueCodeableConcept": CODE,
}  # fmt: skip

FAULTY = [
    ("a concept that is a text", {"code": "8867-4"}, "code: json_invalid"),
    ("a concept with an unknown element", {"code": {"secret-name": 1}}, "code.secret-name: extra_forbidden"),
    ("a coding that is no list", {"code": {"coding": {"code": "x"}}}, "code.coding: list_type"),
    ("a number for a code", {"code": {"coding": [{"code": 8867}]}}, "code.coding.0.code: string_type"),
    ("the second of a list", {"category": [CODE, {"text": ["a"]}]}, "category.1.text: string_type"),
    ("null in a list", {"category": [CODE, None]}, "category: list_type"),
    ("a choice made twice", {"valueString": "x"}, "resource: value_error"),
    ("a long concept with a fault", {"code": {"text": "x" * 2000, "coding": [{"code": 1}]}}, "code.coding.0.code"),
    ("an element of another type", {"dosage": []}, "dosage: extra_forbidden"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "told"), [row[1:] for row in FAULTY], ids=[row[0] for row in FAULTY])
def test_a_fault_is_told_with_its_place(change: dict[str, Any], told: str) -> None:
    assert validate.problems(OBSERVATION) == ""  # its concepts are known from here on
    found = validate.problems({**OBSERVATION, **change})
    assert told in found
    assert found == without_memory({**OBSERVATION, **change})


def test_valid_forms_have_no_problems_and_are_left_as_they_were() -> None:
    for change in ({}, {"code": {**CODE, "extension": [NUMBERED]}}, {"code": {"text": "x" * 2000}}, {"category": []}):
        resource = {**OBSERVATION, **change}
        before = copy.deepcopy(resource)
        assert validate.problems(resource) == without_memory(resource)
        assert resource == before
    assert validate.problems(OBSERVATION) == ""


def test_an_unknown_type_is_named_so() -> None:
    assert validate.problems({"resourceType": "Nothing"}) == "not readable as FHIR R4 (ValueError)"
    inside = {**OBSERVATION, "contained": [{"resourceType": "Nothing"}]}
    assert validate.problems(inside) == "unknown resource type inside"


def without_memory(resource: dict[str, Any]) -> str:
    """What the models themselves say, every element looked at."""
    try:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    except ValidationError as exc:
        told = (f"{validate._place(error['loc'])}: {error['type']}" for error in exc.errors(include_input=False))
        return "; ".join(dict.fromkeys(told))[: validate.LIMIT]
    return ""


def resources() -> Iterator[dict[str, Any]]:
    for path in sorted(SHARED.rglob("*.json")):
        found = strictjson.loads(path.read_text("utf-8"))
        for entry in found.get("entry", [{"resource": found}]):
            if "resourceType" in entry.get("resource", {}):
                yield entry["resource"]


@pytest.mark.shared_data
@pytest.mark.skipif(not SHARED.exists(), reason="the shared FHIR data is not beside the checkout")
def test_real_resources_get_the_verdict_they_had_and_so_do_damaged_ones() -> None:
    draw = random.Random(20261122)
    seen = bad = 0
    for resource in draw.sample(list(resources()), 400):
        for damaged in (resource, damage(resource, draw)):
            verdict = without_memory(damaged)
            assert validate.problems(damaged) == verdict
            seen, bad = seen + 1, bad + bool(verdict)
    assert seen == 800
    assert bad > 100


def damage(resource: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """The same with one value inside a concept, or else anywhere, of another type."""
    other: dict[str, Any] = copy.deepcopy(resource)
    places = [(holder, key) for holder in _objects(other) for key in holder if key != "resourceType"]
    holder, key = draw.choice([each for each in places if each[1] in {"code", "system", "text", "coding"}] or places)
    holder[key] = draw.choice([7, True, [], {"x": 1}, [None], Decimal("1.5")])
    return other


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _objects(each)


def test_what_is_remembered_is_bounded() -> None:
    for number in range(validate.KNOWN_CONCEPTS + 50):
        validate.problems({**OBSERVATION, "code": {"text": f"code {number}"}})
    assert validate._concept.cache_info().currsize == validate.KNOWN_CONCEPTS
    before = validate._concept.cache_info()
    validate.problems({**OBSERVATION, "code": {"text": "x" * validate.LONGEST_CONCEPT}})
    assert validate._concept.cache_info().misses == before.misses
