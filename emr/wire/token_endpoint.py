"""The token endpoint and its neighbours on the wire: client authentication, answers, refusals. One copy for all grants.

Sources: RFC 6749 sections 2.3.1, 5.1 and 5.2, RFC 7523, SMART App Launch 2.2.
"""

import base64
import re
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import quote_plus

from emr.wire.answers import DEFAULT_TIMEOUTS, Answer, Timeouts
from emr.wire.errors import NeverAgain, TryAgain, WireError, clean
from emr.wire.http import Door
from emr.wire.wellknown import MAX_DOCUMENT, json_object, string

DEFAULT_EXPIRES_IN = 300
LONGEST_EXPIRES_IN = 86_400
_ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_TOKEN_TEXT = re.compile(r"[\x21-\x7e]{1,16384}")
_FHIR_ID = re.compile(r"(?:Patient/)?([A-Za-z0-9.-]{1,128})")
_OAUTH_ERRORS = frozenset(
    {
        "access_denied",
        "invalid_client",
        "invalid_grant",
        "invalid_request",
        "invalid_scope",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_grant_type",
    }
)
# What every grant's refusals mean; a grant adds its own.
_CODES = {
    "invalid_client": "TOK_INVALID_CLIENT",
    "unauthorized_client": "TOK_UNSUPPORTED_GRANT",
    "unsupported_grant_type": "TOK_UNSUPPORTED_GRANT",
}


@dataclass(frozen=True)
class TokenAnswer:
    """A token. expires_in: seconds from the answer; scope: as granted, None when not said.

    raw_keys: names of all members of the answer, sorted. server_date: its Date header, None when missing.
    patient: the id of the launch context's patient, "" when not said or no FHIR id. refresh_expires_in: seconds, None
    when not said.
    """

    access_token: str = field(repr=False)
    expires_in: int
    scope: str | None
    token_type: str
    raw_keys: tuple[str, ...]
    server_date: datetime | None
    refresh_token: str = field(default="", repr=False)
    id_token: str = field(default="", repr=False)
    patient: str = field(default="", repr=False)
    refresh_expires_in: int | None = None


class TokenRefused(NeverAgain):
    """The authorization server said no.

    oauth_error: the OAuth code, from whichever field held it, or "". description: the other field, sanitised.
    clock_skew: seconds the server's clock is ahead of ours (negative: behind); None without a Date header.
    """

    oauth_error: str = ""
    description: str = ""
    clock_skew: float | None = None


@dataclass(frozen=True)
class ClientAuthentication:
    """How a client proves itself: `assertion` (private_key_jwt), or its secret, or by its id alone (public client)."""

    method: str
    client_id: str
    secret: str = field(default="", repr=False)
    assertion: str = field(default="", repr=False)

    def form(self) -> dict[str, str]:
        """Fields for the request's body (RFC 6749 sections 2.3.1 and 3.2.1, RFC 7523 section 2.2)."""
        if self.method == "private_key_jwt":
            return {"client_assertion_type": _ASSERTION_TYPE, "client_assertion": self.assertion}
        if self.method == "client_secret_basic":
            return {}
        own = {"client_id": self.client_id}
        return own | {"client_secret": self.secret} if self.method == "client_secret_post" else own

    def basic(self) -> str:
        """Credentials of the Basic scheme, "" if not used: id and secret form-encoded (RFC 6749 section 2.3.1)."""
        if self.method != "client_secret_basic":
            return ""
        return base64.b64encode(f"{quote_plus(self.client_id)}:{quote_plus(self.secret)}".encode()).decode()


def ask(
    door: Door,
    url: str,
    grant: Mapping[str, str],
    client: ClientAuthentication,
    *,
    extra: Mapping[str, str],
    codes: Mapping[str, str],
    secrets: Iterable[str] = (),
    timeout: Timeouts = DEFAULT_TIMEOUTS,
) -> TokenAnswer:
    """Send one token request, once, whatever comes back.

    grant: the form fields of the grant. extra: more fields a vendor wants; ValueError if they replace one. codes: the
    catalogue's code for an OAuth code of this grant; "" for a refusal with 400, 401 or 403 that names none. secrets:
    what of the request may be echoed and must not be logged. Raises TokenRefused, TryAgain TOK_ACCESS_DENIED_500,
    TOK_NOT_JSON, FHIR_5XX, NET_TIMEOUT, Throttled, NeverAgain DISC_FOREIGN_HOST, and all of Door.post_form.
    """
    form = {**grant, **client.form()}
    if not form.keys().isdisjoint(extra):
        raise ValueError("extra fields cannot replace those of the grant")
    answer = post(door, url, {**form, **extra}, client, timeout=timeout)
    document = json_object(answer)
    if not 200 <= answer.status < 300 or (document is not None and "error" in document):
        raise refusal(answer, document, codes=codes, echoes=(client.assertion, client.secret, *secrets))
    return _token(answer, document or {})


def post(
    door: Door, url: str, form: Mapping[str, str], client: ClientAuthentication, *, timeout: Timeouts = DEFAULT_TIMEOUTS
) -> Answer:
    """POST a form under the client's authentication (its form fields are the caller's to add)."""
    return door.post_form(
        url,
        form,
        headers={"Accept": "application/json"},
        basic=client.basic() or None,
        timeout=timeout,
        max_bytes=MAX_DOCUMENT,
    )


def _token(answer: Answer, document: dict[str, Any]) -> TokenAnswer:
    token, kind = string(document.get("access_token")), string(document.get("token_type"))
    if token is None or not _TOKEN_TEXT.fullmatch(token) or kind is None or kind.lower() != "bearer":
        raise answer.error(TryAgain, "TOK_NOT_JSON", "the answer holds no bearer token")
    patient = _FHIR_ID.fullmatch(string(document.get("patient")) or "")
    life = document.get("refresh_token_expires_in", document.get("refresh_expires_in"))
    return TokenAnswer(
        access_token=token,
        expires_in=min(_seconds(document.get("expires_in")) or DEFAULT_EXPIRES_IN, LONGEST_EXPIRES_IN),
        # "" is said, too: a token that grants nothing.
        scope=document["scope"] if isinstance(document.get("scope"), str) else None,
        token_type=kind,
        raw_keys=tuple(sorted(document)),
        server_date=answer.server_date,
        refresh_token=_text(document.get("refresh_token")),
        id_token=_text(document.get("id_token")),
        patient=patient[1] if patient else "",
        refresh_expires_in=_seconds(life),
    )


def _text(value: Any) -> str:
    """A token as it can be sent again, or ""."""
    text = string(value) or ""
    return text if _TOKEN_TEXT.fullmatch(text) else ""


def _seconds(value: Any) -> int | None:
    """A time as a server writes it (number, string) in seconds; None when it is missing, not positive, or not one."""
    try:
        seconds = int(str(value)[:20].partition(".")[0])
    except ValueError:
        return None
    return seconds if seconds > 0 else None


def refusal(
    answer: Answer, document: dict[str, Any] | None, *, codes: Mapping[str, str], echoes: tuple[str, ...] = ()
) -> WireError:
    """The error that an answer of the token endpoint stands for: by its OAuth code, its words, then its status."""
    if answer.status == 429:
        return answer.throttled()
    if answer.status == 408:
        return answer.error(TryAgain, "NET_TIMEOUT", "the authorization server gave up waiting")
    words = [clean((document or {}).get(name, ""), echoes) for name in ("error", "error_description")]
    # eClinicalWorks has been seen to swap them: {"error": "403", "error_description": "invalid_request"}.
    oauth_error = next((word for word in words if word in _OAUTH_ERRORS), "")
    description = " ".join(word for word in words if word != oauth_error)
    if answer.status >= 500:
        code = "TOK_ACCESS_DENIED_500" if "access_denied" in words else "FHIR_5XX"
        return answer.error(TryAgain, code, oauth_error or "the authorization server is not well")
    code = _code(answer, document, words, codes)
    if not code:
        return answer.error(TryAgain, "TOK_NOT_JSON", "the answer is not a JSON object")
    error = answer.error(TokenRefused, code, f"{oauth_error} {description}".strip() or "refused")
    error.oauth_error, error.description = oauth_error, description
    if answer.server_date is not None:
        error.clock_skew = answer.server_date.timestamp() - time.time()
    return error


def _code(answer: Answer, document: dict[str, Any] | None, words: list[str], codes: Mapping[str, str]) -> str:
    """The catalogue's code of a refusal below 500; "" when it says nothing we know how to read."""
    known = {**_CODES, **codes}
    meant = {known[word] for word in words if word and word in known}
    if len(meant) > 1:
        return "TOK_REFUSED"  # reasons that contradict each other
    if meant:
        return meant.pop()
    said = " ".join(words) + answer.body[:4096].decode("utf-8", "replace")
    if "FHIR app authentication is not enabled" in said:
        return "AUTHZ_APP_NOT_ACTIVATED"
    if document is not None and answer.status in (400, 401, 403) and codes.get(""):
        return codes[""]
    if document is None:
        return "" if answer.status in (400, 403, 404) else "TOK_REFUSED"  # a gateway's page, or who knows what
    return "TOK_INVALID_CLIENT" if answer.status == 401 else "TOK_REFUSED"
