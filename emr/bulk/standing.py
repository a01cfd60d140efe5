"""How an export is, for staff: what it waits for, and each kind of record by its files. No patients."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.utils import timezone

from emr.bulk import verdicts
from emr.bulk.verdicts import Outcome
from emr.models import BulkItem, BulkJob, Pull

State, Item = BulkJob.State, BulkItem.State
_MARKS = {"complete": "good", "nothing on file": "good", "not fetched": "bad", "not permitted": "warn"}


@dataclass(frozen=True)
class ExportLine:
    """One kind of record. files, done: of its files. lines: stored so far; count: as the EMR says, None when it does
    not. reason: why it is not whole."""

    resource_type: str
    word: str
    files: int
    done: int
    lines: int
    count: int | None
    reason: str = ""

    @property
    def mark(self) -> str:
        """How its tag looks; the word says the same."""
        return _MARKS.get(self.word, "")


@dataclass(frozen=True)
class Standing:
    """An export now. patients, told: members of the group, and of them those whose histories are up to date."""

    job: BulkJob
    lines: tuple[ExportLine, ...]
    patients: int
    remarks: tuple[tuple[str, int], ...]

    @property
    def spoken(self) -> str:
        """One line that changes seldom."""
        job = self.job
        if not job.is_open:
            return f"Export of the group: {job.get_state_display().lower()}. {job.reason}".strip()
        if job.state == State.FETCHING:
            files = sum(line.files for line in self.lines)
            done = sum(line.done for line in self.lines)
            return f"Export of the group: {done} of {files} files are fetched."
        if job.state == State.EXPORTING and job.progress:
            return f"The EMR is exporting the group: {job.progress}."
        if job.state == State.STARTING and job.code:
            return f"Export of the group: {verdicts.words(job.code)}. Asked for again by itself."
        return f"Export of the group: {job.get_state_display().lower()}."


def of(pull: Pull) -> Standing | None:
    """The standing of a pull that is an export; None for other pulls. Three queries."""
    job = BulkJob.objects.select_related("connection__registration").filter(pull=pull).first()
    if job is None:
        return None
    items = list(job.items.filter(kind=BulkItem.Kind.FILE).defer("url", "cursor"))
    remarks = tuple(sorted((str(severity), int(count)) for severity, count in job.remarks.items()))
    return Standing(job, tuple(_lines(job, items)), job.members.count(), remarks)


def _lines(job: BulkJob, items: list[BulkItem]) -> Iterator[ExportLine]:
    types = verdicts.of_types(job) if job.types else {}
    for kind, verdict in types.items():
        own = [item for item in items if item.resource_type == kind and item.file_kind == "output"]
        done = sum(item.state != Item.QUEUED for item in own)
        counts = [item.count for item in own]
        yield ExportLine(
            resource_type=kind,
            word=_word(job, verdict.outcome, own, done),
            files=len(own),
            done=done,
            lines=sum(item.lines for item in own),
            count=sum(count or 0 for count in counts) if counts and None not in counts else None,
            reason=verdict.reason,
        )


def _word(job: BulkJob, outcome: Outcome, own: list[BulkItem], done: int) -> str:
    """The state of a kind of record, in one word or two."""
    if outcome == Outcome.NOT_PERMITTED:
        return "not permitted"
    if job.state in (State.STARTING, State.EXPORTING):
        return "queued"
    if job.state in (State.REFUSED, State.FAILED, State.CANCELLED) or job.ends_as == State.FAILED:
        return "not fetched"
    if done < len(own):
        now = timezone.now()
        busy = done or any(item.lines or (item.lease_until and item.lease_until > now) for item in own)
        return "fetching" if busy else "queued"
    if outcome == Outcome.NOT_FETCHED:
        return "not fetched"
    if own or job.since is not None:
        return "complete"
    # Files that tell what went wrong may still be read: until then no file says nothing.
    return "no file so far" if job.is_open else "nothing on file"
