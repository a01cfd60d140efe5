"""The FHIR endpoint of a server that follows US Core: searches with and without a patient, ``_lastUpdated``,
``_count``, ``_include``, and next links of every legal kind in turn."""

import secrets
from collections.abc import Iterable, Iterator, Mapping

from sandbox import discovery, fhir
from sandbox.bundles import Entry, Page, render
from sandbox.calls import Call
from sandbox.charts_store import StoredResource
from sandbox.generic_plan import (
    INCLUDES,
    READABLE,
    TYPES,
    BadParameter,
    fits,
    names_of,
    page_size,
    patients_of,
    unknown,
    updated_within,
)
from sandbox.messages import FHIR_JSON, Request, Response, json_response
from sandbox.paging import Cursor
from sandbox.state import SandboxState
from sandbox.tokens import AccessToken


def answer(state: SandboxState, request: Request, call: Call) -> Response:
    """Answers a call below the base.

    Raises:
        Refusal: with an OperationOutcome.
    """
    if request.method != "GET":
        raise fhir.refusal(405, "not-supported", f"Method {request.method} is not supported")
    fhir.check_accept(request)
    if call.tail == (".well-known", "smart-configuration"):
        return json_response(200, discovery.smart_configuration(state.origin, state.fhir_base))
    if call.tail == ("metadata",):
        return json_response(200, capability_statement(), content_type=FHIR_JSON)
    token = fhir.authenticate(state, request)
    if call.cursor is not None:
        return next_page(state, request, call, call.cursor, token)
    if len(call.tail) == 1 and call.tail[0] in TYPES:
        return search(state, request, call.tail[0], token)
    if len(call.tail) == 2 and call.tail[0] in READABLE:
        return read(state, call.tail[0], call.tail[1], token)
    if call.tail[:1] == ("page",) or "_cursor" in dict(request.parameters):
        raise fhir.refusal(410, "deleted", "The search result is no longer held")
    raise fhir.refusal(404, "not-supported", "Unknown resource type or path")


def capability_statement() -> dict[str, object]:
    """The /metadata answer, with the parameters each type is searched by."""
    resources = [
        {
            "type": each,
            "interaction": [{"code": code} for code in (("read", "search-type") if each in TYPES else ("read",))],
            "searchParam": [
                {"name": name, "type": "token"} for name in names_of(each) if each in TYPES and name != "_count"
            ],
        }
        for each in sorted(READABLE)
    ]
    return {
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": "2026-01-15",
        "kind": "instance",
        "fhirVersion": "4.0.1",
        "format": ["json"],
        "rest": [{"mode": "server", "resource": resources}],
    }


def search(state: SandboxState, request: Request, resource_type: str, token: AccessToken) -> Response:
    """The first page of a search."""
    reach = fhir.reach_of(token, resource_type, "s")
    if strange := unknown(resource_type, (name for name, _ in request.parameters)):
        raise fhir.refusal(400, "not-supported", f'Unknown search parameter "{strange[0]}"')
    parameters = dict(request.parameters)
    try:
        found = [one for one in candidates(state, resource_type, parameters) if reach is None or one.owner in reach]
        size = page_size(parameters, state.config.page_size)
    except BadParameter as error:
        raise fhir.refusal(400, "invalid", f"Invalid value of {error}") from None
    patient = parameters.get("patient") or parameters.get("_id")
    included = INCLUDES.get(parameters.get("_include", ""), "")
    query = f"{resource_type}?{request.query}" if request.query else resource_type
    cursor = Cursor(resource_type, patient, query, tuple(found), size, included)
    return page_response(state, cursor, 1, state.cursors.keep(cursor) if len(found) > size else "")


def candidates(state: SandboxState, resource_type: str, parameters: Mapping[str, str]) -> Iterator[StoredResource]:
    """The matches. Without a patient, everybody's."""
    patient = parameters.get("patient", "").removeprefix("Patient/")
    charts = state.charts
    owned = bool(patient) and resource_type != "Appointment"
    for one in charts.owned(resource_type, patient) if owned else charts.of_type(resource_type):
        asked = parameters.get("_lastUpdated")
        if (asked is None or updated_within(asked, charts.updated_at(one.key))) and fits(one, parameters):
            yield one


def next_page(state: SandboxState, request: Request, call: Call, cursor: Cursor, token: AccessToken) -> Response:
    """A page of an earlier search, by its link."""
    reach = fhir.reach_of(token, cursor.resource_type, "s")
    fhir.require_within(reach, (patient for one in cursor.matches for patient in patients_of(one)))
    key, _, number = dict(request.parameters).get("_cursor", "").rpartition(".")
    if call.tail:
        key, number = call.tail[1:3]
    if not number.isdecimal() or not 1 < int(number) <= -(-len(cursor.matches) // cursor.size):
        raise fhir.refusal(400, "invalid", "There is no such page")
    return page_response(state, cursor, int(number), key)


def link_to(base: str, key: str, number: int) -> str:
    """The address of a page: path segments, relative path segments and a query, each in its turn."""
    forms = (f"{base}/page/{key}/{number}", f"page/{key}/{number}", f"{base}?_cursor={key}.{number}")
    return forms[number % len(forms)]


def page_response(state: SandboxState, cursor: Cursor, number: int, key: str) -> Response:
    """Page ``number`` (from 1) of a result, with what it includes."""
    base, size = state.fhir_base, cursor.size
    matches = cursor.matches[(number - 1) * size : number * size]
    links = [("self", f"{base}/{cursor.self_query}")]
    if number * size < len(cursor.matches):
        links.append(("next", link_to(base, key, number + 1)))
    included = tuple(included_in(state, matches, cursor.included))
    entries = [Entry(f"{base}/{one.resource_type}/{one.id}", one.raw) for one in matches]
    entries += [Entry(f"{base}/{one.resource_type}/{one.id}", one.raw, "include") for one in included]
    page = Page(secrets.token_hex(16), tuple(links), tuple(entries), total=None)
    return Response(200, render(page), FHIR_JSON, page=page, served=(*matches, *included))


def included_in(state: SandboxState, matches: Iterable[StoredResource], wanted: str) -> Iterator[StoredResource]:
    """What the matches refer to, of the type asked for, each once a page."""
    keys = dict.fromkeys(key for one in matches for key in sorted(one.links) if key[0] == wanted)
    for key in keys:
        found = state.charts.get(key)
        if found is not None:
            yield found


def read(state: SandboxState, resource_type: str, resource_id: str, token: AccessToken) -> Response:
    """One resource by id."""
    reach = fhir.reach_of(token, resource_type, "r")
    resource = state.charts.get((resource_type, resource_id))
    if resource is None:
        raise fhir.refusal(404, "not-found", f"Resource {resource_type}/{resource_id} is not known")
    fhir.require_within(reach, patients_of(resource))
    return Response(200, resource.raw, FHIR_JSON, served=(resource,))
