"""What the documents name exists, and every row of the security document's tables names a test or says why not."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests import dependencies

ROOT = Path(__file__).resolve().parents[2]
SECURITY = ROOT / "docs" / "security.md"
DOCUMENTS = [
    SECURITY, ROOT / "docs" / "operations.md", ROOT / "docs" / "architecture.md",
    *sorted((ROOT / "docs" / "decisions").glob("*.md")),
]  # fmt: skip
OURS = ("bench", "docs", "emr", "headachemd", "patients", "sandbox", "static", "templates", "tests")
EXCUSES = ("not done:", "operator's")
THREATS, FAULTS = {f"S{number}" for number in range(1, 25)}, {f"R{number}" for number in range(1, 25)}
PARAGRAPHS = (
    "(a)(2)(i)", "(a)(2)(ii)", "(a)(2)(iii)", "(a)(2)(iv)", "(b)", "(c)(1)", "(c)(2)", "(d)", "(e)(1)", "(e)(2)(i)",
    "(e)(2)(ii)",
)  # fmt: skip
LEVEL_2 = 38  # rows of the ASVS table at least: one that falls out is noticed
ENVIRONMENT = re.compile(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)`")


def named(text: str) -> Iterator[tuple[str, str]]:
    """(path, function or "") of each file of ours that stands between backticks."""
    for found in re.findall(r"`([\w./-]+(?:::\w+)?)`", text):
        path, _, function = found.partition("::")
        if path.split("/")[0] in OURS and "/" in path:
            yield path, function


@cache
def functions(path: str) -> frozenset[str]:
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def faults_of(text: str) -> list[str]:
    """What the text names and is not there."""
    faults = []
    for path, function in named(text):
        if not (ROOT / path).exists():
            faults.append(f"no file {path}")
        elif function and function not in functions(path):
            faults.append(f"no {function} in {path}")
    for command in re.findall(r"manage\.py (\w+)", text):
        if command not in {"check", "createsuperuser", "migrate", "collectstatic"} and not any(
            (ROOT / app / "management" / "commands" / f"{command}.py").exists() for app in ("emr", "patients")
        ):
            faults.append(f"no command {command}")
    for area in re.findall(r"make bench AREA=(\w+)", text):
        if not (ROOT / "bench" / f"{area}.py").exists():
            faults.append(f"no bench area {area}")
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    faults += [f"no make {name}" for name in re.findall(r"`make ([a-z-]+)", text) if name not in targets]
    return faults


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_what_a_document_names_exists(document: Path) -> None:
    assert faults_of(document.read_text("utf-8")) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.stem)
def test_links_of_a_document_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:]+)(?:#[\w-]*)?\)", document.read_text("utf-8")):
        assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", [SECURITY, ROOT / "docs" / "operations.md"], ids=lambda path: path.stem)
def test_variables_that_a_document_names_are_read(document: Path) -> None:
    settings = (ROOT / "headachemd" / "settings.py").read_text("utf-8")
    example = (ROOT / ".env.example").read_text("utf-8")
    for name in ENVIRONMENT.findall(document.read_text("utf-8")):
        assert f'"{name}"' in settings, name
        assert name in example, name


# --- the tables ---


def tables() -> dict[str, list[list[str]]]:
    """Heading to the rows of the table below it, cells stripped."""
    found: dict[str, list[list[str]]] = {}
    heading = ""
    for line in SECURITY.read_text("utf-8").splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif line.startswith("| ") and "|---" not in line:
            found.setdefault(heading, []).append([cell.strip() for cell in line.strip("|").split("|")])
    return {heading: rows[1:] for heading, rows in found.items()}


def unproved(row: list[str]) -> bool:
    """A row whose last cell names no test and which gives no reason."""
    proofs = [path for path, _ in named(row[-1]) if path.startswith(("tests/", "bench/"))]
    return not proofs and not any(excuse in " ".join(row).lower() for excuse in EXCUSES)


ROWS = [(heading, row) for heading, rows in tables().items() for row in rows]


@pytest.mark.parametrize(("heading", "row"), [pytest.param(*each, id=f"{each[1][0]} {each[1][1]}") for each in ROWS])
def test_a_row_names_a_test_or_says_why_not(heading: str, row: list[str]) -> None:
    assert len(row) == {"Threats": 5, "Robustness": 4}.get(heading, 3)
    assert all(row[:-1]) or heading == "Threats"
    assert not unproved(row)


def test_every_threat_and_fault_has_its_row() -> None:
    found = tables()
    assert {row[0] for row in found["Threats"]} == THREATS
    assert {row[0] for row in found["Robustness"]} == FAULTS
    items = [item for row in found["ASVS 5.0, level 2"] for item in re.findall(r"\b\d+\.\d+\.\d+\b", row[0])]
    assert len(items) == len(set(items))
    assert len(found["ASVS 5.0, level 2"]) >= LEVEL_2
    paragraphs = " ".join(row[0] for row in found["HIPAA technical safeguards (45 CFR 164.312)"])
    for paragraph in PARAGRAPHS:
        assert f"{paragraph} " in paragraphs


MADE_UP = {
    "no such file": "`tests/trust/test_nothing.py`",
    "no such function": "`tests/trust/test_logs.py::test_nothing`",
    "no such command": "manage.py do_nothing",
    "no such area": "`make bench AREA=nothing`",
    "no such target": "`make nothing`",
}


@pytest.mark.parametrize("text", MADE_UP.values(), ids=MADE_UP.keys())
def test_what_is_not_there_is_noticed(text: str) -> None:
    assert faults_of(text)


def test_a_row_without_a_test_is_noticed() -> None:
    assert unproved(["S1", "threat", "control", "`emr/fields.py`", "`emr/fields.py`"])
    assert not unproved(["S1", "threat", "Not done: a reason", "", ""])


# --- `make audit` ---


def test_every_pinned_part_is_in_order() -> None:
    parts = dependencies.parts()
    assert len(parts) > 40
    assert {each.name: each.faults for each in parts if each.faults} == {}


PARTS = {
    "an unknown licence": (dependencies.Part("x", "1", "1", ("Server Side Public License",)), "nobody has looked at"),
    "one unknown among known": (dependencies.Part("x", "1", "1", ("MIT", "GPL-3.0-only")), "GPL-3.0-only"),
    "no licence": (dependencies.Part("x", "1", "1", ()), "it names no licence"),
    "another version": (dependencies.Part("x", "1", "2", ("MIT",)), "1 is pinned"),
    "looked at for another": (dependencies.Part("x", "1", "1", ("Other/Proprietary License",)), "nobody has looked at"),
}


@pytest.mark.parametrize(("part", "said"), PARTS.values(), ids=PARTS.keys())
def test_a_part_that_is_not_in_order_is_noticed(part: dependencies.Part, said: str) -> None:
    assert said in " ".join(part.faults)


def test_what_was_looked_at_is_still_there() -> None:
    held = {(each.name, licence) for each in dependencies.parts() for licence in each.terms}
    installed = {each.name for each in dependencies.parts() if each.version}
    assert {entry for entry in dependencies.LOOKED_AT if entry[0] in installed} <= held
