"""The course of headache diagnoses: tables a clinician can read."""

from typing import Any

import pytest

from patients.headaches.course import Course, course
from patients.headaches.record import Condition
from tests.headaches.facts import TODAY, dx, on


def _course(*conditions: Condition) -> Course:
    return course(conditions, TODAY)


EPISODIC = dx("G43.009", "2016-05-02", title="Migraine without aura")
CHRONIC = dx("G43.709", "2024-02-05", title="Chronic migraine without aura")


def test_episodic_then_chronic_is_a_transition_with_both_dates() -> None:
    found = _course(CHRONIC, EPISODIC)
    assert [span.code for span in found.spans] == ["G43.009", "G43.709"]
    (transition,) = found.transitions
    assert transition.sentence == (
        "Record changes from Migraine without aura (G43.009), first 02-May-2016, "
        "to Chronic migraine (G43.709), first 05-Feb-2024."
    )


@pytest.mark.parametrize(
    ("conditions", "codes"),
    [
        pytest.param([EPISODIC], [], id="one code only"),
        pytest.param([CHRONIC, dx("G43.009", "2025-01-01")], [], id="chronic first"),
        pytest.param([dx("R51.9", "2015-01-01"), CHRONIC], [], id="a symptom is no episodic migraine"),
        pytest.param([dx("G44.209", "2015-01-01"), CHRONIC], [], id="tension type before chronic migraine"),
        pytest.param([dx("G44.219", "2015-01-01"), dx("G44.229", "2020")], [("G44.219", "G44.229")], id="tension type"),
        pytest.param(
            [dx("G43.909", "2014-01-01"), EPISODIC, CHRONIC], [("G43.009", "G43.709")], id="the last code before"
        ),
        pytest.param([dx("G43.009", ""), CHRONIC], [], id="an undated code changes from nothing"),
    ],
)
def test_transitions(conditions: list[Condition], codes: list[tuple[str, str]]) -> None:
    assert [(each.before.code, each.after.code) for each in _course(*conditions).transitions] == codes


def test_both_active_at_once_is_noted() -> None:
    assert _course(EPISODIC, CHRONIC).both_active == (
        "Chronic migraine (G43.709) and Migraine without aura (G43.009) are both active in the record.",
    )
    resolved = dx("G43.009", "2016-05-02", clinical="resolved")
    assert _course(resolved, CHRONIC).both_active == ()


@pytest.mark.parametrize(
    ("conditions", "code", "active"),
    [
        pytest.param([EPISODIC, CHRONIC, dx("R51.9", "2026-11-01")], "G43.709", True, id="most specific, not latest"),
        pytest.param(
            [dx("G43.709", "2024-01-01", clinical="resolved"), EPISODIC], "G43.009", True, id="active before specific"
        ),
        pytest.param([dx("G43.709", "2024-01-01", clinical="inactive")], "G43.709", False, id="none active"),
        pytest.param(
            [dx("G43.709", "2024-01-01"), dx("G43.719", "2026-01-01")], "G43.719", True, id="equally specific: latest"
        ),
        pytest.param([dx("G43.709", "2024-01-01", verification="refuted"), EPISODIC], "G43.009", True, id="refuted"),
        pytest.param([dx("I10")], None, False, id="no headache diagnosis"),
    ],
)
def test_headline(conditions: list[Condition], code: str | None, active: bool) -> None:
    found = _course(*conditions)
    assert (found.headline.code if found.headline else None, found.headline_active) == (code, active)


def test_statements_of_one_code_are_one_span_whatever_its_spelling() -> None:
    found = _course(dx("G43709", "2025-01-01"), dx("g43.709", "2026-01-01"), CHRONIC)
    (span,) = found.spans
    assert span.code == "G43.709"
    assert (span.count, span.first_words, span.last_words) == (3, "05-Feb-2024", "01-Jan-2026")
    assert span.sources == ("dx g43.709 2026-01-01", "dx G43709 2025-01-01", CHRONIC.source)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"onset": on("2009"), "recorded": on("2016-05-02")}, "2009"),
        ({"onset_words": "childhood"}, "childhood"),
        ({}, ""),
        ({"onset": on("2031-01-01")}, ""),
    ],
)
def test_onset_is_only_what_is_stated(more: dict[str, Any], words: str) -> None:
    found = _course(dx("G43.009", "2016-05-02", **more), CHRONIC)
    assert found.onset == words
    assert found.first_recorded == "02-May-2016"


def test_future_statement_gives_no_date() -> None:
    (span,) = _course(dx("G43.709", "2031-01-01")).spans
    assert (span.first, span.first_words, span.count) == (None, "no date", 1)


def test_a_class_that_left_the_table_stands_for_itself() -> None:
    old = dx("G43.Z9", "2025-01-01", headache_class="migraine/of-old", words="")
    found = _course(old, CHRONIC)
    assert [span.words for span in found.spans] == ["Chronic migraine", "migraine of old"]
    assert found.headline is not None
    assert found.headline.code == "G43.709"
