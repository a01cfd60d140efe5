"""Resources that are not quite FHIR any more. Rare, on purpose: a reader must still find what they say."""

import random

from sandbox.charts.codings import Json

ODD_SHARE = 0.012  # of all clinical resources; well under the 3 in 100 that a validator may refuse


def with_unknown_element(resource: Json) -> Json:
    """An element FHIR does not know, as vendors leave from their own data model."""
    return resource | {"sourceChart": {"table": "items", "row": 31}}


def with_empty_string(resource: Json) -> Json:
    """An empty string, which FHIR forbids: in the text beside a code, else as language of the resource."""
    code = resource.get("code")
    if isinstance(code, dict) and code.get("coding"):
        return resource | {"code": code | {"text": ""}}
    return resource | {"language": ""}


def soil(resources: list[Json], rng: random.Random) -> list[Json]:
    """Make a few resources odd; the rest are returned as they are."""
    return [_maybe(resource, rng.random()) for resource in resources]


def _maybe(resource: Json, throw: float) -> Json:
    if throw < ODD_SHARE / 2:
        return with_unknown_element(resource)
    return with_empty_string(resource) if throw < ODD_SHARE else resource
