"""What the generic server searches by: US Core's parameters, each alone or together, with or without a patient."""

import datetime
import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from sandbox import references
from sandbox.charts_store import StoredResource
from sandbox.plan import READ_BY_REFERENCE, SEARCHES

# Appointments, unlike at the vendor; a patient's are found through their participants.
TYPES = frozenset(SEARCHES) | {"Appointment"}
READABLE = TYPES | READ_BY_REFERENCE
MOST_ON_A_PAGE = 1000
INCLUDES = {"MedicationRequest:medication": "Medication", "MedicationRequest:requester": "Practitioner"}
_RESULT = ("_count", "_include")
_EVERYWHERE = ("_id", "_lastUpdated", *_RESULT)
_OF_PATIENT = ("patient", "category", "status", "intent")
_OF_PERSON = ("identifier", "family", "given", "birthdate")
# FHIR R4 search.html 3.1.1.4.5: a prefix and a time; ap and ne are left out.
_WHEN = re.compile(r"(eq|gt|ge|lt|le|)(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d:\d\d)(?:\.\d+)?(Z|[+-]\d\d:\d\d))?")


class BadParameter(ValueError):
    """A parameter that cannot be understood; the message names it."""


def names_of(resource_type: str) -> tuple[str, ...]:
    """The parameters of a type."""
    return _EVERYWHERE + (_OF_PERSON if resource_type == "Patient" else _OF_PATIENT)


def unknown(resource_type: str, names: Iterable[str]) -> list[str]:
    """Those that the type does not know."""
    return [name for name in names if name not in names_of(resource_type)]


def page_size(parameters: Mapping[str, str], default: int) -> int:
    """As asked for, within the server's own bound.

    Raises:
        BadParameter: it is no number from 1.
    """
    asked = parameters.get("_count", str(default))
    if not asked.isdecimal() or int(asked) < 1:
        raise BadParameter("_count")
    return min(int(asked), MOST_ON_A_PAGE)


def updated_within(text: str, at: float) -> bool:
    """True when a resource changed at ``at`` (POSIX seconds) meets a ``_lastUpdated`` value.

    Raises:
        BadParameter: it is no prefix and date.
    """
    match = _WHEN.fullmatch(text)
    if match is None:
        raise BadParameter("_lastUpdated")
    prefix, day, time, zone = match.groups()
    try:
        moment = datetime.datetime.fromisoformat(f"{day}T{time or '00:00:00'}{zone or 'Z'}")
    except ValueError:
        raise BadParameter("_lastUpdated") from None
    edge = moment.timestamp()
    tests: Mapping[str, Callable[[], bool]] = {
        "gt": lambda: at > edge,
        "ge": lambda: at >= edge,
        "lt": lambda: at < edge,
        "le": lambda: at <= edge,
    }
    return tests.get(prefix, lambda: int(at) == int(edge))()


def fits(resource: StoredResource, parameters: Mapping[str, str]) -> bool:
    """True when a resource meets every parameter but ``_lastUpdated`` and those of the result."""
    tests: Mapping[str, Callable[[str], bool]] = {
        "_id": lambda value: resource.id in value.split(","),
        "patient": lambda value: value.removeprefix("Patient/") in patients_of(resource),
        "category": lambda value: not resource.categories.isdisjoint(_codes(value)),
        "status": lambda value: resource.status in _codes(value),
        "intent": lambda value: _read(resource).get("intent") in _codes(value),
        "identifier": lambda value: value.rpartition("|")[2] in _identifiers(resource),
        "birthdate": lambda value: resource.birth_date == value,
        "family": lambda value: any(name.family.casefold().startswith(value.casefold()) for name in resource.names),
        "given": lambda value: any(
            part.casefold().startswith(value.casefold()) for name in resource.names for part in name.given
        ),
    }
    return all(tests[name](value) for name, value in parameters.items() if name in tests)


def patients_of(resource: StoredResource) -> frozenset[str]:
    """The patients a resource belongs to: its owner, or the participants of an appointment."""
    if resource.resource_type != "Appointment":
        return frozenset() if resource.owner is None else frozenset({resource.owner})
    named = (link.target for link in references.walk(_read(resource)) if link.element == "actor")
    return frozenset(target[1] for target in named if target and target[0] == "Patient")


def _codes(value: str) -> set[str]:
    """A token parameter's alternatives, without their systems."""
    return {part.rpartition("|")[2] for part in value.split(",")}


def _identifiers(resource: StoredResource) -> set[str]:
    listed = _read(resource).get("identifier")
    return {str(each.get("value")) for each in listed if isinstance(each, dict)} if isinstance(listed, list) else set()


def _read(resource: StoredResource) -> dict[str, Any]:
    read = json.loads(resource.raw)
    return read if isinstance(read, dict) else {}
