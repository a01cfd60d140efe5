"""Each kind of dirt by itself, and the codes the charts are allowed to carry."""

import csv
import datetime as dt
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from sandbox.charts import (
    chart,
    codings,
    conditions,
    dates,
    dirt,
    encounters,
    people,
    practice,
    procedures,
    scores,
)
from sandbox.charts.allergies import LINES, allergy
from sandbox.charts.cast import CAST
from sandbox.charts.catalogue import PRODUCTS
from sandbox.charts.ids import resource_id, shared_prefix
from sandbox.charts.medications import dated_in_the_future, reported_by_patient, supply
from sandbox.charts.pen import Pen, Visit
from sandbox.charts.reports import conclusion_in_attachment, draft
from sandbox.charts.vitals import pressure_as_components, pressure_as_two

Json = dict[str, Any]
TODAY = dt.date(2026, 11, 21)
CODES = Path(__file__).parents[2] / "patients" / "codelists"


@pytest.fixture
def dice() -> random.Random:
    return random.Random(5)


@pytest.fixture
def pen() -> Pen:
    person, story = CAST[0]
    return Pen(3, 1, TODAY, person, story)


@pytest.fixture
def visit() -> Visit:
    return Visit(4, dt.date(2026, 3, 2), 600, "office", "HA f/u", "finished")


@pytest.mark.parametrize(
    ("write", "code", "text"),
    [
        pytest.param(conditions.undotted, "G43709", None, id="without dot"),
        pytest.param(conditions.lower_cased, "g43.709", None, id="lower case"),
        pytest.param(conditions.text_only, None, "(G43.709)", id="only in the text"),
        pytest.param(conditions.icd_and_snomed, "G43.709", None, id="ICD-10 and SNOMED"),
        pytest.param(conditions.icd9_remnant, "346.70", None, id="ICD-9"),
    ],
)
def test_condition_code_writings(write: Any, code: str | None, text: str | None) -> None:
    written = write("G43.709")
    assert (written["coding"][0]["code"] if code else written.get("coding")) == code
    if text:
        assert text in written["text"]


def test_condition_snomed_beside_icd() -> None:
    systems = [c["system"] for c in conditions.icd_and_snomed("G43.709")["coding"]]
    assert systems == [codings.ICD10, codings.SNOMED]


def test_condition_entered_in_error_has_no_clinical_status() -> None:
    taken_back = conditions.entered_in_error({"clinicalStatus": {}, "code": {}})
    assert "clinicalStatus" not in taken_back
    assert taken_back["verificationStatus"]["coding"][0]["code"] == "entered-in-error"


def test_condition_without_icd9_ancestor_has_no_remnant() -> None:
    assert conditions.icd9_remnant("E66.9") is None


def test_patient_death_sentinel_and_inactive() -> None:
    assert people.with_death_sentinel({})["deceasedDateTime"] == "1899-12-30T00:00:00-05:00"
    assert people.inactive({"active": True})["active"] is False


def test_patient_former_name_is_second_and_first_has_no_use() -> None:
    named = people.with_former_name({"name": [{"use": "official", "family": "Peña", "given": ["Ana"]}]}, "Ruiz")
    assert named["name"] == [
        {"family": "Peña", "given": ["Ana"]},
        {"use": "old", "family": "Ruiz", "given": ["Ana"]},
    ]


def test_patient_shouted_keeps_the_accents() -> None:
    assert people.shouted({"name": [{"family": "Núñez", "given": ["Inés"]}]})["name"][0]["family"] == "NÚÑEZ"


def test_patient_identifiers_are_fhir_id_then_untyped_account_number(pen: Pen) -> None:
    usual, secondary = people.patient(pen)["identifier"]
    assert usual["use"] == "usual"
    assert usual["value"] == people.patient(pen)["id"]
    assert secondary["use"] == "secondary"
    assert secondary["value"].isdigit()
    assert "type" not in secondary


@pytest.mark.parametrize(
    ("month", "day"),
    [pytest.param(11, 21, id="today"), pytest.param(11, 22, id="tomorrow"), pytest.param(1, 1, id="January")],
)
def test_birth_date_gives_the_age(month: int, day: int) -> None:
    person = people.invent(random.Random(1), "male", (40, 40))
    born = people.birth_date(type(person)("A", "B", "male", 40, (month, day)), TODAY)
    age = TODAY.year - born.year - ((TODAY.month, TODAY.day) < (born.month, born.day))
    assert age == 40


@pytest.mark.parametrize(
    "shape", scores.MIDAS_SHAPES, ids=["in a sentence", "quantity", "items", "integer", "in the note"]
)
def test_midas_shapes_all_hold_the_score(shape: scores.Shape, dice: random.Random) -> None:
    written = shape(37, dice)
    assert re.search(r"\b37\b", json.dumps(written))
    values = [key for key in written if key.startswith("value")]
    assert len(values) + ("component" in written) + ("note" in written) == 1


def test_midas_items_add_up(dice: random.Random) -> None:
    *items, total = scores.midas_as_components(41, dice)["component"]
    assert len(items) == 5
    assert sum(item["valueInteger"] for item in items) == total["valueInteger"] == 41


@pytest.mark.parametrize(
    "shape", scores.HIT6_SHAPES, ids=["quantity", "in a sentence", "in the note", "components", "integer"]
)
def test_hit6_shapes_all_hold_the_score(shape: scores.Shape, dice: random.Random) -> None:
    assert re.search(r"\b64\b", json.dumps(shape(64, dice)))


@pytest.mark.parametrize(
    ("score", "grade"),
    [(5, "little or none"), (6, "mild"), (10, "mild"), (11, "moderate"), (20, "moderate"), (21, "severe")],
)
def test_midas_grade_bands(score: int, grade: str) -> None:
    assert scores.midas_grade(score) == grade


@pytest.mark.parametrize(("score", "band"), [(49, "little"), (50, "some"), (56, "substantial"), (60, "severe")])
def test_hit6_bands(score: int, band: str) -> None:
    assert scores.hit6_band(score) == band


def test_hit6_typing_error_is_beyond_the_scale(pen: Pen, visit: Visit) -> None:
    assert int(re.findall(r"\d+$", scores.beyond_scale(pen, visit)["valueString"])[0]) > 78


def test_blood_pressure_two_shapes(pen: Pen, visit: Visit) -> None:
    (panel,) = pressure_as_components(pen, visit, 120, 80)
    assert [c["valueQuantity"]["value"] for c in panel["component"]] == [120, 80]
    assert "valueQuantity" not in panel
    apart = pressure_as_two(pen, visit, 120, 80)
    assert [o["valueQuantity"]["value"] for o in apart] == [120, 80]
    assert apart[0]["effectiveDateTime"] == apart[1]["effectiveDateTime"]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        pytest.param("nkda", {"code": {"text": "NKDA"}}, id="NKDA in words"),
        pytest.param("penicillin", {"code": {"text": "Penicillins"}}, id="text only"),
        pytest.param("amitriptyline-text", {"type": "intolerance"}, id="intolerance"),
        pytest.param("topiramate", {"type": "allergy"}, id="intolerance as allergy"),
    ],
)
def test_allergy_lines(pen: Pen, key: str, expected: Json) -> None:
    written = allergy(pen, key, 100)
    assert {name: written[name] for name in expected} == expected


def test_allergy_no_known_is_coded(pen: Pen) -> None:
    (coding,) = allergy(pen, "none-known", 100)["code"]["coding"]
    assert (coding["system"], coding["code"]) == (codings.SNOMED, "716186003")


def test_allergy_local_number_has_only_a_vendor_code(pen: Pen) -> None:
    code = allergy(pen, "tape", 100)["code"]
    assert "text" not in code
    assert code["coding"][0]["system"].startswith("urn:oid:")


@pytest.mark.parametrize(
    ("key", "status"), [("penicillin-refuted", "refuted"), ("ibuprofen-error", "entered-in-error")]
)
def test_allergy_taken_back(pen: Pen, key: str, status: str) -> None:
    written = allergy(pen, key, 100)
    assert written["verificationStatus"]["coding"][0]["code"] == status
    assert ("clinicalStatus" in written) == (status != "entered-in-error")


def test_medication_writings_of_one_drug() -> None:
    topiramate = PRODUCTS["topiramate"]
    written = [practice.medication(1, TODAY, topiramate, kind)["code"] for kind in practice.writings(topiramate)]
    assert [c["system"] for c in written[0]["coding"]] == [codings.RXNORM, codings.NDC]
    assert "text" not in written[1]
    assert {"text": "Topamax 50 mg tab"} in written
    assert {"text": "TOPIRAMATE 50 MG TABS"} in written


def test_medication_without_verified_code_has_no_rxnorm() -> None:
    assert [c["system"] for c in practice.coded(PRODUCTS["rimegepant"])["coding"]] == [codings.NDC]


def test_ndc_numbers_are_unassigned_and_distinct() -> None:
    numbers = {practice.ndc_number(key) for key in PRODUCTS}
    assert len(numbers) == len(PRODUCTS)
    assert all(re.fullmatch(r"99999\d{6}", number) for number in numbers)


def test_supply_sometimes_cannot_be_computed() -> None:
    units = {supply(PRODUCTS["sumatriptan"], TODAY, random.Random(n))["quantity"].get("unit") for n in range(40)}
    assert {"Tablet", "box", None} <= units


def test_reported_drug_loses_its_prescriber_and_day() -> None:
    order = {"authoredOn": "2020-02-03", "requester": {}, "status": "active"}
    told = [reported_by_patient(order, dt.date(2020, 2, 3), random.Random(n)) for n in range(30)]
    assert {t.get("authoredOn") for t in told} == {"2020", "2020-02", None}
    assert all(t["reportedBoolean"] and "requester" not in t for t in told)


def test_future_order(pen: Pen) -> None:
    ahead = dated_in_the_future(pen, {"id": "x", "status": "completed", "authoredOn": "2026-01-01"})
    assert dt.date.fromisoformat(ahead["authoredOn"]) > TODAY
    assert ahead["id"] != "x"


def test_encounter_planned_in_the_past(pen: Pen) -> None:
    visit = encounters.planned_in_the_past(pen, 9, 90)
    assert visit.status == "planned"
    assert visit.on < TODAY
    written = encounters.encounter(pen, visit, random.Random(1))
    assert written["status"] == "planned"
    assert "end" not in written["period"]


def test_procedure_never_performed_has_only_the_reason(pen: Pen) -> None:
    written = procedures.never_performed(pen, "SPG block")
    assert "performedDateTime" not in written
    assert written["_performedDateTime"]["extension"][0]["valueCode"] == "not-performed"


def test_report_reading_inside_attachment_and_draft(pen: Pen) -> None:
    attached = conclusion_in_attachment("Normal.")
    assert attached["presentedForm"][0]["contentType"] == "text/plain"
    early = draft(pen, 0, {"id": "x", "status": "final", "identifier": [1], **attached})
    assert early["status"] == "preliminary"
    assert early["identifier"] == [1]
    assert "presentedForm" not in early


def test_odd_resources_keep_what_they_say() -> None:
    code = {"coding": [{"code": "x"}], "text": "name"}
    assert dirt.with_empty_string({"code": code})["code"] == {"coding": [{"code": "x"}], "text": ""}
    assert dirt.with_empty_string({"code": {"text": "NKDA"}}) == {"code": {"text": "NKDA"}, "language": ""}
    assert dirt.with_unknown_element({"id": "x"})["sourceChart"]


@pytest.mark.parametrize(
    ("write", "expected"),
    [
        pytest.param(dates.year_only, "2026", id="year"),
        pytest.param(dates.month_only, "2026-07", id="month"),
        pytest.param(dates.date_time, "2026-07-04T00:00:00-04:00", id="summer offset"),
    ],
)
def test_dates(write: Any, expected: str) -> None:
    assert write(dt.date(2026, 7, 4)) == expected


def test_ids_differ_by_seed_and_key() -> None:
    assert resource_id(1, "Patient", 1) != resource_id(2, "Patient", 1)
    assert resource_id(1, "Patient", 1, 11) != resource_id(1, "Patient", 11, 1)
    assert len(shared_prefix(1)) == 21


def read(name: str) -> list[dict[str, str]]:
    with (CODES / name).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_headache_diagnoses_match_the_official_tables() -> None:
    icd = {row["code"]: row["display"] for row in read("icd10cm_headache.csv")}
    snomed = {row["code"]: row["display"] for row in read("snomed_headache.csv")}
    for code, row in conditions.DIAGNOSES.items():
        if code[:3] in {"G43", "G44", "R51"}:
            assert icd[code] == row["display"]
        if row["snomed"]:
            assert snomed[row["snomed"]] == row["snomed_display"]


def test_icd9_remnants_match_the_final_edition() -> None:
    icd9 = {row["code"]: row["display"] for row in read("icd9cm_headache.csv")}
    assert all(icd9[code] == display for code, display in conditions.ICD9_OF.values())


def test_drug_codes_are_verified_ones() -> None:
    names = {row["rxcui"]: row["name"] for row in read("rxnorm_ingredients.csv") if row["rxcui"]}
    products = {row["rxcui"] for row in read("rxnorm_codes.csv")}
    for product in PRODUCTS.values():
        if product.rxnorm and product.rxnorm not in products:
            assert names[product.rxnorm] == product.rxnorm_display
    for line in LINES.values():
        if line.code and line.code[0] == codings.RXNORM:
            assert names[line.code[1]] == line.code[2]


def test_charts_all_dirt_reaches_the_practice() -> None:
    written = json.dumps([r for n in range(1, 41) for r in chart(n, seed=2, today=TODAY)])
    for sign in (
        "346.",
        "NKDA",
        "716186003",
        "entered-in-error",
        "botox",
        "not-performed",
        "1899-12-30",
        '"box"',
    ):
        assert sign in written, sign
