"""The faults themselves: one small function each, which wraps the normal answer or replaces it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from sandbox import authorize_faults, bulk_faults, generic_faults
from sandbox.authorize_requests import not_enabled as not_enabled_response
from sandbox.authorize_requests import swapped_response
from sandbox.bundles import Entry, Page, render
from sandbox.calls import Call
from sandbox.fault_orders import FaultOrder, Match, OrderError
from sandbox.fault_scenes import FaultKind, Scene
from sandbox.fhir import foreign_base
from sandbox.id_tokens import SIGNABLE
from sandbox.messages import HTML, TEXT, Request, Response, json_response, outcome, outcome_response
from sandbox.state import SandboxState

LOGIN_PAGE = b"<!doctype html><html><head><title>Sign in</title></head><body><form>Sign in</form></body></html>"
GATEWAY_PAGE = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


def status(scene: Scene) -> Response:
    """Any status with any body and headers; with ``commits`` the work is done and its answer thrown away."""
    if scene.argument("commits", False):
        scene.proceed(scene.request)
    headers = tuple((str(name), str(value)) for name, value in scene.argument("headers", {}).items())
    body = scene.argument("body", "").encode()
    return Response(scene.argument("status", 503), body, scene.argument("content_type", TEXT), headers)


def too_many(scene: Scene) -> Response:
    """The bare 429 of a spent minute."""
    return Response(429)


def server_error(scene: Scene) -> Response:
    """A 500 from the FHIR server."""
    return outcome_response(500, "exception", "Internal error")


def bad_gateway(scene: Scene) -> Response:
    """A 502 whose body is the gateway's page."""
    return Response(502, GATEWAY_PAGE, HTML)


def not_json(scene: Scene) -> Response:
    """A login page where data was expected, with a 200; with ``commits`` in place of the answer to work done."""
    if scene.argument("commits", False):
        scene.proceed(scene.request)
    return Response(200, LOGIN_PAGE, HTML)


def truncated(scene: Scene) -> Response:
    """The first half of the body, with a Content-Length that fits it."""
    response = scene.proceed(scene.request)
    half = response.body[: len(response.body) // 2]
    return replace(response, body=half, delivery=replace(response.delivery, damaged=True))


def short_body(scene: Scene) -> Response:
    """Fewer bytes than Content-Length promises, then a close."""
    response = scene.proceed(scene.request)
    half = response.body[: len(response.body) // 2]
    missing = max(1, len(response.body) - len(half))
    return replace(response, body=half, delivery=replace(response.delivery, missing=missing))


def reset(scene: Scene) -> Response:
    """A TCP RST after the work was done, so that the client cannot know whether it was."""
    response = scene.proceed(scene.request)
    return replace(response, delivery=replace(response.delivery, reset=True))


def drip(scene: Scene) -> Response:
    """The body a few bytes at a time."""
    response = scene.proceed(scene.request)
    size, pause = scene.argument("bytes", 16), scene.argument("seconds", 0.2)
    return replace(response, delivery=replace(response.delivery, drip=size, pause=pause))


def stall(scene: Scene) -> Response:
    """The normal answer, seconds late."""
    scene.state.wait(scene.argument("seconds", 5.0))
    return scene.proceed(scene.request)


def swapped_error(scene: Scene) -> Response:
    """The vendor's 403 with the OAuth code in the wrong field."""
    return swapped_response()


def not_enabled(scene: Scene) -> Response:
    """The practice has not activated the app."""
    return not_enabled_response()


def access_denied(scene: Scene) -> Response:
    """The authorization server's answer for everything else, which comes as a server error."""
    return json_response(500, {"error": "access_denied", "error_description": "Access denied."})


def repeated(scene: Scene) -> Response:
    """Something on the way sends the request twice; the client sees the answer to the second."""
    scene.proceed(scene.request)
    return scene.proceed(scene.request)


def altered_json(scene: Scene) -> Response:
    """The normal JSON object with members replaced (``set``) and left out (``remove``)."""
    response = scene.proceed(scene.request)
    if response.status != 200 or not response.body.startswith(b"{"):
        return response
    document = {**json.loads(response.body), **scene.argument("set", {})}
    for name in scene.argument("remove", []):
        document.pop(str(name), None)
    return replace(response, body=json.dumps(document, ensure_ascii=False).encode())


def bad_entry(scene: Scene) -> Response:
    """One more entry in the page, broken in the way asked for; the others stay as they are."""
    broken = BROKEN_RESOURCES[scene.argument("entry", "no-id")] % {
        b"type": (scene.call.resource_type or "Basic").encode()
    }

    def with_broken(page: Page) -> Page:
        url = f"{foreign_base(scene.state.config.practice)}/{scene.call.resource_type}/broken"
        return replace(page, entries=(*page.entries, Entry(url, broken)))

    return _altered(scene, with_broken)


BROKEN_RESOURCES: Mapping[str, bytes] = {
    "no-id": b'{"resourceType":"%(type)b","status":"final"}',
    "nan": b'{"resourceType":"%(type)b","id":"broken-number","valueQuantity":{"value":NaN}}',
    "duplicate-key": b'{"resourceType":"%(type)b","id":"broken-twice","status":"final","status":"draft"}',
    "foreign-patient": b'{"resourceType":"%(type)b","id":"broken-owner",'
    b'"subject":{"reference":"Patient/somebody-else"},"patient":{"reference":"Patient/somebody-else"}}',
    "not-an-object": b'"resource"',
}


def foreign_next(scene: Scene) -> Response:
    """A next link out of the practice: to another practice's code, or to another host."""
    practice = scene.state.config.practice
    other = "AAAAAA" if practice != "AAAAAA" else "BBBBBB"
    query = "_getpages=foreign&page=2"
    to_practice = f"{foreign_base(other)}?{query}"
    to_host = f"http://elsewhere.example/fhir/r4/{practice}?{query}"
    url = scene.argument("url", to_host if scene.argument("to", "practice") == "host" else to_practice)

    def with_next(page: Page) -> Page:
        links = tuple(link for link in page.links if link[0] != "next")
        return replace(page, links=(*links, ("next", url)))

    return _altered(scene, with_next)


def outcome_entry(scene: Scene) -> Response:
    """An OperationOutcome among the matches, saying that something was left out."""
    warning = outcome("incomplete", "Some data were withheld", severity="warning")
    entry = Entry("", json.dumps(warning).encode(), scene.argument("mode", "outcome"))
    return _altered(scene, lambda page: replace(page, entries=(*page.entries, entry)))


def _altered(scene: Scene, change: Callable[[Page], Page]) -> Response:
    response = scene.proceed(scene.request)
    if response.page is None:
        return response
    page = change(response.page)
    return replace(response, page=page, body=render(page))


def expire_tokens(scene: Scene) -> Response:
    """Every access token ends before its time, with this call."""
    scene.state.tokens.expire_all()
    return scene.proceed(scene.request)


def forbid_type(scene: Scene) -> Response:
    """A 403 for the type, whatever the scope says."""
    return outcome_response(403, "forbidden", f"Access to {scene.call.resource_type} is not allowed")


def unsupported_type(scene: Scene) -> Response:
    """An older build that lacks the type."""
    return outcome_response(400, "not-supported", "The operation is not supported for the selected scope")


def stale_jwks(scene: Scene) -> Response:
    """The token endpoint trusts the key set it holds and does not fetch again."""
    return scene.proceed(replace(scene.request, stale_jwks=True))


def narrow_scope(scene: Scene) -> Response:
    """A token with less scope than asked for."""
    withheld = frozenset(str(name) for name in scene.argument("types", []))
    return scene.proceed(replace(scene.request, withheld_types=withheld))


NUMBER = (int, float)
FAULTS: Mapping[str, FaultKind] = {
    "status": FaultKind(status, {"status": int, "body": str, "headers": dict, "content_type": str, "commits": bool}),
    "429": FaultKind(too_many),
    "500": FaultKind(server_error),
    "502-html": FaultKind(bad_gateway),
    "not-json": FaultKind(not_json, {"commits": bool}),
    "truncated": FaultKind(truncated),
    "short-body": FaultKind(short_body),
    "reset": FaultKind(reset),
    "drip": FaultKind(drip, {"bytes": int, "seconds": NUMBER}),
    "stall": FaultKind(stall, {"seconds": NUMBER}),
    "swap-error-403": FaultKind(swapped_error),
    "not-enabled": FaultKind(not_enabled),
    "access-denied": FaultKind(access_denied),
    "repeated": FaultKind(repeated),
    "altered-json": FaultKind(altered_json, {"set": dict, "remove": list}),
    "bad-entry": FaultKind(bad_entry, {"entry": str}, searches_only=True),
    "foreign-next": FaultKind(foreign_next, {"to": str, "url": str}, searches_only=True),
    "operation-outcome-entry": FaultKind(outcome_entry, {"mode": str}, searches_only=True),
    "expire-tokens": FaultKind(expire_tokens),
    "forbid-type": FaultKind(forbid_type),
    "unsupported-type": FaultKind(unsupported_type),
    "jwks-stale": FaultKind(stale_jwks),
    "narrow-scope": FaultKind(narrow_scope, {"types": list}),
    **authorize_faults.FAULTS,
    **generic_faults.FAULTS,
    **bulk_faults.FAULTS,
}


def apply(state: SandboxState, request: Request, call: Call, proceed: Callable[[Request], Response]) -> Response:
    """The answer to a call: the normal one, unless an order is due."""
    due = state.faults.strike(request, call)
    if due is None:
        return proceed(request)
    number, order = due
    kind = FAULTS[order.kind]
    response = kind.strike(Scene(order, request, call, state, proceed))
    if kind.searches_only and response.page is None:
        state.faults.give_back(number)
    return response


def read_order(document: Any) -> FaultOrder:
    """An order from control's JSON.

    Raises:
        OrderError: unknown kind, unknown or ill-typed part.
    """
    if not isinstance(document, dict) or document.get("kind") not in FAULTS:
        raise OrderError(f"kind must be one of {', '.join(FAULTS)}")
    kind = FAULTS[document["kind"]]
    arguments = {name: value for name, value in document.items() if name not in ("kind", "match", "times")}
    for name, value in arguments.items():
        if not isinstance(value, kind.arguments.get(name, ())):
            raise OrderError(f"argument {name!r} is unknown or of the wrong type")
        if isinstance(value, NUMBER) and value < 0:
            raise OrderError(f"argument {name!r} must not be negative")
    if arguments.get("entry", "no-id") not in BROKEN_RESOURCES:
        raise OrderError(f"entry must be one of {', '.join(BROKEN_RESOURCES)}")
    if arguments.get("alg", SIGNABLE[0]) not in SIGNABLE:
        raise OrderError(f"alg must be one of {', '.join(SIGNABLE)}")
    times = document.get("times", 1)
    if times is not None and (not isinstance(times, int) or times < 1):
        raise OrderError("times must be a number from 1, or null for no end")
    match = _read_match(document.get("match", {}))
    return FaultOrder(document["kind"], match, times, arguments, kind.searches_only, kind.at)


def _read_match(document: Any) -> Match:
    if not isinstance(document, dict) or not document.keys() <= {"type", "path", "patient", "grant", "nth"}:
        raise OrderError("match may have type, path, patient, grant and nth")
    texts = [document[name] for name in ("type", "path", "patient", "grant") if document.get(name) is not None]
    nth = document.get("nth", 1)
    if not all(isinstance(text, str) for text in texts) or not isinstance(nth, int) or nth < 1:
        raise OrderError("match takes texts for type, path, patient and grant, and a number from 1 for nth")
    return Match(document.get("type"), document.get("path"), document.get("patient"), nth, document.get("grant"))
