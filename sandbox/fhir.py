"""The FHIR endpoint: discovery, search, paging and read, refused more readily than healow does."""

import secrets
from collections.abc import Iterable
from urllib.parse import quote

from sandbox import discovery
from sandbox.access_scopes import permitting
from sandbox.bundles import Entry, Page, render
from sandbox.calls import Call
from sandbox.charts_store import ChartStore, StoredResource
from sandbox.messages import FHIR_JSON, Refusal, Request, Response, json_response, outcome_response
from sandbox.paging import Cursor
from sandbox.plan import READ_BY_REFERENCE, READABLE, SEARCHES, SearchShape
from sandbox.references import VALID_ID
from sandbox.state import SandboxState
from sandbox.tokens import AccessToken

# Whatever host was asked, the vendor writes this one, on plain http, into links and full URLs.
FOREIGN_ORIGIN = "http://fhir4.eclinicalworks.com"


def foreign_base(practice: str) -> str:
    """The base that links and full URLs carry."""
    return f"{FOREIGN_ORIGIN}/fhir/r4/{practice}"


def answer(state: SandboxState, request: Request, call: Call) -> Response:
    """Answers a call below the practice's base.

    Raises:
        Refusal: with an OperationOutcome.
    """
    if request.method != "GET":
        raise refusal(405, "not-supported", f"Method {request.method} is not supported")
    check_accept(request)
    if call.tail == (".well-known", "smart-configuration"):
        return json_response(200, discovery.smart_configuration(state.origin, state.fhir_base))
    if call.tail == ("metadata",):
        statement = discovery.capability_statement(state.origin, state.config.practice)
        return json_response(200, statement, content_type=FHIR_JSON)
    token = authenticate(state, request)
    if not call.tail:
        return next_page(state, request, call.cursor, token)
    if len(call.tail) == 1:
        return search(state, request, call.tail[0], token)
    if len(call.tail) == 2:
        return read(state, request, call.tail[0], call.tail[1], token)
    path = "/".join(call.tail)
    raise refusal(400, "processing", f"Invalid request: Does not know how to handle get operation [{path}]")


def refusal(status: int, code: str, diagnostics: str) -> Refusal:
    """A FHIR error to raise."""
    return Refusal(outcome_response(status, code, diagnostics), code)


def unknown_parameters(names: Iterable[str]) -> Refusal:
    """The vendor's words for any parameter set outside the plan, names as sent."""
    sent = ",".join(names)
    return refusal(
        400,
        "processing",
        f"Invalid request: Does not know how to handle get operation with parameter [{sent}]",
    )


def check_accept(request: Request) -> None:
    """Only JSON is served; a client that rules it out is told so."""
    accepted = request.headers.get("Accept")
    if accepted and not any(word in accepted for word in ("json", "*/*", "application/*")):
        raise refusal(406, "not-supported", "Only JSON is available")


def authenticate(state: SandboxState, request: Request) -> AccessToken:
    """The rights of the bearer in the Authorization header, the only place one is taken from."""
    sent = request.headers.get_all("Authorization", [])
    scheme, _, text = sent[0].partition(" ") if len(sent) == 1 else ("", "", "")
    token = state.tokens.find(text) if scheme.lower() == "bearer" else None
    if token is None:
        headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        diagnostics = "Access token is missing, expired or not valid"
        raise Refusal(outcome_response(401, "login", diagnostics, headers), "token")
    return token


def reach_of(token: AccessToken, resource_type: str, interaction: str) -> frozenset[str] | None:
    """Whose charts the token may read (``r``) or search (``s``) for the type: patient ids, None for everybody's.

    Raises:
        Refusal: a 403, nobody's.
    """
    contexts = permitting(token.scopes, resource_type, interaction)
    if not contexts:
        raise refusal(403, "forbidden", f"Insufficient scope for {resource_type}")
    if "system" in contexts or ("user" in contexts and token.patients is None):
        return None
    patients = set(token.patients or ()) if "user" in contexts else set()
    if "patient" in contexts and token.patient is not None:
        patients.add(token.patient)
    return frozenset(patients)


def require_within(reach: frozenset[str] | None, patients: Iterable[str | None]) -> None:
    """Raises a 403 when one of the patients is out of reach."""
    if reach is not None and not all(patient in reach for patient in patients):
        raise refusal(403, "forbidden", "Access to this patient is not allowed")


def require_known_type(resource_type: str) -> None:
    """Raises a 404 for types this build does not have."""
    if resource_type not in READABLE:
        raise refusal(404, "not-supported", f"Unknown resource type '{resource_type}'")


def search(state: SandboxState, request: Request, resource_type: str, token: AccessToken) -> Response:
    """The first page of a search by one of the plan's parameter sets."""
    require_known_type(resource_type)
    reach = reach_of(token, resource_type, "s")
    pairs = request.parameters
    names = [name for name, _ in pairs]
    shape = next((s for s in SEARCHES.get(resource_type, ()) if s.has_names(names)), None)
    if shape is None:
        raise unknown_parameters(names)
    parameters = dict(pairs)
    check_values(shape, parameters)
    patient = parameters.get("patient") or parameters.get("_id")
    if patient is not None:
        require_within(reach, [patient])
    found = find(state.charts, resource_type, parameters)
    matches = tuple(one for one in found if reach is None or one.owner in reach)
    cursor = Cursor(resource_type, patient, f"{resource_type}?{request.query}", matches)
    pages = page_count(state, cursor)
    return page_response(state, cursor, 1, state.cursors.keep(cursor) if pages > 1 else "")


def check_values(shape: SearchShape, parameters: dict[str, str]) -> None:
    """Raises a 400 for a patient that is not a bare id, or a value outside the shape's list."""
    for name in ("patient", "_id"):
        if name in parameters and not VALID_ID.fullmatch(parameters[name]):
            raise refusal(400, "processing", f"Invalid request: The value of parameter [{name}] is not an id")
    if not shape.has_values(parameters) or "" in parameters.values():
        raise refusal(400, "processing", "Invalid request: The value of a parameter is not supported")


def find(charts: ChartStore, resource_type: str, parameters: dict[str, str]) -> Iterable[StoredResource]:
    """The resources that a well-formed search matches."""
    if resource_type != "Patient":
        owned = charts.owned(resource_type, parameters["patient"])
        return [resource for resource in owned if _is_wanted(resource, parameters)]
    if "_id" in parameters:
        patient = charts.get(("Patient", parameters["_id"]))
        return [patient] if patient is not None else []
    return [patient for patient in charts.patients() if _is_person(patient, parameters)]


def _is_wanted(resource: StoredResource, parameters: dict[str, str]) -> bool:
    if "category" in parameters and parameters["category"] not in resource.categories:
        return False
    return "status" not in parameters or parameters["status"] == resource.status


def _is_person(patient: StoredResource, parameters: dict[str, str]) -> bool:
    family, given = parameters["family"].casefold(), parameters["given"].casefold()
    return patient.birth_date == parameters["birthdate"] and any(
        name.family.casefold() == family and given in (part.casefold() for part in name.given) for name in patient.names
    )


def next_page(state: SandboxState, request: Request, cursor: Cursor | None, token: AccessToken) -> Response:
    """A page of an earlier search, by its opaque link."""
    parameters = request.parameters
    if sorted(name for name, _ in parameters) != ["_getpages", "page"]:
        raise unknown_parameters(name for name, _ in parameters)
    if cursor is None:
        raise refusal(410, "deleted", "The search result is no longer held")
    require_within(reach_of(token, cursor.resource_type, "s"), (one.owner for one in cursor.matches))
    values = dict(parameters)
    number = int(values["page"]) if values["page"].isdecimal() else 0
    if not 1 <= number <= page_count(state, cursor):
        raise refusal(400, "processing", "Invalid request: There is no such page")
    return page_response(state, cursor, number, values["_getpages"])


def page_count(state: SandboxState, cursor: Cursor) -> int:
    """How many pages a result fills; an empty one fills one."""
    return max(1, -(-len(cursor.matches) // state.config.page_size))


def page_response(state: SandboxState, cursor: Cursor, number: int, key: str) -> Response:
    """Page ``number`` (from 1) of a result; ``key`` is the result's opaque key."""
    base, size = foreign_base(state.config.practice), state.config.page_size
    matches = cursor.matches[(number - 1) * size : number * size]

    def page_url(other: int) -> str:
        return f"{base}?_getpages={quote(key)}&page={other}"

    links = [("self", f"{base}/{cursor.self_query}" if number == 1 else page_url(number))]
    if number < page_count(state, cursor):
        links.append(("next", page_url(number + 1)))
    if number > 1:
        links.append(("previous", page_url(number - 1)))
    entries = tuple(Entry(f"{base}/{resource.resource_type}/{resource.id}", resource.raw) for resource in matches)
    page = Page(secrets.token_hex(16), tuple(links), entries)
    return Response(200, render(page), FHIR_JSON, page=page, served=matches)


def read(state: SandboxState, request: Request, resource_type: str, resource_id: str, token: AccessToken) -> Response:
    """One resource by id."""
    require_known_type(resource_type)
    reach = reach_of(token, resource_type, "r")
    if request.query:
        raise unknown_parameters(name for name, _ in request.parameters)
    resource = state.charts.get((resource_type, resource_id))
    if resource is None:
        raise refusal(404, "not-found", f"Resource {resource_type}/{resource_id} is not known")
    if resource_type not in READ_BY_REFERENCE or resource.owner is not None:
        require_within(reach, [resource.owner])
    return Response(200, resource.raw, FHIR_JSON, served=(resource,))
