"""Group export of the sandbox: strict at the kick-off, honest in the manifest, over with the DELETE."""

import gzip
import json
from email.utils import parsedate_to_datetime
from typing import Any

import pytest

from tests.sandbox.app import Answer, App

GROUP = "headache-patients"
SCOPES = ("system/Group.read", "system/Patient.read", "system/Condition.read", "system/Medication.read")
ASKED = {"Accept": "application/fhir+json", "Prefer": "respond-async"}


@pytest.fixture
def app(connect: Any) -> App:
    found = connect(client={"app_type": "backend-bulk"}, patients=2)
    found.sign_in(*SCOPES)
    found.web.post_json("/control/bulk", {"polls": 1, "lines": 30})
    return found


def ask(app: App, path: str, method: str = "GET", body: bytes | None = None, **headers: str) -> Answer:
    sent = {"Authorization": f"Bearer {app.bearer}", **headers}
    app.web.connection.request(method, f"/fhir/r4/{app.practice}/{path}", body, sent)
    answer = app.web.connection.getresponse()
    return Answer(answer.status, answer.headers, answer.read())


def kick_off(app: App, query: str = "_type=Patient,Condition", group: str = GROUP, **headers: str) -> Answer:
    return ask(app, f"Group/{group}/$export" + (f"?{query}" if query else ""), **(ASKED | headers))


def tail(url: str) -> str:
    """The path of a vendor's link below the base."""
    assert url.startswith("http://fhir4.eclinicalworks.com/fhir/r4/ABHEAD/")
    return url.partition("/ABHEAD/")[2]


def manifest(app: App, started: Answer) -> Any:
    place = tail(started.headers["Content-Location"])
    while (answer := ask(app, place, Accept="application/json")).status == 202:
        assert answer.headers["X-Progress"]
    assert answer.status == 200
    return answer.json


def test_export_gives_every_record_of_the_group_once(app: App) -> None:
    listed = manifest(app, kick_off(app))
    assert listed["requiresAccessToken"] is True
    assert listed["request"].endswith(f"/Group/{GROUP}/$export?_type=Patient,Condition")
    found = []
    for file in listed["output"]:
        answer = ask(app, tail(file["url"]), Accept_Encoding="identity")
        assert answer.headers["Content-Type"] == "application/fhir+ndjson"
        lines = answer.body.decode().splitlines()
        assert len(lines) == file["count"] <= 30
        rows = [json.loads(line) for line in lines]
        assert {row["resourceType"] for row in rows} == {file["type"]}
        found += [(row["resourceType"], row["id"]) for row in rows]
    held = app.web.get("/control/charts").json["resources"]
    assert sorted(found) == sorted((row[0], row[1]) for row in held if row[0] in ("Patient", "Condition"))
    assert {tuple(row[:2]) for row in app.web.get("/control/ledger").json["served"]} == set(found)
    assert len([file for file in listed["output"] if file["type"] == "Condition"]) >= 1


def test_files_come_compressed_for_who_takes_it(app: App) -> None:
    file = tail(manifest(app, kick_off(app))["output"][0]["url"])
    plain, packed = ask(app, file), ask(app, file, **{"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body


REFUSED = [
    pytest.param({"Prefer": "respond-sync"}, "", GROUP, 400, id="not-asynchronous"),
    pytest.param({"Accept": "application/json"}, "", GROUP, 406, id="another-accept"),
    pytest.param({}, "", "another", 401, id="unknown-group"),
    pytest.param({}, "_type=Patient&_type=Condition", GROUP, 400, id="type-twice"),
    pytest.param({}, "_type=Patient,Nonsense", GROUP, 404, id="unknown-type"),
    pytest.param({}, "_type=Encounter", GROUP, 403, id="type-without-scope"),
    pytest.param({}, "_since=yesterday", GROUP, 400, id="since-no-instant"),
    pytest.param({}, "_outputFormat=csv", GROUP, 400, id="another-format"),
    pytest.param({}, "_elements=id", GROUP, 400, id="unknown-parameter"),
]


@pytest.mark.parametrize(("headers", "query", "group", "status"), REFUSED)
def test_kick_off_is_refused(app: App, headers: dict[str, str], query: str, group: str, status: int) -> None:
    answer = kick_off(app, query, group, **headers)
    assert answer.status == status
    assert answer.json["resourceType"] == "OperationOutcome"
    assert app.web.get("/control/bulk").json["started"] == 0


def test_kick_off_by_post_takes_parameters(app: App) -> None:
    document = {"resourceType": "Parameters", "parameter": [{"name": "_type", "valueString": "Patient"}]}
    headers = ASKED | {"Content-Type": "application/fhir+json"}
    started = ask(app, f"Group/{GROUP}/$export", "POST", json.dumps(document).encode(), **headers)
    assert started.status == 202
    assert {file["type"] for file in manifest(app, started)["output"]} == {"Patient"}


def test_app_for_single_patients_may_not_export(connect: Any) -> None:
    single = connect(patients=1)
    single.sign_in("system/Patient.read")
    assert kick_off(single, "").status == 403


def test_one_export_at_a_time(app: App) -> None:
    app.web.post_json("/control/bulk", {"polls": 5})
    first, second = kick_off(app), kick_off(app)
    assert (first.status, second.status) == (202, 429)
    assert int(second.headers["Retry-After"]) >= 0


def test_retry_after_comes_in_both_forms(app: App) -> None:
    app.web.post_json("/control/bulk", {"polls": 5, "retry_after": 7})
    place = tail(kick_off(app).headers["Content-Location"])
    waits = [ask(app, place, Accept="application/json").headers["Retry-After"] for _ in range(2)]
    assert waits[0] == "7"
    assert parsedate_to_datetime(waits[1]).timestamp() == app.clock.now + 7


def test_deleted_export_is_not_known_any_more(app: App) -> None:
    started = kick_off(app)
    file = tail(manifest(app, started)["output"][0]["url"])
    place = tail(started.headers["Content-Location"])
    assert ask(app, place, "DELETE").status == 202
    assert [ask(app, each, Accept="application/json").status for each in (place, file)] == [404, 404]


def test_export_expires(app: App) -> None:
    started = kick_off(app)
    listed = manifest(app, started)
    app.clock.now += 3601
    app.sign_in(*SCOPES)
    assert ask(app, tail(listed["output"][0]["url"])).status == 404


def test_files_want_a_token(app: App) -> None:
    file = tail(manifest(app, kick_off(app))["output"][0]["url"])
    assert app.web.get(f"/fhir/r4/{app.practice}/{file}").status == 401


def test_since_brings_changes_and_deletions_alone(app: App) -> None:
    first = manifest(app, kick_off(app))
    ask(app, tail(first["output"][0]["url"]))
    held = [row for row in app.web.get("/control/charts").json["resources"] if row[0] == "Condition"]
    app.clock.now += 10
    app.web.send("DELETE", f"/control/charts/Condition/{held[0][1]}")
    patient = {"reference": f"Patient/{held[0][3]}"}
    app.web.post_json("/control/charts", [{"resourceType": "Condition", "id": "new-one", "subject": patient}])
    for each in (f"_type=Patient,Condition&_since={first['transactionTime']}",):
        listed = manifest(app, kick_off(app, each))
    (output,), (deleted,) = listed["output"], listed["deleted"]
    assert (output["type"], output["count"]) == ("Condition", 1)
    bundle = json.loads(ask(app, tail(deleted["url"])).body)
    assert bundle["entry"] == [{"request": {"method": "DELETE", "url": f"Condition/{held[0][1]}"}}]


SETTINGS = [
    pytest.param({"lines": 0}, id="no-lines"),
    pytest.param({"polls": -1}, id="negative"),
    pytest.param({"group": 5}, id="wrong-type"),
    pytest.param({"speed": 5}, id="unknown"),
]


@pytest.mark.parametrize("document", SETTINGS)
def test_senseless_settings_are_refused(app: App, document: dict[str, Any]) -> None:
    assert app.web.post_json("/control/bulk", document).status == 400


def test_faults_of_a_manifest_and_of_files(app: App) -> None:
    for order in (
        {"kind": "export-error", "match": {"path": "$export-poll", "nth": 2}, "type": "Condition"},
        {"kind": "bad-line", "match": {"path": "$export-file"}, "line": "array"},
    ):
        assert app.web.post_json("/control/faults", order).status == 200
    listed = manifest(app, kick_off(app))
    assert {file["type"] for file in listed["output"]} == {"Patient"}
    (error,) = listed["error"]
    assert b"[1, 2]" in ask(app, tail(listed["output"][0]["url"])).body
    issue = json.loads(ask(app, tail(error["url"])).body)["issue"][0]
    assert issue["severity"] == "error"


def test_files_without_a_token_refuse_one(app: App) -> None:
    app.web.post_json("/control/faults", {
        "kind": "foreign-file", "match": {"path": "$export-poll", "nth": 2}, "token": False, "type": "Condition",
    })  # fmt: skip
    listed = manifest(app, kick_off(app))
    assert listed["requiresAccessToken"] is False
    (patients,) = [file for file in listed["output"] if file["type"] == "Patient"]
    assert ask(app, tail(patients["url"])).status == 400
    assert app.web.get(f"/fhir/r4/{app.practice}/{tail(patients['url'])}").status == 200
