"""The self-test in order. A step whose groundwork is missing is skipped and says so; nothing is tried in vain."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from emr import calls, fields, tokens
from emr.doctor import asking, exports, ourselves, reads, theirs
from emr.doctor.case import Case, Step
from emr.doctor.findings import Finding, Verdict
from emr.wire.errors import WireError

Look = Callable[[Case], Finding]
# After these the following reads would only meet the same.
_NO_MORE_READS = ("FHIR_401", "FHIR_429", "NET_", "TLS_", "AUTHZ_")
# We may not reach our own public address from inside; clocks apart do no harm while assertions are taken.
_OUR_VIEW = frozenset({"TOK_JWKS_UNREACHABLE", "TOK_CLOCK_SKEW"})
# What is wrong here is wrong with the connection: it pulls nothing until it was found well.
ESSENTIAL = ("configuration", "network", "discovery", "assertion", "token")


@dataclass(frozen=True)
class Planned:
    """A step, and the steps that must have gone well before it makes sense."""

    step: Step
    look: Look
    needs: tuple[str, ...] = ()


PLAN = (
    Planned(ourselves.CONFIGURATION, ourselves.configuration),
    Planned(theirs.NETWORK, theirs.network, needs=("door",)),
    Planned(theirs.DISCOVERY, theirs.discovered, needs=("network",)),
    Planned(ourselves.JWKS, ourselves.jwks, needs=("signs",)),
    Planned(ourselves.CLOCK, ourselves.clock, needs=("network",)),
    Planned(ourselves.ASSERTION, ourselves.assertion, needs=("configuration", "discovery")),
    Planned(theirs.TOKEN, theirs.token, needs=("configuration", "discovery")),
    Planned(theirs.SCOPES, theirs.granted, needs=("access",)),
    Planned(theirs.METADATA, theirs.metadata, needs=("network",)),
)
# Of an app that people launch.
ASKED = Planned(asking.AUTHORIZE, asking.sign_in_page, needs=("configuration", "discovery"))


def run(case: Case) -> Iterator[Finding]:
    """The findings as they are made; `case` holds them too. The door is closed at the end."""
    try:
        for planned in PLAN:
            yield _keep(case, _examine(case, planned))
        if not case.registration.is_backend:
            yield _keep(case, _examine(case, ASKED))
        if theirs.TOKEN.key in case.findings and case.access is not None:
            yield from _second_thoughts(case)
        yield from _reads(case)
        for step in exports.steps(case):
            yield _keep(case, _timed(case, step, lambda step=step: exports.export(case, step)))  # type: ignore[misc]
    finally:
        if case.door is not None:
            case.door.close()


def is_healthy(case: Case) -> bool:
    """Nothing bad, and a token where the app can have one by itself."""
    return is_connected(case) and first_bad(case) is None


def is_connected(case: Case) -> bool:
    """A token was given; where the app gets none by itself, discovery went well."""
    return case.access is not None if case.registration.is_backend else case.passed("discovery")


def first_bad(case: Case) -> Finding | None:
    return next((finding for finding in case.findings.values() if finding.is_bad), None)


def stopping(case: Case) -> Finding | None:
    """The finding for which the connection must stop: of an essential step, or of reads that a token does not open."""
    for finding in case.findings.values():
        if finding.is_bad and finding.step in ESSENTIAL:
            return finding
        if finding.step.startswith("read ") and finding.code in {"FHIR_401", "AUTHZ_APP_NOT_ACTIVATED"}:
            return finding
    return None


def _keep(case: Case, finding: Finding) -> Finding:
    case.findings[finding.step] = finding
    return finding


def _ready(case: Case, need: str) -> bool:
    made = {
        "door": case.door is not None,
        "access": case.access is not None,
        "signs": case.registration.auth_method == case.registration.AuthMethod.PRIVATE_KEY_JWT,
    }
    return made[need] if need in made else case.passed(need)


def _examine(case: Case, planned: Planned) -> Finding:
    step = planned.step
    missing = next((need for need in planned.needs if not _ready(case, need)), "")
    if missing:
        return step.found(Verdict.SKIPPED, _SKIPPED.get(missing, "An earlier step did not go well."))
    return _timed(case, step, lambda: planned.look(case))


_SKIPPED = {"signs": "This app does not sign its requests.", "access": "There is no token."}


def _timed(case: Case, step: Step, look: Callable[[], Finding]) -> Finding:
    began = time.monotonic()
    try:
        finding = look()
    except WireError as error:
        finding = case.failure(step, error)
    except calls.OverBudget as wait:
        finding = _no_call(case, step, wait)
    except fields.SecretUnreadable as error:
        finding = step.amiss("SECRET_UNREADABLE", str(error))
    except tokens.TokenBusy:
        finding = step.found(Verdict.UNTESTED, "Another worker is asking for this token; run the test again.")
    return replace(finding, seconds=round(time.monotonic() - began, 2))


def _no_call(case: Case, step: Step, wait: calls.OverBudget) -> Finding:
    told = f"No call may be made for {wait.seconds:.0f} s."
    answer = case.door.last if case.door is not None else None
    if answer is not None and answer.status == 429:
        return replace(step.amiss("FHIR_429", told), request_id=answer.request_id)
    return step.found(Verdict.UNTESTED, told, code="FHIR_429")


def _second_thoughts(case: Case) -> Iterator[Finding]:
    """A token was given all the same: what may be only our own view of things is a warning now."""
    for key in (ourselves.JWKS.key, ourselves.CLOCK.key):
        finding = case.findings[key]
        if finding.is_bad and finding.code in _OUR_VIEW:
            told = f"{finding.summary} The server accepted us all the same.".strip()
            yield _keep(case, replace(finding, verdict=Verdict.WARNING, summary=told))


def _reads(case: Case) -> Iterator[Finding]:
    stopped = ""
    for step in reads.steps(case):
        if stopped:
            finding = step.found(Verdict.SKIPPED, f"Not tried after {stopped}.")
        else:
            finding = _timed(case, step, lambda step=step: reads.read(case, step))  # type: ignore[misc]
            if finding.code.startswith(_NO_MORE_READS):
                stopped = finding.code
        yield _keep(case, finding)
