"""SMART scopes, version 1 (`system/Patient.read`) and 2 (`system/Patient.rs?category=x`).

Source: SMART App Launch 2.2, "Scopes and Launch Context".
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_SCOPE = re.compile(r"(patient|user|system)/(\*|[A-Z][A-Za-z]*)\.([a-z]+|\*)(?:\?(.*))?")
_V2 = re.compile(r"(?=.)c?r?u?d?s?")
_V1 = {"read": "rs", "write": "cud", "*": "cruds"}


@dataclass(frozen=True)
class Scope:
    """One clinical scope. permissions: of c r u d s. query: what limits it (version 2), or ""."""

    context: str
    resource_type: str
    permissions: frozenset[str]
    query: str = ""


def parse(granted: str) -> Iterator[Scope]:
    """The clinical scopes of a space-separated list. Others (`openid`, `launch/patient`) and strings that are
    no SMART scope (`.search`, letters out of the order c r u d s) are passed over.
    """
    for word in granted.split():
        match = _SCOPE.fullmatch(word)
        if match is None:
            continue
        context, resource_type, access, query = match.groups()
        if access in _V1 or _V2.fullmatch(access):
            yield Scope(context, resource_type, frozenset(_V1.get(access, access)), query or "")


def allows(granted: str, resource_type: str, context: str = "system", action: str = "r") -> bool:
    """True when a granted scope lets `context` do `action` (one of c r u d s) with this type, wildcards
    included.

    A scope limited by a query allows: the server then answers with the part it covers.
    """
    return any(
        scope.context == context and scope.resource_type in ("*", resource_type) and action in scope.permissions
        for scope in parse(granted)
    )


def covers(granted: str, word: str) -> bool:
    """True when `granted` holds this one scope, in either version's syntax; `openid` and the like word for word."""
    asked = next(parse(word), None)
    if asked is None:
        return word in granted.split()
    return all(allows(granted, asked.resource_type, asked.context, action) for action in asked.permissions)


def narrowed(answered: str, consented: str) -> str:
    """The scopes a refresh answers with, less those the person never consented to (RFC 6749 section 6)."""
    return " ".join(word for word in answered.split() if covers(consented, word))
