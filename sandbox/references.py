"""FHIR references: finding them in a resource and telling what they point at (FHIR R4 references.html)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

ID_PATTERN = r"[A-Za-z0-9\-.]{1,64}"
VALID_ID = re.compile(ID_PATTERN)
RELATIVE = re.compile(rf"([A-Z][A-Za-z]+)/({ID_PATTERN})(?:/_history/{ID_PATTERN})?")
PATIENT_ELEMENTS = ("patient", "subject", "beneficiary")


@dataclass(frozen=True)
class Reference:
    """A reference found in a resource.

    Attributes:
        element: the name of the element that holds it.
        target: type and id when it is relative, so that a client can read it; None otherwise.
    """

    element: str
    text: str
    target: tuple[str, str] | None


def relative_target(text: str) -> tuple[str, str] | None:
    """Type and id of a relative reference, None for any other kind."""
    match = RELATIVE.fullmatch(text)
    return (match[1], match[2]) if match else None


def absolute_target(text: str) -> tuple[str, str] | None:
    """Type and id at the end of an http(s) reference, None for any other kind."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https"):
        return None
    match = re.search(rf"(?:^|/)({RELATIVE.pattern})$", parts.path)
    return relative_target(match[1]) if match else None


def patient_id(text: str, urns: Mapping[str, tuple[str, str]]) -> str | None:
    """The patient id a reference names, None when it names something else or nothing known.

    Args:
        text: a relative, absolute or urn:uuid reference.
        urns: what the Bundles' urn:uuid full URLs stand for.
    """
    target = urns.get(text) or relative_target(text) or absolute_target(text)
    return target[1] if target and target[0] == "Patient" else None


def of_patient(resource: Mapping[str, Any]) -> str | None:
    """The reference to the patient the resource is about, as written; None without one."""
    for element in PATIENT_ELEMENTS:
        holder = resource.get(element)
        if isinstance(holder, dict) and isinstance(holder.get("reference"), str):
            return str(holder["reference"])
    return None


def walk(resource: Mapping[str, Any]) -> Iterator[Reference]:
    """Every reference in a resource, contained resources included, with its element's name."""
    pending: list[tuple[str, Any]] = [("", resource)]
    while pending:
        element, value = pending.pop()
        if isinstance(value, list):
            pending.extend((element, item) for item in value)
        elif isinstance(value, dict):
            text = value.get("reference")
            if isinstance(text, str):
                yield Reference(element, text, relative_target(text))
            pending.extend(value.items())
