"""The page on which people see what they allowed, and take it back."""

import secrets
from html import escape

from sandbox import pages
from sandbox.authorize import GONE, first, read_step, signed_in
from sandbox.authorize_accounts import Account
from sandbox.grants import Grant
from sandbox.messages import Refusal, Request, Response
from sandbox.pages import APPS
from sandbox.state import SandboxState

REASON = "revoked by the patient"


def answer(state: SandboxState, request: Request) -> Response:
    """Sign-in, list and withdrawal, on one address.

    Raises:
        Refusal: the page was left open for too long.
    """
    if request.method == "GET":
        return _sign_in_page(state)
    sent = read_step(request)
    if not first(sent, "visit"):
        account = signed_in(state, sent)
        return _list(state, account) if account else _sign_in_page(state, "User name or password is not right.")
    held = state.visits.take(first(sent, "visit"))
    if not isinstance(held, Account):
        raise Refusal(pages.error_page(400, GONE), "visit")
    if any(grant.authorization.id == first(sent, "grant") for grant in _mine(state, held)):
        state.grants.end(first(sent, "grant"), REASON)
    return _list(state, held)


def _sign_in_page(state: SandboxState, problem: str = "") -> Response:
    fields = pages.credentials(state.accounts.all())
    return pages.page("My apps: sign in", pages.alert(problem) + pages.form(APPS, {}, fields))


def _mine(state: SandboxState, account: Account) -> list[Grant]:
    return [
        grant
        for grant in state.grants.all()
        if grant.authorization.account.username == account.username and state.grants.is_in_force(grant)
    ]


def _list(state: SandboxState, account: Account) -> Response:
    key = secrets.token_urlsafe(32)
    state.visits.keep(key, account)
    rows = [_row(state, grant, key) for grant in _mine(state, account)]
    return pages.page("My apps", "".join(rows) or "<p>No app has access to your records.</p>")


def _row(state: SandboxState, grant: Grant, key: str) -> str:
    given = grant.authorization
    client = state.clients.get(given.client_id)
    name = client.title if client else given.client_id
    told = f"{name}: access until {pages.in_days(grant.ends_at)}"
    stop = pages.button(f"Stop access of {name}", "grant", given.id)
    return f"<section><p>{escape(told)}</p>{pages.form(APPS, {'visit': key}, stop)}</section>"
