"""Directory Bundles as vendors publish them, made up."""

import json
from typing import Any


def organization(number: int, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Organization",
        "id": f"org-{number}",
        "name": f"Practice {number:05}",
        "address": [{"line": ["1 Main St"], "city": f"City {number % 50}", "state": "OR", "postalCode": "97301"}],
        "endpoint": [{"reference": f"Endpoint/end-{number}"}],
    } | more


def endpoint(number: int, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "Endpoint",
        "id": f"end-{number}",
        "status": "active",
        "connectionType": {"code": "hl7-fhir-rest"},
        "address": f"https://fhir4.eclinicalworks.com/fhir/r4/{code(number)}",
        "managingOrganization": {"reference": f"Organization/org-{number}"},
        "header": ["x" * 300],
    } | more


def code(number: int) -> str:
    letters = ""
    for _ in range(6):
        number, digit = divmod(number, 10)
        letters = "ABCDEFGHIJ"[digit] + letters
    return letters


def bundle(*resources: Any, **around: Any) -> bytes:
    document = {"resourceType": "Bundle", "type": "collection", **around}
    document["entry"] = [{"fullUrl": f"urn:{place}", "resource": one} for place, one in enumerate(resources)]
    return json.dumps(document, indent=1).encode()
