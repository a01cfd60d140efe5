"""The code tables themselves."""

import pytest

from patients import codes
from patients.headaches import medication_names

ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"


@pytest.mark.parametrize("name", codes.names())
def test_table_is_complete(name: str) -> None:
    rows = codes.table(name)
    assert rows
    assert all(row["source"].strip() for row in rows)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("icd10cm_headache", "code"),
        ("snomed_headache", "code"),
        ("icd9cm_headache", "code"),
        ("rxnorm_ingredients", "name"),
        ("rxnorm_codes", "rxcui"),
        ("medication_combinations", "brand"),
        ("medication_misspellings", "written"),
        ("medication_lookalikes", "name"),
        ("headache_classes", "class"),
        ("no_known_allergy", "code"),
    ],
)
def test_table_has_no_double_keys(name: str, key: str) -> None:
    keys = [row[key].casefold() for row in codes.table(name)]
    assert len(set(keys)) == len(keys)


def test_rxcuis_are_unique_over_both_tables() -> None:
    rxcuis = [
        row["rxcui"] for name in ("rxnorm_ingredients", "rxnorm_codes") for row in codes.table(name) if row["rxcui"]
    ]
    assert len(set(rxcuis)) == len(rxcuis)


@pytest.mark.parametrize("name", ["medication_combinations", "medication_misspellings", "medication_abbreviations"])
def test_tables_name_known_ingredients(name: str) -> None:
    known = {row["name"] for row in codes.table("rxnorm_ingredients")}
    assert {part for row in codes.table(name) for part in codes.split(row["ingredients"])} <= known


def test_one_written_name_never_means_two_products() -> None:
    meanings: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
    for row in codes.table("rxnorm_ingredients"):
        for name in (row["name"], *codes.split(row["brands"]), *codes.split(row["synonyms"])):
            meanings.setdefault(medication_names.tokens(name), set()).add((row["name"],))
    for row in codes.table("medication_combinations"):
        meanings.setdefault(medication_names.tokens(row["brand"]), set()).add(codes.split(row["ingredients"]))
    assert {name: found for name, found in meanings.items() if len(found) > 1} == {}


def test_snomed_check_digits() -> None:
    for row in codes.table("snomed_headache"):
        assert _verhoeff(row["code"]), row["code"]


def test_unknown_table_is_refused() -> None:
    with pytest.raises(FileNotFoundError):
        codes.table("nothing")


def test_tables_are_read_only() -> None:
    with pytest.raises(TypeError):
        codes.table("headache_classes")[0]["class"] = "x"  # type: ignore[index]


def _verhoeff(number: str) -> bool:
    """SNOMED CT check digit: Verhoeff's dihedral group scheme."""
    product = [[(j + i) % 5 if i < 5 and j < 5 else 0 for j in range(10)] for i in range(10)]
    for i in range(10):
        for j in range(10):
            a, b = i % 5, j % 5
            if i < 5:
                product[i][j] = (a + b) % 5 + (5 if j >= 5 else 0)
            else:
                product[i][j] = (a - b) % 5 + (0 if j >= 5 else 5)
    shift = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4]
    permuted = [list(range(10))]
    for _ in range(7):
        permuted.append([shift[value] for value in permuted[-1]])
    check = 0
    for place, digit in enumerate(reversed(number)):
        check = product[check][permuted[place % 8][int(digit)]]
    return check == 0
