"""DiagnosticReport bodies beside the report a clinician should read."""

from datetime import date
from typing import Any

import pytest

from patients.projection import reports
from patients.projection.chart import Chart
from patients.projection.facts import Fact
from tests.projection.bodies import LOINC, V2_0074, coded, received, report

LAB = [coded(V2_0074, "LAB")]


def read(**elements: Any) -> list[Fact]:
    return list(reports.read(received(report(**elements)), Chart()))


def test_report_of_the_head() -> None:
    (fact,) = read()
    assert (fact.kind, fact.title, fact.status) == ("report", "MRI BRAIN W/WO CONTRAST", "final")
    assert (fact.group, fact.about_headache) == ("imaging", True)
    assert (fact.code, fact.system) == ("24590-2", LOINC)
    assert (fact.dated.on, fact.dated.meaning) == (date(2023, 2, 3), "examined")
    assert fact.detail == {
        "category": "Radiology",
        "conclusion": "Normal MRI of the brain.",
        "attachments": 1,
        "attached": "text/plain",
        "by": "Dr. Ray",
        "issued": "2023-02-04",
        "modality": "MRI",
        "region": "brain",
        "recognised_by": "code",
    }


@pytest.mark.parametrize(
    ("category", "code", "group", "about", "region"),
    [
        pytest.param("RAD", {"text": "CT HEAD W/O CONTRAST - ED"}, "imaging", True, "brain", id="CT head by name"),
        pytest.param("RAD", {"text": "MRI C-SPINE"}, "imaging", True, "cervical spine", id="cervical spine"),
        pytest.param("RAD", {"text": "XR CHEST 2V"}, "imaging", False, "", id="another part of the body"),
        pytest.param("", {"text": "Brain MRI with and without"}, "imaging", True, "brain", id="no category"),
        pytest.param("LAB", {"text": "CT/NG NAA, cervical"}, "laboratory", False, "", id="a laboratory test called CT"),
        pytest.param("LP29684-5", {"text": "US thyroid"}, "imaging", False, "", id="the LOINC class for radiology"),
        pytest.param("LAB", {"text": "Basic Metabolic Panel"}, "laboratory", False, "", id="panel"),
        pytest.param("CH", {"text": "ESR"}, "laboratory", False, "", id="chemistry"),
        pytest.param("LP29708-2", {"text": "ECG 12 lead"}, "", False, "", id="cardiology"),
    ],
)
def test_report_groups(category: str, code: Any, group: str, about: bool, region: str) -> None:
    (fact,) = read(category=[coded("", category)] if category else None, code=code)
    assert (fact.group, fact.about_headache, fact.detail.get("region", "")) == (group, about, region)


def test_report_that_only_bundles_results_is_laboratory() -> None:
    (fact,) = read(category=None, code={"text": "Lipids"}, result=[{"reference": "Observation/1"}])
    assert (fact.group, fact.detail["results"]) == ("laboratory", 1)


@pytest.mark.parametrize(
    ("code", "title"),
    [
        pytest.param(coded(LOINC, "24725-4"), "CT head", id="a code of our table"),
        pytest.param(coded(LOINC, "47527-7"), "Code 47527-7 (no words in the record)", id="another code"),
        pytest.param("CT HEAD", "CT HEAD", id="a string"),
        pytest.param(None, "Not named in the record", id="none"),
    ],
)
def test_report_titles(code: Any, title: str) -> None:
    (fact,) = read(code=code)
    assert fact.title == title


@pytest.mark.parametrize(
    ("elements", "on", "meaning"),
    [
        pytest.param({"category": LAB, "code": {"text": "BMP"}}, date(2023, 2, 3), "collected", id="laboratory"),
        pytest.param({"effectiveDateTime": None}, date(2023, 2, 4), "issued", id="only issued"),
        pytest.param(
            {"effectiveDateTime": None, "effectivePeriod": {"start": "2023-01"}},
            date(2023, 1, 1),
            "examined",
            id="period",
        ),
        pytest.param({"effectiveDateTime": "1899-12-30", "issued": None}, None, "", id="zero date"),
    ],
)
def test_report_dates(elements: dict[str, Any], on: date | None, meaning: str) -> None:
    (fact,) = read(**elements)
    assert (fact.dated.on, fact.dated.meaning) == (on, meaning)


def test_report_that_is_not_final_says_so() -> None:
    (fact,) = read(status="preliminary")
    assert (fact.status, fact.detail["not_final"]) == ("preliminary", True)


def standing(*bodies: dict[str, Any]) -> tuple[list[str], set[str]]:
    """(ids whose report is shown, ids that another stands for)."""
    everything = [received(body) for body in bodies]
    gone, told = reports.replaced(everything)
    chart = Chart(replaced=gone, versions=told)
    shown = [body["id"] for body in everything if list(reports.read(body, chart))]
    return shown, {key.partition("/")[2] for key in gone}


DRAFT = report("draft", status="preliminary", issued="2023-02-05T10:00:00Z")
FINAL = report("final")
AMENDED = report("amended", status="amended", issued="2023-02-09T10:00:00Z")
CORRECTED = report("corrected", status="corrected", issued="2023-02-08T10:00:00Z")
OTHER_ID = [{"system": "urn:other", "value": "R1-0"}]


@pytest.mark.parametrize(
    ("bodies", "shown"),
    [
        pytest.param([DRAFT, FINAL], ["final"], id="final over a later draft"),
        pytest.param([FINAL, AMENDED, CORRECTED], ["amended"], id="the latest correction"),
        pytest.param([AMENDED, FINAL], ["amended"], id="whatever the order"),
        pytest.param([DRAFT], ["draft"], id="a draft alone stays"),
        pytest.param(
            [FINAL, report("void", status="entered-in-error", issued="2024-01-01")], ["final"], id="one in error"
        ),
        pytest.param([FINAL, report("off", status="cancelled", issued="2024-01-01")], ["final"], id="one cancelled"),
        pytest.param([FINAL, report("b", identifier=OTHER_ID)], ["final", "b"], id="another system's number"),
        pytest.param([FINAL, report("b", code={"text": "MRA HEAD"})], ["final", "b"], id="one accession, two studies"),
        pytest.param([report("a", identifier=None), report("b", identifier=None)], ["a", "b"], id="no identifiers"),
        pytest.param([FINAL, report("same", status="amended")], ["same"], id="amended at the same moment"),
    ],
)
def test_report_versions(bodies: list[dict[str, Any]], shown: list[str]) -> None:
    assert standing(*bodies)[0] == shown


def test_report_tells_what_it_stands_for() -> None:
    _, told = reports.replaced([received(DRAFT), received(FINAL)])
    assert told == {"DiagnosticReport/final": [{"status": "preliminary", "date": "2023-02-05"}]}
