"""The error catalogue: for each code the cause, the next step, who takes it, and whether we retry by ourselves.

The texts are data (catalogue.toml). Codes come from the wire's exceptions; matching is done there, by parsed OAuth
code first, then text, then status.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Explanation:
    code: str
    title: str
    cause: str
    next_step: str
    who: str
    retries: str


@cache
def _entries() -> dict[str, Explanation]:
    data = tomllib.loads((Path(__file__).parent / "catalogue.toml").read_text("utf-8"))
    return {code: Explanation(code=code, **row) for code, row in data.items()}


def explain(code: str) -> Explanation:
    """The entry of this code; the entry UNKNOWN, under this code, when it is not listed."""
    entries = _entries()
    return entries.get(code) or Explanation(**(vars(entries["UNKNOWN"]) | {"code": code}))


def codes() -> frozenset[str]:
    return frozenset(_entries())
