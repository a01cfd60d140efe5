"""Bulk Data export of a Group on the wire (HL7 FHIR Bulk Data Access 2.0.0, export.html): kick-off, status, manifest,
cancelling. What the manifest's files hold is read by emr.wire.ndjson.

Every URL a server hands out is hostile until its origin and its base path match. A file elsewhere is fetched only when
the manifest asks for no token, without one, and only from a host that an admin confirmed (the door knows them).
"""

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, urlencode

from emr.wire.answers import DEFAULT_TIMEOUTS, Answer, Timeouts
from emr.wire.errors import NeverAgain, TryAgain, WireError, clean
from emr.wire.fhir import valid_id
from emr.wire.http import MIB, Door
from emr.wire.origins import parse, parse_base, rebase
from emr.wire.refusals import Forbidden, Gone, Unauthorized, issues_of, not_fhir, outcome_instead, refusal
from emr.wire.wellknown import json_object

__all__ = [
    "Forbidden",
    "Gone",
    "InProgress",
    "Manifest",
    "ManifestFile",
    "Started",
    "Unauthorized",
    "Waiting",
    "cancel",
    "kick_off",
    "poll",
]

MAX_MANIFEST = 8 * MIB
MAX_FILES = 10_000

_START = {"Accept": "application/fhir+json", "Prefer": "respond-async"}
_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)")
_TYPE = re.compile(r"[A-Z][A-Za-z]{0,63}")
# The server has no such operation, or not by this method: asking again brings the same.
_NOT_OFFERED = frozenset({405, 501})


class InProgress(TryAgain):
    """The server runs an export for us already. `retry_after`: the seconds it asks for, or None."""

    retry_after: float | None = None


class MethodRefused(NeverAgain):
    """405: the server wants the other of GET and POST."""


@dataclass(frozen=True)
class Started:
    """An export under way. status_url: rebuilt on our base; it names the job, so it is kept as a secret."""

    status_url: str = field(repr=False)
    retry_after: float | None
    request_id: str


@dataclass(frozen=True)
class Waiting:
    """The export has not ended. progress: the server's words, cleaned. retry_after: seconds it asks for, or None."""

    progress: str
    retry_after: float | None


@dataclass(frozen=True)
class ManifestFile:
    """One file. kind: output / error / deleted. resource_type: as the manifest says, "" where it does not.

    url: to be fetched; "" when it may not be (it leads to another host or practice). host: where it was to lead.
    count: lines as the manifest says, None when it does not.
    """

    kind: str
    resource_type: str
    url: str = field(repr=False)
    host: str = ""
    count: int | None = None


@dataclass(frozen=True)
class Manifest:
    """What an export brought. transaction_time: the server's clock when the data were taken; None when it is missing.

    requires_token: whether files are fetched with our token.
    """

    transaction_time: datetime | None
    requires_token: bool
    files: tuple[ManifestFile, ...]
    request_id: str


def kick_off(
    door: Door,
    bearer: str,
    base: str,
    group_id: str,
    *,
    types: Sequence[str] = (),
    since: datetime | None = None,
    post: bool = False,
    aliases: Collection[str] = frozenset(),
    timeout: Timeouts = DEFAULT_TIMEOUTS,
) -> Started:
    """Ask for an export of a Group: GET (which every server has to take) or POST [base]/Group/[id]/$export.

    types: of resources wanted, () for all. since: only what changed after it (aware). Raises InProgress, MethodRefused,
    Unauthorized and Gone BULK_GROUP, Forbidden FHIR_403, NeverAgain FHIR_REFUSED, FHIR_UNSUPPORTED_SEARCH,
    AUTHZ_APP_NOT_ACTIVATED, FHIR_LINK_FOREIGN (the status URL leads elsewhere), Throttled, TryAgain FHIR_5XX, and all
    of Door.get.
    """
    home = parse_base(base)
    if not valid_id(group_id):
        raise Gone("BULK_GROUP", "the group id holds characters an id cannot have", host=home.host)
    url = f"{home.url}/Group/{quote(group_id)}/$export"
    wanted = list(_wanted(types, since))
    if post:
        document = {"resourceType": "Parameters", "parameter": [_parameter(*pair) for pair in wanted]}
        answer = door.post_fhir(url, json.dumps(document), bearer=bearer, headers=_START, timeout=timeout)
    else:
        query = f"?{urlencode(wanted, safe=',:')}" if wanted else ""
        answer = door.get(url + query, headers=_START, bearer=bearer, timeout=timeout, max_bytes=MIB)
    if answer.status != 202:
        raise _not_started(answer)
    location = answer.headers.get("Content-Location", "")
    if not location:
        raise answer.error(NeverAgain, "FHIR_REFUSED", "the export was accepted without an address to ask for it")
    return Started(rebase(location, base, aliases), answer.retry_after, answer.request_id)


def poll(
    door: Door,
    bearer: str,
    base: str,
    status_url: str,
    *,
    aliases: Collection[str] = frozenset(),
    timeout: Timeouts = DEFAULT_TIMEOUTS,
) -> Waiting | Manifest:
    """Ask how the export stands.

    Raises Gone BULK_JOB_LOST, Unauthorized, Throttled (with the seconds asked for), TryAgain FHIR_5XX, FHIR_NOT_FHIR,
    NeverAgain for other refusals, and all of Door.get. A 5xx whose OperationOutcome says "transient" is Waiting.
    """
    url = rebase(status_url, base, aliases)
    headers = {"Accept": "application/json"}
    answer = door.get(url, headers=headers, bearer=bearer, timeout=timeout, max_bytes=MAX_MANIFEST)
    if answer.status == 202:
        return Waiting(clean(answer.headers.get("X-Progress", ""))[:100], answer.retry_after)
    if answer.status >= 500 and "transient" in _issue_codes(answer):
        return Waiting("the server is busy", answer.retry_after)
    if answer.status in {404, 410}:
        raise answer.error(Gone, "BULK_JOB_LOST", "the server does not know the export")
    if not 200 <= answer.status < 300:
        raise refusal(answer)
    document = json_object(answer)
    if document is None:
        raise not_fhir(answer, "the list of files is not JSON")
    if document.get("resourceType") == "OperationOutcome":
        raise outcome_instead(answer, document)
    return _manifest(answer, document, base, aliases)


def cancel(door: Door, bearer: str, base: str, status_url: str, *, aliases: Collection[str] = frozenset()) -> None:
    """DELETE the export: the server may forget its files. One it does not know any more is no error.

    Raises as `poll`.
    """
    answer = door.delete(rebase(status_url, base, aliases), bearer=bearer)
    if not (200 <= answer.status < 300 or answer.status in {404, 410}):
        raise refusal(answer)


def _wanted(types: Sequence[str], since: datetime | None) -> Iterator[tuple[str, str]]:
    if types:
        # One parameter with commas: some servers take no repeated one.
        yield "_type", ",".join(types)
    if since is not None:
        yield "_since", since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _parameter(name: str, value: str) -> dict[str, str]:
    return {"name": name, ("valueInstant" if name == "_since" else "valueString"): value}


def _not_started(answer: Answer) -> WireError:
    """What the refusal of a kick-off means."""
    if answer.status == 401:
        return answer.error(Unauthorized, "BULK_GROUP", "the token, or the group id, was not accepted")
    if answer.status == 404:
        return answer.error(Gone, "BULK_GROUP", "the group is not there")
    if _is_running(answer):
        error = answer.error(InProgress, "BULK_IN_PROGRESS", "an export is running already")
        error.retry_after = answer.retry_after
        return error
    if answer.status == 405:
        return answer.error(MethodRefused, "FHIR_REFUSED", "the server does not take this method for an export")
    if answer.status == 501 or 200 <= answer.status < 300:
        return answer.error(NeverAgain, "FHIR_REFUSED", "the server does not start an export")
    return refusal(answer)


def _is_running(answer: Answer) -> bool:
    """409; 429 that says anything (a spent minute says nothing at all); any other 4xx with the word "already"."""
    if answer.status == 429:
        return answer.retry_after is not None or bool(_issue_codes(answer))
    said = answer.body[:4096].decode("utf-8", "replace").lower()
    return answer.status == 409 or (400 <= answer.status < 500 and "already" in said)


def _issue_codes(answer: Answer) -> set[str]:
    document = json_object(answer)
    return {issue.code for issue in issues_of(document)} if document is not None else set()


def _manifest(answer: Answer, document: dict[str, Any], base: str, aliases: Collection[str]) -> Manifest:
    # Without a clear word the token goes along, which it does below the base only.
    requires_token = document.get("requiresAccessToken") is not False
    files: list[ManifestFile] = []
    for kind in ("output", "deleted", "error"):
        rows = document.get(kind)
        if kind == "output" and not isinstance(rows, list):
            raise not_fhir(answer, "the list of files has no output")
        for row in rows if isinstance(rows, list) else ():
            files.append(_file(kind, row, base, aliases, requires_token))
    if len(files) > MAX_FILES:
        raise answer.error(NeverAgain, "NET_TOO_LARGE", f"the export has more than {MAX_FILES} files")
    return Manifest(_instant(document.get("transactionTime")), requires_token, tuple(files), answer.request_id)


def _file(kind: str, row: Any, base: str, aliases: Collection[str], requires_token: bool) -> ManifestFile:
    told = row if isinstance(row, dict) else {}
    resource_type, count, link = told.get("type"), told.get("count"), told.get("url")
    url, host = _address(link if isinstance(link, str) else "", base, aliases, requires_token)
    return ManifestFile(
        kind=kind,
        resource_type=resource_type if isinstance(resource_type, str) and _TYPE.fullmatch(resource_type) else "",
        url=url,
        host=host,
        count=count if isinstance(count, int) and not isinstance(count, bool) and count >= 0 else None,
    )


def _address(link: str, base: str, aliases: Collection[str], requires_token: bool) -> tuple[str, str]:
    """(where to fetch a file, its host); ("", host) when our token would have to go elsewhere, or it is no URL."""
    try:
        url = rebase(link, base, aliases)
    except NeverAgain:
        url = ""
    if url:
        return url, parse(url).host
    try:
        target = parse(link)
    except NeverAgain:
        return "", ""
    return ("" if requires_token else target.url), target.host


def _instant(value: Any) -> datetime | None:
    if not isinstance(value, str) or not _INSTANT.fullmatch(value):
        return None
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value))
    except ValueError:
        return None
