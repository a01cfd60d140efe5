"""One measured figure beside its goal."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """`limit` None: shown for information. `at_least`: the value must reach the limit instead of staying below."""

    name: str
    value: float
    unit: str = ""
    limit: float | None = None
    at_least: bool = False

    @property
    def ok(self) -> bool:
        if self.limit is None:
            return True
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    @property
    def goal(self) -> str:
        if self.limit is None:
            return "shown only"
        sign = "≥" if self.at_least else "≤"
        return f"{sign} {self.limit:g} {self.unit}".rstrip()

    def line(self) -> str:
        return f"{self.name} | {self.value:g} {self.unit} | {self.goal} | {'ok' if self.ok else 'SHORT'}"

    def fields(self) -> dict[str, Any]:
        return asdict(self)

    def as_json(self) -> dict[str, Any]:
        return self.fields() | {"goal": self.goal, "ok": self.ok}


def is_query(sql: str) -> bool:
    """Whether a statement reads or writes, rather than beginning or ending a transaction."""
    return not sql.startswith(("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE SAVEPOINT"))
