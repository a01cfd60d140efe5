"""Vendor profiles: an EMR's behaviour as data (one TOML file each), read once into frozen dataclasses.

Code asks the profile and never the vendor's name.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any

from emr.profiles.connecting import Connecting

FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Query:
    """One call of the plan. `parameters` may hold {patient}; None of them means a read of the patient itself."""

    resource_type: str
    parameters: tuple[tuple[str, str], ...]
    read_seconds: float

    def describe_all(self) -> str:
        """What was asked for over all patients."""
        told = "".join(f"&{name}={value}" for name, value in self.parameters)
        return f"{self.resource_type}?all patients{told}"

    def describe(self) -> str:
        """What was asked, without the patient: "Observation?patient&category=survey"."""
        if not self.parameters:
            return f"{self.resource_type}/{{id}}"
        # A page's size says nothing of what is asked for.
        told = (
            name if "{patient}" in value else f"{name}={value}" for name, value in self.parameters if name != "_count"
        )
        return f"{self.resource_type}?{'&'.join(told)}"


@dataclass(frozen=True)
class Freshness:
    """How long what was fetched counts as fresh. `hours`: for the types that differ from `default_hours`.

    refused_hours: so long a type that was refused for good is not asked for again, unless a person asks.
    """

    default_hours: float
    hours: Mapping[str, float]
    refused_hours: float

    def life(self, resource_type: str) -> timedelta:
        return timedelta(hours=self.hours.get(resource_type, self.default_hours))

    @property
    def shortest(self) -> timedelta:
        """The shortest life: after it, something of every patient is to be fetched again."""
        return timedelta(hours=min([self.default_hours, *self.hours.values()]))


@dataclass(frozen=True)
class Link:
    """Records of a patient that no list brings: named by `element` of a `holder`, of type `target`."""

    holder: str
    element: str
    target: str


@dataclass(frozen=True)
class Population:
    """How types are asked for over all patients at once. `queries` hold no {patient}; Patient comes first.

    overlap_seconds: so far each window reaches back into the one before. full_days: after so long, everything is
    asked for again, which alone shows what is no longer there. least_count: pages shrink to this when they fail.
    """

    queries: tuple[Query, ...]
    count: int
    least_count: int
    overlap_seconds: float
    full_days: float

    @property
    def types(self) -> tuple[str, ...]:
        return tuple(query.resource_type for query in self.queries)

    def query(self, resource_type: str) -> Query:
        """Raises StopIteration for a type that is not among `types`."""
        return next(query for query in self.queries if query.resource_type == resource_type)


@dataclass(frozen=True)
class Profile:
    """What code needs to know of a vendor. Sources: the comments beside each value in the TOML file."""

    key: str
    name: str
    signing_algorithms: tuple[str, ...]
    calls_per_window: int
    calls_held_back: int
    window_seconds: float
    base_path_pattern: str
    base_path_hint: str
    authorization_hosts: tuple[str, ...]
    link_aliases: frozenset[str]
    default_scopes: str
    plan: tuple[Query, ...]
    read_by_reference: tuple[str, ...]
    links: tuple[Link, ...]
    population: Population | None
    patient_search: tuple[tuple[str, ...], ...]
    freshness: Freshness
    connecting: Connecting

    @property
    def planned_types(self) -> tuple[str, ...]:
        """Resource types in the order they are asked for, then those read by reference."""
        return tuple(dict.fromkeys([query.resource_type for query in self.plan] + list(self.read_by_reference)))


def _queries(rows: list[dict[str, Any]], default_seconds: float) -> tuple[Query, ...]:
    return tuple(
        Query(
            resource_type=row["type"],
            parameters=tuple((name, value) for name, value in parameters.items()),
            read_seconds=row.get("read_seconds", default_seconds),
        )
        for row in rows
        for parameters in row["queries"]
    )


def _population(table: dict[str, Any], default_seconds: float) -> Population:
    limits = {name: value for name, value in table.items() if name != "types"}
    return Population(queries=_queries(table["types"], default_seconds), **limits)


@cache
def get(key: str) -> Profile:
    """The profile called `key`. Raises KeyError when there is none."""
    path = FOLDER / f"{key}.toml"
    if key not in _keys():
        raise KeyError(f"no vendor profile {key!r}")
    data = tomllib.loads(path.read_text("utf-8"))
    return Profile(
        key=key,
        name=data["name"],
        signing_algorithms=tuple(data["signing_algorithms"]),
        calls_per_window=data["limit"]["calls"],
        calls_held_back=data["limit"]["held_back"],
        window_seconds=data["limit"]["window_seconds"],
        base_path_pattern=data["base_url"]["path_pattern"],
        base_path_hint=data["base_url"]["hint"],
        authorization_hosts=tuple(data["authorization_hosts"]),
        link_aliases=frozenset(data["link_aliases"]),
        default_scopes=" ".join(data["scopes"]["default"]),
        plan=_queries(data["plan"], data["read_seconds"]),
        read_by_reference=tuple(data["read_by_reference"]),
        links=tuple(Link(**row) for row in data["links"]),
        population=_population(data["population"], data["read_seconds"]) if "population" in data else None,
        patient_search=tuple(tuple(names) for names in data["patient_search"]),
        freshness=Freshness(**data["freshness"]),
        connecting=Connecting.read(data),
    )


@cache
def _keys() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


def choices() -> list[tuple[str, str]]:
    """(key, name) of every profile, for model and form fields."""
    return [(key, get(key).name) for key in _keys()]
