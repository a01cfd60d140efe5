"""Medications: codes, routes, spelling, roles. The labelled texts have their own test."""

import time
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from patients.codes import split, table
from patients.headaches import medication_names
from patients.headaches.coding import Coding
from patients.headaches.medications import Medication, classify

RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
NDC = "http://hl7.org/fhir/sid/ndc"
SHORTEST = 8


def test_ingredient_code_counts_with_its_system() -> None:
    read = classify([Coding(RXNORM, "37418")], [])
    assert (read.ingredients, read.confidence, read.moh_days) == (("sumatriptan",), "code", 10)
    assert classify([Coding(NDC, "37418")], []) == Medication()
    assert classify([Coding("", "37418")], []) == Medication()


def test_product_code_known_from_a_value_set_is_expanded() -> None:
    read = classify([Coding("urn:oid:2.16.840.1.113883.6.88", "238154")], [])
    assert read.ingredients == ("acetaminophen", "butalbital", "caffeine")
    assert (read.product_class, read.confidence) == ("butalbital", "code")


def test_unknown_product_code_is_read_by_its_display() -> None:
    read = classify([Coding(RXNORM, "313161", "sumatriptan 50 MG Oral Tablet")], [])
    assert (read.ingredients, read.confidence) == (("sumatriptan",), "name")


def test_codes_of_listed_ingredients_add_up() -> None:
    read = classify([Coding(RXNORM, "161"), Coding(RXNORM, "5489")], [])
    assert (read.ingredients, read.product_class) == (("acetaminophen", "hydrocodone"), "opioid")


def test_code_and_text_that_disagree_are_both_told() -> None:
    read = classify([Coding(RXNORM, "37418")], ["topiramate 50 mg"])
    assert read.ingredients == ("sumatriptan",)
    assert "topiramate" in read.assumptions[0]


def test_qsymia_code_is_no_headache_product() -> None:
    read = classify([Coding(RXNORM, "1302850")], [])
    assert (read.product_class, read.role) == ("excluded", "other")
    assert "weight" in read.excluded_reason


def test_unknown_text_is_unclassified() -> None:
    assert classify([], ["Little Pink Pill for water retention"]) == Medication()
    assert classify([], []).unclassified


@pytest.mark.parametrize(
    ("text", "role", "moh_days"),
    [
        ("sumatriptan", "acute", 10),
        ("ibuprofen", "acute", 15),
        ("acetaminophen", "acute", 15),
        ("Excedrin", "acute", 10),
        ("Fioricet", "acute", 10),
        ("ubrogepant", "acute", None),
        ("topiramate", "preventive", None),
        ("erenumab", "preventive", None),
        ("lithium", "preventive", None),
        ("verapamil", "preventive", None),
        ("ondansetron", "adjunct", None),
        ("tizanidine", "adjunct", None),
        ("prednisone", "bridge", None),
        ("clarithromycin", "interaction", None),
        ("acetazolamide", "other", None),
        ("oxygen", "acute", None),
    ],
)
def test_role_and_threshold(text: str, role: str, moh_days: int | None) -> None:
    read = classify([], [text])
    assert (read.role, read.moh_days) == (role, moh_days)
    assert read.class_words


def test_dose_of_100_mg_aspirin_is_the_last_antiplatelet_one() -> None:
    assert classify([], ["aspirin"], dose_mg=Decimal(100)).excluded_reason
    assert not classify([], ["aspirin"], dose_mg=Decimal(101)).excluded_reason


def test_low_dose_does_not_hide_a_combination() -> None:
    assert classify([], ["butalbital-aspirin-caffeine 50-81-40"]).product_class == "butalbital"


def test_respelt_word_is_told() -> None:
    assert classify([], ["rizatriptin 10 mg"]).assumptions == ("“rizatriptin” read as rizatriptan",)


def test_bare_toxin_type_a_is_told() -> None:
    assert classify([], ["botulinum toxin type A 100 units"]).assumptions == ("type A, product not stated",)


def test_every_name_of_the_tables_is_found() -> None:
    for row in table("rxnorm_ingredients"):
        for name in (row["name"], *split(row["brands"]), *split(row["synonyms"])):
            assert classify([], [name.upper()]).ingredients == (row["name"],), name
    for row in table("medication_combinations"):
        assert classify([], [row["brand"]]).ingredients == tuple(sorted(split(row["ingredients"]))), row["brand"]


def test_lookalikes_are_never_taken_for_ours() -> None:
    found = {row["name"]: classify([], [f"{row['name']} 10 mg"]).ingredients for row in table("medication_lookalikes")}
    assert {name: read for name, read in found.items() if read} == {}


def test_one_slip_never_makes_another_drug_and_is_mostly_read() -> None:
    total = right = 0
    for row in table("rxnorm_ingredients"):
        name = row["name"]
        if not name.isalpha() or len(name) < SHORTEST:
            continue
        for place in range(1, len(name)):
            slips = {name[:place] + name[place + 1 :], name[:place] + "x" + name[place + 1 :]}
            for slip in slips - {name}:
                read = classify([], [slip]).ingredients
                assert read in ((), (name,)), (slip, read)
                total, right = total + 1, right + (read == (name,))
    assert right / total > 0.98


@given(st.text(max_size=200))
def test_any_text_is_read_without_error(text: str) -> None:
    read = classify([], [text])
    assert read.unclassified == (not read.ingredients)


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz 0123456789-/%.", max_size=80))
def test_hits_never_overlap(text: str) -> None:
    words = medication_names.tokens(text)
    assert sum(len(hit.written.split()) for hit in medication_names.find(words)) <= len(words)


def test_reading_takes_less_than_100_microseconds() -> None:
    texts = [f"{row['name']} {row['class']} 50 MG Oral Tablet extended release" for row in table("rxnorm_ingredients")]
    for text in texts[:5]:
        medication_names.find(medication_names.tokens(text))  # builds the index
    best = min(_seconds(texts) for _ in range(5))
    assert best / len(texts) < 100e-6


def _seconds(texts: list[str]) -> float:
    start = time.process_time()
    for text in texts:
        medication_names.find(medication_names.tokens(text))
    return time.process_time() - start


def test_very_long_word_is_passed_over_quickly() -> None:
    start = time.process_time()
    assert classify([], ["x" * 100_000, "y" * 31 + " sumatriptan"]).ingredients == ("sumatriptan",)
    assert time.process_time() - start < 1
