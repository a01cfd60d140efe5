"""The charts in memory: each resource's text as loaded, and the little that finding it needs."""

import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from sandbox import references
from sandbox.plan import OBSERVATION_LINKS, READ_BY_REFERENCE
from sandbox.references import Reference

Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class PersonName:
    """One of a patient's names."""

    family: str
    given: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredResource:
    """One resource: ``raw`` is its JSON text, byte for byte as loaded; the rest is an index of it.

    Attributes:
        subject: the patient reference as written, None without one.
        owner: the id of the patient it belongs to, None while unresolved.
        categories: every code in ``category``.
        links: references that a client may follow by a read.
        indirect: keys it refers to only in ways a client cannot follow (urn:uuid, absolute URL).
        source: file and line, for reports.
    """

    resource_type: str
    id: str
    raw: bytes
    source: str
    subject: str | None = None
    owner: str | None = None
    status: str | None = None
    categories: frozenset[str] = frozenset()
    links: frozenset[Key] = frozenset()
    indirect: frozenset[str] = frozenset()
    names: tuple[PersonName, ...] = ()
    birth_date: str | None = None

    @property
    def key(self) -> Key:
        return self.resource_type, self.id

    @property
    def sha256(self) -> str:
        """Hex digest of the text served."""
        return hashlib.sha256(self.raw).hexdigest()


def index(resource: Mapping[str, Any], raw: bytes, source: str) -> StoredResource:
    """Reads from a parsed resource what the searches need; its type and id must be strings."""
    resource_type, resource_id = resource["resourceType"], resource["id"]
    found = list(references.walk(resource))
    status = resource.get("status")
    stored = StoredResource(
        resource_type,
        resource_id,
        raw,
        source,
        subject=references.of_patient(resource),
        status=status if isinstance(status, str) else None,
        categories=frozenset(_category_codes(resource)),
        links=frozenset(link.target for link in found if link.target and _is_followed(resource_type, link)),
        indirect=frozenset(link.text for link in found if link.target is None),
    )
    if resource_type != "Patient":
        return stored
    birth_date = resource.get("birthDate")
    return replace(
        stored,
        owner=resource_id,
        names=tuple(_names(resource)),
        birth_date=birth_date if isinstance(birth_date, str) else None,
    )


def _is_followed(holder: str, link: Reference) -> bool:
    if link.target is None:
        return False
    return link.target[0] in READ_BY_REFERENCE or (
        link.target[0] == "Observation" and (holder, link.element) in OBSERVATION_LINKS
    )


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """The objects of what should be a list of them, or one of them (US Core data has both)."""
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            yield item


def _category_codes(resource: Mapping[str, Any]) -> Iterator[str]:
    for category in _objects(resource.get("category")):
        for coding in _objects(category.get("coding")):
            if isinstance(coding.get("code"), str):
                yield coding["code"]


def _names(patient: Mapping[str, Any]) -> Iterator[PersonName]:
    for name in _objects(patient.get("name")):
        given = name.get("given")
        family = name.get("family")
        yield PersonName(
            family if isinstance(family, str) else "",
            tuple(part for part in given if isinstance(part, str)) if isinstance(given, list) else (),
        )


class ChartStore:
    """All resources by key and by owner. Safe to change while other threads read."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._lock = threading.RLock()
        self._clock = clock
        self._updated: dict[Key, float] = {}
        self._resources: dict[Key, StoredResource] = {}
        self._by_owner: dict[Key, dict[str, StoredResource]] = {}
        self._urns: dict[str, Key] = {}

    def __len__(self) -> int:
        return len(self._resources)

    def __contains__(self, key: Key) -> bool:
        return key in self._resources

    def add(self, resources: Iterable[StoredResource], urns: Mapping[str, Key]) -> None:
        """Adds or replaces resources; ``urns`` says what each Bundle's urn:uuid stands for."""
        with self._lock:
            self._urns.update(urns)
            for resource in resources:
                self._put(resource)

    def _put(self, resource: StoredResource) -> None:
        if resource.resource_type != "Patient" and resource.subject is not None:
            resource = replace(resource, owner=references.patient_id(resource.subject, self._urns))
        held = self._resources.get(resource.key)
        self._updated[resource.key] = self._clock()
        if held is not None and held.owner != resource.owner:
            self._forget_owner(held)
        self._resources[resource.key] = resource
        if resource.owner is not None:
            owned = self._by_owner.setdefault((resource.resource_type, resource.owner), {})
            owned[resource.id] = resource

    def remove(self, key: Key) -> bool:
        """Takes a resource out; False when it was not there."""
        with self._lock:
            held = self._resources.pop(key, None)
            if held is not None:
                self._forget_owner(held)
            return held is not None

    def _forget_owner(self, resource: StoredResource) -> None:
        if resource.owner is not None:
            self._by_owner[(resource.resource_type, resource.owner)].pop(resource.id, None)

    def get(self, key: Key) -> StoredResource | None:
        """The resource of that type and id."""
        return self._resources.get(key)

    def owned(self, resource_type: str, patient: str) -> list[StoredResource]:
        """A patient's resources of one type, in the order they were loaded."""
        with self._lock:
            return list(self._by_owner.get((resource_type, patient), {}).values())

    def all(self) -> list[StoredResource]:
        """Every resource, in the order loaded."""
        with self._lock:
            return list(self._resources.values())

    def of_type(self, resource_type: str) -> list[StoredResource]:
        """Every resource of a type, in the order loaded."""
        return [resource for resource in self.all() if resource.resource_type == resource_type]

    def updated_at(self, key: Key) -> float:
        """When it was loaded or replaced, in POSIX seconds; for one that is there."""
        return self._updated[key]

    def patients(self) -> list[StoredResource]:
        """Every Patient, in the order loaded."""
        return self.of_type("Patient")

    def resolve_urn(self, urn: str) -> Key | None:
        """The resource a Bundle gave this urn, None when no Bundle did."""
        return self._urns.get(urn)
