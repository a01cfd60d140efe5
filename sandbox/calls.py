"""What a request is about: told once, for counting, latency, fault orders and routing."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs

from sandbox.messages import Request
from sandbox.paging import Cursor, Cursors
from sandbox.plan import SEARCHES

FHIR_ROOT = ("fhir", "r4")
OAUTH_ROOT = ("oauth", "oauth2")
# Those the vendor counts. It has neither introspection nor revocation; here they count, to be no looser.
OAUTH_CALLS = ("token", "authorize", "introspect", "revoke", "jwks")
UNCOUNTED = frozenset({"jwks"})
TYPE_NAME = re.compile(r"[A-Z][A-Za-z]+")


@dataclass(frozen=True)
class Call:
    """A call that faults can be ordered for.

    Attributes:
        kind: ``fhir`` or one of ``OAUTH_CALLS``.
        tail: decoded path segments below the FHIR base.
        resource_type: the FHIR type asked about, if any.
        patient: the patient asked about, if any.
        cursor: the search result a paging link stands for.
        grant: grant_type of a token request.
    """

    kind: str
    tail: tuple[str, ...] = ()
    resource_type: str | None = None
    patient: str | None = None
    cursor: Cursor | None = None
    grant: str | None = None

    @property
    def is_counted(self) -> bool:
        """True when it is one of a minute's calls."""
        return self.kind not in UNCOUNTED

    @property
    def is_search(self) -> bool:
        """True when a good answer is a Bundle page."""
        return self.cursor is not None or (len(self.tail) == 1 and self.resource_type in SEARCHES)


def classify(request: Request, practice: str, cursors: Cursors) -> Call | None:
    """The call, None when the path belongs to no such endpoint of the practice."""
    segments = request.segments
    if segments[:2] == OAUTH_ROOT and len(segments) == 3 and segments[2] in OAUTH_CALLS:
        return Call(segments[2], grant=_grant_type(request) if segments[2] == "token" else None)
    if segments[:3] != (*FHIR_ROOT, practice):
        return None
    return _fhir_call(request, segments[3:], cursors)


def _grant_type(request: Request) -> str | None:
    return parse_qs(request.body.decode("utf-8", "replace")).get("grant_type", [None])[0]


def _fhir_call(request: Request, tail: tuple[str, ...], cursors: Cursors) -> Call:
    parameters = dict(request.parameters)
    cursor = cursors.find(_cursor_key(tail, parameters))
    if cursor is not None:
        return Call("fhir", tail, cursor.resource_type, cursor.patient, cursor)
    resource_type = tail[0] if tail and TYPE_NAME.fullmatch(tail[0]) else None
    if resource_type == "Patient":
        patient = tail[1] if len(tail) > 1 else parameters.get("_id")
    else:
        patient = parameters.get("patient")
    return Call("fhir", tail, resource_type, patient)


def _cursor_key(tail: tuple[str, ...], parameters: Mapping[str, str]) -> str:
    """The key in a next link: the vendor's, or the generic server's as path segments or query; "" in others."""
    if len(tail) == 3 and tail[0] == "page":
        return tail[1]
    return "" if tail else parameters.get("_getpages") or parameters.get("_cursor", "").rpartition(".")[0]
