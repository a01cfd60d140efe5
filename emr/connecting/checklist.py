"""How far a connection has come, step by step, who has to act next, and the state that follows from it.

Everything is computed from rows: registrations, keys, JWKS readers, letters, self-tests, pulls. Only two facts are a
person's word: that scopes and redirect URIs read the same on the portal, and that the practice has activated the app.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from emr import catalogue, doctor, keys, letters
from emr.connecting import scopes_advice
from emr.models import Connection, DoctorReport, Environment, Grant, Letter, SigningKey, TypeOutcome

State = Connection.State
WE, VENDOR, PRACTICE = "we", "vendor", "practice"
DONE, NOW, LATER, TROUBLE = "done", "now", "later", "trouble"


@dataclass(frozen=True)
class Step:
    """One line of the checklist.

    who: we / vendor / practice. standing: done / now / later / trouble. at: when it was done, if that is known.
    facts: what there is to see. todo: what to do while it is not done. letters: the kinds that help here. action: the
    button of this step ("confirm", "activated", "key"), "" without one.
    """

    key: str
    title: str
    who: str
    done: bool
    at: datetime | None = None
    facts: tuple[str, ...] = ()
    todo: str = ""
    letters: tuple[str, ...] = ()
    action: str = ""
    path: tuple[str, ...] = ()
    standing: str = LATER
    trouble: catalogue.Explanation | None = None


@dataclass(frozen=True)
class Checklist:
    """steps: in order. current: the first that is not done. due: letters to ask about again."""

    steps: tuple[Step, ...]
    due: tuple[Letter, ...]

    @property
    def current(self) -> Step | None:
        return next((step for step in self.steps if step.standing in {TROUBLE, NOW}), None)

    @property
    def done(self) -> int:
        return sum(step.done for step in self.steps)

    @property
    def connected(self) -> bool:
        return all(step.done for step in self.steps)


def of(connection: Connection) -> Checklist:
    """The checklist of this connection, now."""
    steps = [read(connection) for read in _STEPS]
    return Checklist(_with_standing(connection, steps), tuple(letters.due(connection)))


def settle(connection: Connection) -> None:
    """Bring a connection that was never tested to the state its facts allow: draft, registered, awaiting practice.

    Active, degraded and revoked are the self-test's and the admin's to say.
    """
    early = (State.DRAFT, State.REGISTERED, State.AWAITING_PRACTICE)
    if connection.state not in early:
        return
    ready = all(read(connection).done for read in (_client_id, _jwks_published, _as_registered))
    state = State.DRAFT
    if ready:
        waits = connection.practice_told_at is not None and connection.practice_activated_at is None
        state = State.AWAITING_PRACTICE if waits else State.REGISTERED
    if state != connection.state:
        connection.state = state
        Connection.objects.filter(pk=connection.pk, state__in=early).update(state=state)


# --- steps ---------------------------------------------------------------------------------------------


def _drafted(connection: Connection) -> Step:
    registration = connection.registration
    answered = len(registration.data_use_statements)
    facts = [
        f"{registration.name}: {registration.get_app_type_display()}, {registration.get_environment_display().lower()}",
        f"Portal: {registration.portal or 'not noted'}",
        f"Data-use questionnaire: {answered} answers",
    ]
    return Step("drafted", "Registration drafted", WE, True, registration.created_at, tuple(facts))


def _client_id(connection: Connection) -> Step:
    registration = connection.registration
    return Step(
        "client-id",
        "Client id entered",
        WE,
        bool(registration.client_id),
        registration.client_id_at if registration.client_id else None,
        (f"Client id: {registration.client_id}",) if registration.client_id else (),
        "Register the app on the vendor's portal with the JWKS URL below, then enter the client id it shows.",
    )


def _active_key(connection: Connection) -> SigningKey | None:
    registration = connection.registration
    return SigningKey.objects.filter(
        environment=registration.environment,
        algorithm=registration.signing_algorithm,
        state=SigningKey.State.ACTIVE,
    ).first()


def _jwks_published(connection: Connection) -> Step:
    """Whether there is a key to verify at all: that much is ours."""
    return Step("key", "Signing key", WE, not _signs(connection) or _active_key(connection) is not None)


def _signs(connection: Connection) -> bool:
    method = type(connection.registration).AuthMethod.PRIVATE_KEY_JWT
    return bool(connection.registration.auth_method == method)


def _jwks(connection: Connection) -> Step:
    registration = connection.registration
    title = "JWKS verified"
    if not _signs(connection):
        return Step("jwks", title, VENDOR, True, facts=("This app signs nothing: the vendor needs no key of ours.",))
    key = _active_key(connection)
    url = f"JWKS URL: {keys.jwks_url(registration.environment)}"
    if key is None:
        todo = f"Generate a signing key ({registration.signing_algorithm}, {registration.environment})."
        return Step("jwks", title, WE, False, facts=(url,), todo=todo, action="key")
    hit = keys.vendor_hits(registration.environment).filter(last_at__gte=key.created_at).first()
    facts = [url, f"kid: {key.kid}", f"Last fetched from outside: {hit}" if hit else "Nobody has fetched it yet."]
    if key.proved_at:
        facts.append(f"A token was given for this key's signature on {key.proved_at:%d-%b-%Y %H:%M} UTC.")
    return Step(
        "jwks",
        title,
        VENDOR,
        hit is not None or key.proved_at is not None,
        key.proved_at or (hit.first_at if hit else None),
        tuple(facts),
        "Enter the JWKS URL on the portal and have it allow-listed. The self-test makes the vendor fetch it.",
        (Letter.Kind.ENABLE_BACKEND,) if registration.is_backend else (),
    )


def _as_registered(connection: Connection) -> Step:
    registration = connection.registration
    words = registration.scopes.split()
    advised = scopes_advice.advise(words, registration.profile, registration.app_type)
    facts = [f"{len(words)} scopes: {registration.scopes or 'none'}"]
    facts += [f"Redirect URI: {uri}" for uri in registration.redirect_list]
    facts += [f"Warning: {advice.text}" for advice in advised]
    todo = "Compare scopes and redirect URIs with the portal, letter by letter, then say so here."
    if registration.confirmed_at and not registration.is_confirmed:
        todo = f"Something has changed since {registration.confirmed_at:%d-%b-%Y}. {todo}"
    return Step(
        "as-registered",
        "Scopes and redirect URIs as registered",
        WE,
        registration.is_confirmed,
        registration.confirmed_at if registration.is_confirmed else None,
        tuple(facts),
        todo,
        action="" if registration.is_confirmed or not registration.client_id else "confirm",
    )


def _activated(connection: Connection) -> Step:
    registration, told = connection.registration, connection.profile.connecting
    title = "Practice activation"
    if registration.environment == Environment.SANDBOX:
        fact = "The vendor's sandbox practice needs no activation."
        return Step("activated", title, PRACTICE, True, facts=(fact,))
    at = connection.practice_activated_at or _data_at(connection)
    facts = [f"Activation code: {registration.activation_code or 'not entered yet (see the registration)'}"]
    if connection.practice_told_at:
        facts.append(f"The practice was asked on {connection.practice_told_at:%d-%b-%Y}.")
    return Step(
        "activated",
        title,
        PRACTICE,
        at is not None,
        at,
        tuple(facts),
        f"The practice's EMR administrator activates the app. {told.activation_after}",
        (Letter.Kind.ACTIVATE,),
        "" if at else "activated",
        told.activation_path,
    )


def _token(connection: Connection) -> Step:
    at = _token_at(connection)
    found = _finding(_last_report(connection), "token")
    return Step(
        "token",
        "Token works",
        VENDOR,
        at is not None,
        at,
        (f"Self-test: {found.summary}",) if found and found.summary else (),
        "Press “Test”. Whatever refuses us is named here, with the next step.",
        (Letter.Kind.AUTHORIZATION_REFUSED,),
    )


def _data(connection: Connection) -> Step:
    at, enrolled = _data_at(connection), connection.enrolments.count()
    todo = "Enrol a patient (Roster, below): before that there is nothing to read."
    if enrolled:
        todo = "The first pull of the enrolled patients proves it; it starts once the connection is active."
    facts = (f"Patients enrolled: {enrolled}",)
    return Step("data", "Data works", WE, at is not None, at, facts, todo)


def _active(connection: Connection) -> Step:
    active = connection.state == State.ACTIVE
    return Step(
        "active",
        "Active",
        WE,
        active,
        connection.active_at if active else None,
        todo="A self-test without trouble makes the connection active; patients are then pulled daily.",
    )


_STEPS: tuple[Callable[[Connection], Step], ...] = (
    _drafted,
    _client_id,
    _jwks,
    _as_registered,
    _activated,
    _token,
    _data,
    _active,
)


# --- facts ---------------------------------------------------------------------------------------------


def _last_report(connection: Connection) -> DoctorReport | None:
    return connection.reports.filter(state=DoctorReport.State.DONE).first()


def _finding(report: DoctorReport | None, step: str) -> doctor.Finding | None:
    return next((found for found in doctor.findings(report) if found.step == step), None) if report else None


def _token_at(connection: Connection) -> datetime | None:
    """When a token was last had: from a person's grant, the last self-test, or the connection's own word."""
    grant = connection.grants.filter(state=Grant.State.ACTIVE).order_by("-created_at").first()
    if grant is not None:
        return grant.created_at
    report = _last_report(connection)
    found = _finding(report, "token")
    if report is not None and found is not None:
        return None if found.is_bad or found.verdict == doctor.Verdict.SKIPPED else report.finished_at
    had = connection.system_tokens.filter(generation__gt=0).exists()
    return connection.active_at if had and connection.state == State.ACTIVE else None


def _data_at(connection: Connection) -> datetime | None:
    """When the server last gave a record of a patient: to a pull, or to the self-test's reads."""
    confirmed = TypeOutcome.objects.filter(enrolment__connection=connection).exclude(confirmed_at=None)
    pulled = confirmed.order_by("-confirmed_at").values_list("confirmed_at", flat=True).first()
    report = _last_report(connection)
    reads = [found for found in doctor.findings(report) if found.step.startswith("read ")] if report else []
    tested = report.finished_at if report and any(found.verdict == doctor.Verdict.OK for found in reads) else None
    return max((at for at in (pulled, tested) if at is not None), default=None)


# --- standing ------------------------------------------------------------------------------------------

# Which step a code is about; longest match wins.
_ABOUT = {
    "CFG_CLIENT_ID": "client-id",
    "CFG_SIGNING_KEY": "jwks",
    "KEY_": "jwks",
    "TOK_KID": "jwks",
    "TOK_JWKS": "jwks",
    "TOK_SCOPE": "as-registered",
    "AUTHZ_SCOPE": "as-registered",
    "AUTHZ_REDIRECT": "as-registered",
    "AUTHZ_APP_NOT_ACTIVATED": "activated",
    "FHIR_": "data",
    "BULK_": "data",
}


def step_about(code: str) -> str:
    """The key of the step a catalogue code is about; what concerns none of them shows at the token."""
    fitting = [prefix for prefix in _ABOUT if code.startswith(prefix)]
    return _ABOUT[max(fitting, key=len)] if fitting else "token"


def _with_standing(connection: Connection, steps: list[Step]) -> tuple[Step, ...]:
    """The step the trouble is about is not done, whatever else says so; the first open one is the one to do now."""
    code = connection.reason_code
    about = step_about(code) if code else ""
    if about == "activated" and connection.registration.environment == Environment.SANDBOX:
        about = "token"
    found: list[Step] = []
    open_before = False
    for step in steps:
        if step.key == about:
            step = replace(step, done=False, at=None, standing=TROUBLE, trouble=catalogue.explain(code))
        elif step.done:
            step = replace(step, standing=DONE)
        else:
            step = replace(step, standing=LATER if open_before else NOW)
        open_before = open_before or not step.done
        found.append(step)
    return tuple(found)
