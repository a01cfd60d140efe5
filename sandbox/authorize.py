"""The authorization endpoint and the steps that follow it: sign in, choose a patient, consent; then back to the app."""

import hmac
import secrets
from dataclasses import dataclass, replace
from urllib.parse import parse_qs

from sandbox import authorize_requests, pages
from sandbox.access_scopes import parse
from sandbox.authorize_accounts import PASSWORD, Account, display_name, may_open
from sandbox.authorize_requests import FORM, AuthorizationRequest, send_back
from sandbox.charts_store import StoredResource
from sandbox.grants import Authorization
from sandbox.messages import Refusal, Request, Response
from sandbox.state import SandboxState

OFFLINE = ("offline_access", "online_access")
GONE = "This sign-in has ended. Start again from the app."


@dataclass(frozen=True)
class Visit:
    """One person on the way through the pages."""

    key: str
    asked: AuthorizationRequest
    account: Account | None = None
    patient: str | None = None
    find: str = ""


def answer(state: SandboxState, request: Request) -> Response:
    """Answers an authorization request: the first page, or at once the way back to the app.

    Raises:
        Refusal: a rule is broken; it carries the rule's name.
    """
    asked = authorize_requests.read(state, request)
    visit = Visit(secrets.token_urlsafe(32), asked)
    context = asked.launch
    if context is not None:
        visit = replace(visit, account=context.account, patient=context.patient)
        if not context.asks_consent and (context.patient or not asked.wants_patient):
            return allow(state, visit, context.account, asked.scopes, status=302)
    return next_page(state, visit)


def next_page(state: SandboxState, visit: Visit, problem: str = "") -> Response:
    """The page of the step that is due."""
    state.visits.keep(visit.key, visit)
    app, leads_to = visit.asked.client.title, visit.asked.redirect_uri
    if visit.account is None:
        return pages.sign_in_page(visit.key, app, state.accounts.all(), leads_to, problem)
    if visit.patient is None and visit.asked.wants_patient:
        people = open_charts(state, visit.account, visit.find)
        return pages.picker_page(visit.key, people, leads_to, visit.find, problem)
    chart = state.charts.get(("Patient", visit.patient or ""))
    return pages.consent_page(
        visit.key,
        app,
        display_name(chart) if chart else "",
        optional_scopes(visit.asked.scopes),
        state.clock() + state.config.grant_life,
        leads_to,
        problem,
    )


def step(state: SandboxState, request: Request) -> Response:
    """What a person sent from one of the pages.

    Raises:
        Refusal: the visit is unknown or has ended.
    """
    sent = read_step(request)
    visit = state.visits.take(first(sent, "visit"))
    if not isinstance(visit, Visit):
        raise Refusal(pages.error_page(400, GONE), "visit")
    if first(sent, "decision") == "deny":
        return back(visit, {"error": "access_denied", "error_description": "The person declined"})
    if visit.account is None:
        return sign_in(state, visit, sent)
    if visit.patient is None and visit.asked.wants_patient:
        return choose(state, visit, visit.account, sent)
    return consent(state, visit, visit.account, sent)


def read_step(request: Request) -> dict[str, list[str]]:
    """The fields of a posted page."""
    if request.method != "POST" or request.media_type != FORM:
        raise Refusal(pages.error_page(405, GONE), "visit")
    return parse_qs(request.body.decode("utf-8", "replace"), keep_blank_values=True)


def first(sent: dict[str, list[str]], name: str) -> str:
    """A field's first value, "" without one."""
    return sent.get(name, [""])[0]


def signed_in(state: SandboxState, sent: dict[str, list[str]]) -> Account | None:
    """The account whose user name and password were sent."""
    account = state.accounts.find(first(sent, "username"))
    right = hmac.compare_digest(first(sent, "password").encode(), PASSWORD.encode())
    return account if right else None


def sign_in(state: SandboxState, visit: Visit, sent: dict[str, list[str]]) -> Response:
    """Takes user name and password. Whoever has one chart alone is not asked which."""
    account = signed_in(state, sent)
    if account is None:
        return next_page(state, visit, "User name or password is not right.")
    only = account.patients[0] if account.patients is not None and len(account.patients) == 1 else None
    return next_page(state, replace(visit, account=account, patient=only if visit.asked.wants_patient else None))


def choose(state: SandboxState, visit: Visit, account: Account, sent: dict[str, list[str]]) -> Response:
    """Takes the chart chosen, or the name looked for."""
    if first(sent, "decision") == "find":
        return next_page(state, replace(visit, find=first(sent, "find").strip()))
    patient = first(sent, "patient")
    if not may_open(account, patient) or ("Patient", patient) not in state.charts:
        return next_page(state, visit, "Choose a patient.")
    return next_page(state, replace(visit, patient=patient))


def consent(state: SandboxState, visit: Visit, account: Account, sent: dict[str, list[str]]) -> Response:
    """Takes what was left ticked; what cannot be unticked comes with it."""
    optional = optional_scopes(visit.asked.scopes)
    ticked = frozenset(sent.get("scope", ())).intersection(optional)
    if any(parse(scope) for scope in optional) and not any(parse(scope) for scope in ticked):
        return next_page(state, visit, "Leave something ticked, or choose Deny.")
    kept = tuple(scope for scope in visit.asked.scopes if scope in ticked or scope not in optional)
    return allow(state, visit, account, kept, status=303)


def optional_scopes(scopes: tuple[str, ...]) -> list[str]:
    """The scopes that a person may take away: data, and access while nobody is there."""
    return [scope for scope in scopes if parse(scope) is not None or scope in OFFLINE]


def open_charts(state: SandboxState, account: Account, find: str) -> list[StoredResource]:
    """The charts open to the account whose patient's name holds the text."""
    wanted = find.casefold()
    return [
        one for one in state.charts.patients() if may_open(account, one.id) and wanted in display_name(one).casefold()
    ]


def allow(state: SandboxState, visit: Visit, account: Account, scopes: tuple[str, ...], *, status: int) -> Response:
    """Back to the app with a code."""
    asked, context = visit.asked, visit.asked.launch
    code = state.codes.issue(
        Authorization(
            id=secrets.token_hex(12),
            client_id=asked.client.client_id,
            redirect_uri=asked.redirect_uri,
            challenge=asked.challenge,
            nonce=asked.nonce,
            scopes=scopes,
            account=account,
            patient=visit.patient,
            encounter=context.encounter if context else None,
            is_ehr=context is not None,
            need_patient_banner=context.need_patient_banner if context else True,
        )
    )
    return back(visit, {"code": code}, status)


def back(visit: Visit, answer: dict[str, str], status: int = 303) -> Response:
    """The way back to the app; a page's visit ends with it."""
    asked = visit.asked
    return send_back(asked.redirect_uri, answer | {"state": asked.state}, asked.change, status)
