"""What FHIR R4 has against a resource. Sets a flag, decides nothing: raw comes first and readers are tolerant.

The R4B models stand in for R4 (fhir.resources has no R4 package; no R4-only element broke on them in trials).
This module costs 0.2 s and 20 MB to import: only workers import it.
"""

from typing import Any

from fhir.resources.R4B import get_fhir_model_class
from pydantic import ValidationError

LIMIT = 500


def problems(resource: dict[str, Any]) -> str:
    """Up to 500 characters of "place: kind" pairs; empty when valid. Never a value, for values are patient data."""
    try:
        get_fhir_model_class(str(resource.get("resourceType"))).model_validate(resource)
    except ValidationError as exc:
        told = (f"{_place(error['loc'])}: {error['type']}" for error in exc.errors(include_input=False))
        return "; ".join(dict.fromkeys(told))[:LIMIT]
    except KeyError:
        return "unknown resource type inside"
    except (ValueError, TypeError) as exc:
        return f"not readable as FHIR R4 ({type(exc).__name__})"
    return ""


def _place(location: tuple[int | str, ...]) -> str:
    """Element names only: in an unknown element, the name itself came from the server and is cut short."""
    return ".".join(str(part)[:40] for part in location) or "resource"
