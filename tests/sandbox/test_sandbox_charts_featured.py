"""Patients 13 to 20: one of each kind, deliberately."""

import datetime as dt
import random
import re
from typing import Any

import pytest

from sandbox.charts import chart, generate
from sandbox.charts.cast import CAST
from sandbox.charts.catalogue import PRODUCTS
from sandbox.charts.conditions import DIAGNOSES
from sandbox.charts.featured import FEATURED
from sandbox.charts.forms import CHOICES, hit6_items, midas_items
from sandbox.charts.ids import resource_id
from sandbox.charts.pen import Pen
from sandbox.charts.people import patient
from tests.sandbox.test_sandbox_charts_cast import TODAY, Chart

Json = dict[str, Any]
SEEDS = (1, 2)


class Featured(Chart):
    """One of the patients 13 to 20."""

    def __init__(self, number: int, seed: int) -> None:
        super().__init__(number, seed)
        practice = generate(patients=20, seed=seed, today=TODAY)
        self.drugs = {f"Medication/{r['id']}": r["code"] for r in practice if r["resourceType"] == "Medication"}

    def reports(self, pattern: str) -> list[Json]:
        return [r for r in self.all("DiagnosticReport") if re.search(pattern, r["code"]["text"], re.IGNORECASE)]

    def emergencies(self) -> list[Json]:
        return [e for e in self.all("Encounter") if e["class"]["code"] == "EMER"]

    @property
    def patient(self) -> Json:
        return self.all("Patient")[0]


@pytest.fixture
def dice() -> random.Random:
    return random.Random(5)


@pytest.fixture(params=SEEDS, scope="module")
def charts(request: pytest.FixtureRequest) -> dict[int, Featured]:
    return {number: Featured(number, request.param) for number in range(13, 21)}


def test_featured_are_eight_of_their_own() -> None:
    assert len(FEATURED) == 8
    assert len({(p.given, p.family) for p, _ in (*CAST, *FEATURED)}) == 20
    for _, story in FEATURED:
        assert {course.product for course in story.courses} <= set(PRODUCTS)
        assert {diagnosis.icd for diagnosis in story.diagnoses} <= set(DIAGNOSES)


def test_13_cluster_headache(charts: dict[int, Featured]) -> None:
    cluster = charts[13]
    assert "G44.019" in cluster.codes()
    for drug in (
        "oxygen|o2 high",
        "verapamil|calan",
        "imitrex|zembrace|sumatriptan",
        "prednisone|deltasone|pred taper",
    ):
        assert cluster.orders(drug), drug
    assert len([p for p in cluster.all("Procedure") if "ECG" in p["code"]["text"]]) == 3
    assert cluster.emergencies()


def test_14_post_traumatic_headache(charts: dict[int, Featured]) -> None:
    injured = charts[14]
    assert {"G44.319", "G44.329", "F07.81", "S06.0X0A"} <= injured.codes()
    (emergency,) = injured.emergencies()
    assert re.search("head", str(emergency["reasonCode"]) if "reasonCode" in emergency else "head")
    ct = injured.reports("CT HEAD")
    assert ct[-1]["effectiveDateTime"] == emergency["period"]["start"][:10]
    assert "No intracranial hemorrhage" in ct[-1]["conclusion"]


def test_15_tension_type_headache(charts: dict[int, Featured]) -> None:
    tension = charts[15]
    assert {"G44.219", "G44.229"} <= tension.codes()
    assert not tension.orders("triptan|imitrex|maxalt")
    assert not tension.reports("MRI|CT ")


def test_16_gepants(charts: dict[int, Featured]) -> None:
    gepants = charts[16]
    assert gepants.orders("nurtec|rimegepant")
    assert gepants.orders("ubrelvy|ubrogepant")
    assert gepants.orders("qulipta|atogepant")[-1]["status"] in {"active", "entered-in-error"}
    (mri, *_) = [r for r in gepants.reports("MRI BRAIN") if r["status"] == "final"]
    assert "cyst" in str(mri.get("conclusion", "cyst"))
    assert {r["questionnaire"].rpartition("/")[2] for r in gepants.all("QuestionnaireResponse")} == {
        "midas",
        "hit-6",
        "phq-9",
    }


def test_17_pregnancy(charts: dict[int, Featured]) -> None:
    pregnant = charts[17]
    assert {"O99.351", "Z34.01", "Z33.1"} <= pregnant.codes()
    for drug in ("topiramate|topamax|tpm", "divalproex|depakote"):
        kept = [o for o in pregnant.orders(drug) if o["status"] != "entered-in-error"]
        assert kept[-1]["status"] == "stopped"
    (test,) = [o for o in pregnant.all("Observation") if o["code"].get("text") == "Pregnancy test, urine"]
    assert (test["valueString"], test["code"]["coding"][0]["code"]) == ("Positive", "2106-3")
    assert pregnant.patient["gender"] == "female"


def test_18_and_19_are_two_charts_of_one_person(charts: dict[int, Featured]) -> None:
    kept, closed = charts[18].patient, charts[19].patient
    assert closed["link"] == [{"other": {"reference": f"Patient/{kept['id']}"}, "type": "replaced-by"}]
    assert kept["link"] == [{"other": {"reference": f"Patient/{closed['id']}"}, "type": "replaces"}]
    assert closed["active"] is False
    assert kept["birthDate"] == closed["birthDate"]
    last = max(e["period"]["start"] for e in charts[19].all("Encounter"))
    first = min(e["period"]["start"] for e in charts[18].all("Encounter"))
    assert last < first


def test_20_died_after_the_last_visit(charts: dict[int, Featured]) -> None:
    deceased = charts[20]
    assert "C71.1" in deceased.codes()
    died = deceased.patient["deceasedDateTime"][:10]
    assert max(e["period"]["start"] for e in deceased.all("Encounter"))[:10] < died < "2026-11-21"
    dates = re.findall(
        r'"(?:authoredOn|effectiveDateTime|performedDateTime)": "(\d{4}-\d\d-\d\d)',
        str(deceased.resources).replace("'", '"'),
    )
    assert dates
    assert max(dates) < died
    assert any("mass" in r.get("conclusion", "mass") for r in deceased.reports("MRI"))


def test_links_name_the_other_chart_for_every_seed() -> None:
    for seed in (3, 9):
        person, story = FEATURED[5]
        assert patient(Pen(seed, 18, TODAY, person, story))["link"][0]["other"]["reference"] == (
            f"Patient/{resource_id(seed, 'Patient', 19)}"
        )


@pytest.mark.parametrize("score", [36, 48, 61, 78])
def test_hit6_items_add_up_near_the_score(score: int, dice: random.Random) -> None:
    items, total = hit6_items(score, dice)
    points = dict(CHOICES)
    assert sum(points[item["answer"][0]["valueCoding"]["display"]] for item in items) == total
    assert abs(total - score) <= 2


@pytest.mark.parametrize("score", [0, 7, 110])
def test_midas_items_add_up_to_the_score(score: int, dice: random.Random) -> None:
    items = midas_items(score, 10, dice)
    assert sum(item["answer"][0]["valueInteger"] for item in items[:5]) == score
    assert len(items) == 7


def test_documents_and_their_versions() -> None:
    eight = [r for r in chart(8, seed=2, today=dt.date(2026, 11, 21)) if r["resourceType"] == "DocumentReference"]
    assert sorted(d["status"] for d in eight) == ["current"] * 5 + ["superseded"]
