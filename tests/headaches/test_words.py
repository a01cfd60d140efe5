"""No judgement about patients and no advice in the rules and tables."""

import re
from pathlib import Path

import pytest

_PATIENTS = Path(__file__).resolve().parents[2] / "patients"
_FILES = [
    *sorted((_PATIENTS / "headaches").glob("*.py")),
    *sorted((_PATIENTS / "codelists").glob("*.csv")),
    _PATIENTS / "codes.py",
]
_BANNED = re.compile(
    r"\b(?:took|taken by|overus(?:es|ed|er|ers|ing)|fail(?:ed|s|ure)|non-?adherent|non-?complian\w*"
    r"|adheren(?:t|ce)"
    r"|complian(?:t|ce)|abus(?:es|er|ers)|should (?:start|stop|be started|be stopped|take|use|avoid)"
    r"|must (?:start|stop|take)|recommend\w*|contraindicated)\b",
    re.I,
)


def test_there_are_files_to_scan() -> None:
    assert len(_FILES) > 20


@pytest.mark.parametrize("path", _FILES, ids=lambda path: path.name)
def test_words_are_neutral(path: Path) -> None:
    found = [line for line in path.read_text(encoding="utf-8").splitlines() if _BANNED.search(line)]
    assert found == []


@pytest.mark.parametrize("phrase", ["patient took", "overuses", "failed two drugs", "non-adherent", "should stop"])
def test_scan_finds_banned_words(phrase: str) -> None:
    assert _BANNED.search(phrase)
