"""Each of the twelve patients of the cast tells the story it is there for."""

import datetime as dt
import itertools
import re
from typing import Any

import pytest

from sandbox.charts import chart, generate
from sandbox.charts.archetypes import ARCHETYPES
from sandbox.charts.cast import CAST
from sandbox.charts.catalogue import PRODUCTS
from sandbox.charts.conditions import DIAGNOSES

Json = dict[str, Any]
TODAY = dt.date(2026, 11, 21)
SEEDS = (1, 2, 7)  # the stories do not depend on the dice

BUTALBITAL = "butalb|fioricet|esgic"
OPIOID = "percocet|oxycodone|tramadol|ultram"
ORALS = "topiramate|topamax|tpm|propranolol|inderal|amitrip|elavil|venlafaxine|effexor"
TRIPTAN = "triptan|imitrex|maxalt|relpax|amerge|zomig|zembrace"


class Chart:
    """One patient's resources, with the drugs they refer to."""

    def __init__(self, number: int, seed: int) -> None:
        self.resources = list(chart(number, seed=seed, today=TODAY))
        practice = generate(patients=12, seed=seed, today=TODAY)
        self.drugs = {f"Medication/{r['id']}": r["code"] for r in practice if r["resourceType"] == "Medication"}

    def all(self, kind: str) -> list[Json]:
        return [r for r in self.resources if r["resourceType"] == kind]

    def codes(self) -> set[str]:
        """ICD-10-CM codes, normalised, of whatever way they were written."""
        found = set()
        for condition in self.all("Condition"):
            written = [c["code"] for c in condition["code"].get("coding", []) if c["system"].endswith("icd-10-cm")]
            written += re.findall(r"\(([A-Z]\d[\w.]+)\)", condition["code"].get("text", ""))
            for code in written:
                bare = code.upper().replace(".", "")
                found.add(bare if len(bare) == 3 else f"{bare[:3]}.{bare[3:]}")
        return found

    def orders(self, pattern: str) -> list[Json]:
        """MedicationRequests whose Medication names match, oldest first (those without a date last)."""
        found = [o for o in self.all("MedicationRequest") if re.search(pattern, self.drug(o), re.IGNORECASE)]
        return sorted(found, key=lambda o: o.get("authoredOn", "9"))

    def drug(self, order: Json) -> str:
        code = self.drugs[order["medicationReference"]["reference"]]
        return " ".join([code.get("text", ""), *(c.get("display", "") for c in code.get("coding", []))])

    def survey(self, pattern: str) -> list[tuple[str, int]]:
        """(time, score) of the surveys whose name matches, wherever the score was put."""
        found = []
        for observation in self.all("Observation"):
            code = observation["code"]
            name = " ".join([code.get("text", ""), *(c.get("display", "") for c in code.get("coding", []))])
            if re.search(pattern, name, re.IGNORECASE):
                found.append((observation["effectiveDateTime"], score(observation)))
        return sorted(found)


def score(observation: Json) -> int:
    if "valueInteger" in observation:
        return observation["valueInteger"]
    if "valueQuantity" in observation:
        return observation["valueQuantity"]["value"]
    for part in observation.get("component", []):
        if "total" in part["code"]["text"]:
            return part.get("valueInteger") or part["valueQuantity"]["value"]
    text = observation.get("valueString") or observation["note"][0]["text"]
    return int(re.findall(r"\d+", re.sub(r"HIT[- ]?6", "", text))[0])


@pytest.fixture(params=SEEDS, scope="module")
def charts(request: pytest.FixtureRequest) -> list[Chart]:
    return [Chart(number, request.param) for number in range(1, 13)]


def test_cast_is_twelve_different_people() -> None:
    assert len(CAST) == 12
    assert len({(person.given, person.family) for person, _ in CAST}) == 12
    assert len({story.name for _, story in CAST}) == 12


def test_stories_use_only_known_drugs_and_codes() -> None:
    for _, story in CAST:
        assert {course.product for course in story.courses} <= set(PRODUCTS)
        assert {diagnosis.icd for diagnosis in story.diagnoses} <= set(DIAGNOSES)


def test_cast_1_episodic_to_chronic_orals_then_antibody_then_toxin(charts: list[Chart]) -> None:
    one = charts[0]
    assert {"G43.009", "G43.709"} <= one.codes()
    orals, erenumab = one.orders(ORALS), one.orders("aimovig|erenumab")
    assert len({one.drug(order).split()[0].lower() for order in orals}) >= 3
    assert orals[-1]["authoredOn"] < erenumab[0]["authoredOn"]
    sessions = sorted(
        p["performedDateTime"][:10]
        for p in one.all("Procedure")
        if any(c["code"] == "64615" for c in p["code"].get("coding", []))
    )
    assert len(sessions) >= 6
    assert erenumab[-1]["authoredOn"][:10] < sessions[0]
    days = [dt.date.fromisoformat(day) for day in sessions]
    assert all(84 <= (b - a).days <= 98 for a, b in itertools.pairwise(days))


@pytest.mark.parametrize(("name", "least"), [("MIDAS", 5), ("HIT|headache impact", 5)], ids=["MIDAS", "HIT-6"])
def test_cast_1_scores_improve(charts: list[Chart], name: str, least: int) -> None:
    scores = [value for _, value in charts[0].survey(name)]
    assert len(scores) >= least
    assert max(scores[-2:]) < min(scores[:2])


def test_cast_2_aura_and_combined_contraceptive(charts: list[Chart]) -> None:
    two = charts[1]
    assert "G43.109" in two.codes()
    (pill, *_) = two.orders("eth estradiol|ethinyl|sprintec")
    assert two.all("Patient")[0]["gender"] == "female"
    assert any(order["status"] == "active" for order in two.orders("estradiol|sprintec"))
    assert pill["subject"]["reference"].startswith("Patient/")


def test_cast_3_medication_overuse_with_butalbital_and_opioids(charts: list[Chart]) -> None:
    three = charts[2]
    assert {"G44.40", "G44.41"} <= three.codes()
    assert len(three.orders(BUTALBITAL)) >= 8
    assert len(three.orders(OPIOID)) >= 4


def test_cast_4_one_triptan_and_nearly_nothing_else(charts: list[Chart]) -> None:
    four = charts[3]
    assert four.codes() == {"G43.009"}
    assert four.orders(TRIPTAN)
    assert four.orders(TRIPTAN) == four.orders(".")
    assert len(four.resources) <= 18
    assert four.all("AllergyIntolerance") == []


def test_cast_5_fremanezumab_and_topiramate_intolerance_as_allergy(charts: list[Chart]) -> None:
    five = charts[4]
    assert "G43.709" in five.codes()
    assert five.orders("ajovy|fremanezumab")[-1]["status"] == "active"
    (topiramate,) = [a for a in five.all("AllergyIntolerance") if a["code"].get("text") != "LATEX"]
    assert topiramate["code"]["coding"][0]["code"] == "38404"
    assert topiramate["type"] == "allergy"
    assert "tingling" in topiramate["reaction"][0]["manifestation"][0]["text"]


def test_cast_6_nkda_in_words_amitriptyline_and_propranolol(charts: list[Chart]) -> None:
    six = charts[5]
    assert [a["code"] for a in six.all("AllergyIntolerance")] == [{"text": "NKDA"}]
    assert six.orders("amitrip|elavil")
    assert six.orders("propranolol|inderal")[-1]["status"] in {"active", "entered-in-error"}


def test_cast_7_hemiplegic_with_a_triptan_left_active(charts: list[Chart]) -> None:
    seven = charts[6]
    assert "G43.409" in seven.codes()
    assert any(order["status"] == "active" for order in seven.orders(TRIPTAN))


def test_cast_8_stale_actives_and_duplicates(charts: list[Chart]) -> None:
    eight = charts[7]
    old = [o for o in eight.all("MedicationRequest") if o["status"] == "active" and o["authoredOn"] < "2025-06"]
    assert len(old) >= 8
    listed = [c for c in eight.all("Condition") if c["category"][0]["coding"][0]["code"] == "problem-list-item"]
    assert len(listed) >= 10
    patient = eight.all("Patient")[0]
    assert patient["active"] is False
    assert patient["deceasedDateTime"].startswith("1899-12-30")
    assert any(o.get("authoredOn", "") > "2026-11-22" for o in eight.all("MedicationRequest"))


def test_cast_9_older_man_with_hypertension(charts: list[Chart]) -> None:
    nine = charts[8]
    patient = nine.all("Patient")[0]
    assert patient["gender"] == "male"
    assert patient["birthDate"] < "1961"
    assert "I10" in nine.codes()
    assert nine.orders("candesartan|atacand")
    assert nine.orders("tylenol|acetaminophen|apap|ibuprofen|ibu|motrin")
    assert not nine.orders(TRIPTAN)


def test_cast_10_chronic_with_aura_galcanezumab_and_rimegepant(charts: list[Chart]) -> None:
    ten = charts[9]
    assert any(code.startswith("G43.E") for code in ten.codes())
    assert ten.orders("emgality|galcanezumab")
    assert ten.orders("nurtec|rimegepant")


def test_cast_11_is_a_minor(charts: list[Chart]) -> None:
    assert charts[10].all("Patient")[0]["birthDate"] > "2008-11-21"
    assert charts[10].survey("MIDAS") == []


def test_cast_12_no_headache_drug_and_nothing_on_file_for_allergies(charts: list[Chart]) -> None:
    twelve = charts[11]
    assert {"R51.9", "G44.209"} <= twelve.codes()
    assert [twelve.drug(o) for o in twelve.orders(".") if not re.search("(?i)thyro|synthroid", twelve.drug(o))] == []
    assert twelve.all("AllergyIntolerance") == []


def test_archetypes_all_occur_in_a_practice() -> None:
    prefixes = {
        "chronic migraine without aura": "G43.7",
        "chronic migraine with aura": "G43.E",
        "episodic migraine": "G43.0",
        "migraine with aura": "G43.1",
        "low-frequency migraine": "G43",
        "medication overuse headache": "G44.4",
        "tension-type headache": "G44.2",
        "cluster headache": "G44.0",
        "hemiplegic migraine": "G43.4",
        "post-traumatic headache": "G44.3",
    }
    assert set(prefixes) == {archetype.name for archetype in ARCHETYPES}
    codes = {
        coding["code"]
        for number in range(13, 140)
        for resource in chart(number, seed=1, today=TODAY)
        if resource["resourceType"] == "Condition"
        for coding in resource["code"].get("coding", [])
    }
    for prefix in prefixes.values():
        assert any(code.startswith(prefix) for code in codes), prefix
