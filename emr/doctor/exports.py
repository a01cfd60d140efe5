"""Whether the group can be exported: the smallest export is asked for and cancelled, or the one under way looked at."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

from django.utils import timezone

from emr import calls
from emr.doctor.case import Case, Step
from emr.doctor.findings import Finding, Verdict
from emr.models import BulkJob, ClientRegistration
from emr.wire import bulk, scopes
from emr.wire.errors import Throttled, WireError

START = Step("bulk", "Export of the group", at="bulk-start")
POLL = replace(START, at="bulk-poll")


def steps(case: Case) -> Iterator[Step]:
    """One step for a bulk app with a token and a group."""
    is_bulk = case.registration.app_type == ClientRegistration.AppType.BACKEND_BULK
    if is_bulk and case.connection.group_id and case.access is not None:
        yield START


def export(case: Case, step: Step) -> Finding:
    """What the server says to an export, and what the last one lacked."""
    jobs = case.connection.bulk_jobs
    job = jobs.filter(state__in=BulkJob.OPEN).exclude(status_url="").first()
    calls.spend(case.connection)
    finding = _under_way(case, job) if job is not None else _begun(case, step)
    last = jobs.exclude(state__in=BulkJob.OPEN).first()
    if finding.verdict == Verdict.OK and last is not None and last.state == BulkJob.State.INCOMPLETE:
        return step.amiss(last.code, f"Of the last export: {last.reason}.", _evidence(last))
    return finding


def _begun(case: Case, step: Step) -> Finding:
    """An export of nothing but the patients changed from now on, cancelled as soon as it was accepted."""
    connection = case.connection
    if not scopes.allows(case.token.scope, "Group"):
        return step.amiss("BULK_GROUP", "The scope for groups was not granted.")
    try:
        started = bulk.kick_off(
            case.way, case.token.bearer, connection.base_url, connection.group_id, types=["Patient"],
            since=timezone.now(), aliases=connection.profile.link_aliases,
        )  # fmt: skip
    except Throttled as error:
        # Bare, it is the practice's spent minute; the catalogue's sign is that of a server that says more.
        return case.failure(step, error, code="FHIR_429")
    calls.spend(connection)
    with suppress(WireError):  # it ends by itself, some time
        bulk.cancel(
            case.way, case.token.bearer, connection.base_url, started.status_url,
            aliases=connection.profile.link_aliases,
        )  # fmt: skip
    evidence = [("request id", started.request_id)]
    return step.found(Verdict.OK, "An export was accepted, and cancelled again.", evidence=evidence)


def _under_way(case: Case, job: BulkJob) -> Finding:
    connection = case.connection
    try:
        found = bulk.poll(
            case.way, case.token.bearer, connection.base_url, job.status_url, aliases=connection.profile.link_aliases
        )
    except WireError as error:
        return case.failure(POLL, error)
    said = f"is running: {found.progress}" if isinstance(found, bulk.Waiting) else "has its files ready"
    return POLL.found(Verdict.OK, f"The export that was asked for {said}.".replace(": .", "."))


def _evidence(job: BulkJob) -> list[tuple[str, str]]:
    told = [("asked for", f"{job.created_at:%d-%b-%Y %H:%M} UTC")]
    return told + [(f"issues of severity {severity}", str(count)) for severity, count in sorted(job.remarks.items())]
