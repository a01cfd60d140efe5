"""The EMR's own screen, as far as launches need one: a clinician signs in, chooses a patient, and opens an app."""

import secrets
from urllib.parse import urlencode

from sandbox import pages
from sandbox.authorize import GONE, first, open_charts, read_step, signed_in
from sandbox.authorize_accounts import CLINICIAN, Account
from sandbox.authorize_launches import LaunchContext
from sandbox.clients import RegisteredClient
from sandbox.messages import Refusal, Request, Response
from sandbox.pages import HOME
from sandbox.state import SandboxState


def answer(state: SandboxState, request: Request) -> Response:
    """Sign-in, the list of patients, and the way into an app, on one address.

    Raises:
        Refusal: the page was left open for too long.
    """
    if request.method == "GET":
        return _sign_in_page(state)
    sent = read_step(request)
    if not first(sent, "visit"):
        account = signed_in(state, sent)
        if account is None or account.kind != CLINICIAN:
            return _sign_in_page(state, "User name or password is not a clinician’s.")
        return _screen(state, account)
    held = state.visits.take(first(sent, "visit"))
    if not isinstance(held, Account) or held.kind != CLINICIAN:
        raise Refusal(pages.error_page(400, GONE), "visit")
    return _opened(state, held, sent)


def _sign_in_page(state: SandboxState, problem: str = "") -> Response:
    clinicians = [account for account in state.accounts.all() if account.kind == CLINICIAN]
    fields = pages.credentials(clinicians)
    return pages.page("EMR: sign in", pages.alert(problem) + pages.form(HOME, {}, fields))


def _apps(state: SandboxState) -> list[RegisteredClient]:
    return [client for client in state.clients.all() if client.launch_url and client.active]


def _screen(state: SandboxState, account: Account, find: str = "", problem: str = "") -> Response:
    apps = _apps(state)
    key = secrets.token_urlsafe(32)
    state.visits.keep(key, account)
    opens = "".join(pages.button(f"Open {client.title}", "app", client.client_id) for client in apps)
    fields = pages.patient_fields(open_charts(state, account, find), find) + (opens or "<p>No app is registered.</p>")
    leads_to = " ".join(client.launch_url for client in apps)
    return pages.page("EMR", pages.alert(problem) + pages.form(HOME, {"visit": key}, fields), leads_to=leads_to)


def _opened(state: SandboxState, account: Account, sent: dict[str, list[str]]) -> Response:
    """SMART App Launch, "EHR launch": the app's launch URL with ``iss`` and an opaque ``launch``."""
    patient = first(sent, "patient")
    client = next((one for one in _apps(state) if one.client_id == first(sent, "app")), None)
    if client is None:
        return _screen(state, account, first(sent, "find").strip())
    if ("Patient", patient) not in state.charts:
        return _screen(state, account, first(sent, "find").strip(), "Choose a patient.")
    handle = state.launches.issue(LaunchContext(account, patient, client_id=client.client_id))
    query = urlencode({"iss": state.fhir_base, "launch": handle})
    return Response(303, headers=(("Location", f"{client.launch_url}?{query}"), *pages.NEVER_KEPT))
