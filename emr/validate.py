"""What FHIR R4 has against a resource. Sets a flag, decides nothing: raw comes first and readers are tolerant.

The R4B models stand in for R4 (fhir.resources has no R4 package; no R4-only element broke on them in trials).
This module costs 0.2 s and 20 MB to import: only workers import it.
"""

import json
from functools import cache, lru_cache
from typing import Any, get_args

from fhir.resources.R4B import codeableconcept, fhirtypes, get_fhir_model_class
from pydantic import BaseModel, ValidationError

LIMIT = 500
# Codes of a practice are few, and each comes with thousands of resources. What is longer is free text, and comes once.
KNOWN_CONCEPTS, LONGEST_CONCEPT = 2048, 1000


def problems(resource: dict[str, Any]) -> str:
    """Up to 500 characters of "place: kind" pairs; empty when valid. Never a value, for values are patient data."""
    try:
        model = get_fhir_model_class(str(resource.get("resourceType")))
        model.model_validate(_with_known_concepts(resource, model))
    except ValidationError as exc:
        told = (f"{_place(error['loc'])}: {error['type']}" for error in exc.errors(include_input=False))
        return "; ".join(dict.fromkeys(told))[:LIMIT]
    except KeyError:
        return "unknown resource type inside"
    except (ValueError, TypeError) as exc:
        return f"not readable as FHIR R4 ({type(exc).__name__})"
    return ""


def _with_known_concepts(resource: dict[str, Any], model: type[BaseModel]) -> dict[str, Any]:
    """The resource with its valid CodeableConcepts as models, which are not checked again. It is left as it was."""
    known = {name: _known(resource[name]) for name in _concepts_of(model) if name in resource}
    return {**resource, **known}


@cache
def _concepts_of(model: type[BaseModel]) -> tuple[str, ...]:
    """The elements of a resource type that hold one CodeableConcept or a list of them."""

    def holds(annotation: object) -> bool:
        return annotation is fhirtypes.CodeableConceptType or any(holds(part) for part in get_args(annotation))

    return tuple(name for name, field in model.model_fields.items() if holds(field.annotation))


def _known(value: Any) -> Any:
    """What is no valid CodeableConcept comes back as it is, so that its fault is told with its place."""
    if isinstance(value, list):
        return [_known(each) for each in value]
    if not isinstance(value, dict):
        return value
    try:
        text = json.dumps(value)
        return value if len(text) > LONGEST_CONCEPT else _concept(text)
    except (ValueError, TypeError, KeyError):
        return value


@lru_cache(KNOWN_CONCEPTS)
def _concept(text: str) -> BaseModel:
    found: BaseModel = codeableconcept.CodeableConcept.model_validate(json.loads(text))
    return found


def _place(location: tuple[int | str, ...]) -> str:
    """Element names only: in an unknown element, the name itself came from the server and is cut short."""
    return ".".join(str(part)[:40] for part in location) or "resource"
