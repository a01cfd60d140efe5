"""Headache diagnoses from codes and words."""

import re

import pytest

from patients.codes import table
from patients.headaches.coding import Coding
from patients.headaches.diagnoses import classify

ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"
ICD10_OID = "urn:oid:2.16.840.1.113883.6.90"
ICD9 = "http://hl7.org/fhir/sid/icd-9-cm"
ICD9_OID = "urn:oid:2.16.840.1.113883.6.103"
SNOMED = "http://snomed.info/sct"

CODES = [
    ("leaf", ICD10, "G43.709", "migraine/chronic", True, False, False, "icd10"),
    ("no dot", ICD10, "G43719", "migraine/chronic", True, False, True, "icd10"),
    ("lower case, blank", ICD10, "g43.e19 ", "migraine/chronic+aura", True, True, True, "icd10"),
    ("system as OID", ICD10_OID, "G43.109", "migraine/aura", None, True, False, "icd10"),
    (
        "G43 final 9 of x1x is intractable",
        ICD10,
        "G43.019",
        "migraine/without-aura",
        None,
        False,
        True,
        "icd10",
    ),
    ("G44 final 9 is not intractable", ICD10, "G44.219", "tth/episodic", False, None, False, "icd10"),
    ("G44 final 1 is intractable", ICD10, "G44.221", "tth/chronic", True, None, True, "icd10"),
    ("medication overuse", ICD10, "G44.41", "secondary/medication-overuse", None, None, True, "icd10"),
    ("no pattern at all", ICD10, "G44.1", "other/vascular-NEC", None, None, None, "icd10"),
    ("heading of the category", ICD10, "G43", "migraine/unspecified", None, None, None, "icd10"),
    ("heading of a kind", ICD10, "G43.7", "migraine/chronic", True, False, None, "icd10"),
    ("heading that states intractable", ICD10, "G43.71", "migraine/chronic", True, False, True, "icd10"),
    ("heading of G44", ICD10, "G44.02", "tac/cluster-chronic", True, None, None, "icd10"),
    ("withdrawn draft leaf", ICD10, "G43.D01", "migraine/other", None, None, None, "icd10"),
    ("unknown leaf of G44", ICD10, "G44.999", "other", None, None, None, "icd10"),
    ("R51 before 2020", ICD10, "R51", "symptom/unspecified", None, None, None, "icd10"),
    ("WHO edition", "http://hl7.org/fhir/sid/icd-10", "G43.1", "migraine/aura", None, True, None, "icd10"),
    ("ICD-9 with 5 digits", ICD9, "346.71", "migraine/chronic", True, False, True, "icd9"),
    ("ICD-9, no dot, OID", ICD9_OID, "33912", "tth/chronic", True, None, None, "icd9"),
    ("ICD-9 symptom", ICD9, "784.0", "symptom/unspecified", None, None, None, "icd9"),
    ("ICD-9 says nothing on intractable", ICD9, "346.90", "migraine/unspecified", None, None, None, "icd9"),
    ("SNOMED", SNOMED, "124171000119105", "migraine/chronic", True, False, True, "snomed"),
    ("SNOMED without aura in its name", SNOMED, "427419006", "migraine/chronic", True, None, None, "snomed"),
    ("SNOMED history", SNOMED, "161481007", "history/migraine", None, None, None, "snomed"),
    ("code without system", "", "G43.909", "migraine/unspecified", None, None, False, "icd10"),
]
NO_CODE = [
    ("another disease", ICD10, "E11.9"),
    ("SNOMED digits under ICD-9", ICD9, "37796009"),
    ("ICD-9 without system", "", "346.90"),
    ("SNOMED digits without system", "", "37796009"),
    ("G43 in a local system", "urn:oid:1.2.3", "G43.909"),
    ("G45 transient ischemia", ICD10, "G45.9"),
    ("G430 with rubbish", ICD10, "G43.709-OLD-2"),
    ("empty", ICD10, ""),
]
TEXTS = [
    ("Migraine", "migraine/unspecified"),
    ("Migraine headache", "migraine/unspecified"),
    ("Chronic migraine w/o aura, intractable", "migraine/chronic"),
    ("Chronic migraine with aura", "migraine/chronic+aura"),
    ("migraine without aura", "migraine/without-aura"),
    ("Migraine with typical aura", "migraine/aura"),
    ("Hemiplegic migraine", "migraine/hemiplegic+aura"),
    ("menstrually related migraine", "migraine/menstrual"),
    ("Vestibular migraine", "migraine/vestibular"),
    ("history of migraine", "history/migraine"),
    ("Cluster headache", "tac/cluster"),
    ("Chronic cluster headache syndrome", "tac/cluster-chronic"),
    ("Tension headache", "tth/unspecified"),
    ("Chronic tension-type headache", "tth/chronic"),
    ("medication overuse headache", "secondary/medication-overuse"),
    ("Rebound headache", "secondary/medication-overuse"),
    ("post-traumatic headache", "secondary/post-traumatic"),
    ("Post-concussive headaches", "secondary/post-traumatic"),
    ("New daily persistent headache (NDPH)", "other/ndph"),
    ("HEADACHE", "symptom/unspecified"),
    ("Head ache", "symptom/unspecified"),
    ("Patient denies nausea; migraine since 2010", "migraine/unspecified"),
    ("not intractable migraine", "migraine/unspecified"),
]
NO_TEXT = [
    "family history of migraine",
    "Fam hx: migraine",
    "FH migraine",
    "mother has migraine",
    "no headache",
    "No fever, cough or headache",
    "denies headache",
    "rule out migraine",
    "r/o migraine",
    "?migraine",
    "migraine ruled out",
    "hypertension without headache",
    "negative for headache",
    "screening for migraine",
    "Headroom",
    "diabetes",
    "",
]


@pytest.mark.parametrize("case", CODES, ids=lambda case: case[0])
def test_code_is_classified(
    case: tuple[str, str, str, str, bool | None, bool | None, bool | None, str],
) -> None:
    _, system, code, headache_class, chronic, aura, intractable, matched_by = case
    found = classify([Coding(system, code)], "")
    assert found is not None
    assert found.headache_class == headache_class
    assert (found.chronic, found.aura, found.intractable) == (chronic, aura, intractable)
    assert (found.matched_by, found.code, found.system) == (matched_by, code, system)


@pytest.mark.parametrize(("system", "code"), [case[1:] for case in NO_CODE], ids=[case[0] for case in NO_CODE])
def test_code_is_no_headache(system: str, code: str) -> None:
    assert classify([Coding(system, code)], "") is None


@pytest.mark.parametrize(("text", "headache_class"), TEXTS)
def test_text_is_classified(text: str, headache_class: str) -> None:
    found = classify([], text)
    assert found is not None
    assert (found.headache_class, found.matched_by, found.label) == (headache_class, "text", text)


@pytest.mark.parametrize("text", NO_TEXT)
def test_text_is_no_headache(text: str) -> None:
    assert classify([], text) is None


def test_code_without_system_says_so() -> None:
    found = classify([Coding("", "G43.909")], "")
    assert found is not None
    assert found.assumption == "code system not stated; read as ICD-10-CM"


def test_unknown_leaf_says_so_and_keeps_its_own_words() -> None:
    found = classify([Coding(ICD10, "G43.D01", "Menstrual migraine")], "")
    assert found is not None
    assert found.label == "Menstrual migraine"
    assert "not in the ICD-10-CM table" in found.assumption


def test_most_specific_coding_counts_without_conflict_when_the_other_says_less() -> None:
    found = classify([Coding(SNOMED, "37796009", "Migraine"), Coding(ICD10, "G43.709"), Coding(ICD10, "R51.9")], "")
    assert found is not None
    assert found.code == "G43.709"
    assert found.conflicts == ()


@pytest.mark.parametrize(
    ("codings", "words"),
    [
        ([Coding(SNOMED, "124171000119105"), Coding(ICD10, "G43.709")], "disagree on intractable"),
        ([Coding(ICD10, "G43.709"), Coding(ICD10, "G44.209")], "name different headaches"),
        ([Coding(ICD10, "G43.109"), Coding(ICD10, "G43.009")], "disagree on aura"),
        ([Coding(ICD10, "G43.909", "Tension headache")], "came with the display"),
        ([Coding(ICD10, "G43.829"), Coding(ICD10, "G43.D0")], "name different kinds"),
    ],
)
def test_disagreement_is_reported(codings: list[Coding], words: str) -> None:
    found = classify(codings, "")
    assert found is not None
    assert len(found.conflicts) == 1
    assert words in found.conflicts[0]


def test_code_counts_before_text() -> None:
    found = classify([Coding(ICD10, "G43.909")], "chronic cluster headache")
    assert found is not None
    assert found.matched_by == "icd10"


def test_display_of_an_unknown_code_is_read_as_words() -> None:
    found = classify([Coding(SNOMED, "999", "Migraine with aura (disorder)"), Coding("", "x")], "")
    assert found is not None
    assert (found.headache_class, found.matched_by) == ("migraine/aura", "text")


def _digits_say_intractable(code: str) -> bool | None:
    """The two digit conventions of ICD-10-CM, written down apart from the product's reading of the words."""
    if re.fullmatch(r"G43\.[0-9E]\d\d", code):
        return {"0": False, "1": True, "2": False, "3": True}[code[5]]
    if re.fullmatch(r"G43\.[A-D][01]", code):
        return code[5] == "1"
    if re.fullmatch(r"G44\.[0-3]\d[19]", code):
        return code[6] == "1"
    return {"G44.40": False, "G44.41": True}.get(code)


@pytest.mark.parametrize("row", table("icd10cm_headache"), ids=lambda row: row["code"])
def test_every_leaf_agrees_with_the_digits_and_its_table_row(row: dict[str, str]) -> None:
    found = classify([Coding(ICD10, row["code"])], "")
    assert found is not None
    assert (found.headache_class, found.label) == (row["class"], row["display"])
    assert found.intractable is _digits_say_intractable(row["code"])


@pytest.mark.parametrize("name", ["icd10cm_headache", "snomed_headache", "icd9cm_headache"])
def test_every_class_of_a_table_has_words(name: str) -> None:
    classes = {row["class"] for row in table("headache_classes")}
    assert {row["class"] for row in table(name)} <= classes


def test_every_snomed_display_read_as_words_stays_in_its_family() -> None:
    wrong = []
    for row in table("snomed_headache"):
        found = classify([], row["display"])
        if found is None or (found.family != row["class"].split("/")[0] and found.family not in ("headache", "other")):
            wrong.append((row["display"], found and found.headache_class))
    assert wrong == []


@pytest.mark.parametrize("name", ["icd10cm_headache", "snomed_headache", "icd9cm_headache"])
def test_official_displays_never_disagree_with_their_code(name: str) -> None:
    for row in table(name):
        found = classify([Coding(row["system"], row["code"], row["display"])], "")
        assert found is not None
        assert (found.headache_class, found.conflicts) == (row["class"], ())
