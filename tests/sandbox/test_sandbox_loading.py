"""Loading charts, and the list of what cannot be served."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sandbox.server import Sandbox
from tests.sandbox.app import App

Connect = Callable[..., App]
Charts = Callable[[dict[str, str]], Path]
Start = Callable[..., Sandbox]
SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


def resource(resource_type: str, resource_id: str | None = "x", **members: Any) -> dict[str, Any]:
    identity = {} if resource_id is None else {"id": resource_id}
    return {"resourceType": resource_type, **identity, **members}


def subject(reference: str) -> dict[str, Any]:
    return {"subject": {"reference": reference}}


PATIENT = resource("Patient", "p1")
OF_P1 = subject("Patient/p1")
LAB = {"category": [{"coding": [{"code": "laboratory"}]}]}


def ndjson(*documents: dict[str, Any]) -> str:
    return "\n".join(json.dumps(document) for document in documents)


def reasons(sandbox: Sandbox) -> dict[tuple[str | None, str | None], str]:
    return {(item.resource_type, item.id): item.reason for item in sandbox.state.unservable()}


REASONS: list[tuple[str, dict[str, Any], str]] = [
    ("type unknown", resource("Appointment"), "the type is not in the query plan"),
    ("id missing", resource("Condition", None, **OF_P1), "its id is missing or not valid"),
    ("id invalid", resource("Condition", "a_b", **OF_P1), "its id is missing or not valid"),
    ("no patient", resource("Condition"), "it names no patient"),
    (
        "patient not loaded",
        resource("Condition", **subject("Patient/p9")),
        "its patient is not in the data",
    ),
    (
        "subject contained",
        resource("Condition", **subject("#p")),
        "its subject is a resource contained in it",
    ),
    (
        "subject a group",
        resource("Condition", **subject("Group/g")),
        "its subject is a Group, not a Patient",
    ),
    (
        "urn of no Bundle",
        resource("Condition", **subject("urn:uuid:1")),
        "its patient reference cannot be resolved",
    ),
    (
        "observation without category",
        resource("Observation", **OF_P1),
        "it has no category that a search accepts (its codes: none)",
    ),
    (
        "observation of another category",
        resource("Observation", category=[{"coding": [{"code": "procedure"}]}], **OF_P1),
        "it has no category that a search accepts (its codes: procedure)",
    ),
    (
        "care team not active",
        resource("CareTeam", status="proposed", **OF_P1),
        "searches ask for status active, this is proposed",
    ),
    ("medication nobody refers to", resource("Medication"), "nothing servable refers to it"),
]


@pytest.mark.parametrize(("loaded", "reason"), [case[1:] for case in REASONS], ids=[case[0] for case in REASONS])
def test_unservable_reason(start: Start, charts: Charts, loaded: dict[str, Any], reason: str) -> None:
    sandbox = start(data=(charts({"all.ndjson": ndjson(PATIENT, loaded)}),))
    assert reasons(sandbox) == {(loaded["resourceType"], loaded.get("id")): reason}


SERVABLE: list[tuple[str, list[dict[str, Any]]]] = [
    ("subject", [resource("Condition", **OF_P1)]),
    ("patient", [resource("AllergyIntolerance", patient={"reference": "Patient/p1"})]),
    ("beneficiary", [resource("Coverage", beneficiary={"reference": "Patient/p1"})]),
    ("absolute reference", [resource("Condition", **subject("https://ehr.example/fhir/Patient/p1"))]),
    ("versioned reference", [resource("Condition", **subject("Patient/p1/_history/3"))]),
    ("category an object", [resource("Observation", category=LAB["category"][0], **OF_P1)]),
    (
        "read by reference",
        [
            resource("MedicationRequest", medicationReference={"reference": "Medication/m"}, **OF_P1),
            resource("Medication", "m", manufacturer={"reference": "Organization/o"}),
            resource("Organization", "o"),
        ],
    ),
    (
        "result and member observations",
        [
            resource("DiagnosticReport", "r", result=[{"reference": "Observation/a"}], **OF_P1),
            resource("Observation", "a", hasMember=[{"reference": "Observation/b"}], **OF_P1),
            resource("Observation", "b", **OF_P1),
        ],
    ),
    (
        "observations that refer to each other",
        [
            resource("Observation", "a", hasMember=[{"reference": "Observation/b"}], **LAB, **OF_P1),
            resource("Observation", "b", hasMember=[{"reference": "Observation/a"}], **OF_P1),
        ],
    ),
]


@pytest.mark.parametrize("loaded", [case[1] for case in SERVABLE], ids=[case[0] for case in SERVABLE])
def test_servable(start: Start, charts: Charts, loaded: list[dict[str, Any]]) -> None:
    sandbox = start(data=(charts({"all.ndjson": ndjson(PATIENT, *loaded)}),))
    assert reasons(sandbox) == {}


def test_unservable_medication_of_an_unservable_request(start: Start, charts: Charts) -> None:
    request = resource("MedicationRequest", "r", medicationReference={"reference": "Medication/m"})
    sandbox = start(data=(charts({"all.ndjson": ndjson(request, resource("Medication", "m"))}),))
    assert reasons(sandbox) == {
        ("MedicationRequest", "r"): "it names no patient",
        ("Medication", "m"): "nothing servable refers to it",
    }


def test_unservable_practitioner_named_by_urn_only(start: Start, charts: Charts) -> None:
    patient = resource("Patient", "p1", generalPractitioner=[{"reference": "urn:uuid:doc"}])
    bundle = resource(
        "Bundle",
        None,
        entry=[{"resource": patient}, {"fullUrl": "urn:uuid:doc", "resource": resource("Practitioner", "d")}],
    )
    sandbox = start(data=(charts({"bundle.json": json.dumps(bundle)}),))
    assert reasons(sandbox) == {
        ("Practitioner", "d"): "only absolute or urn references name it, and a client cannot read those"
    }


def test_duplicate_id_keeps_the_first(start: Start, charts: Charts) -> None:
    first, second = resource("Patient", "p1", active=True), resource("Patient", "p1", active=False)
    sandbox = start(data=(charts({"a.ndjson": ndjson(first, first, second)}),))
    assert [(item.id, item.reason, item.source) for item in sandbox.state.unservable()] == [
        ("p1", "duplicate id: a.ndjson:1 has the same text", "a.ndjson:2"),
        ("p1", "duplicate id: a.ndjson:1 has another text", "a.ndjson:3"),
    ]
    assert sandbox.state.charts.get(("Patient", "p1")).raw == json.dumps(first).encode()  # type: ignore[union-attr]


def test_broken_files_and_lines_are_reported_and_the_rest_is_served(start: Start, charts: Charts) -> None:
    folder = charts(
        {
            "a.ndjson": f"\n{json.dumps(PATIENT)}\n{{broken\n[]\n",
            "nan.json": '{"resourceType":"Condition","id":"c","value":NaN}',
            "package.json": '{"name":"not fhir"}',
            "deep.json": "[" * 100_000,
            "readme.txt": "ignored",
        }
    )
    (folder / "bytes.json").write_bytes(b"\xff\xfe\x00")
    sandbox = start(data=(folder,))
    assert len(sandbox.state.charts) == 1
    found = {item.source: item.reason.split(":")[0] for item in sandbox.state.unservable()}
    assert found == {
        "a.ndjson:3": "not JSON",
        "a.ndjson:4": "not a FHIR resource",
        "bytes.json": "unreadable file",
        "deep.json": "not JSON",
        "nan.json": "not JSON",
        "package.json": "not a FHIR resource",
    }


def test_bundle_urns_are_resolved_whatever_the_order(connect: Connect, charts: Charts) -> None:
    bundle = resource(
        "Bundle",
        None,
        entry=[
            {"resource": resource("Observation", "o", **LAB, **subject("urn:uuid:p"))},
            {"fullUrl": "urn:uuid:p", "resource": PATIENT},
            {"request": {"method": "DELETE"}},
        ],
    )
    folder = charts({"deep/down/bundle.json": json.dumps(bundle)})
    app = connect(data=(folder,))
    app.sign_in("system/Observation.read")
    answer = app.get("Observation?patient=p1&category=laboratory").json
    assert [entry["resource"]["id"] for entry in answer["entry"]] == ["o"]
    unservable = app.web.get("/control/unservable").json["unservable"]
    assert [item["reason"] for item in unservable] == ["Bundle entry without a resource"]


def test_single_file_keeps_its_layout(connect: Connect, charts: Charts) -> None:
    text = json.dumps(PATIENT, indent=4)
    app = connect(data=(charts({"patient.json": f"\ufeff{text}\n"}),))
    app.sign_in("system/Patient.read")
    assert app.get("Patient/p1").body == text.encode()


def test_line_separator_inside_a_text_does_not_end_a_line(start: Start, charts: Charts) -> None:
    line = json.dumps(resource("Patient", "p1", text={"status": "a\u2028b"}), ensure_ascii=False)
    sandbox = start(data=(charts({"a.ndjson": line}),))
    assert sandbox.state.unservable() == []


def test_generated_charts_are_the_same_for_a_seed(start: Start) -> None:
    texts = [[item.raw for item in start(patients=2, seed=seed).state.charts.all()] for seed in (5, 5, 6)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.shared_data
@pytest.mark.parametrize(
    ("name", "patients", "unreachable"),
    [
        ("cohort-migraine", 13, {("Observation", "0cddb2cd-452b-45c4-8e5c-24aee303449b")}),
        ("r4-examples-clinical", 22, {("Observation", "herd1"), ("Appointment", "example")}),
        ("us-core-examples", 4, {("Organization", "saint-luke-w-endpoint"), ("Library", "USCore-ModelInfo")}),
    ],
)
def test_shared_folder_loads(start: Start, name: str, patients: int, unreachable: set[tuple[str, str]]) -> None:
    folder = SHARED / name
    if not folder.is_dir():
        pytest.skip(f"{name} does not lie beside the repository")
    sandbox = start(data=(folder,))
    assert len(sandbox.state.charts.patients()) == patients
    assert unreachable <= reasons(sandbox).keys()
    assert len(sandbox.state.unservable()) < len(sandbox.state.charts) / 2
