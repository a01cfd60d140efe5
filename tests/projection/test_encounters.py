"""Encounter bodies beside the visit a clinician should read."""

from datetime import date
from typing import Any

import pytest

from patients.projection import encounters
from patients.projection.chart import Chart
from patients.projection.facts import Fact
from tests.projection.bodies import ACT_CODE, ICD10, SNOMED, coded, encounter, received


def read(**elements: Any) -> list[Fact]:
    return list(encounters.read(received(encounter(**elements)), Chart()))


def test_encounter_as_eclinicalworks_sends_it() -> None:
    (fact,) = read()
    assert (fact.kind, fact.title, fact.status, fact.group) == ("visit", "HA f/u", "finished", "ambulatory")
    assert (fact.dated.on, fact.dated.precision, fact.dated.meaning) == (date(2024, 5, 6), "time", "visit")
    assert fact.end_date == date(2024, 5, 6)
    assert fact.about_headache
    assert fact.detail == {
        "class": "ambulatory",
        "reason": "HA f/u",
        "reason_class": "symptom/unspecified",
        "headache_by": "reason",
        "attended": "yes",
        "at": "2024-05-06T09:00:00-04:00",
        "until": "2024-05-06T09:25:00-04:00",
    }


def act(code: str) -> dict[str, str]:
    return {"system": ACT_CODE, "code": code}


@pytest.mark.parametrize(
    ("elements", "group"),
    [
        pytest.param({"class": act("EMER")}, "emergency", id="class EMER"),
        pytest.param({"class": {"code": "emergency"}}, "emergency", id="the word instead of the code"),
        pytest.param(
            {"type": [coded(SNOMED, "50849002", "Emergency room admission (procedure)")]},
            "emergency",
            id="ambulatory, but its type says emergency",
        ),
        pytest.param({"type": [{"text": "ED visit"}]}, "emergency", id="ED visit"),
        pytest.param({"location": [{"location": {"display": "Emergency Department"}}]}, "emergency", id="by its place"),
        pytest.param({"type": [{"text": "ED follow-up visit"}]}, "ambulatory", id="follow-up of one"),
        pytest.param({"reasonCode": [{"text": "seen in ED last week"}]}, "ambulatory", id="an earlier one as reason"),
        pytest.param(
            {"class": act("IMP"), "classHistory": [{"class": act("EMER")}, {"class": act("IMP")}]},
            "emergency",
            id="admitted through it",
        ),
        pytest.param(
            {"class": act("IMP"), "hospitalization": {"admitSource": {"coding": [{"code": "emd"}]}}},
            "emergency",
            id="admit source",
        ),
        pytest.param({"class": act("IMP")}, "inpatient", id="inpatient"),
        pytest.param({"class": act("OBSENC")}, "observation", id="observation"),
        pytest.param({"class": act("VR")}, "virtual", id="virtual"),
        pytest.param({"reasonCode": [{"text": "telehealth - HA check"}]}, "virtual", id="video, by its reason"),
        pytest.param({"type": [{"text": "Urgent care visit"}]}, "urgent-care", id="urgent care"),
        pytest.param({"class": [coded(ACT_CODE, "EMER")]}, "emergency", id="a list of concepts, as in R5"),
        pytest.param({"class": {"code": "XYZ", "display": "Camp"}}, "", id="a class we do not know"),
        pytest.param({"class": None}, "", id="none"),
    ],
)
def test_encounter_groups(elements: dict[str, Any], group: str) -> None:
    (fact,) = read(**elements)
    assert fact.group == group


@pytest.mark.parametrize(
    ("elements", "about", "headache"),
    [
        pytest.param({"reasonCode": [coded(ICD10, "G43.709")]}, True, "migraine/chronic", id="by code"),
        pytest.param({"reasonCode": [{"text": "migraine eval"}]}, True, "migraine/unspecified", id="in words"),
        pytest.param({"reasonCode": [{"text": "HAs x 3 days"}]}, True, "symptom/unspecified", id="HA"),
        pytest.param({"reasonCode": [{"text": "denies HA"}]}, False, "", id="denied"),
        pytest.param({"reasonCode": [{"text": "had labs"}]}, False, "", id="ha inside another word"),
        pytest.param({"reasonCode": [{"text": "med check"}]}, False, "", id="another reason"),
        pytest.param(
            {"reasonCode": None, "reasonReference": [{"display": "Cluster headache"}]},
            True,
            "tac/cluster",
            id="reference",
        ),
        pytest.param(
            {"reasonCode": None, "type": [{"text": "Headache consult"}]}, True, "symptom/unspecified", id="its type"
        ),
    ],
)
def test_encounter_about_headache(elements: dict[str, Any], about: bool, headache: str) -> None:
    (fact,) = read(**elements)
    assert (fact.about_headache, fact.detail.get("reason_class", "")) == (about, headache)


@pytest.mark.parametrize(
    ("elements", "attended", "meaning", "no_show"),
    [
        pytest.param({"status": "finished"}, "yes", "visit", None, id="finished"),
        pytest.param({"status": "planned"}, None, "planned", None, id="planned, whenever that was"),
        pytest.param({"status": "cancelled"}, "no", "visit", None, id="cancelled"),
        pytest.param(
            {"status": "cancelled", "reasonCode": [{"text": "NO SHOW - HA f/u"}]},
            "no",
            "visit",
            True,
            id="no-show, cancelled",
        ),
        pytest.param(
            {"status": "finished", "type": [{"text": "No-show"}]}, "no", "visit", True, id="no-show, called finished"
        ),
        pytest.param({"status": "unknown"}, None, "visit", None, id="unknown"),
    ],
)
def test_encounter_status(elements: dict[str, Any], attended: Any, meaning: str, no_show: Any) -> None:
    (fact,) = read(**elements)
    assert fact.status == elements["status"]
    assert (fact.detail.get("attended"), fact.dated.meaning, fact.detail.get("no_show")) == (attended, meaning, no_show)


def test_encounter_entered_in_error_is_none() -> None:
    assert read(status="entered-in-error") == []


@pytest.mark.parametrize(
    ("elements", "title"),
    [
        pytest.param({"type": [{"text": "New patient"}]}, "New patient", id="type"),
        pytest.param({"reasonCode": None}, "Ambulatory visit", id="class"),
        pytest.param({"reasonCode": None, "class": None}, "Not named in the record", id="nothing"),
        pytest.param(
            {"type": [coded("urn:local", "17")], "reasonCode": None}, "Code 17 (no words in the record)", id="bare code"
        ),
    ],
)
def test_encounter_titles(elements: dict[str, Any], title: str) -> None:
    (fact,) = read(**elements)
    assert fact.title == title


def test_encounter_with_a_headache_diagnosis_recorded_at_it() -> None:
    body = received(encounter(reasonCode=[{"text": "med check"}]))
    (fact,) = encounters.read(body, Chart(headache_visits=frozenset({"e1"})))
    assert fact.about_headache
    assert fact.detail["headache_by"] == "diagnosis recorded at this visit"


def test_encounter_with_the_zero_date_is_undated() -> None:
    (fact,) = read(period={"start": "1899-12-30T00:00:00-05:00"})
    assert (fact.dated.on, "at" in fact.detail) == (None, False)
