"""What a request is about: told once, for counting, latency, fault orders and routing."""

import re
from dataclasses import dataclass

from sandbox.messages import Request
from sandbox.paging import Cursor, Cursors
from sandbox.plan import SEARCHES

FHIR_ROOT = ("fhir", "r4")
OAUTH_ROOT = ("oauth", "oauth2")
TYPE_NAME = re.compile(r"[A-Z][A-Za-z]+")


@dataclass(frozen=True)
class Call:
    """A counted call.

    Attributes:
        kind: ``fhir``, ``token`` or ``authorize``.
        tail: decoded path segments below the FHIR base.
        resource_type: the FHIR type asked about, if any.
        patient: the patient asked about, if any.
        cursor: the search result a paging link stands for.
    """

    kind: str
    tail: tuple[str, ...] = ()
    resource_type: str | None = None
    patient: str | None = None
    cursor: Cursor | None = None

    @property
    def is_search(self) -> bool:
        """True when a good answer is a Bundle page."""
        return self.cursor is not None or (len(self.tail) == 1 and self.resource_type in SEARCHES)


def classify(request: Request, practice: str, cursors: Cursors) -> Call | None:
    """The call, None when the path belongs to no counted endpoint of the practice."""
    segments = request.segments
    if segments == (*OAUTH_ROOT, "token"):
        return Call("token")
    if segments == (*OAUTH_ROOT, "authorize"):
        return Call("authorize")
    if segments[:3] != (*FHIR_ROOT, practice):
        return None
    return _fhir_call(request, segments[3:], cursors)


def _fhir_call(request: Request, tail: tuple[str, ...], cursors: Cursors) -> Call:
    parameters = dict(request.parameters)
    cursor = cursors.find(parameters.get("_getpages", "")) if not tail else None
    if cursor is not None:
        return Call("fhir", tail, cursor.resource_type, cursor.patient, cursor)
    resource_type = tail[0] if tail and TYPE_NAME.fullmatch(tail[0]) else None
    if resource_type == "Patient":
        patient = tail[1] if len(tail) > 1 else parameters.get("_id")
    else:
        patient = parameters.get("patient")
    return Call("fhir", tail, resource_type, patient)
