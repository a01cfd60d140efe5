"""Procedure bodies beside what a clinician should read."""

from datetime import date
from typing import Any

import pytest

from patients.projection import procedures
from patients.projection.chart import Chart
from patients.projection.facts import Fact
from tests.projection.bodies import ABSENT, CPT, HCPCS, ICD10, coded, procedure, received


def read(**elements: Any) -> list[Fact]:
    return list(procedures.read(received(procedure(**elements)), Chart()))


def test_procedure_toxin_session_as_billed() -> None:
    (fact,) = read()
    assert (fact.kind, fact.title, fact.status) == ("procedure", "Botox 155 U, 31 sites", "completed")
    assert (fact.group, fact.about_headache, fact.code) == ("botox-procedure", True, "64615")
    assert (fact.dated.on, fact.dated.meaning) == (date(2024, 5, 6), "performed")
    assert fact.detail["also"] == ["botox-drug"]
    assert fact.detail["by"] == "Okonkwo, Adaeze MD"
    assert fact.detail["other_codes"] == [{"system": HCPCS, "code": "J0585"}]


@pytest.mark.parametrize(
    ("code", "group", "about"),
    [
        pytest.param(coded(CPT, "64405"), "nerve-block", True, id="occipital block by code"),
        pytest.param({"text": "GONB bilat, lido/bupi"}, "nerve-block", True, id="in its shorthand"),
        pytest.param(coded(CPT, "70551"), "imaging", True, id="MRI brain"),
        pytest.param(coded(HCPCS, "J0585"), "botox-drug", True, id="the drug alone"),
        pytest.param({"text": "Botox for bladder"}, "other-toxin", False, id="toxin for another use"),
        pytest.param({"text": "12 lead ECG"}, "ecg", False, id="ECG"),
        pytest.param({"text": "Appendectomy"}, "", False, id="another procedure"),
    ],
)
def test_procedure_groups(code: Any, group: str, about: bool) -> None:
    (fact,) = read(code=code)
    assert (fact.group, fact.about_headache) == (group, about)


def test_procedure_for_a_headache() -> None:
    (fact,) = read(code={"text": "Trigger point injection"}, reasonCode=[coded(ICD10, "G43.709")])
    assert (fact.group, fact.about_headache) == ("trigger-point", True)
    assert fact.detail["reason_class"] == "migraine/chronic"


@pytest.mark.parametrize("status", ["not-done", "preparation"])
def test_procedure_not_performed_is_no_session(status: str) -> None:
    extension = {"extension": [{"url": ABSENT, "valueCode": "not-performed"}]}
    (fact,) = read(status=status, performedDateTime=None, _performedDateTime=extension)
    assert (fact.status, fact.group, fact.about_headache) == (status, "", True)
    assert (fact.dated.on, fact.detail["absent"]) == (None, "not performed")
    assert (fact.detail["would_be"], fact.detail["not_performed"]) == ("botox-procedure", True)


@pytest.mark.parametrize(
    ("elements", "on", "end"),
    [
        pytest.param(
            {"performedPeriod": {"start": "2024-01-02", "end": "2024-01-03"}},
            date(2024, 1, 2),
            date(2024, 1, 3),
            id="period",
        ),
        pytest.param({"performedString": "last spring"}, None, None, id="in words"),
        pytest.param({"performedDateTime": "2023"}, date(2023, 1, 1), None, id="year"),
        pytest.param({"performedDateTime": "1899-12-30T00:00:00Z"}, None, None, id="zero date"),
    ],
)
def test_procedure_dates(elements: dict[str, Any], on: date | None, end: date | None) -> None:
    (fact,) = read(**({"performedDateTime": None} | elements))
    assert (fact.dated.on, fact.end_date) == (on, end)
    assert fact.detail.get("when") == (
        "last spring" if "performedString" in elements else "2023" if on == date(2023, 1, 1) else None
    )


def test_procedure_entered_in_error_is_none() -> None:
    assert read(status="entered-in-error") == []
