"""Questions and answers beside the score they make."""

from decimal import Decimal

import pytest

from patients.headaches.questionnaires import Answer, scores

MIDAS = (
    "On how many days in the last 3 months were you absent from work or school, missed because of headaches?",
    "How many days was productivity at work or school halved (not days where you missed work or school)?",
    "On how many days did you not do household work?",
    "How many days was productivity in household work reduced by half (not days where you did no household work)?",
    "On how many days did you miss family, social or leisure activities?",
    "On how many days in the last 3 months did you have a headache?",
    "On a scale of 0 - 10, how painful were these headaches?",
)


def numbered(questions: tuple[str, ...], *numbers: int) -> list[Answer]:
    return [Answer(question, str(n), Decimal(n)) for question, n in zip(questions, numbers, strict=True)]


def read(name: str, answers: list[Answer]) -> list[tuple[str, Decimal | None, str]]:
    return [(each.measure.instrument, each.measure.value, each.computed) for each in scores(name, answers)]


@pytest.mark.parametrize(
    "name", ["MIDAS", "", "http://x.example.com/Questionnaire/midas", "Migraine Disability Assessment"]
)
def test_midas_by_its_items(name: str) -> None:
    answers = numbered(MIDAS, 3, 5, 4, 6, 2, 30, 7)
    assert read(name, answers) == [("MIDAS", Decimal(20), "sum of 5 items")]
    (score,) = scores(name, answers)
    assert [each.words for each in score.items] == ["3", "5", "4", "6", "2", "30", "7"]  # A and B are kept, not summed


@pytest.mark.parametrize(
    "numbers",
    [
        pytest.param((3, 5, 4, 6, 93, 30, 7), id="more days than three months have"),
        pytest.param((3, 5, 4, 6, -1, 30, 7), id="negative"),
    ],
)
def test_midas_item_that_cannot_be(numbers: tuple[int, ...]) -> None:
    assert read("MIDAS", numbered(MIDAS, *numbers)) == []


def test_midas_of_children_is_another_instrument() -> None:
    assert read("PedMIDAS", numbered(MIDAS, 3, 5, 4, 6, 2, 30, 7)) == []


@pytest.mark.parametrize(
    ("name", "question", "number", "expected"),
    [
        pytest.param("Intake", "MIDAS total", 24, ("MIDAS", 24), id="a total by name"),
        pytest.param("HIT-6", "Total score", 64, ("HIT-6", 64), id="a total of the questionnaire"),
        pytest.param("Intake", "Total score", 64, None, id="a total of nothing"),
        pytest.param("Intake", "How many headache days per month?", 12, ("headache days", 12), id="headache days"),
        pytest.param(
            "Intake",
            "In the past month, on how many days did you have a migraine?",
            5,
            ("migraine days", 5),
            id="migraine days",
        ),
        pytest.param(
            "Intake",
            "How many days in the last 30 days did you use acute headache medication?",
            9,
            ("acute medication days", 9),
            id="acute medication days",
        ),
        pytest.param("Intake", "Headache days in the last 3 months?", 40, None, id="three months"),
        pytest.param("Intake", "How many cups of coffee per day?", 3, None, id="something else"),
    ],
)
def test_stated_scores(name: str, question: str, number: int, expected: tuple[str, int] | None) -> None:
    found = [(each.measure.instrument, each.measure.value) for each in scores(name, numbered((question,), number))]
    assert found == ([expected] if expected else [])


def test_score_out_of_range_is_said() -> None:
    (score,) = scores("HIT-6", numbered(("Total score",), 86))
    assert score.measure.out_of_range


def test_no_answers_no_scores() -> None:
    assert scores("MIDAS", []) == ()
