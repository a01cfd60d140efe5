"""FHIR R4 search and read on the wire: one request, one page (http://hl7.org/fhir/R4/http.html,
search.html).
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from emr.wire.answers import DEFAULT_TIMEOUTS, Answer, Timeouts
from emr.wire.bundles import Slice, TooManyEntries, slice_resource, split_bundle
from emr.wire.errors import NeverAgain, clean
from emr.wire.http import MIB, Door
from emr.wire.origins import parse_base, rebase
from emr.wire.refusals import (
    Forbidden,
    Gone,
    Outcome,
    Unauthorized,
    UnsupportedSearch,
    issues_of,
    not_fhir,
    outcome_instead,
    refusal,
)
from emr.wire.strictjson import BadJSON, decode

__all__ = [
    "Entry",
    "Forbidden",
    "Gone",
    "Outcome",
    "Page",
    "ReadResult",
    "Unauthorized",
    "UnsupportedSearch",
    "entry_of",
    "follow",
    "patient_of",
    "patient_reference",
    "read",
    "references",
    "search",
    "valid_id",
]

MAX_PAGE_BYTES = 20 * MIB
MAX_ENTRIES = 2000

_ACCEPT = {"Accept": "application/fhir+json"}
_TYPE = re.compile(r"[A-Z][A-Za-z]{0,63}")
_ID = re.compile(r"(?!\.{1,2}\Z)[A-Za-z0-9._-]{1,128}")  # healow's have 64 characters, R4 allows up to 64
_REFERENCE = re.compile(r"(?:^|/)([A-Z][A-Za-z]{0,63})/([A-Za-z0-9._-]{1,128})(?:/_history/[A-Za-z0-9._-]{1,64})?\Z")
_PATIENT_PATHS = ("subject", "patient", "beneficiary", "individual")


@dataclass(frozen=True)
class Entry:
    """One resource of a page. text: byte for byte as received. resource: the strictly read object or None.

    resource_type and fhir_id are "" where the resource does not say. fault: why it cannot be used, or None.
    """

    text: str = field(repr=False)
    resource: dict[str, Any] | None = field(repr=False)
    resource_type: str
    fhir_id: str
    fault: str | None = None


@dataclass(frozen=True)
class Page:
    """A page of a searchset. next_url: rebuilt on our base, None on the last page.

    next_refused: there is a further page, at an address we do not follow (FHIR_LINK_FOREIGN). The entries are good
    all the same; the list is not whole. outcomes: what the server says about the search, e.g. data it withholds; a
    warning means "incomplete". server_date: the server's clock when it answered.
    """

    entries: tuple[Entry, ...]
    next_url: str | None = field(repr=False)
    outcomes: tuple[Outcome, ...]
    request_id: str
    status: int
    next_refused: bool = False
    server_date: datetime | None = None


@dataclass(frozen=True)
class ReadResult:
    """What a read by id brought; `entry.fault` says when it cannot be used."""

    entry: Entry
    request_id: str
    status: int


def search(
    door: Door,
    bearer: str,
    base: str,
    resource_type: str,
    params: Sequence[tuple[str, str]],
    *,
    aliases: Collection[str] = frozenset(),
    timeout: Timeouts = DEFAULT_TIMEOUTS,
) -> Page:
    """GET [base]/[type]?[params], nothing added: some servers know exact sets of parameters only.

    Raises Unauthorized, Forbidden, Gone, UnsupportedSearch, NeverAgain FHIR_BUILD_TOO_OLD,
    AUTHZ_APP_NOT_ACTIVATED, FHIR_REFUSED, Throttled, TryAgain FHIR_5XX, FHIR_NOT_FHIR, and all of Door.get. A next
    link that leads elsewhere is not an error of this page: see Page.next_refused.
    """
    if not _TYPE.fullmatch(resource_type):
        raise ValueError(f"{resource_type!r} is not a resource type")
    url = f"{parse_base(base).url}/{resource_type}"
    if params:
        url += "?" + urlencode(params)
    return _page(door, bearer, base, url, aliases, timeout)


def follow(
    door: Door,
    bearer: str,
    base: str,
    next_url: str,
    *,
    aliases: Collection[str] = frozenset(),
    timeout: Timeouts = DEFAULT_TIMEOUTS,
) -> Page:
    """GET the next page: `Page.next_url`, checked once more against the base. Raises as `search`."""
    return _page(door, bearer, base, rebase(next_url, base, aliases), aliases, timeout)


def read(
    door: Door,
    bearer: str,
    base: str,
    resource_type: str,
    fhir_id: str,
    *,
    timeout: Timeouts = DEFAULT_TIMEOUTS,
) -> ReadResult:
    """GET [base]/[type]/[id]. An answer with another type or id comes as an Entry with a fault.

    Raises as `search`; Gone also, without asking, for an id no FHIR server can have.
    """
    if not _TYPE.fullmatch(resource_type):
        raise ValueError(f"{resource_type!r} is not a resource type")
    home = parse_base(base)
    if not _ID.fullmatch(fhir_id):
        raise Gone("FHIR_404_RESOURCE", "the id holds characters an id cannot have", host=home.host)
    url = f"{home.url}/{resource_type}/{fhir_id}"
    answer = door.get(url, headers=_ACCEPT, bearer=bearer, timeout=timeout, max_bytes=MAX_PAGE_BYTES)
    text = _fhir_text(answer)
    try:
        entry = _entry(slice_resource(text))
    except BadJSON as exc:
        raise not_fhir(answer, exc.reason) from None
    if entry.resource_type == "OperationOutcome" and entry.resource is not None:
        raise outcome_instead(answer, entry.resource)
    if entry.fault is None and (entry.resource_type, entry.fhir_id) != (resource_type, fhir_id):
        entry = Entry(
            entry.text,
            entry.resource,
            entry.resource_type,
            entry.fhir_id,
            "another resource than the one asked for",
        )
    return ReadResult(entry, answer.request_id, answer.status)


def entry_of(text: str) -> Entry:
    """One resource that came as text. Never raises: text that is none is an Entry with a fault."""
    try:
        return _entry(slice_resource(text))
    except BadJSON as exc:
        return Entry(text, None, "", "", exc.reason)


def valid_id(text: str) -> bool:
    """True for an id that a server may have given, with the characters R4 allows and up to 128 of them."""
    return _ID.fullmatch(text) is not None


def patient_of(resource: dict[str, Any]) -> str | None:
    """The FHIR id of the patient a resource is about; None when it names none, or a group.

    From subject, patient, beneficiary or individual: a relative, absolute or versioned literal reference. For
    a Patient its own id.
    """
    if resource.get("resourceType") == "Patient":
        own = resource.get("id")
        return own if isinstance(own, str) else None
    target = _target(patient_reference(resource))
    return target[1] if target else None


def patient_reference(resource: dict[str, Any]) -> str | None:
    """The reference to the patient a resource is about, as written; None when there is none."""
    for path in _PATIENT_PATHS:
        member = resource.get(path)
        reference = member.get("reference") if isinstance(member, dict) else None
        target = _target(reference)
        if target is not None and target[0] == "Patient":
            return str(reference)
    return None


def references(resource: dict[str, Any], types: Collection[str]) -> set[tuple[str, str]]:
    """(type, id) of every literal reference anywhere in the resource to one of `types`."""
    found: set[tuple[str, str]] = set()
    waiting: list[Any] = [resource]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            target = _target(one.get("reference"))
            if target is not None and target[0] in types:
                found.add(target)
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
    return found


def _target(reference: Any) -> tuple[str, str] | None:
    match = _REFERENCE.search(reference) if isinstance(reference, str) else None
    return (match[1], match[2]) if match else None


def _page(door: Door, bearer: str, base: str, url: str, aliases: Collection[str], timeout: Timeouts) -> Page:
    answer = door.get(url, headers=_ACCEPT, bearer=bearer, timeout=timeout, max_bytes=MAX_PAGE_BYTES)
    text = _fhir_text(answer)
    try:
        envelope = split_bundle(text, max_entries=MAX_ENTRIES)
    except TooManyEntries as exc:
        raise answer.error(NeverAgain, "NET_TOO_LARGE", exc.reason) from None
    except BadJSON as exc:
        raise not_fhir(answer, exc.reason) from None
    if envelope.resource_type == "OperationOutcome":
        raise outcome_instead(answer, envelope.members)
    if envelope.resource_type != "Bundle":
        raise not_fhir(answer, "not a Bundle")
    entries: list[Entry] = []
    outcomes: list[Outcome] = []
    for piece in envelope.entries:
        entry = _entry(piece)
        if piece.resource is not None and _is_outcome(entry, piece):
            outcomes.extend(issues_of(piece.resource))
        else:
            entries.append(entry)
    links = [link for relation, link in envelope.links if relation == "next"]
    next_url = _rebuilt(links[0], base, aliases) if links else None
    refused = bool(links) and next_url is None
    return Page(
        tuple(entries), next_url, tuple(outcomes), answer.request_id, answer.status, refused, answer.server_date
    )


def _is_outcome(entry: Entry, piece: Slice) -> bool:
    """By its type, as search.mode may be missing; by mode only where there is no type, so no data is lost."""
    return entry.resource_type == "OperationOutcome" or (piece.mode == "outcome" and not entry.resource_type)


def _rebuilt(link: str, base: str, aliases: Collection[str]) -> str | None:
    try:
        return rebase(link, base, aliases)
    except NeverAgain:
        return None


def _entry(piece: Slice) -> Entry:
    resource = piece.resource or {}
    kind, fhir_id = resource.get("resourceType"), resource.get("id")
    kind = kind if isinstance(kind, str) and _TYPE.fullmatch(kind) else ""
    fhir_id = fhir_id if isinstance(fhir_id, str) and _ID.fullmatch(fhir_id) else ""
    fault = piece.fault
    if fault is None and not kind:
        fault = "no usable resourceType"
    if fault is None and not fhir_id:
        fault = "no usable id"
    return Entry(piece.text, piece.resource, kind, fhir_id, fault)


def _fhir_text(answer: Answer) -> str:
    """The text of a successful JSON answer; everything else is raised as what it means."""
    if not 200 <= answer.status < 300:
        raise refusal(answer)
    if answer.media_type and "json" not in answer.media_type:
        raise not_fhir(answer, f"the answer is {clean(answer.media_type)}")
    try:
        return decode(answer.body)
    except BadJSON as exc:
        raise not_fhir(answer, exc.reason) from None
