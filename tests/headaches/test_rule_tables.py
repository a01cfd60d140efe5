"""The tables behind prompts and red flags: names that exist, codes that can be."""

import re

import pytest

from patients.codes import Row, split, table
from patients.headaches import condition_lists, drug_groups
from patients.headaches.coding import Coding
from patients.headaches.record import Condition
from tests.headaches.facts import dx, rx

_TERMS = [
    (row["id"], term)
    for row in table("prompts")
    for cell in (row["first"], row["second"], row["unless"])
    for term in cell.split(" or ")
    if term
] + [(row["key"], term) for row in table("red_flags") for term in row["term"].split(" or ")]
_USED_BY_RULES = {"pregnancy", "pregnancy-end", "pregnancy-20-weeks", "acute-head-injury"}


@pytest.mark.parametrize(("rule", "term"), _TERMS, ids=[" ".join(pair) for pair in _TERMS])
def test_terms_name_lists_and_groups_that_exist(rule: str, term: str) -> None:
    kind, _, name = term.partition(" ")
    if kind == "hx":
        assert name in {row["list"] for row in table("condition_lists")}
    elif kind in {"active", "recent", "long", "two-products"}:
        assert name in {row["group"] for row in table("drug_groups")}


def test_no_list_or_group_is_idle() -> None:
    named = {term.partition(" ")[2] for _, term in _TERMS}
    assert {row["list"] for row in table("condition_lists")} - named <= _USED_BY_RULES
    assert {row["group"] for row in table("drug_groups")} <= named


@pytest.mark.parametrize("row", table("condition_lists"), ids=lambda row: row["list"])
def test_condition_codes_have_their_form(row: Row) -> None:
    for code in (*split(row["icd10"]), *split(row["icd10_except"])):
        assert re.fullmatch(r"[A-Z](?:\d[0-9A-Z](?:\.[0-9A-Z]{1,4})?)?", code), code
    for code in split(row["snomed"]):
        assert _verhoeff(code), code
    classes = {each["class"] for each in table("headache_classes")}
    assert set(split(row["headache_classes"])) <= classes
    re.compile(row["text"])


@pytest.mark.parametrize("row", table("drug_groups"), ids=lambda row: row["group"])
def test_drug_groups_name_classes_and_ingredients_of_the_tables(row: Row) -> None:
    assert set(split(row["classes"])) <= {each["class"] for each in table("rxnorm_ingredients")}
    assert set(split(row["ingredients"])) <= {each["name"] for each in table("rxnorm_ingredients")}


def _verhoeff(code: str) -> bool:
    """SNOMED CT identifiers end with a check digit of Verhoeff's dihedral scheme."""
    checked = 0
    for place, digit in enumerate(map(int, reversed(code))):
        for _ in range(place % 8):
            digit = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)[digit]
        checked = _turned(checked, digit)
    return checked == 0


def _turned(a: int, b: int) -> int:
    """Product in the dihedral group of the pentagon: 0-4 turns, 5-9 reflections."""
    if a < 5:
        return (a + b) % 5 if b < 5 else 5 + (a + b) % 5
    return 5 + (a - b) % 5 if b < 5 else (a - b) % 5


@pytest.mark.parametrize(("code", "valid"), [("37796009", True), ("37796008", False), ("73796009", False)])
def test_check_digit_is_checked(code: str, valid: bool) -> None:
    assert _verhoeff(code) is valid


@pytest.mark.parametrize(
    ("condition", "name", "belongs"),
    [
        pytest.param(dx("I25.10"), "coronary", True, id="ICD-10-CM"),
        pytest.param(dx("i2510"), "coronary", True, id="undotted and lower case"),
        pytest.param(Condition("s", "x", (Coding("", "I25.10"),)), "coronary", True, id="no system"),
        pytest.param(dx("G45.4"), "stroke-tia", False, id="an exception of the list"),
        pytest.param(dx("G45.9"), "stroke-tia", True, id="beside the exception"),
        pytest.param(dx("22298006", snomed=True), "coronary", True, id="SNOMED"),
        pytest.param(dx("I25.10", title="Asthma"), "asthma", False, id="words of a coded condition are not read"),
        pytest.param(dx("", title="Mild intermittent asthma"), "asthma", True, id="words alone"),
        pytest.param(dx("", title="No asthma"), "asthma", False, id="denied"),
        pytest.param(dx("", title="Asthma?"), "asthma", False, id="doubted"),
        pytest.param(dx("", title="Mother: stroke at 60"), "stroke-tia", False, id="a relative"),
        pytest.param(dx("", title="Idiopathic intracranial hypertension"), "hypertension", False, id="intracranial"),
        pytest.param(dx("", title="Hypertension"), "hypertension", True, id="blood pressure"),
    ],
)  # fmt: skip
def test_condition_belongs_to_a_list(condition: Condition, name: str, belongs: bool) -> None:
    assert (name in condition_lists.lists_of(condition)) is belongs


@pytest.mark.parametrize(
    ("title", "group", "belongs"),
    [
        ("Tylenol with codeine #3", "opioid", True),
        ("Tylenol with codeine #3", "acetaminophen", True),
        ("Treximet 85-500 mg tablet", "nsaid", True),
        ("Qsymia 7.5 mg-46 mg capsule", "topiramate", True),
        ("Aspirin 81 mg tablet", "nsaid", False),
        ("Timolol 0.5 % ophthalmic solution", "beta-blocker", False),
        ("Warfarin 5 mg tablet", "anticoagulant", True),
        ("Nexplanon implant", "progestin", True),
        ("Nextstellis 3 mg-14.2 mg tablet", "combined-estrogen", True),
        ("Zzyqx 5 mg", "anticoagulant", False),
    ],
)
def test_product_belongs_to_a_group(title: str, group: str, belongs: bool) -> None:
    assert (group in drug_groups.groups_of(rx(title))) is belongs
