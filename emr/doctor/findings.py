"""What one step of the self-test found, as a value: kept, compared and shown, so it never holds a secret."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Self

from emr import catalogue

Evidence = tuple[tuple[str, str], ...]


class Verdict(StrEnum):
    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"
    UNTESTED = "not testable yet"


BAD = frozenset({Verdict.WRONG, Verdict.UNKNOWN})


@dataclass(frozen=True)
class Finding:
    """step: its key ("token", "read Patient"). code: of the catalogue, "" where nothing is amiss.

    evidence: (what, value) pairs fit to be shown. seconds: how long the step took. request_id: the vendor's.
    """

    step: str
    title: str
    verdict: Verdict
    summary: str = ""
    code: str = ""
    evidence: Evidence = ()
    request_id: str = ""
    seconds: float = 0.0

    @property
    def is_bad(self) -> bool:
        return self.verdict in BAD

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"evidence": [list(pair) for pair in self.evidence]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        return cls(
            **{
                **stored,
                "verdict": Verdict(stored["verdict"]),
                "evidence": tuple((what, value) for what, value in stored["evidence"]),
            }
        )

    def told(self) -> dict[str, Any]:
        """The finding with what the catalogue says of its code: for pages and for --json."""
        return self.as_json() | {"catalogue": advice(self.code) if self.code else None}


def advice(code: str) -> dict[str, Any]:
    """The catalogue's entry as a page shows it: likely causes in order, what to do, who, and whether we retry."""
    entry = catalogue.explain(code)
    return {
        "code": code,
        "title": entry.title,
        "causes": list(entry.causes),
        "next_step": entry.next_step,
        "todo": entry.todo,
        "who": entry.who_acts,
        "retries": entry.retries,
        "link": entry.link,
    }


def verdict_of(code: str) -> Verdict:
    """The verdict of a code: unknown where the catalogue does not know the reason."""
    entry = catalogue.explain(code)
    return Verdict(entry.severity) if entry.listed and code in catalogue.codes() else Verdict.UNKNOWN
