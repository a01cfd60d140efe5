"""Which scope allows what, in both versions of the syntax."""

import pytest

from emr.wire.scopes import allows, parse

GRANTED = {
    "v1 read": ("system/Patient.read", "Patient", "r", True),
    "v1 read searches": ("system/Patient.read", "Patient", "s", True),
    "v1 read does not write": ("system/Patient.read", "Patient", "c", False),
    "v1 write does not read": ("system/Patient.write", "Patient", "r", False),
    "v1 all": ("system/Patient.*", "Patient", "d", True),
    "v1 wildcard type": ("system/*.read", "Condition", "r", True),
    "v1 both wildcards": ("system/*.*", "Condition", "u", True),
    "v2 rs": ("system/Patient.rs", "Patient", "s", True),
    "v2 r": ("system/Coverage.r", "Coverage", "r", True),
    "v2 r does not search": ("system/Coverage.r", "Coverage", "s", False),
    "v2 all": ("system/Patient.cruds", "Patient", "u", True),
    "v2 wildcard type": ("system/*.rs", "Patient", "r", True),
    "v2 with a query": ("system/Observation.rs?category=laboratory", "Observation", "r", True),
    "v2 create only": ("system/Patient.c", "Patient", "r", False),
    "v2 letters out of order": ("system/Patient.sr", "Patient", "r", False),
    "v2 letter twice": ("system/Patient.rr", "Patient", "r", False),
    "another type": ("system/Condition.read", "Patient", "r", False),
    "type that begins alike": ("system/Medication.read", "MedicationRequest", "r", False),
    "another context": ("patient/Patient.read", "Patient", "r", False),
    "one of many": ("openid launch/patient system/Patient.rs offline_access", "Patient", "r", True),
    "search suffix is no scope": ("system/Patient.search", "Patient", "r", False),
    "no permissions": ("system/Patient.", "Patient", "r", False),
    "no type": ("system/.read", "Patient", "r", False),
    "nothing granted": ("", "Patient", "r", False),
    "other scopes only": ("openid fhirUser", "Patient", "r", False),
    "separated by line breaks": ("openid\nsystem/Patient.read", "Patient", "r", True),
}


@pytest.mark.parametrize(("granted", "kind", "action", "allowed"), GRANTED.values(), ids=GRANTED.keys())
def test_allows(granted: str, kind: str, action: str, allowed: bool) -> None:
    assert allows(granted, kind, action=action) is allowed


def test_allows_in_another_context() -> None:
    assert allows("patient/*.rs", "Condition", context="patient")
    assert not allows("patient/*.rs", "Condition", context="user")


def test_parse_keeps_the_query() -> None:
    (scope,) = parse("patient/Observation.rs?category=a|b openid")
    assert (scope.context, scope.resource_type, scope.permissions, scope.query) == (
        "patient",
        "Observation",
        frozenset("rs"),
        "category=a|b",
    )
