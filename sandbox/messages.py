"""HTTP requests and responses as values, between the socket and the rules."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl, unquote

from sandbox.bundles import Page
from sandbox.charts_store import StoredResource
from sandbox.id_tokens import Alteration

FHIR_JSON = "application/json+fhir;charset=UTF-8"
HTML = "text/html;charset=UTF-8"
TEXT = "text/plain;charset=UTF-8"


@dataclass(frozen=True)
class CallbackChange:
    """What a fault does to the parameters that go back to the app: some set, some left out, some sent twice."""

    values: Mapping[str, str] = field(default_factory=dict)
    remove: frozenset[str] = frozenset()
    double: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Request:
    """One received request.

    Attributes:
        path: percent-encoded, without the query.
        stale_jwks: the token endpoint must make do with the key set it holds (a fault).
        withheld_types: types whose scopes are quietly left out of a token (a fault).
        keeps_refresh_token: the refresh token serves again, and the answer has none (a fault).
        id_token: how the id_token is to be altered (a fault).
        callback: how the parameters sent back to the app are to be altered (a fault).
    """

    method: str
    path: str
    query: str = ""
    headers: Message = field(default_factory=Message)
    body: bytes = b""
    stale_jwks: bool = False
    withheld_types: frozenset[str] = frozenset()
    keeps_refresh_token: bool = False
    id_token: Alteration | None = None
    callback: CallbackChange | None = None

    @property
    def segments(self) -> tuple[str, ...]:
        """The decoded path segments; an empty one shows a doubled or trailing slash."""
        return tuple(unquote(segment) for segment in self.path.split("/")[1:]) or ("",)

    @property
    def parameters(self) -> list[tuple[str, str]]:
        """Decoded query parameters in the order sent, blank and repeated ones included."""
        return parse_qsl(self.query, keep_blank_values=True)

    @property
    def media_type(self) -> str:
        """The body's media type, lower case, without parameters."""
        return str(self.headers.get("Content-Type", "")).partition(";")[0].strip().lower()


@dataclass(frozen=True)
class Delivery:
    """How the bytes go out; anything but the default plays a broken network.

    Attributes:
        missing: bytes promised by Content-Length that never come before the close.
        reset: the connection ends with a TCP RST instead of an answer.
        drip: bytes sent at a time, with ``pause`` seconds before each; 0 sends at once.
        damaged: the body itself was cut, so nothing in it counts as served.
    """

    missing: int = 0
    reset: bool = False
    drip: int = 0
    pause: float = 0.0
    damaged: bool = False

    @property
    def whole(self) -> bool:
        """True when the client can receive all of the answer."""
        return not (self.missing or self.reset or self.damaged)


@dataclass(frozen=True)
class Response:
    """One answer.

    Attributes:
        page: the Bundle page that ``body`` renders, for faults that alter it.
        served: the resources in it, for the ledger.
    """

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    page: Page | None = None
    served: tuple[StoredResource, ...] = ()
    delivery: Delivery = Delivery()


class Refusal(Exception):
    """Ends the handling of a request with this answer; ``rule`` names the check, for our own reports."""

    def __init__(self, response: Response, rule: str = "") -> None:
        super().__init__(rule)
        self.response = response
        self.rule = rule


def json_response(
    status: int,
    document: Any,
    *,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """A JSON answer."""
    body = json.dumps(document, ensure_ascii=False).encode()
    return Response(status, body, content_type, tuple((headers or {}).items()))


def outcome(code: str, diagnostics: str, *, severity: str = "error") -> dict[str, Any]:
    """An OperationOutcome with one issue (FHIR R4 operationoutcome.html)."""
    issue = {"severity": severity, "code": code, "diagnostics": diagnostics}
    return {"resourceType": "OperationOutcome", "issue": [issue]}


def outcome_response(status: int, code: str, diagnostics: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error answered as an OperationOutcome."""
    document = outcome(code, diagnostics)
    return json_response(status, document, content_type=FHIR_JSON, headers=headers)
