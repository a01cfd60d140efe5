"""Imports run one way: headachemd → patients → emr; the sandbox stands apart. Rules as data, longest match wins."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("headachemd", "patients", "emr", "sandbox", "bench", "tests")

# module prefix → the modules of ours it may import (prefixes). Nothing else of ours.
RULES = {
    "sandbox": ("sandbox",),
    "emr": ("emr",),
    "emr.wire": ("emr.wire",),
    "emr.profiles": ("emr.profiles",),
    "emr.fields": (),
    "emr.models": ("emr.models", "emr.profiles", "emr.fields"),
    "emr.access": ("emr.models", "emr.visits"),
    "emr.audit": ("emr.models", "emr.addresses"),
    "emr.keys": ("emr.models",),
    "emr.budget": ("emr.models",),
    "emr.store": ("emr.models", "emr.upserts", "emr.validate", "emr.wire"),
    "emr.upserts": (),
    "emr.hints": (),
    "emr.schedule": ("emr.models", "emr.freshness", "emr.pulling.breaker", "emr.pulling.pace", "emr.pulling.paths"),
    "emr.pulling.asking": ("emr.models", "emr.audit", "emr.hints", "emr.schedule", "emr.pulling.paths"),
    "emr.pulling.ending": ("emr.models", "emr.pulling.breaker"),
    "emr.pulling.queue": ("emr.models", "emr.hints", "emr.pulling.pace"),
    "emr.pulling.journey": ("emr.models", "emr.profiles"),
    "patients": ("patients", "emr.models", "emr.signals", "emr.access", "emr.audit", "emr.accounts.sign_in"),
    "patients.codes": ("patients.codes",),
    "patients.wording": (),
    "patients.headaches": ("patients.headaches", "patients.codes", "patients.wording"),
    "headachemd": ("headachemd", "patients", "emr"),
}
# Third-party modules that one place alone may import.
RESERVED = {
    "requests": ("emr.wire.http", "emr.wire.transport"),
    "urllib3": ("emr.wire.http", "emr.wire.transport"),
    "urllib.request": ("sandbox", "headachemd.demo"),
    "http.client": ("sandbox",),
    "aiohttp": (),
    "httpx": (),
    "fhir": ("emr.validate",),
    "jwt": ("emr.wire.smart", "emr.wire.id_token"),
    "joserfc": ("sandbox",),
    "redis": ("emr.budget",),
}
# Where Django, clocks and networks have no business.
PURE = {"patients.headaches": ("django", "requests", "time", "socket", "urllib.request")}


def modules() -> Iterator[tuple[str, Path]]:
    for package in ("headachemd", "patients", "emr", "sandbox"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            if ".migrations" not in name:
                yield name, path


def imported(path: Path) -> Iterator[tuple[str, int, bool]]:
    """(module, line, inside a function) of each import; `from a import b` counts as a.b."""
    tree = ast.parse(path.read_text("utf-8"))
    inner = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, node.lineno, id(node) in inner
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            for alias in node.names:
                yield f"{node.module}.{alias.name}", node.lineno, id(node) in inner


def covers(prefix: str, name: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def longest(rules: dict[str, tuple[str, ...]], name: str) -> tuple[str, ...] | None:
    matching = [prefix for prefix in rules if covers(prefix, name)]
    return rules[max(matching, key=len)] if matching else None


@pytest.mark.parametrize(("name", "path"), [pytest.param(*found, id=found[0]) for found in modules()])
def test_imports_follow_the_rules(name: str, path: Path) -> None:
    allowed = longest(RULES, name)
    pure = [banned for prefix, banned in PURE.items() if covers(prefix, name)]
    for module, line, in_function in imported(path):
        where = f"{path.relative_to(ROOT)}:{line} imports {module}"
        # Django loads models after applications: receivers can be imported in ready() alone.
        assert not in_function or name.endswith(".apps"), f"{where} inside a function"
        if module.split(".")[0] in OURS:
            assert any(covers(prefix, module) for prefix in allowed or ()), where
        for reserved, places in RESERVED.items():
            if covers(reserved, module):
                assert any(covers(place, name) for place in places), f"{where}: only {places or 'nobody'} may"
        for banned in pure:
            assert not any(covers(prefix, module) for prefix in banned), where


def test_the_rules_can_be_broken() -> None:
    """The check bites: an import back from emr to patients matches no allowed prefix."""
    assert not any(covers(prefix, "patients.models") for prefix in longest(RULES, "emr.pulls") or ())
    assert not any(covers(prefix, "emr.keys") for prefix in longest(RULES, "patients.views") or ())
    assert not any(covers(prefix, "emrx") for prefix in longest(RULES, "emr.pulls") or ())
