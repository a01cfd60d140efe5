"""From a request to its answer: control, or a counted call, or nothing here."""

import secrets
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate

from sandbox import (
    authorize,
    bulk,
    control,
    discovery,
    faults,
    fhir,
    generic,
    grants_apps,
    grants_status,
    home,
    id_tokens,
)
from sandbox.calls import FHIR_ROOT, OAUTH_ROOT, Call, classify
from sandbox.config import GENERIC, VENDOR
from sandbox.messages import Refusal, Request, Response, json_response, outcome_response
from sandbox.state import SandboxState

Answerer = Callable[[SandboxState, Request], Response]
OAUTH_ENDPOINTS: dict[str, Answerer] = {
    "token": lambda state, request: state.token_endpoint.answer(request),
    "authorize": authorize.answer,
    "introspect": grants_status.introspect,
    "revoke": grants_status.revoke,
    "jwks": lambda state, request: json_response(200, id_tokens.key_set(), headers={"Cache-Control": "max-age=300"}),
}
FHIR_SERVERS = {VENDOR: fhir.answer, GENERIC: generic.answer}
# What people click through, and what nobody counts.
PAGES: dict[str, Answerer] = {
    "sign-in": authorize.step,
    "apps": grants_apps.answer,
    "home": home.answer,
    "style.json": lambda state, request: json_response(200, discovery.STYLE),
}


def answer(state: SandboxState, request: Request) -> Response:
    """The answer to any request."""
    segments = request.segments
    if segments[0] == "control":
        return control.answer(state, request)
    call = classify(request, state.config.practice, state.cursors)
    if call is not None and call.is_counted:
        return _counted(state, request, call)
    if call is not None:
        return _admitted(state, request, call)
    if segments[:2] == OAUTH_ROOT and len(segments) == 3 and segments[2] in PAGES:
        return _page(state, request, PAGES[segments[2]])
    return _nothing_here(segments)


def _page(state: SandboxState, request: Request, answerer: Answerer) -> Response:
    try:
        return answerer(state, request)
    except Refusal as refusal:
        return refusal.response


def _nothing_here(segments: tuple[str, ...]) -> Response:
    path = tuple(segment for segment in segments if segment)
    if path in ((), FHIR_ROOT[:1], FHIR_ROOT):
        return outcome_response(400, "processing", "Invalid request: The practice code is missing")
    return outcome_response(404, "not-found", "Unknown practice or path")


def _counted(state: SandboxState, request: Request, call: Call) -> Response:
    """Counts the call, holds it back by the latency, and keeps the ledger."""
    with state.calls.call(call.kind) as admitted:
        response = _admitted(state, request, call) if admitted else Response(429)
        state.calls.answered(response.status)
    if response.status == 200 and response.delivery.whole:
        state.ledger.record(response.served)
    return response


def _admitted(state: SandboxState, request: Request, call: Call) -> Response:
    state.wait(state.config.latency(call.resource_type))

    def proceed(altered: Request) -> Response:
        return _endpoint(state, altered, call)

    response = faults.apply(state, request, call, proceed)
    return _with_vendor_headers(state, response) if call.kind == "fhir" else response


def _endpoint(state: SandboxState, request: Request, call: Call) -> Response:
    try:
        if call.kind != "fhir":
            return OAUTH_ENDPOINTS[call.kind](state, request)
        if bulk.concerns(call):
            return bulk.answer(state, request, call)
        return FHIR_SERVERS[state.config.mode](state, request, call)
    except Refusal as refusal:
        if call.kind == "authorize":
            state.authorize_refusals.append(refusal.rule)
        elif call.kind != "fhir":
            state.token_refusals.append(refusal.rule)
        return refusal.response


def _with_vendor_headers(state: SandboxState, response: Response) -> Response:
    """What the vendor's server and its load balancer add: no ETag, and a cookie nobody needs."""
    headers = [
        ("X-Powered-By", "HAPI FHIR 5.4.0 REST Server (FHIR 4.0.1/R4)"),
        ("Set-Cookie", f"ApplicationGatewayAffinity={secrets.token_hex(16)}; Path=/"),
    ]
    if response.status == 200:
        headers.append(("Last-Modified", formatdate(state.clock(), usegmt=True)))
    return replace(response, headers=(*response.headers, *headers))
