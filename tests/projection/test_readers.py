"""Readers beside everything JSON can be."""

from decimal import Decimal
from typing import Any

import pytest

from patients.projection import readers
from patients.projection.readers import Quantity, Reference
from tests.projection.bodies import ICD10


@pytest.mark.parametrize(
    ("json_text", "body"),
    [
        ('{"a": 7.10}', {"a": Decimal("7.10")}),
        ("[1]", {}),
        ("<html>", {}),
        ("", {}),
        ("[" * 100_000, {}),
        ('{"a": ' + "9" * 5000 + "}", {}),
    ],
    ids=["object", "list", "html", "empty", "endless nesting", "endless integer"],
)
def test_load_json(json_text: str, body: Any) -> None:
    assert readers.load(json_text) == body


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("  Migraine ", "Migraine"),
        (7, "7"),
        (Decimal("7.10"), "7.10"),
        (Decimal("1E+2"), "100"),
        (Decimal("1E+400"), ""),
        (Decimal("NaN"), ""),
        (10**400, ""),
        (float("nan"), ""),
        (True, ""),
        (None, ""),
        ({}, ""),
        ({"value": "x"}, ""),
        (["first", "second"], "first"),
        ([], ""),
        ([[["deep"]]], ""),
        ("a\0b", "ab"),
        ("\ud800", "?"),
        ("1899-12-30T00:00:00-05:00", ""),
        ("0001-01-02", ""),
        ("1753-01-01", ""),
        ("1234-56-78", "1234-56-78"),
        ("1899-12-30 was when", ""),
    ],
)
def test_text_of_anything(value: Any, text: str) -> None:
    assert readers.text(value) == text


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("12", Decimal(12)),
        (" 7.5 ", Decimal("7.5")),
        ("-3", Decimal(-3)),
        ("1e5", None),
        ("12-15", None),
        ("12 mg", None),
        ("١٢", None),
        ("", None),
        (True, None),
        (Decimal("0.1234567"), Decimal("0.123457")),
        (Decimal("1E+12"), None),
        (Decimal("1E-999999"), Decimal(0)),
        (Decimal("Infinity"), None),
        (10**13, None),
        (float("inf"), None),
        ([1], None),
    ],
)
def test_number_only_when_plainly_one(value: Any, number: Decimal | None) -> None:
    assert readers.number(value) == number


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"text": "Migraine", "coding": [{"display": "Other"}]}, "Migraine"),
        ({"coding": [{"code": "G43"}, {"display": "Migraine"}]}, "Migraine"),
        ({"coding": [{"code": "G43"}]}, "G43"),
        ({"coding": {"display": "Migraine"}}, "Migraine"),
        ({"coding": ["G43"]}, "G43"),
        ({"system": ICD10, "code": "G43", "display": "Migraine"}, "Migraine"),
        ("Migraine", "Migraine"),
        ([{"text": "Migraine"}], "Migraine"),
        ({"text": None}, ""),
        (None, ""),
        (False, ""),
    ],
)
def test_words_of_concept(value: Any, words: str) -> None:
    assert readers.words_of(value) == words


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"coding": [{"code": "entered-in-error"}]}, {"entered-in-error"}),
        ({"text": "Entered in Error"}, {"entered-in-error"}),
        ("Refuted", {"refuted"}),
        (None, set()),
    ],
)
def test_keywords_of_status(value: Any, words: set[str]) -> None:
    assert readers.keywords(value) == words


@pytest.mark.parametrize(
    ("value", "quantity"),
    [
        ({"value": 50, "unit": "mg"}, Quantity(Decimal(50), "50", "mg")),
        ({"value": 50, "code": "mg"}, Quantity(Decimal(50), "50", "mg")),
        ({"value": 5, "comparator": "<", "unit": "mg"}, Quantity(None, "<5", "mg")),
        ({"unit": "mg"}, Quantity(None, "", "mg")),
        (50, Quantity(Decimal(50), "50", "")),
        ("50 mg", Quantity(None, "50 mg", "")),
        ([{"value": 5}], Quantity(Decimal(5), "5", "")),
        ([], Quantity(None, "", "")),
        (None, Quantity(None, "", "")),
    ],
)
def test_quantity_of_anything(value: Any, quantity: Quantity) -> None:
    assert readers.quantity(value) == quantity


@pytest.mark.parametrize(
    ("value", "reference"),
    [
        ({"reference": "Medication/a.B-1"}, Reference("", "Medication", "a.B-1")),
        (
            {"reference": "https://x.org/fhir/AAAAAA/Medication/1/_history/2"},
            Reference("https://x.org/fhir/AAAAAA", "Medication", "1"),
        ),
        ({"reference": "#m", "display": "Topamax"}, Reference(contained="m", display="Topamax")),
        ({"display": "Topamax"}, Reference(display="Topamax")),
        ({"reference": "urn:uuid:1"}, Reference()),
        ({"reference": {"a": 1}}, Reference()),
        ("Patient/1", Reference("", "Patient", "1")),
        (5, Reference()),
    ],
)
def test_reference_forms(value: Any, reference: Reference) -> None:
    assert readers.reference(value) == reference


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"low": {"value": 1}, "high": {"value": 2, "unit": "tablet"}}, "1 – 2 tablet"),
        ({"low": {"value": 13}}, "at least 13"),
        ({"high": {"value": 8, "unit": "d"}}, "up to 8 d"),
        ({}, ""),
    ],
)
def test_range_words(value: Any, words: str) -> None:
    assert readers.range_words(value) == words
