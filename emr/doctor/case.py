"""One self-test in progress: the connection, the door, and what the steps so far have brought."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from emr.doctor.findings import Evidence, Finding, Verdict, verdict_of
from emr.doctor.watch import WatchedDoor, code_of, evidence_of
from emr.models import ClientRegistration, Connection
from emr.tokens import Access
from emr.wire.errors import WireError
from emr.wire.smart import SmartConfiguration


@dataclass(frozen=True)
class Step:
    """key: its name in the report. title: for people. at: what it asks, in the catalogue's words."""

    key: str
    title: str
    at: str = ""

    def found(
        self, verdict: Verdict, summary: str, *, code: str = "", evidence: Iterable[tuple[str, str]] = ()
    ) -> Finding:
        return Finding(self.key, self.title, verdict, summary, code, tuple(evidence))

    def amiss(self, code: str, summary: str = "", evidence: Iterable[tuple[str, str]] = ()) -> Finding:
        """A finding with the verdict the catalogue gives its code."""
        return self.found(verdict_of(code), summary, code=code, evidence=evidence)


class OutOfOrder(RuntimeError):
    """A step was taken before the one it needs: a fault of the plan, not of the connection."""


@dataclass
class Case:
    """skew: seconds the server's clock is ahead of ours. published: the keys of our JWKS as read from outside.

    references: (type, id) that records read so far refer to. private: the read patient's id and names, which no
    finding may show. facts: what reports are compared by.
    """

    connection: Connection
    door: WatchedDoor | None = None
    findings: dict[str, Finding] = field(default_factory=dict)
    outcome: SmartConfiguration | WireError | None = None
    skew: float | None = None
    published: list[dict[str, Any]] | None = None
    access: Access | None = field(default=None, repr=False)
    references: set[tuple[str, str]] = field(default_factory=set, repr=False)
    private: set[str] = field(default_factory=set, repr=False)
    facts: dict[str, list[str]] = field(default_factory=dict)

    @property
    def registration(self) -> ClientRegistration:
        return self.connection.registration

    @property
    def way(self) -> WatchedDoor:
        """The door; steps that use it come after the one that opened it."""
        if self.door is None:
            raise OutOfOrder("no door")
        return self.door

    @property
    def configuration(self) -> SmartConfiguration:
        if not isinstance(self.outcome, SmartConfiguration):
            raise OutOfOrder("no discovery")
        return self.outcome

    @property
    def token(self) -> Access:
        if self.access is None:
            raise OutOfOrder("no token")
        return self.access

    def is_bad(self, key: str) -> bool:
        return key in self.findings and self.findings[key].is_bad

    def passed(self, key: str) -> bool:
        return key in self.findings and self.findings[key].verdict in {Verdict.OK, Verdict.WARNING}

    def failure(self, step: Step, error: WireError, *, code: str = "", more: Evidence = ()) -> Finding:
        """The finding of a failed call: recognised by the catalogue, with its evidence."""
        code = code or code_of(error, self.door, step.at)
        evidence = evidence_of(error, self.door, step.at, self.private) + more
        return replace(step.amiss(code, evidence=evidence), request_id=error.request_id)
