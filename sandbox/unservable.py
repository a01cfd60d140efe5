"""Which loaded resources no client can ever get under the query plan, and why."""

from collections import deque
from dataclasses import dataclass

from sandbox import references
from sandbox.charts_store import ChartStore, Key, StoredResource
from sandbox.plan import READ_BY_REFERENCE, READABLE, SEARCHES, SearchShape


@dataclass(frozen=True)
class Unservable:
    """Something loaded that cannot be served: a resource, or bytes that never became one."""

    resource_type: str | None
    id: str | None
    reason: str
    source: str


def find_unservable(store: ChartStore) -> list[Unservable]:
    """The resources out of reach, in load order, each with the reason.

    A resource is in reach by a search of its patient, or by a read when something in reach refers to it.
    """
    resources = store.all()
    misses = {resource.key: search_miss(resource, store) for resource in resources}
    reached = _reached_by_reference(store, [r for r in resources if misses[r.key] is None])
    named = _named_indirectly(store, resources)
    return [
        Unservable(*resource.key, _explain(resource, str(misses[resource.key]), named), resource.source)
        for resource in resources
        if misses[resource.key] is not None and resource.key not in reached
    ]


def _reached_by_reference(store: ChartStore, roots: list[StoredResource]) -> set[Key]:
    reached = {resource.key for resource in roots}
    pending = deque(roots)
    while pending:
        for key in pending.popleft().links - reached:
            target = store.get(key)
            if target is not None:
                reached.add(key)
                pending.append(target)
    return reached


def _named_indirectly(store: ChartStore, resources: list[StoredResource]) -> set[Key]:
    texts = {text for resource in resources for text in resource.indirect}
    keys = (store.resolve_urn(text) or references.absolute_target(text) for text in texts)
    return {key for key in keys if key is not None}


def _explain(resource: StoredResource, miss: str, named: set[Key]) -> str:
    if resource.resource_type in READ_BY_REFERENCE and resource.key in named:
        return "only absolute or urn references name it, and a client cannot read those"
    return miss


def search_miss(resource: StoredResource, store: ChartStore) -> str | None:
    """Why no search finds the resource; None when one does."""
    if resource.resource_type not in READABLE:
        return "the type is not in the query plan"
    if resource.resource_type == "Patient":
        return None
    if resource.resource_type in READ_BY_REFERENCE:
        return "nothing servable refers to it"
    return _owner_miss(resource, store) or _shape_miss(resource)


def _owner_miss(resource: StoredResource, store: ChartStore) -> str | None:
    subject = resource.subject
    if subject is None:
        return "it names no patient"
    if resource.owner is not None:
        return None if ("Patient", resource.owner) in store else "its patient is not in the data"
    if subject.startswith("#"):
        return "its subject is a resource contained in it"
    target = references.relative_target(subject) or references.absolute_target(subject)
    if target is not None:
        return f"its subject is a {target[0]}, not a Patient"
    return "its patient reference cannot be resolved"


def _shape_miss(resource: StoredResource) -> str | None:
    if any(_fits(resource, shape) for shape in SEARCHES[resource.resource_type]):
        return None
    if resource.resource_type == "CareTeam":
        return f"searches ask for status active, this is {resource.status}"
    codes = ", ".join(sorted(resource.categories)) or "none"
    return f"it has no category that a search accepts (its codes: {codes})"


def _fits(resource: StoredResource, shape: SearchShape) -> bool:
    held = {"category": resource.categories, "status": frozenset({resource.status})}
    return all(held[name] & allowed for name, allowed in shape.values.items())
