"""How an export ended, as a whole and for each resource type."""

from dataclasses import dataclass

from emr import catalogue
from emr.models import BulkItem, BulkJob, TypeOutcome
from emr.pulling.journey import NOT_GRANTED

Outcome = TypeOutcome.Outcome
ENDED = (BulkJob.State.COMPLETE, BulkJob.State.INCOMPLETE)


@dataclass(frozen=True)
class Verdict:
    """One type, the same for all patients of the export. all_sent: what was not sent is no longer there."""

    outcome: Outcome
    reason: str = ""
    code: str = ""
    all_sent: bool = False


def words(code: str) -> str:
    """The catalogue's title with the code: what pages say. Blank for no code."""
    return f"{catalogue.explain(code).title} ({code})" if code else ""


def base_of(job: BulkJob) -> BulkJob | None:
    """The complete export of everything that this one rests on: itself, or the last one before it."""
    rows = job.connection.bulk_jobs.filter(since=None, state=BulkJob.State.COMPLETE, created_at__lte=job.created_at)
    return rows.filter(group_id=job.group_id).first()


def of_types(job: BulkJob) -> dict[str, Verdict]:
    """Every type that the profile plans, in its order."""
    items = list(job.items.filter(kind=BulkItem.Kind.FILE).exclude(file_kind="error"))
    return {kind: _of_type(job, kind, items) for kind in job.connection.profile.planned_types}


def _of_type(job: BulkJob, kind: str, items: list[BulkItem]) -> Verdict:
    if kind not in job.types:
        return Verdict(Outcome.NOT_PERMITTED, NOT_GRANTED)
    if job.unnamed_error or kind in job.missed_types:
        return Verdict(Outcome.NOT_FETCHED, words("BULK_PARTIAL"), "BULK_PARTIAL")
    # A file that does not say its type may hold any.
    own = [item for item in items if item.resource_type in (kind, "", "Bundle")]
    amiss = next((item for item in own if item.code or item.state == BulkItem.State.FAILED), None)
    if amiss is not None and amiss.file_kind == "output":
        code = amiss.code or "BULK_PARTIAL"
        return Verdict(Outcome.NOT_FETCHED, words(code), code)
    readable = all(not item.cursor.get("unreadable") for item in own)
    return Verdict(Outcome.COMPLETE, all_sent=readable and job.since is None)


def of_job(job: BulkJob) -> tuple[str, str]:
    """("", "") when all of it came; else the catalogue's code, and what is missing."""
    missing = [kind for kind, verdict in of_types(job).items() if verdict.outcome == Outcome.NOT_FETCHED]
    files = job.items.filter(kind=BulkItem.Kind.FILE)
    # Also a list of deletions, or of errors, that could not be read: nobody knows what it says.
    unread = files.exclude(code="") | files.filter(state=BulkItem.State.FAILED)
    code = unread.exclude(code="").values_list("code", flat=True).first() or "BULK_PARTIAL"
    if missing:
        return code, f"{words(code)}: {', '.join(missing)}"
    if unread.exists():
        return code, words(code)
    if job.items.filter(kind=BulkItem.Kind.PATIENTS, state=BulkItem.State.FAILED).exists():
        return "BULK_PARTIAL", "some histories could not be brought up to date"
    return "", ""
