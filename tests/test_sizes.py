"""What can be read at a glance: functions of at most 40 lines in files of at most 350. Migrations are not meant."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_imports import ROOT, modules

FILE_LINES, FUNCTION_LINES = 350, 40


def too_long(source: str) -> Iterator[str]:
    """What is longer than it may be. A function's decorators do not count, its docstring does."""
    lines = source.count("\n")
    if lines > FILE_LINES:
        yield f"{lines} lines"
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                yield f"{node.name}: {length} lines"


@pytest.mark.parametrize("path", [pytest.param(path, id=name) for name, path in modules()])
def test_files_and_functions_are_short(path: Path) -> None:
    assert list(too_long(path.read_text("utf-8"))) == [], path.relative_to(ROOT)


def body(lines: int) -> str:
    return "def long():\n" + "    pass\n" * (lines - 1)


@pytest.mark.parametrize(
    ("source", "found"),
    [
        (body(40), []),
        (body(41), ["long: 41 lines"]),
        ("class A:\n" + "".join(f"    {line}\n" for line in body(41).splitlines()), ["long: 41 lines"]),
        ("@decorated\n" + body(40), []),
        ("x = 1\n" * 350, []),
        ("x = 1\n" * 351, ["351 lines"]),
    ],
    ids=["at the limit", "a line too many", "a method", "a decorator", "a file at the limit", "a file too long"],
)
def test_the_check_can_fail(source: str, found: list[str]) -> None:
    assert list(too_long(source)) == found
