"""The server that follows US Core: parameters, windows, pages of the size asked for, links of every legal kind."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin, urlsplit

import pytest

from sandbox.__main__ import read_config
from sandbox.config import ConfigError, SandboxConfig
from tests.sandbox.app import App, Clock

SCOPES = [f"system/{kind}.rs" for kind in ("Patient", "Observation", "MedicationRequest", "Medication", "Appointment")]


def resource(kind: str, fhir_id: str, **members: Any) -> dict[str, Any]:
    return {"resourceType": kind, "id": fhir_id, **members}


def of(patient: str) -> dict[str, str]:
    return {"reference": f"Patient/{patient}"}


@pytest.fixture
def app(connect: Callable[..., App]) -> App:
    app = connect(mode="generic", page_size=3, client={"scopes": tuple(SCOPES)})
    charts = [resource("Patient", name, birthDate="1980-01-0" + name[-1], name=[{"family": "Doe", "given": ["J"]}])
              for name in ("p1", "p2")]  # fmt: skip
    charts += [
        resource("Observation", f"o{n}", subject=of(f"p{1 + n % 2}"), status="final",
                 category=[{"coding": [{"code": "survey" if n < 4 else "exam"}]}])
        for n in range(8)
    ]  # fmt: skip
    charts += [
        resource("Medication", "m1"),
        resource("MedicationRequest", "r1", subject=of("p1"), intent="order",
                 medicationReference={"reference": "Medication/m1"}),
        resource("MedicationRequest", "r2", subject=of("p1"), intent="plan"),
        resource("Appointment", "a1", status="booked", participant=[{"actor": of("p2")}]),
    ]  # fmt: skip
    assert app.web.post_json("/control/charts", charts).status == 200
    app.sign_in(*SCOPES)
    return app


def ids(bundle: Any, mode: str = "match") -> list[str]:
    return [entry["resource"]["id"] for entry in bundle.get("entry", []) if entry["search"]["mode"] == mode]


def following(app: App, path: str) -> tuple[list[str], list[str]]:
    """Ids over all pages, and the next links as they were written."""
    bundle = app.get(path).json
    found, links = ids(bundle), []
    base = f"http://127.0.0.1:{app.web.port}/fhir/r4/{app.practice}/"
    while link := next((each["url"] for each in bundle["link"] if each["relation"] == "next"), None):
        links.append(link)
        parts = urlsplit(urljoin(base, link))
        app_path = parts.path + (f"?{parts.query}" if parts.query else "")
        bundle = app.web.get(app_path, Authorization=f"Bearer {app.bearer}").json
        found += ids(bundle)
    return found, links


SEARCHES = [
    ("everybody's", "Patient", ["p1", "p2"]),
    ("a patient's", "Observation?patient=p1&_count=50", ["o0", "o2", "o4", "o6"]),
    ("a patient's, by reference", "Observation?patient=Patient/p1&_count=50", ["o0", "o2", "o4", "o6"]),
    ("a category", "Observation?patient=p1&category=exam", ["o4", "o6"]),
    ("several categories", "Observation?category=exam,survey&_count=50", [f"o{n}" for n in range(8)]),
    ("an intent", "MedicationRequest?patient=p1&intent=order,proposal", ["r1"]),
    ("a participant's appointments", "Appointment?patient=p2", ["a1"]),
    ("nobody's appointments", "Appointment?patient=p1", []),
    ("a person", "Patient?family=doe&birthdate=1980-01-02", ["p2"]),
    ("an id", "Patient?_id=p2", ["p2"]),
]


@pytest.mark.parametrize(("path", "found"), [row[1:] for row in SEARCHES], ids=[row[0] for row in SEARCHES])
def test_searches(app: App, path: str, found: list[str]) -> None:
    assert ids(app.get(path).json) == found


REFUSED = [
    ("unknown parameter", "Observation?patient=p1&_sort=date", 400),
    ("unknown type", "Claim?patient=p1", 404),
    ("no number", "Observation?_count=many", 400),
    ("no date", "Observation?_lastUpdated=yesterday", 400),
    ("scope not granted", "Condition?patient=p1", 403),
]


@pytest.mark.parametrize(("path", "status"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_refusals(app: App, path: str, status: int) -> None:
    answer = app.get(path)
    assert answer.status == status
    assert answer.json["resourceType"] == "OperationOutcome"


def test_pages_have_the_size_asked_for_and_links_of_every_kind(app: App) -> None:
    found, links = following(app, "Observation?_count=2")
    assert found == [f"o{n}" for n in range(8)]
    assert {("?" in link, link.startswith("http")) for link in links} == {(True, True), (False, True), (False, False)}
    assert len(following(app, "Observation")[1]) == 2  # three a page where nothing is asked for


def test_a_window_holds_what_changed_in_it(app: App, clock: Clock) -> None:
    before = clock.now
    clock.now += 200
    app.web.post_json("/control/charts", [resource("Observation", "o3", subject=of("p2"), status="amended")])

    def within(prefix: str, at: float) -> list[str]:
        edge = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return sorted(ids(app.get(f"Observation?_lastUpdated={prefix}{edge}&_count=50").json))

    others = [f"o{n}" for n in range(8) if n != 3]
    assert within("ge", before + 100) == within("gt", before + 100) == within("ge", clock.now) == ["o3"]
    assert within("le", before + 100) == within("lt", before + 100) == within("eq", before) == others
    assert within("gt", clock.now) == []


def test_what_is_included_says_so(app: App) -> None:
    bundle = app.get("MedicationRequest?patient=p1&_include=MedicationRequest:medication").json
    assert (ids(bundle), ids(bundle, "include")) == (["r1", "r2"], ["m1"])


def test_it_says_what_it_searches_by_and_tells_no_total(app: App) -> None:
    statement = app.get("metadata").json
    named = {
        each["type"]: [param["name"] for param in each["searchParam"]] for each in statement["rest"][0]["resource"]
    }
    assert "_lastUpdated" in named["Observation"]
    assert "Appointment" in named
    assert "total" not in app.get("Patient").json


FAULTS = [
    ("a parameter passed over", {"kind": "ignored-parameter"}, "Patient?_lastUpdated=gt2999-01-01", 200, 2),
    ("no search without a patient", {"kind": "population-refused"}, "Observation", 403, 0),
    ("another status", {"kind": "population-refused", "status": 400}, "Observation", 400, 0),
    ("with one it may", {"kind": "population-refused"}, "Observation?patient=p1&_count=9", 200, 4),
]


@pytest.mark.parametrize(
    ("order", "path", "status", "found"), [row[1:] for row in FAULTS], ids=[row[0] for row in FAULTS]
)
def test_what_it_may_be_ordered_not_to_do(app: App, order: Any, path: str, status: int, found: int) -> None:
    assert app.web.post_json("/control/faults", order | {"times": None}).status == 200
    answer = app.get(path)
    assert answer.status == status
    assert len(ids(answer.json)) == found


def test_a_link_may_run_out(app: App) -> None:
    app.web.post_json("/control/faults", {"kind": "expired-link", "match": {"nth": 2}})
    link = next(each["url"] for each in app.get("Observation").json["link"] if each["relation"] == "next")
    path = urlsplit(urljoin(f"http://127.0.0.1:{app.web.port}/fhir/r4/{app.practice}/", link))
    assert app.web.get(f"{path.path}?{path.query}", Authorization=f"Bearer {app.bearer}").status == 410


def test_generated_charts_have_appointments(connect: Callable[..., App]) -> None:
    app = connect(mode="generic", patients=3, client={"scopes": tuple(SCOPES)})
    app.sign_in(*SCOPES)
    assert ids(app.get("Appointment?_count=100").json)


def test_the_mode_is_one_of_two() -> None:
    assert read_config(["--mode", "generic"]).mode == "generic"
    with pytest.raises(ConfigError, match="mode"):
        SandboxConfig(mode="epic")
