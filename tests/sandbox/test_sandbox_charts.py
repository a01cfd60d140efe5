"""The generated practice as a whole: stable, whole, nearly all valid, and of the vendor's shape."""

import collections
import datetime as dt
import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

from sandbox.charts import chart, generate

Json = dict[str, Any]
TODAY = dt.date(2026, 11, 21)
SEED = 7
PATIENTS = 60
CATEGORIES = {"laboratory", "vital-signs", "social-history", "survey", "exam"}


@pytest.fixture(scope="module")
def practice() -> list[Json]:
    return generate(patients=PATIENTS, seed=SEED, today=TODAY)


def of(resources: list[Json], kind: str) -> list[Json]:
    return [resource for resource in resources if resource["resourceType"] == kind]


def walk(node: object) -> Iterator[Json]:
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from walk(value)
    elif isinstance(node, list):
        for value in node:
            yield from walk(value)


def owner(resource: Json) -> str | None:
    return (resource.get("subject") or resource.get("patient") or {}).get("reference")


def test_generate_same_arguments_same_practice(practice: list[Json]) -> None:
    assert generate(patients=PATIENTS, seed=SEED, today=TODAY) == practice


def test_generate_other_seed_other_patients_and_ids(practice: list[Json]) -> None:
    other = generate(patients=PATIENTS, seed=SEED + 1, today=TODAY)
    assert not {r["id"] for r in other} & {r["id"] for r in practice}
    names, others = ([p["name"][0]["family"] for p in of(x, "Patient")] for x in (practice, other))
    assert names[12:] != others[12:]


def test_generate_growing_practice_keeps_earlier_charts(practice: list[Json]) -> None:
    small = {json.dumps(r, sort_keys=True) for r in generate(patients=15, seed=SEED, today=TODAY)}
    assert small <= {json.dumps(r, sort_keys=True) for r in practice}


def test_generate_is_the_sum_of_its_charts(practice: list[Json]) -> None:
    charts = [r for number in range(1, PATIENTS + 1) for r in chart(number, seed=SEED, today=TODAY)]
    shared = {"Organization", "Practitioner", "Location", "Medication"}
    assert charts == [r for r in practice if r["resourceType"] not in shared]


def test_generate_no_patients_is_an_empty_practice() -> None:
    kinds = {r["resourceType"] for r in generate(patients=0, seed=1, today=TODAY)}
    assert kinds == {"Organization", "Practitioner", "Location"}


def test_generate_negative_number_refused() -> None:
    with pytest.raises(ValueError, match="must not be negative: -1"):
        generate(patients=-1, seed=1, today=TODAY)


def test_generate_speed_allows_five_thousand_patients_in_a_minute() -> None:
    began = time.process_time()
    generate(patients=100, seed=3, today=TODAY)
    assert (time.process_time() - began) * 50 < 60


@pytest.mark.parametrize("today", [dt.date(2024, 2, 29), dt.date(2027, 1, 1)], ids=str)
def test_generate_any_day(today: dt.date) -> None:
    resources = generate(patients=12, seed=SEED, today=today)
    born = {p["name"][0]["given"][0]: p["birthDate"] for p in of(resources, "Patient")}
    assert born["Mateo"] <= f"{today.year - 17}-{today:%m-%d}"


def test_practice_has_every_type(practice: list[Json]) -> None:
    assert {r["resourceType"] for r in practice} == {
        "AllergyIntolerance",
        "Condition",
        "DiagnosticReport",
        "DocumentReference",
        "Encounter",
        "Location",
        "Medication",
        "MedicationRequest",
        "Observation",
        "Organization",
        "Patient",
        "Practitioner",
        "Procedure",
        "QuestionnaireResponse",
    }


def test_appointments_only_where_booked(practice: list[Json]) -> None:
    booked = generate(patients=PATIENTS, seed=SEED, today=TODAY, booked=True)
    appointments = of(booked, "Appointment")
    assert {a["status"] for a in appointments} == {"booked", "cancelled", "noshow"}
    assert [r for r in booked if r["resourceType"] != "Appointment"] == practice
    for each in appointments:
        assert each["start"].endswith("Z")
        assert (each["start"][:10] >= "2026-11-21") == (each["status"] == "booked")
    assert {r["resourceType"] for r in booked if not valid(r)} <= {r["resourceType"] for r in booked if odd(r)}


PAGE = 50
PLAN = (
    "Patient", "AllergyIntolerance", "Condition", "MedicationRequest", "Encounter", "Procedure", "DiagnosticReport",
    "DocumentReference",
)  # fmt: skip
OBSERVATION_QUERIES = 7


def first_pull_calls(resources: list[Json]) -> int:
    """Calls of a first pull: each query of the plan with its pages, and each Medication once."""
    patients = len(of(resources, "Patient"))
    lists = collections.Counter(
        (owner(r), r["resourceType"], json.dumps(r["category"]) if r["resourceType"] == "Observation" else "")
        for r in resources
        if owner(r) and r["resourceType"] in {*PLAN, "Observation"}
    )
    further = sum((entries - 1) // PAGE for entries in lists.values())
    return patients * (len(PLAN) + OBSERVATION_QUERIES) + len(of(resources, "Medication")) + further


def test_cast_of_the_demo_is_pulled_within_one_minutes_calls() -> None:
    assert first_pull_calls(generate(patients=12, seed=2, today=TODAY)) <= 240


def test_practice_size_per_patient_is_believable() -> None:
    later = [r for n in range(13, 133) for r in chart(n, seed=SEED, today=TODAY)]
    assert 40 <= len(later) / 120 <= 60


def test_ids_are_unique_legal_long_and_share_a_prefix(practice: list[Json]) -> None:
    ids = [r["id"] for r in practice]
    assert len(set(ids)) == len(ids)
    assert all(re.fullmatch(r"[A-Za-z0-9\-.]{43}|[A-Za-z0-9\-.]{64}", i) for i in ids)
    prefixes = {i[:21] for i in ids}
    assert len(prefixes) == 1
    assert set(".-") <= set(prefixes.pop())
    lengths = collections.Counter(len(i) for i in ids)
    assert lengths[64] > 4 * lengths[43] > 0
    assert len({i.lower() for i in ids}) == len(ids)


def test_references_are_relative_and_resolve(practice: list[Json]) -> None:
    known = {f"{r['resourceType']}/{r['id']}" for r in practice}
    used = [node["reference"] for r in practice for node in walk(r) if "reference" in node]
    assert used
    assert set(used) <= known


def test_references_stay_within_one_chart(practice: list[Json]) -> None:
    home = {f"{r['resourceType']}/{r['id']}": owner(r) for r in practice if owner(r)}
    for resource in practice:
        for node in walk(resource):
            target = home.get(node.get("reference", ""))
            assert target in (None, owner(resource))


def test_meta_last_updated_everywhere_but_organization_and_never_a_version(practice: list[Json]) -> None:
    for resource in practice:
        meta = resource.get("meta", {})
        assert ("lastUpdated" in meta) == (resource["resourceType"] != "Organization")
        assert "versionId" not in meta
        assert meta.get("lastUpdated", "") < "2026-11-21"


def test_observations_carry_exactly_one_known_category(practice: list[Json]) -> None:
    seen = set()
    for resource in of(practice, "Observation"):
        ((category,),) = [[c["code"] for c in k["coding"]] for k in resource["category"]]
        seen.add(category)
    assert seen == CATEGORIES


def test_medication_requests_only_refer_to_medications(practice: list[Json]) -> None:
    for order in of(practice, "MedicationRequest"):
        assert order["medicationReference"]["reference"].startswith("Medication/")
        assert "medicationCodeableConcept" not in order
        assert all(set(sig) == {"text"} for sig in order["dosageInstruction"])
    users = collections.defaultdict(set)
    for order in of(practice, "MedicationRequest"):
        users[order["medicationReference"]["reference"]].add(order["subject"]["reference"])
    assert max(len(patients) for patients in users.values()) >= 5


def valid(resource: Json) -> bool:
    try:
        get_fhir_model_class(resource["resourceType"]).model_validate(resource)
    except ValidationError:
        return False
    return True


def odd(resource: Json) -> bool:
    return "sourceChart" in resource or '""' in json.dumps(resource)


def test_practice_is_valid_r4_but_for_a_few_odd_ones(practice: list[Json]) -> None:
    refused = [r for r in practice if not valid(r)]
    assert 0 < len(refused) <= 0.03 * len(practice)
    assert all(odd(r) for r in refused)


def test_people_are_fictional(practice: list[Json]) -> None:
    for patient in of(practice, "Patient"):
        for contact in patient["telecom"]:
            if contact["system"] == "phone":
                assert re.search(r"555-01\d\d$", contact["value"])
            else:
                assert contact["value"].endswith("@example.com")
        assert patient["address"][0]["postalCode"].startswith("000")


def test_names_have_accents_hyphens_and_double_surnames(practice: list[Json]) -> None:
    families = [patient["name"][0]["family"] for patient in of(practice, "Patient")]
    assert any(not name.isascii() for name in families)
    assert any("-" in name for name in families)
    assert any(" " in name for name in families)
    assert any("'" in name for name in families)


def rate(hits: int, of_all: int) -> float:
    return hits / max(1, of_all)


@pytest.mark.parametrize(
    ("kind", "test", "low", "high"),
    [
        pytest.param("Patient", lambda r: "deceasedDateTime" in r, 0.03, 0.35, id="day-zero deaths"),
        pytest.param("Patient", lambda r: not r["active"], 0.01, 0.25, id="inactive though living"),
        pytest.param("Patient", lambda r: len(r["name"]) == 2, 0.03, 0.35, id="former name second"),
        pytest.param("Encounter", lambda r: r["status"] == "planned", 0.04, 0.3, id="planned visits"),
        pytest.param("Encounter", lambda r: r["class"]["code"] == "EMER", 0.02, 0.2, id="emergency visits"),
        pytest.param("DiagnosticReport", lambda r: r["status"] == "preliminary", 0.02, 0.3, id="drafts of reports"),
        pytest.param("DocumentReference", lambda r: r["status"] == "superseded", 0.02, 0.3, id="superseded documents"),
        pytest.param("QuestionnaireResponse", lambda r: "total" in json.dumps(r).lower(), 0.2, 0.8, id="stated totals"),
        pytest.param(
            "Condition", lambda r: "clinicalStatus" not in r, 0.1, 0.6, id="conditions without clinicalStatus"
        ),
        pytest.param("Condition", lambda r: "onsetDateTime" not in r, 0.6, 0.99, id="conditions without onset"),
        pytest.param("Condition", lambda r: "encounter" in r, 0.4, 0.9, id="diagnoses per visit"),
        pytest.param("MedicationRequest", lambda r: r["status"] == "unknown", 0.03, 0.3, id="unknown status"),
        pytest.param(
            "MedicationRequest", lambda r: r["status"] == "entered-in-error", 0.005, 0.1, id="orders in error"
        ),
        pytest.param("MedicationRequest", lambda r: r.get("reportedBoolean"), 0.03, 0.3, id="reported by the patient"),
        pytest.param("MedicationRequest", lambda r: "dispenseRequest" in r, 0.3, 0.8, id="quantity in some orders"),
        pytest.param(
            "MedicationRequest",
            lambda r: r.get("authoredOn", "") > "2026-11-22",
            0.0005,
            0.05,
            id="future orders",
        ),
        pytest.param(
            "MedicationRequest",
            lambda r: len(r.get("authoredOn", "")) == 4,
            0.005,
            0.2,
            id="year-only orders",
        ),
        pytest.param("Observation", lambda r: "effectiveDateTime" not in r, 0.005, 0.1, id="observations without time"),
    ],
)
def test_dirt_occurs_in_its_share(practice: list[Json], kind: str, test: Any, low: float, high: float) -> None:
    resources = of(practice, kind)
    assert low <= rate(sum(bool(test(r)) for r in resources), len(resources)) <= high


def test_laboratory_results_are_strings_reached_through_reports(practice: list[Json]) -> None:
    labs = [r for r in of(practice, "Observation") if r["category"][0]["coding"][0]["code"] == "laboratory"]
    referred = {n["reference"] for r in of(practice, "DiagnosticReport") for n in walk(r.get("result", [])) if n}
    assert labs
    for lab in labs:
        assert re.fullmatch(r"\d+|Positive", lab["valueString"])
        assert f"Observation/{lab['id']}" in referred


def test_encounters_say_why_their_type_is_absent(practice: list[Json]) -> None:
    for encounter in of(practice, "Encounter"):
        (extension,) = encounter["type"][0]["extension"]
        assert extension["valueCode"] == "unknown"


def test_codes_are_never_invented_for_scores(practice: list[Json]) -> None:
    scores = re.compile(r"MIDAS|HIT-?6|Headache Impact|headache days|HA frequency|migraine days", re.IGNORECASE)
    found = 0
    for resource in of(practice, "Observation"):
        if scores.search(json.dumps(resource["code"])):
            found += 1
            assert not {c["system"] for c in resource["code"].get("coding", [])} & {"http://loinc.org"}
    assert found > 100
