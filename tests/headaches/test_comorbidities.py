"""ICD-10-CM codes beside what they mean for the choice of treatment."""

import pytest

from patients.codes import table
from patients.headaches.coding import Coding
from patients.headaches.comorbidities import find

ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"


def keys(code: str, system: str = ICD10, text: str = "") -> list[str]:
    return [each.key for each in find([Coding(system, code)] if code else [], text)]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("J45.909", ["asthma"]),
        ("j45909 ", ["asthma"]),
        ("I25.10", ["coronary"]),
        ("Z95.5", ["coronary"]),
        ("G45.9", ["stroke"]),
        ("G45.4", []),  # transient global amnesia
        ("I69.30", ["stroke"]),
        ("I60.9", ["stroke", "subarachnoid"]),
        ("I63.6", ["stroke", "venous-thrombosis"]),
        ("I73.00", ["raynaud"]),
        ("I73.9", ["peripheral-arterial"]),
        ("K74.60", ["severe-liver"]),
        ("K74.00", ["liver"]),
        ("N18.2", []),
        ("N18.31", ["kidney"]),
        ("O99.351", ["pregnancy"]),
        ("O15.00", ["pregnancy", "pre-eclampsia"]),
        ("Z3A.12", ["pregnancy"]),
        ("Z30.41", ["contraception"]),
        ("G47.33", ["sleep-apnea"]),
        ("G47.00", ["insomnia"]),
        ("G47.9", []),
        ("F32.A", ["depression"]),
        ("C71.1", ["neoplasm"]),
        ("H47.10", ["papilledema"]),
        ("M31.6", ["giant-cell"]),
        ("I67.841", ["rcvs"]),
        ("I67.83", ["pres"]),
        ("G43.709", []),
        ("D23.9", []),
    ],
)
def test_code_means(code: str, expected: list[str]) -> None:
    assert keys(code) == expected


@pytest.mark.parametrize(
    ("code", "system", "text", "expected"),
    [
        pytest.param("J45.909", "", "", ["asthma"], id="no system, with the dot"),
        pytest.param("C5678", "", "", [], id="no system, no dot: somebody's own number"),
        pytest.param("195967001", "http://snomed.info/sct", "Asthma", [], id="SNOMED is not read"),
        pytest.param("J45.909", "urn:oid:2.16.840.1.113883.6.90", "", ["asthma"], id="by OID"),
        pytest.param("", "", "Asthma (J45.909)", ["asthma"], id="in the text"),
        pytest.param("", "", "HTN [I10]", ["hypertension"], id="in square brackets"),
        pytest.param("", "", "low (B12)", [], id="a vitamin"),
        pytest.param("", "", "disc C5-C6 (C56)", [], id="a level of the spine"),
        pytest.param("I10", ICD10, "Asthma (J45.909)", ["hypertension"], id="the coding outweighs the text"),
    ],
)
def test_code_where_it_stands(code: str, system: str, text: str, expected: list[str]) -> None:
    assert keys(code, system, text) == expected


def test_found_in_text_is_marked() -> None:
    (found,) = find([], "Asthma (J45.909)")
    assert (found.code, found.from_words, found.kind) == ("J45.909", True, "steers")
    assert found.words
    assert found.why


def test_several_codes_name_each_meaning_once() -> None:
    found = find([Coding(ICD10, "F32.A"), Coding(ICD10, "F33.1"), Coding(ICD10, "Z85.3")])
    assert [each.key for each in found] == ["depression", "neoplasm"]


def test_a_key_has_one_wording() -> None:
    meanings: dict[tuple[str, str], set[str]] = {}
    for row in table("comorbidities"):
        assert row["kind"] in {"steers", "red-flag"}
        meanings.setdefault((row["kind"], row["key"]), set()).add(row["words"])
    assert {key: words for key, words in meanings.items() if len(words) > 1} == {}
    prefixes = [(row["kind"], row["prefix"]) for row in table("comorbidities")]
    assert len(set(prefixes)) == len(prefixes)
