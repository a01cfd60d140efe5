"""Search, paging and read: exact parameters, scopes, links on a foreign host, and nothing more."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.sandbox.app import Answer, App

Connect = Callable[..., App]
FOREIGN = "http://fhir4.eclinicalworks.com/fhir/r4/ABHEAD"
# Spaces, a trailing zero and an escape: what a rewrite of the JSON would lose.
ODD_TEXT = (
    '{ "resourceType":"Observation","id":"weight.1-a","subject":{"reference":"Patient/p1"},'
    '"category":[{"coding":[{"code":"vital-signs"},{"code":"exam"}]}],'
    '"valueQuantity":{"value":72.10},"note":[{"text":"caf\\u00e9"}]}'
)


def resource(resource_type: str, resource_id: str, **members: Any) -> str:
    return json.dumps({"resourceType": resource_type, "id": resource_id, **members})


def of(patient: str) -> dict[str, Any]:
    return {"subject": {"reference": f"Patient/{patient}"}}


def category(code: str) -> list[dict[str, Any]]:
    return [{"coding": [{"code": code}]}]


LINES = [
    resource("Patient", "p1", name=[{"family": "Ames", "given": ["Ada", "B"]}], birthDate="1980-01-02"),
    resource("Patient", "p2", name=[{"family": "Bell", "given": ["Bo"]}], birthDate="1990-03-04"),
    ODD_TEXT,
    resource("Observation", "lab", category=category("laboratory"), **of("p1")),
    resource("Observation", "other", category=category("laboratory"), **of("p2")),
    *[resource("Condition", f"c{n}", category=category("problem-list-item"), **of("p1")) for n in range(44)],
    resource("Condition", "visit", category=category("encounter-diagnosis"), **of("p1")),
    resource("CareTeam", "team", status="active", **of("p1")),
    resource("CareTeam", "old-team", status="inactive", **of("p1")),
    resource("CarePlan", "plan", category=category("assess-plan"), **of("p1")),
    resource("DocumentReference", "note", category=category("clinical-note"), **of("p1")),
    resource("DocumentReference", "scan", **of("p1")),
    resource("MedicationRequest", "rx", medicationReference={"reference": "Medication/m1"}, **of("p1")),
    resource("Medication", "m1"),
    resource("Coverage", "plan-b", beneficiary={"reference": "Patient/p1"}),
    resource("Appointment", "soon"),
]


@pytest.fixture
def folder(charts: Callable[[dict[str, str]], Path]) -> Path:
    return charts({"all.ndjson": "\n".join(LINES)})


@pytest.fixture
def app(connect: Connect, folder: Path) -> App:
    app = connect(data=(folder,), client={"scopes": SCOPES})
    app.sign_in(*SCOPES)
    return app


SCOPES = (
    "system/Patient.read",
    "system/Observation.rs",
    "system/Condition.read",
    "system/CareTeam.read",
    "system/CarePlan.read",
    "system/DocumentReference.read",
    "system/MedicationRequest.read",
    "system/Medication.read",
    "system/Coverage.r",
)


def ids(answer: Answer) -> list[str]:
    assert answer.status == 200, answer.body
    return [entry["resource"]["id"] for entry in answer.json.get("entry", [])]


def diagnostics(answer: Answer) -> str:
    assert answer.json["resourceType"] == "OperationOutcome"
    assert answer.headers["Content-Type"] == "application/json+fhir;charset=UTF-8"
    return answer.json["issue"][0]["diagnostics"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param("Patient?_id=p1", ["p1"], id="patient by id"),
        pytest.param("Patient?family=ames&given=ADA&birthdate=1980-01-02", ["p1"], id="patient by person"),
        pytest.param("Patient?birthdate=1980-01-03&family=Ames&given=Ada", [], id="another birth date"),
        pytest.param("Patient?family=Bell&given=Ada&birthdate=1980-01-02", [], id="another family"),
        pytest.param("Observation?patient=p1&category=laboratory", ["lab"], id="observations of a category"),
        pytest.param("Observation?category=exam&patient=p1", ["weight.1-a"], id="second category of two"),
        pytest.param("Observation?patient=p1&category=survey", [], id="category without any"),
        pytest.param("Condition?patient=p1&category=encounter-diagnosis", ["visit"], id="condition category"),
        pytest.param("CareTeam?patient=p1&status=active", ["team"], id="active care teams"),
        pytest.param("CarePlan?patient=p1&category=assess-plan", ["plan"], id="care plans"),
        pytest.param("DocumentReference?patient=p1", ["note", "scan"], id="documents"),
        pytest.param("DocumentReference?patient=p1&category=clinical-note", ["note"], id="clinical notes"),
        pytest.param("MedicationRequest?patient=p1", ["rx"], id="medication requests"),
        pytest.param("Coverage?patient=p1", ["plan-b"], id="beneficiary, scope of the read form only"),
        pytest.param("Condition?patient=nobody", [], id="unknown patient"),
    ],
)
def test_search_accepted(app: App, query: str, expected: list[str]) -> None:
    assert ids(app.get(query)) == expected


@pytest.mark.parametrize(
    ("query", "listed"),
    [
        ("Condition?patient=p1&_count=50", "patient,_count"),
        ("Condition?_sort=date&patient=p1", "_sort,patient"),
        ("Condition?patient=p1&_lastUpdated=gt2020", "patient,_lastUpdated"),
        ("MedicationRequest?patient=p1&_include=MedicationRequest:medication", "patient,_include"),
        ("MedicationRequest?patient=p1&status=active", "patient,status"),
        ("Condition?patient=p1&_elements=id", "patient,_elements"),
        ("Condition?patient=p1&patient=p2", "patient,patient"),
        ("Condition?subject=p1", "subject"),
        ("Observation?patient=p1", "patient"),
        ("CarePlan?patient=p1", "patient"),
        ("CareTeam?patient=p1", "patient"),
        ("Patient?family=Ames&birthdate=1980-01-02", "family,birthdate"),
        ("Patient?patient=p1", "patient"),
        ("Patient", ""),
        ("Medication?patient=p1", "patient"),
        ("Patient/p1?_format=json", "_format"),
    ],
)
def test_search_other_parameters_refused(app: App, query: str, listed: str) -> None:
    answer = app.get(query)
    assert answer.status == 400
    expected = f"Invalid request: Does not know how to handle get operation with parameter [{listed}]"
    assert diagnostics(answer) == expected


@pytest.mark.parametrize(
    "query",
    [
        "Observation?patient=p1&category=procedure",
        "Observation?patient=p1&category=laboratory,vital-signs",
        "Observation?patient=p1&category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory",
        "Condition?patient=Patient/p1",
        "Condition?patient=",
        "Patient?family=Ames&given=&birthdate=1980-01-02",
        "CareTeam?patient=p1&status=inactive",
        "Patient/p1/$everything",
        "Patient/p1/_history/1",
    ],
)
def test_search_other_values_and_operations_refused(app: App, query: str) -> None:
    answer = app.get(query)
    assert answer.status == 400
    assert diagnostics(answer).startswith("Invalid request: ")


def test_search_serves_the_text_as_loaded(app: App) -> None:
    answer = app.get("Observation?patient=p1&category=vital-signs")
    assert ODD_TEXT.encode() in answer.body
    assert app.get("Observation/weight.1-a").body == ODD_TEXT.encode()


def test_search_empty_has_no_entry_and_a_total(app: App) -> None:
    bundle = app.get("Observation?patient=p1&category=survey").json
    assert "entry" not in bundle
    assert bundle["total"] == 50
    assert bundle["type"] == "searchset"


def test_search_links_and_full_urls_are_on_another_host(app: App) -> None:
    answer = app.get("Condition?patient=p1")
    bundle = answer.json
    links = {link["relation"]: link["url"] for link in bundle["link"]}
    assert links["self"] == f"{FOREIGN}/Condition?patient=p1"
    assert links["next"].startswith(f"{FOREIGN}?_getpages=")
    assert links["next"].endswith("&page=2")
    assert bundle["entry"][0]["fullUrl"] == f"{FOREIGN}/Condition/c0"
    assert bundle["entry"][0]["search"] == {"mode": "match"}
    assert answer.headers["Content-Type"] == "application/json+fhir;charset=UTF-8"
    assert answer.headers["ETag"] is None


def test_paging_gives_every_resource_once(app: App) -> None:
    answer, seen, pages = app.get("Condition?patient=p1"), [], 0
    while True:
        seen += ids(answer)
        pages += 1
        links = {link["relation"]: link["url"] for link in answer.json["link"]}
        if "next" not in links:
            break
        answer = app.follow(links["next"])
    assert seen == [*[f"c{n}" for n in range(44)], "visit"]
    assert pages == 3
    assert links["previous"].endswith("&page=2")


def test_paging_page_may_be_asked_again(app: App) -> None:
    next_url = app.get("Condition?patient=p1").json["link"][1]["url"]
    assert ids(app.follow(next_url)) == ids(app.follow(next_url))


@pytest.mark.parametrize(
    ("change", "status"),
    [
        pytest.param(lambda query: query.replace("page=2", "page=9"), 400, id="page beyond the end"),
        pytest.param(lambda query: query.replace("page=2", "page=x"), 400, id="page not a number"),
        pytest.param(lambda query: query + "&_count=5", 400, id="with a count"),
        pytest.param(lambda query: "_getpages=unknown&page=2", 410, id="unknown result"),
        pytest.param(lambda query: "", 400, id="bare base"),
    ],
)
def test_paging_refused(app: App, change: Callable[[str], str], status: int) -> None:
    query = urlsplit(app.get("Condition?patient=p1").json["link"][1]["url"]).query
    answer = app.get("?" + change(query))
    assert answer.status == status
    assert diagnostics(answer)


def test_read_known_and_unknown(app: App) -> None:
    assert app.get("Medication/m1").json == {"resourceType": "Medication", "id": "m1"}
    assert app.get("Medication/M1").status == 404
    assert diagnostics(app.get("Medication/m9"))


@pytest.mark.parametrize("path", ["Appointment/soon", "Appointment?patient=p1", "Nonsense", "patient/p1"])
def test_type_not_in_the_plan_is_unknown(app: App, path: str) -> None:
    assert app.get(path).status == 404


@pytest.mark.parametrize(
    ("scope", "path", "status"),
    [
        ("system/Condition.read", "Condition?patient=p1", 200),
        ("system/Condition.rs", "Condition?patient=p1", 200),
        ("system/Condition.r", "Condition?patient=p1", 403),
        ("system/Condition.r", "Condition/c1", 200),
        ("system/Patient.read", "Condition?patient=p1", 403),
        ("system/Patient.read", "Condition/c1", 403),
    ],
)
def test_scope_checked_per_type(app: App, scope: str, path: str, status: int) -> None:
    app.sign_in(scope)
    assert app.get(path).status == status


def test_scope_checked_on_later_pages(app: App) -> None:
    next_url = app.get("Condition?patient=p1").json["link"][1]["url"]
    app.sign_in("system/Patient.read")
    assert app.follow(next_url).status == 403


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", "Basic {token}", "Bearer  {token}", "{token}"])
def test_bearer_required(app: App, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.format(token=app.bearer)}
    answer = app.web.get("/fhir/r4/ABHEAD/Patient/p1", **headers)
    assert answer.status == 401
    assert diagnostics(answer)
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_bearer_in_the_query_refused(app: App) -> None:
    assert app.web.get(f"/fhir/r4/ABHEAD/Patient/p1?access_token={app.bearer}").status == 401


def test_bearer_ends_after_its_life(app: App) -> None:
    app.clock.now += 299
    assert app.get("Patient/p1").status == 200
    app.clock.now += 1
    assert app.get("Patient/p1").status == 401


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
def test_writing_is_not_supported(app: App, method: str) -> None:
    answer = app.web.send(method, "/fhir/r4/ABHEAD/Patient/p1", Authorization=f"Bearer {app.bearer}")
    assert answer.status == 405


def test_accept_without_json_refused(app: App) -> None:
    bearer = f"Bearer {app.bearer}"
    answer = app.web.get("/fhir/r4/ABHEAD/Patient/p1", Authorization=bearer, Accept="application/fhir+xml")
    assert answer.status == 406


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 400),
        ("/fhir/r4", 400),
        ("/fhir/r4/", 400),
        ("/fhir/r4/metadata", 404),
        ("/fhir/r4/ZZZZZZ/metadata", 404),
        ("/fhir/r4/abhead/metadata", 404),
        ("/.well-known/smart-configuration", 404),
        ("/fhir/r4/ABHEAD/.well-known/openid-configuration", 401),
        ("/oauth/oauth2/userinfo", 404),
        ("/oauth/token", 404),
    ],
)
def test_paths_outside_the_practice(connect: Connect, path: str, status: int) -> None:
    answer = connect().web.get(path)
    assert answer.status == status
    assert diagnostics(answer)


def test_authorize_is_a_page_that_says_no(connect: Connect) -> None:
    answer = connect().web.get("/oauth/oauth2/authorize?response_type=code")
    assert answer.status == 400
    assert answer.headers["Content-Type"].startswith("text/html")


def test_discovery_smart_configuration(connect: Connect) -> None:
    app = connect()
    document = app.web.get("/fhir/r4/ABHEAD/.well-known/smart-configuration").json
    origin = f"http://127.0.0.1:{app.web.port}"
    assert document["issuer"] == f"{origin}/fhir/r4/ABHEAD"
    assert document["token_endpoint"] == app.token_url
    assert document["authorization_endpoint"] == f"{origin}/oauth/oauth2/authorize"
    assert document["code_challenge_methods_supported"] == ["S256"]
    assert "private_key_jwt" in document["token_endpoint_auth_methods_supported"]
    assert set(document["grant_types_supported"]) >= {"client_credentials", "authorization_code"}
    assert {"permission-v1", "permission-v2"} <= set(document["capabilities"])
    assert document["introspection_endpoint"] == f"{origin}/oauth/oauth2/introspect"
    assert document["revocation_endpoint"] == f"{origin}/oauth/oauth2/revoke"
    assert "management_endpoint" not in document
    assert urlsplit(document["jwks_uri"]).path == "/oauth/oauth2/jwks"
    (key,) = app.web.get(urlsplit(document["jwks_uri"]).path).json["keys"]
    assert set(key) == {"kty", "n", "e", "kid", "use"}


def test_discovery_scopes(connect: Connect) -> None:
    path = "/fhir/r4/ABHEAD/.well-known/smart-configuration"
    scopes = set(connect().web.get(path).json["scopes_supported"])
    assert {"system/Observation.read", "system/Observation.rs", "system/*.r", "launch/patient"} <= scopes
    assert {"system/Coverage.r", "patient/FamilyMemberHistory.read", "system/Group.read"} <= scopes
    assert not {"system/*.read", "system/*.rs", "online_access", "system/Coverage.read"} & scopes
    assert not any("Appointment" in scope for scope in scopes)


def test_metadata_names_another_tenant(connect: Connect) -> None:
    answer = connect().web.get("/fhir/r4/ABHEAD/metadata")
    statement = answer.json
    assert statement["resourceType"] == "CapabilityStatement"
    assert "ABHEAD" not in statement["url"]
    assert statement["fhirVersion"] == "4.0.1"
    types = {entry["type"]: entry for entry in statement["rest"][0]["resource"]}
    assert "Appointment" not in types
    assert [parameter["name"] for parameter in types["Observation"]["searchParam"]] == ["category", "patient"]


def test_every_answer_has_its_own_request_id(app: App) -> None:
    answers = [app.get("Patient/p1"), app.get("Nonsense"), app.web.get("/"), app.web.get("/control/ledger")]
    assert len({answer.headers["X-Request-Id"] for answer in answers}) == 4
    assert all(answer.headers["Date"] for answer in answers)
