"""What patients read: every sentence in both languages, and scopes in plain words."""

import ast
import gettext
import re
from pathlib import Path

import pytest
from django.template import Template
from django.template.base import Node, NodeList
from django.template.engine import Engine
from django.templatetags.i18n import BlockTranslateNode, TranslateNode
from django.utils import translation

from emr.launches import scope_words
from emr.launches import words as launch_words
from emr.models.registrations import DataUse

ROOT = Path(__file__).resolve().parents[2]
PO = ROOT / "locale/es/LC_MESSAGES/django.po"
MO = PO.with_suffix(".mo")
PAGES = sorted((ROOT / "templates/emr/launch").glob("*.html"))
MODULES = sorted(
    path
    for path in (ROOT / "emr").rglob("*.py")
    if "gettext" in path.read_text("utf-8") and "migrations" not in path.parts
)
MARKS = {"_", "gettext", "gettext_lazy", "gettext_noop"}
# Shown to staff: in English, as all their pages.
STAFF_PAGES = {"refused.html"}


def nodes(found: NodeList | list[Node]) -> list[Node]:
    """All nodes below these, branches of every kind included."""
    every: list[Node] = []
    for node in found:
        every.append(node)
        for value in vars(node).values():
            if isinstance(value, NodeList):
                every += nodes(value)
        for _condition, branch in getattr(node, "conditions_nodelists", []):
            every += nodes(branch)
    return every


def of_template(path: Path) -> set[str]:
    template: Template = Engine.get_default().from_string(path.read_text("utf-8"))
    said: set[str] = set()
    for node in nodes(template.nodelist):
        if isinstance(node, TranslateNode):
            said.add(str(node.filter_expression.var.literal))
        elif isinstance(node, BlockTranslateNode):
            said.add(node.render_token_list(node.singular)[0])
            if node.plural:
                said.add(node.render_token_list(node.plural)[0])
    return said


def of_module(path: Path) -> set[str]:
    said = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and _name(node.func) in MARKS and isinstance(node.args[0], ast.Constant):
            said.add(str(node.args[0].value))
    return said


def _name(function: ast.expr) -> str:
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def everything_said() -> set[str]:
    return set().union(*map(of_template, PAGES), *map(of_module, MODULES))


def of_po() -> dict[str, tuple[str, ...]]:
    """msgid → msgstr, or its plural forms, of the .po file; the plural's own msgid like its singular."""
    entries: dict[str, tuple[str, ...]] = {}
    for block in PO.read_text("utf-8").split("\n\n"):
        fields: dict[str, str] = {}
        key = ""
        for line in block.splitlines():
            found = re.match(r'(msg\w+(?:\[\d\])?) "(.*)"\Z', line)
            if found:
                key = found[1]
                fields[key] = ""
            text = found[2] if found else line[1:-1] if line.startswith('"') else ""
            if key:
                fields[key] += text.replace('\\"', '"').replace("\\n", "\n")
        told = tuple(value for name, value in fields.items() if name.startswith("msgstr"))
        for name in ("msgid", "msgid_plural"):
            if name in fields:
                entries[fields[name]] = told
    return entries


def test_every_sentence_of_the_patients_pages_is_translated() -> None:
    said, spanish = everything_said(), of_po()
    assert len(said) > 90
    assert sorted(sentence for sentence in said if not all(spanish.get(sentence, ("",)))) == []
    assert sorted(set(spanish) - said - {""}) == [], "in the .po file and said nowhere"


def test_a_sentence_that_is_not_translated_is_found() -> None:
    """The check bites: each way of marking a sentence is read."""
    page = Engine.get_default().from_string(
        '{% load i18n %}{% if a %}{% translate "One" %}{% else %}{% blocktranslate count n=b %}Two'
        "{% plural %}Three {{ n }}{% endblocktranslate %}{% endif %}"
    )
    found = {type(node) for node in nodes(page.nodelist)}
    assert {TranslateNode, BlockTranslateNode} <= found
    assert "Ask {practice} for a new link." in of_module(ROOT / "emr/launches/words.py")


def test_the_compiled_file_is_in_step_with_the_text() -> None:
    with MO.open("rb") as file:
        compiled = gettext.GNUTranslations(file)._catalog  # type: ignore[attr-defined]  # no public way to list it
    compiled_words = {key[0] if isinstance(key, tuple) else key: None for key in compiled}
    for msgid, told in of_po().items():
        if not msgid:
            continue
        for form, words in enumerate(told):
            assert compiled.get((msgid, form) if len(told) > 1 else msgid, words) == words, msgid
    singular = {msgid for msgid in of_po() if msgid} - {msgid for msgid, told in of_po().items() if len(told) > 1}
    assert singular <= set(compiled_words)


def test_placeholders_survive_the_translation() -> None:
    for msgid, told in of_po().items():
        wanted = set(re.findall(r"%\(\w+\)s|\{\w+\}", msgid))
        for words in told:
            assert not msgid or set(re.findall(r"%\(\w+\)s|\{\w+\}", words)) == wanted, msgid


def test_every_data_use_question_has_its_translation() -> None:
    assert set(launch_words.QUESTIONS) == {str(use.label) for use in DataUse}


SHORT = 18  # words in a sentence
LONG_WORDS = 0.12  # share of words of three syllables and more


@pytest.mark.parametrize("path", [path for path in PAGES if path.name not in STAFF_PAGES], ids=lambda path: path.name)
def test_sentences_are_short(path: Path) -> None:
    for text in of_template(path):
        for sentence in re.split(r"(?<=[.:?!])\s", text):
            assert len(sentence.split()) <= SHORT, sentence


def test_words_are_plain() -> None:
    """Flesch-Kincaid's two ingredients, over all English sentences together: grade 6 or below."""
    texts = [re.sub(r"%\(\w+\)s|\{\w+\}", "clinic", text) for text in everything_said()]
    sentences = [each for text in texts for each in re.split(r"(?<=[.:?!])\s", text) if each]
    words = [word for sentence in sentences for word in re.findall(r"[A-Za-z']+", sentence)]
    grade = 0.39 * len(words) / len(sentences) + 11.8 * sum(map(syllables, words)) / len(words) - 15.59
    assert grade < 6


def syllables(word: str) -> int:
    groups = len(re.findall(r"[aeiouy]+", word.lower()))
    return max(groups - (word.lower().endswith("e") and not word.lower().endswith("le")), 1)


SCOPES = [
    (
        "version 1",
        "launch/patient openid fhirUser offline_access patient/Condition.read",
        ["Your health problems and diagnoses"],
    ),
    (
        "version 2",
        "patient/Condition.rs patient/Patient.r",
        ["Your name, birth date and how to reach you", "Your health problems and diagnoses"],
    ),
    ("two types, one thing", "patient/MedicationRequest.read patient/Medication.read", ["Your medicines"]),
    ("a wildcard", "patient/*.read", ["Everything in your record that can be shared"]),
    ("a type without words", "patient/Basic.read", ["Other parts of your record"]),
    ("writing only is no reading", "patient/Observation.write", []),
    ("no clinical scope", "openid profile", []),
]


@pytest.mark.parametrize(("scope", "words"), [pytest.param(*row[1:], id=row[0]) for row in SCOPES])
def test_scopes_in_plain_words(scope: str, words: list[str]) -> None:
    with translation.override("en"):
        assert [str(line.words) for line in scope_words.lines(scope)] == words


COMPARED = [
    (
        "all granted",
        "patient/Condition.read patient/Observation.read",
        "patient/Condition.rs patient/Observation.rs",
        ["Condition", "Observation"],
        [],
        [],
    ),
    (
        "narrowed",
        "patient/Condition.read patient/Observation.read",
        "patient/Condition.read",
        ["Condition"],
        ["Observation"],
        [],
    ),
    ("a wildcard for names", "patient/Condition.read", "patient/*.read", ["Condition"], [], ["*"]),
    ("names for a wildcard", "patient/*.read", "patient/Condition.read", [], ["*"], []),
    (
        "more than was asked for",
        "patient/Condition.read",
        "patient/Condition.read patient/Coverage.read",
        ["Condition"],
        [],
        ["Coverage"],
    ),
    (
        "limited by a query",
        "patient/Observation.rs",
        "patient/Observation.rs?category=laboratory",
        ["Observation"],
        [],
        [],
    ),
    ("nothing granted", "patient/Condition.read", "", [], ["Condition"], []),
    ("a clinician's", "user/Condition.read", "user/Condition.read", ["Condition"], [], []),
]


@pytest.mark.parametrize(
    ("asked", "granted", "given", "withheld", "extra"), [pytest.param(*row[1:], id=row[0]) for row in COMPARED]
)
def test_granted_beside_asked_for(
    asked: str, granted: str, given: list[str], withheld: list[str], extra: list[str]
) -> None:
    found = scope_words.compared(asked, granted)
    assert [kind for line in found.granted for kind in line.types] == given
    assert [kind for line in found.withheld for kind in line.types] == withheld
    assert [kind for line in found.extra for kind in line.types] == extra
