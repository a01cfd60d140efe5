"""QuestionnaireResponse bodies beside the scores a clinician should read."""

from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from patients.projection import questionnaires
from patients.projection.chart import Chart
from patients.projection.facts import Fact
from tests.projection.bodies import answers, asked, midas_items, received

ORDINAL = "http://hl7.org/fhir/StructureDefinition/ordinalValue"
DISPLAY = "http://hl7.org/fhir/StructureDefinition/display"


def read(**elements: Any) -> list[Fact]:
    return list(questionnaires.read(received(answers(**elements)), Chart()))


def test_midas_is_summed_and_keeps_its_answers() -> None:
    (fact,) = read()
    assert (fact.kind, fact.group, fact.about_headache, fact.title) == ("measure", "midas", True, "MIDAS")
    assert (fact.value, fact.value_text, fact.status) == (Decimal(20), "20", "completed")
    assert (fact.dated.on, fact.dated.meaning) == (date(2024, 5, 6), "answered")
    assert fact.detail["band"] == "Grade III: moderate disability"
    assert fact.detail["computed"] == "sum of 5 items"
    assert [item["answer"] for item in fact.detail["items"]] == ["3", "5", "4", "6", "2"]


def test_stated_total_stands_over_the_sum() -> None:
    total = asked("t", "MIDAS total score", {"valueInteger": 22})
    (fact,) = read(item=[*midas_items(3, 5, 4, 6, 2), total])
    assert (fact.value, "computed" in fact.detail) == (Decimal(22), False)
    assert fact.detail["conflict"] == "The record states 22, its items add up to 20"


def test_total_under_its_bare_name() -> None:
    (fact,) = read(item=[*midas_items(3, 5, 4, 6, 2), asked("t", "Total score", {"valueDecimal": 20})])
    assert (fact.value, "conflict" in fact.detail) == (Decimal(20), False)


def test_missing_item_is_no_zero() -> None:
    (fact,) = read(item=midas_items(3, 5, 4, 6, 2)[:4])
    assert (fact.group, fact.value, fact.title) == ("", None, "midas")
    assert len(fact.detail["answers"]) == 4


def choice(question: str, word: str, points: int | None = None) -> dict[str, Any]:
    coding: dict[str, Any] = {"display": word}
    if points is not None:
        coding["extension"] = [{"url": ORDINAL, "valueDecimal": points}]
    return asked(question[:3], question, {"valueCoding": coding})


HIT6 = [
    "Pain severe",
    "Daily activities limited",
    "Wish to lie down",
    "Too tired",
    "Fed up or irritated",
    "Hard to concentrate",
]


@pytest.mark.parametrize(
    ("items", "value"),
    [
        pytest.param([choice(each, "Always") for each in HIT6], 78, id="by their words"),
        pytest.param([choice(each, "siempre", 13) for each in HIT6], 78, id="by ordinal values"),
        pytest.param([asked(each, each, {"valueInteger": 6}) for each in HIT6], 36, id="by numbers"),
    ],
)
def test_hit6_choices(items: list[Any], value: int) -> None:
    extension = {"extension": [{"url": DISPLAY, "valueString": "Headache Impact Test (HIT-6)"}]}
    group = {"linkId": "g", "text": "Last 4 weeks", "item": items}
    (fact,) = read(_questionnaire=extension, questionnaire="urn:uuid:1", item=[group])
    assert (fact.group, fact.value, fact.title) == ("hit-6", Decimal(value), "Headache Impact Test (HIT-6)")


def test_choices_that_are_none_of_the_instrument_are_not_summed() -> None:
    items = [asked(each, each, {"valueInteger": 3}) for each in HIT6]
    (fact,) = read(questionnaire="HIT-6", item=items)
    assert (fact.group, fact.value) == ("", None)


def test_phq9_by_loinc_link_ids() -> None:
    codes = ["44250-9", "44255-8", "44259-0", "44254-1", "44251-7", "44258-2", "44252-5", "44253-3", "44260-8"]
    items = [asked(f"/{code}", "?", {"valueCoding": {"display": "Several days"}}) for code in codes]
    (fact,) = read(questionnaire="http://example.com/phq-9", item=items)
    assert (fact.group, fact.value, fact.about_headache) == ("phq-9", Decimal(9), False)
    assert fact.detail["band"]


def test_headache_days_among_other_questions() -> None:
    items = [
        asked("1", "How many days in the past month did you have a headache?", {"valueInteger": 12}),
        asked("2", "What helps?", {"valueString": "dark room"}),
    ]
    (fact,) = read(questionnaire="http://example.com/check-in", item=items)
    assert (fact.group, fact.value, fact.about_headache) == ("headache-days", Decimal(12), True)


def test_days_of_three_months_are_not_monthly_days() -> None:
    items = [asked("1", "On how many days in the last 3 months did you have a headache?", {"valueInteger": 40})]
    (fact,) = read(questionnaire="http://example.com/check-in", item=items)
    assert fact.group == ""


@pytest.mark.parametrize(
    ("elements", "title"),
    [
        pytest.param(
            {"questionnaire": "http://example.com/Questionnaire/sleep-quality|2"}, "sleep quality", id="address"
        ),
        pytest.param(
            {"questionnaire": "#q", "contained": [{"resourceType": "Questionnaire", "id": "q", "title": "Sleep"}]},
            "Sleep",
            id="contained",
        ),
        pytest.param({"questionnaire": None, "item": [{"text": "Sleep", "item": []}]}, "Sleep", id="its first heading"),
        pytest.param({"questionnaire": None, "item": None}, "Not named in the record", id="nothing"),
    ],
)
def test_other_questionnaire_is_named(elements: dict[str, Any], title: str) -> None:
    (fact,) = read(**({"item": [asked("1", "Hours of sleep?", {"valueInteger": 7})]} | elements))
    assert (fact.title, fact.group, fact.value_text) == (title, "", "")


def test_questionnaire_in_error_is_none() -> None:
    assert read(status="entered-in-error") == []


def test_items_nested_without_end_are_read_to_a_depth() -> None:
    item: dict[str, Any] = {"linkId": "x", "text": "x", "answer": [{"valueInteger": 1}]}
    for _ in range(40):
        item = {"linkId": "x", "text": "x", "item": [item]}
    assert len(read(item=[item])) == 1
