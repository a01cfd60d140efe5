"""The sandbox's pages for people: plain HTML that works without JavaScript, and headers that let nothing else run."""

import base64
import datetime
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import urlsplit

from sandbox.access_scopes import parse
from sandbox.authorize_accounts import CLINICIAN, PASSWORD, Account, display_name
from sandbox.charts_store import StoredResource
from sandbox.messages import HTML, Response

SIGN_IN = "/oauth/oauth2/sign-in"
APPS = "/oauth/oauth2/apps"
HOME = "/oauth/oauth2/home"
# How many people a page names.
SHOWN = 40
STYLE = (
    ":root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:38rem;margin:2rem auto;"
    "padding:0 1rem}input,button{font:inherit;padding:.4rem .6rem}button{margin:.5rem .5rem 0 0}"
    "label{display:block;margin:.4rem 0}fieldset{margin:1rem 0}li{margin:.2rem 0}"
)
STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
NEVER_KEPT = (("Cache-Control", "no-store"), ("Pragma", "no-cache"), ("Referrer-Policy", "no-referrer"))
SEVERAL = {
    "MedicationRequest": "Medication orders",
    "AllergyIntolerance": "Allergies",
    "Patient": "Name and birth date",
}


def page(title: str, body: str, *, status: int = 200, leads_to: str = "") -> Response:
    """A page. ``leads_to``: where its form may end (Chromium holds form-action against redirects), blanks between."""
    places = [urlsplit(address) for address in leads_to.split()]
    targets = " ".join(["'self'", *dict.fromkeys(f"{parts.scheme}://{parts.netloc}" for parts in places)])
    policy = (
        f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; form-action {targets}; "
        "frame-ancestors 'none'; base-uri 'none'"
    )
    headers = (
        *NEVER_KEPT,
        ("Content-Security-Policy", policy),
        ("X-Frame-Options", "DENY"),
        ("X-Content-Type-Options", "nosniff"),
    )
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>"
        f"<body><main><h1>{escape(title)}</h1>{body}</main></body></html>"
    )
    return Response(status, text.encode(), HTML, headers)


def error_page(status: int, text: str) -> Response:
    """A page that says why it goes no further."""
    return page("This does not work", f'<p role="alert">{escape(text)}</p>', status=status)


def form(action: str, hidden: dict[str, str], fields: str) -> str:
    """A form to be posted; ``fields`` is HTML."""
    kept = "".join(f'<input type="hidden" name="{escape(n)}" value="{escape(v)}">' for n, v in hidden.items())
    return f'<form method="post" action="{escape(action)}">{kept}{fields}</form>'


def button(text: str, name: str, value: str, *, checks: bool = True) -> str:
    """A button that says which it was."""
    unchecked = "" if checks else " formnovalidate"
    return f'<button name="{escape(name)}" value="{escape(value)}"{unchecked}>{escape(text)}</button>'


def alert(text: str) -> str:
    """What was wrong with the last try, "" for nothing."""
    return f'<p role="alert">{escape(text)}</p>' if text else ""


def credentials(accounts: Sequence[Account], more: str = "") -> str:
    """User name and password, ``more`` buttons, and whom the sandbox lets in."""
    people = "".join(
        f"<li>{escape(account.name)} ({escape(account.kind)}): <code>{escape(account.username)}</code></li>"
        for account in _first(accounts)
    )
    return (
        '<label>User name <input name="username" autocomplete="username" autocapitalize="none" required></label>'
        '<label>Password <input type="password" name="password" autocomplete="current-password" required></label>'
        f"<div>{button('Sign in', 'decision', 'sign-in')}{more}</div>"
        f"<h2>Sandbox</h2><p>Everybody’s password is <code>{PASSWORD}</code>. User names:</p><ul>{people}</ul>"
    )


def _first(accounts: Sequence[Account]) -> Iterable[Account]:
    """A page's worth, with somebody of each kind."""
    doctors = [account for account in accounts if account.kind == CLINICIAN][:5]
    return [*doctors, *(account for account in accounts if account.kind != CLINICIAN)][:SHOWN]


def sign_in_page(visit: str, app: str, accounts: Sequence[Account], leads_to: str, problem: str = "") -> Response:
    """Who are you? For an app that asks for access."""
    fields = credentials(accounts, button("Cancel", "decision", "deny", checks=False))
    body = f"<p>{escape(app)} asks for access to health records.</p>{alert(problem)}"
    return page("Sign in", body + form(SIGN_IN, {"visit": visit}, fields), leads_to=leads_to)


def picker_page(
    visit: str, patients: Sequence[StoredResource], leads_to: str, find: str, problem: str = ""
) -> Response:
    """Whose chart?"""
    fields = (
        patient_fields(patients, find)
        + button("Continue", "decision", "choose")
        + button("Cancel", "decision", "deny", checks=False)
    )
    return page("Choose a patient", alert(problem) + form(SIGN_IN, {"visit": visit}, fields), leads_to=leads_to)


def patient_fields(patients: Sequence[StoredResource], find: str) -> str:
    """Patients to choose one of, and a search among them."""
    choices = "".join(
        f'<label><input type="radio" name="patient" value="{escape(one.id)}"> {escape(display_name(one))}, '
        f"born {escape(one.birth_date or 'unknown')}</label>"
        for one in patients[:SHOWN]
    )
    more = f"<p>{len(patients) - SHOWN} more: type part of a name.</p>" if len(patients) > SHOWN else ""
    return (
        f'<label>Part of a name <input name="find" value="{escape(find)}"></label>'
        + button("Find", "decision", "find", checks=False)
        + f"<fieldset><legend>Patient</legend>{choices or '<p>Nobody of that name.</p>'}</fieldset>{more}"
    )


def consent_page(
    visit: str,
    app: str,
    patient: str,
    scopes: Sequence[str],
    until: float,
    leads_to: str,
    problem: str = "",
) -> Response:
    """May this app read that? Each kind of data can be unticked. ``until``: POSIX seconds."""
    ticks = "".join(tick(scope, until) for scope in scopes)
    whose = f" of <strong>{escape(patient)}</strong>" if patient else ""
    fields = (
        f"<fieldset><legend>What it may read</legend>{ticks}</fieldset>"
        + button("Allow", "decision", "allow")
        + button("Deny", "decision", "deny")
    )
    body = f"<p>{escape(app)} asks to read the records{whose}. Untick what it may not read.</p>{alert(problem)}"
    return page("Allow access?", body + form(SIGN_IN, {"visit": visit}, fields), leads_to=leads_to)


def tick(scope: str, until: float) -> str:
    """A scope's checkbox, ticked."""
    box = f'<input type="checkbox" name="scope" value="{escape(scope)}" checked>'
    return f"<label>{box} {escape(_in_words(scope, until))}</label>"


def _in_words(scope: str, until: float) -> str:
    if scope == "offline_access":
        return f"Access while you are away, until {in_days(until)}"
    if scope == "online_access":
        return "Access while you are signed in"
    parsed = parse(scope)
    if parsed is None:
        return scope
    name = "Everything" if parsed.resource_type == "*" else SEVERAL.get(parsed.resource_type, parsed.resource_type)
    return f"{name} ({scope})"


def in_days(seconds: float) -> str:
    """A day as people read it."""
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%d-%b-%Y")
