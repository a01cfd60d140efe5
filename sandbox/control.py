"""The control endpoints under ``/control/``: how tests and the demo look in and steer. Not counted."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from sandbox import bulk_control, faults, grants_control, loading
from sandbox.authorize_accounts import AccountError
from sandbox.clients import RegistrationError, from_json
from sandbox.fault_orders import OrderError
from sandbox.messages import Request, Response, json_response
from sandbox.state import SandboxState
from sandbox.unservable import find_unservable

Handler = Callable[[SandboxState, Request], Response]
NDJSON_TYPES = ("application/fhir+ndjson", "application/x-ndjson", "application/ndjson")


class ControlError(ValueError):
    """A request to control that makes no sense; the message says why."""


def answer(state: SandboxState, request: Request) -> Response:
    """Answers a control request; errors are JSON objects with ``error``."""
    name = request.segments[1] if len(request.segments) > 1 else ""
    handler = HANDLERS.get((request.method, name))
    if handler is None:
        return json_response(404, {"error": f"control has no {request.method} {name}"})
    try:
        return handler(state, request)
    except (ControlError, RegistrationError, OrderError, AccountError) as error:
        return json_response(400, {"error": str(error)})


def _body(request: Request) -> Any:
    try:
        return loading.parse(request.body.decode())
    except ValueError as error:
        raise ControlError(f"the body is not JSON: {error}") from error


def _tail(request: Request, length: int) -> tuple[str, ...]:
    tail = request.segments[2:]
    if len(tail) != length:
        raise ControlError(f"the path needs {length} more parts")
    return tail


def patients(state: SandboxState, request: Request) -> Response:
    """``{"patients": [{"id", "names": [{"family", "given"}], "birth_date"}]}`` of every chart."""
    people = [
        {
            "id": patient.id,
            "names": [{"family": name.family, "given": list(name.given)} for name in patient.names],
            "birth_date": patient.birth_date,
        }
        for patient in state.charts.patients()
    ]
    return json_response(200, {"patients": people})


def ledger(state: SandboxState, request: Request) -> Response:
    """``{"served": [[type, id, sha256 of the text sent], …]}``."""
    return json_response(200, {"served": state.ledger.as_json()})


def unservable(state: SandboxState, request: Request) -> Response:
    """``{"unservable": [{"resource_type", "id", "reason", "source"}, …]}``."""
    return json_response(200, {"unservable": [asdict(item) for item in state.unservable()]})


def calls(state: SandboxState, request: Request) -> Response:
    """The call counts, and which rules of the token and authorization endpoints were broken lately, oldest first."""
    refusals = {"token_refusals": list(state.token_refusals), "authorize_refusals": list(state.authorize_refusals)}
    return json_response(200, state.calls.as_json() | refusals)


def reset(state: SandboxState, request: Request) -> Response:
    """Forgets ledger, counters and faults, and sets the clock right."""
    state.reset()
    return json_response(200, {"reset": True})


def _document(request: Request) -> dict[str, Any]:
    document = _body(request)
    if not isinstance(document, dict):
        raise ControlError("the body must be a JSON object")
    return document


def list_accounts(state: SandboxState, request: Request) -> Response:
    """See :func:`sandbox.grants_control.accounts`."""
    return json_response(200, grants_control.accounts(state))


def add_account(state: SandboxState, request: Request) -> Response:
    """See :func:`sandbox.grants_control.add_account`."""
    return json_response(200, grants_control.add_account(state, _document(request)))


def issue_launch(state: SandboxState, request: Request) -> Response:
    """See :func:`sandbox.grants_control.issue_launch`."""
    return json_response(200, grants_control.issue_launch(state, _document(request)))


def list_grants(state: SandboxState, request: Request) -> Response:
    """See :func:`sandbox.grants_control.grants`."""
    return json_response(200, grants_control.grants(state))


def shorten_grants(state: SandboxState, request: Request) -> Response:
    """See :func:`sandbox.grants_control.shorten_grants`."""
    return json_response(200, grants_control.shorten_grants(state, _document(request)))


def end_grants(state: SandboxState, request: Request) -> Response:
    """Ends every grant, or ``/control/grants/{id}`` alone, as its patient does."""
    grant_id = _tail(request, 1)[0] if len(request.segments) > 2 else None
    return json_response(200, grants_control.end_grants(state, grant_id))


def list_clients(state: SandboxState, request: Request) -> Response:
    """``{"clients": […]}`` as registered."""
    return json_response(200, {"clients": state.clients.as_json()})


def register_client(state: SandboxState, request: Request) -> Response:
    """Registers or replaces a client, whose members are those of :class:`sandbox.clients.RegisteredClient`."""
    client = from_json(_document(request))
    state.clients.register(client)
    return json_response(200, asdict(client))


def list_charts(state: SandboxState, request: Request) -> Response:
    """``{"resources": [[type, id, sha256, patient id or null, servable], …]}`` of everything loaded."""
    misses = {(item.resource_type, item.id) for item in find_unservable(state.charts)}
    rows = [
        [*resource.key, resource.sha256, resource.owner, resource.key not in misses] for resource in state.charts.all()
    ]
    return json_response(200, {"resources": rows})


def change_charts(state: SandboxState, request: Request) -> Response:
    """Adds or replaces resources: a JSON list of them, or NDJSON, whose lines are served as sent."""
    batch = loading.Batch()
    if request.media_type in NDJSON_TYPES:
        try:
            loading.read_ndjson(batch, request.body.decode(), "control")
        except UnicodeDecodeError as error:
            raise ControlError("the body is not UTF-8") from error
    else:
        documents = _body(request)
        if not isinstance(documents, list):
            raise ControlError("charts come as a list of resources")
        loading.read_documents(batch, documents, "control")
    replaced = sum(resource.key in state.charts for resource in batch.resources)
    state.charts.add(batch.resources, batch.urns)
    state.rejected.extend(batch.rejected)
    return json_response(
        200,
        {
            "added": len(batch.resources) - replaced,
            "replaced": replaced,
            "rejected": [asdict(item) for item in batch.rejected],
        },
    )


def remove_chart(state: SandboxState, request: Request) -> Response:
    """Takes ``/control/charts/{type}/{id}`` out of the charts."""
    resource_type, resource_id = _tail(request, 2)
    removed = state.charts.remove((resource_type, resource_id))
    return json_response(200 if removed else 404, {"removed": removed})


def set_clock(state: SandboxState, request: Request) -> Response:
    """Puts the server's clock so many ``seconds`` ahead of the machine's; negative for behind."""
    document = _body(request)
    seconds = document.get("seconds") if isinstance(document, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise ControlError("seconds must be a number")
    state.clock_offset = float(seconds)
    return json_response(200, {"seconds": state.clock_offset})


def exports(state: SandboxState, request: Request) -> Response:
    """See :func:`sandbox.bulk_control.exports`."""
    return json_response(200, bulk_control.exports(state))


def set_exports(state: SandboxState, request: Request) -> Response:
    """See :func:`sandbox.bulk_control.set_exports`."""
    return json_response(200, bulk_control.set_exports(state, _body(request)))


def list_faults(state: SandboxState, request: Request) -> Response:
    """``{"faults": […]}``: the orders and how often each has struck."""
    return json_response(200, {"faults": state.faults.as_json()})


def order_fault(state: SandboxState, request: Request) -> Response:
    """Takes a fault order: kind, match, times, and the kind's own arguments. Answers its number."""
    return json_response(200, {"id": state.faults.add(faults.read_order(_body(request)))})


def withdraw_faults(state: SandboxState, request: Request) -> Response:
    """Withdraws every fault, or ``/control/faults/{id}`` alone."""
    if len(request.segments) == 2:
        state.faults.clear()
        return json_response(200, {"removed": True})
    (number,) = _tail(request, 1)
    removed = number.isdecimal() and state.faults.remove(int(number))
    return json_response(200 if removed else 404, {"removed": removed})


HANDLERS: Mapping[tuple[str, str], Handler] = {
    ("GET", "patients"): patients,
    ("GET", "ledger"): ledger,
    ("GET", "unservable"): unservable,
    ("GET", "calls"): calls,
    ("POST", "reset"): reset,
    ("GET", "clients"): list_clients,
    ("POST", "clients"): register_client,
    ("GET", "accounts"): list_accounts,
    ("POST", "accounts"): add_account,
    ("POST", "launches"): issue_launch,
    ("GET", "grants"): list_grants,
    ("POST", "grants"): shorten_grants,
    ("DELETE", "grants"): end_grants,
    ("GET", "charts"): list_charts,
    ("POST", "charts"): change_charts,
    ("DELETE", "charts"): remove_chart,
    ("POST", "clock"): set_clock,
    ("GET", "bulk"): exports,
    ("POST", "bulk"): set_exports,
    ("GET", "faults"): list_faults,
    ("POST", "faults"): order_fault,
    ("DELETE", "faults"): withdraw_faults,
}
