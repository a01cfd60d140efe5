"""What a FHIR server means when it refuses: status, OperationOutcome and wording to an error of ours."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from emr.wire.answers import Answer
from emr.wire.errors import NeverAgain, TryAgain, WireError, clean
from emr.wire.strictjson import BadJSON, decode, loads

_UNSUPPORTED = re.compile(
    # The words alone tell it; the names, where they follow, are for the log.
    r"(?i)does not know how to handle\b(?:.*?\bparameters?\s*\[([^\]]*)\])?"  # eClinicalWorks
    r"|unsupported query parameter(?:\(?s?\)?:\s*([^.\r\n]*))?"  # eClinicalWorks, later builds
    r'|unknown search parameter(?:\s+"([^"]*)")?'  # HAPI
)


@dataclass(frozen=True)
class Outcome:
    """One issue of an OperationOutcome. diagnostics: its texts as sent; they may name a patient."""

    severity: str
    code: str
    diagnostics: str = field(repr=False)


class Unauthorized(NeverAgain):
    """401: the token is not valid here (any more)."""


class Forbidden(NeverAgain):
    """403: not permitted with this scope, patient or practice."""


class Gone(NeverAgain):
    """404 or 410: not there, or deleted."""


class UnsupportedSearch(NeverAgain):
    """The server does not take this set of parameters. `parameters`: the names it lists, () if none."""

    parameters: tuple[str, ...] = ()


def not_fhir(answer: Answer, reason: str) -> TryAgain:
    return answer.error(TryAgain, "FHIR_NOT_FHIR", reason)


def outcome_instead(answer: Answer, outcome: dict[str, Any]) -> WireError:
    """An OperationOutcome with status 200 in place of what was asked for: never "nothing on file"."""
    issues = tuple(issues_of(outcome))
    known = _known_refusal(answer, " ".join(issue.diagnostics for issue in issues))
    return known or not_fhir(answer, _summary(issues, answer) or "an OperationOutcome instead of data")


def refusal(answer: Answer) -> WireError:
    """The error an answer of 4xx or 5xx stands for: first by what it says, then by its status."""
    if answer.status == 429:
        return answer.throttled()
    issues = _body_issues(answer)
    said = " ".join(issue.diagnostics for issue in issues) or answer.body[:4096].decode("utf-8", "replace")
    if 400 <= answer.status < 500 and (known := _known_refusal(answer, said)):
        return known
    detail = _summary(issues, answer)
    if answer.status in _BY_STATUS:
        kind, code, default = _BY_STATUS[answer.status]
        return answer.error(kind, code, detail or default)
    if answer.status >= 500:
        return answer.error(TryAgain, "FHIR_5XX", detail or "the server is not well")
    return answer.error(NeverAgain, "FHIR_REFUSED", detail or "the server refused the request")


_BY_STATUS: dict[int, tuple[type[WireError], str, str]] = {
    401: (Unauthorized, "FHIR_401", "the token was not accepted"),
    403: (Forbidden, "FHIR_403", "not permitted"),
    404: (Gone, "FHIR_404_RESOURCE", "not found"),
    408: (TryAgain, "NET_TIMEOUT", "the server gave up waiting"),
    410: (Gone, "FHIR_404_RESOURCE", "deleted"),
}


def _known_refusal(answer: Answer, said: str) -> WireError | None:
    """Refusals known by their wording, which matters more than their status (eClinicalWorks, HAPI)."""
    if "FHIR app authentication is not enabled" in said:
        return answer.error(NeverAgain, "AUTHZ_APP_NOT_ACTIVATED", "the practice has not activated the app")
    if "not supported for the selected scope" in said:
        return answer.error(NeverAgain, "FHIR_BUILD_TOO_OLD", "the practice's EMR build does not offer this")
    match = _UNSUPPORTED.search(said[:8192])
    if match is None:
        return None
    named = next((group for group in match.groups() if group), "")
    names = tuple(re.findall(r"[A-Za-z_][A-Za-z0-9_.:-]*", named))[:20]
    detail = f"the server does not take these parameters together: {', '.join(names) or 'it names none'}"
    error = answer.error(UnsupportedSearch, "FHIR_UNSUPPORTED_SEARCH", clean(detail))
    error.parameters = names
    return error


def _body_issues(answer: Answer) -> tuple[Outcome, ...]:
    try:
        body = loads(decode(answer.body))
    except BadJSON:
        return ()
    return tuple(issues_of(body)) if isinstance(body, dict) else ()


def issues_of(outcome: dict[str, Any]) -> Iterator[Outcome]:
    issues = outcome.get("issue")
    for issue in issues if isinstance(issues, list) else ():
        if isinstance(issue, dict):
            details = issue.get("details")
            text = details.get("text") if isinstance(details, dict) else None
            said = [part for part in (text, issue.get("diagnostics")) if isinstance(part, str)]
            yield Outcome(_word(issue.get("severity")), _word(issue.get("code")), " ".join(dict.fromkeys(said)))


def _word(value: Any) -> str:
    return value[:64] if isinstance(value, str) else ""


def _summary(issues: Iterable[Outcome], answer: Answer) -> str:
    """Issue codes and texts, without what they quote of our own query."""
    echoes = [value for _, value in parse_qsl(urlsplit(answer.url).query)]
    echoes.append(answer.url.partition("?")[0].rsplit("/", 1)[-1])
    said = "; ".join(f"{issue.code} {issue.diagnostics}" for issue in issues)
    return clean(said, echoes)
