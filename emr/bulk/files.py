"""One file of an export: its lines stored in batches, each with the place it leads up to."""

import re
import time
from collections.abc import Iterator

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from emr import calls, roster, store
from emr.bulk import progressing
from emr.bulk.opening import DUE_REASON
from emr.bulk.steps import Step
from emr.bulk.verdicts import words
from emr.models import BulkItem, BulkJob, BulkMember, BulkSeen, Enrolment, Resource
from emr.pulling import merges
from emr.pulling.holds import Postponed
from emr.wire import fhir, ndjson
from emr.wire.http import Door, TryAgain
from emr.wire.refusals import Gone, issues_of

# So many lines, or so many bytes, are stored at a time: half a second's work, which is what a killed worker repeats.
BATCH_LINES = 200
BATCH_BYTES = 4 * 1024 * 1024
# Then the file is handed back, well below the task's time limit; whoever goes on reads it again up to there.
RUN_SECONDS = 240.0
MOST_MISSED = 50

_GRAVE = frozenset({"fatal", "error"})


class FileStep(Step):
    """cursor: lines and bytes of the file that are stored, the mark of the last of them, lines without type or id."""

    def go(self) -> None:
        until = time.monotonic() + RUN_SECONDS
        with calls.door_to(self.connection) as door:
            self._read(door, until)

    def _read(self, door: Door, until: float) -> None:
        if self.job.requires_token:
            self.call(door, lambda access: self._stream(door, access.bearer, until))
        else:
            self.counted(lambda: self._stream(door, None, until))

    def _stream(self, door: Door, bearer: str | None, until: float) -> None:
        with ndjson.opened(door, self.item.url, bearer) as lines:
            self._work(self._rest(lines), until)

    def _rest(self, lines: Iterator[ndjson.Line]) -> Iterator[ndjson.Line]:
        """The lines not stored yet. A file that is another one than the last time is read from its beginning."""
        done = self.cursor.get("lines", 0)
        if done:
            last = next((line for line in lines if line.number == done), None)
            if last is None or (last.end, last.mark) != (self.cursor["bytes"], self.cursor["mark"]):
                with transaction.atomic():
                    self.cursor = {}
                    self.item.seen.all().delete()
                    self.commit(lines=0)
                raise Postponed(0)
        return lines

    def _work(self, lines: Iterator[ndjson.Line], until: float) -> None:
        last: ndjson.Line | None = None
        for batch in _batches(lines):
            last = batch[-1]
            if not last.ended and _is_cut(last):
                # The line break is missing, and the line is none: the file was cut short. Once more, a few times.
                self._cut(batch)
                return
            self._keep(batch)
            if self.stopped or time.monotonic() > until:
                raise Postponed(0)
        self._finish()

    def _cut(self, batch: list[ndjson.Line]) -> None:
        if batch[:-1]:
            self._keep(batch[:-1])
        if self.cursor.get("cuts", 0) < 2:
            self.cursor["cuts"] = self.cursor.get("cuts", 0) + 1
            raise TryAgain("NET_CONNECT", "the file is cut short")
        self._keep(batch[-1:])
        self._finish("BULK_PARTIAL")

    # --- what lines become ---

    @transaction.atomic
    def _keep(self, batch: list[ndjson.Line]) -> None:
        entries = [line.entry() for line in batch if not line.is_blank]
        keep = {"output": self._resources, "deleted": self._deletions, "error": self._issues}[self.item.file_kind]
        counts = keep(entries)
        last = batch[-1]
        self.cursor |= {"lines": last.number, "bytes": last.end, "mark": last.mark}
        for passing in ("reauthorized", "tries"):
            self.cursor.pop(passing, None)
        self.commit(counts, lines=F("lines") + len(entries))

    def _resources(self, entries: list[fhir.Entry]) -> dict[str, int]:
        self._unreadable(entries)
        kept = store.keep_of_many(entries, connection=self.connection, owner=self._owner, query=self._query)
        good = [entry for entry in entries if entry.fault is None and entry.resource is not None]
        self._members(good)
        marks = "".join(store.mark(f"{entry.resource_type}/{entry.fhir_id}") for entry in entries if entry.fhir_id)
        BulkSeen.objects.create(item=self.item, marks=marks)
        self.connection.enrolments.filter(patient_fhir_id__in=kept.touched, untold=False).update(untold=True)
        return vars(kept.counts)

    @property
    def _query(self) -> str:
        return f"Group/{{id}}/$export, {self.item.resource_type or 'type not said'} file {self.item.number}"

    def _unreadable(self, entries: list[fhir.Entry]) -> None:
        """A line without type or id may have been about anything on file."""
        count = sum(not (entry.resource_type and entry.fhir_id) for entry in entries)
        if count:
            self.cursor["unreadable"] = self.cursor.get("unreadable", 0) + count

    def _owner(self, entry: fhir.Entry) -> store.Owner:
        resource = entry.resource or {}
        if not merges.is_at_home(resource, self.connection):
            return store.Owner("", "about a patient of another server")
        about = fhir.patient_of(resource)
        if about is None and any(query.resource_type == entry.resource_type for query in self.connection.profile.plan):
            return store.Owner("", "about no patient")
        return store.Owner(about or "")

    def _members(self, entries: list[fhir.Entry]) -> None:
        """Whoever the export is about belongs to the group, and is enrolled."""
        owners = [self._owner(entry) for entry in entries]
        found = list(dict.fromkeys(owner.patient_fhir_id for owner in owners if not owner.reason))
        found = [fhir_id for fhir_id in found if fhir_id]
        rows = [BulkMember(job=self.job, patient_fhir_id=fhir_id) for fhir_id in found]
        BulkMember.objects.bulk_create(rows, batch_size=200, ignore_conflicts=True)
        # In an export of changes, older data of a newcomer may be missing: they are due at once, by the plan.
        later = None if self.job.since else timezone.now() + self.connection.profile.freshness.shortest
        reason = "newly enrolled" if self.job.since else DUE_REASON
        roster.enrol(self.connection, found, Enrolment.KnownBy.GROUP, due_at=later, due_reason=reason)
        people = {entry.fhir_id: entry for entry in entries if entry.resource_type == "Patient"}
        for enrolment in self.connection.enrolments.filter(patient_fhir_id__in=list(people)):
            merges.follow(self.connection, enrolment, (people[enrolment.patient_fhir_id],))

    def _deletions(self, entries: list[fhir.Entry]) -> dict[str, int]:
        """What the EMR says it has deleted is no longer sent."""
        gone: dict[str, set[str]] = {}
        for entry in entries:
            for kind, fhir_id in ndjson.deletions(entry.resource or {}):
                gone.setdefault(kind, set()).add(fhir_id)
        count = 0
        for kind, ids in gone.items():
            rows = Resource.objects.filter(
                connection=self.connection, practice_id=self.connection.practice_id, resource_type=kind,
                fhir_id__in=list(ids), no_longer_sent_at=None,
            )  # fmt: skip
            patients = set(rows.values_list("patient_fhir_id", flat=True))
            count += rows.update(no_longer_sent_at=timezone.now())
            self.connection.enrolments.filter(patient_fhir_id__in=patients).update(untold=True)
        return {"gone": count}

    def _issues(self, entries: list[fhir.Entry]) -> dict[str, int]:
        """Issues by severity; the types that an error names."""
        job = BulkJob.objects.select_for_update().get(pk=self.job.pk)
        for entry in entries:
            for issue in issues_of(entry.resource or {}):
                job.remarks[issue.severity] = job.remarks.get(issue.severity, 0) + 1
                if issue.severity in _GRAVE:
                    named = [kind for kind in job.types if re.search(rf"\b{kind}\b", issue.diagnostics)]
                    job.missed_types = list(dict.fromkeys([*job.missed_types, *named]))[:MOST_MISSED]
                    job.unnamed_error = job.unnamed_error or not named
        job.save(update_fields=["remarks", "missed_types", "unnamed_error"])
        return {}

    # --- the end ---

    @transaction.atomic
    def _finish(self, code: str = "") -> None:
        stored = BulkItem.objects.values_list("lines", flat=True).get(pk=self.item.pk)
        if not code and self.item.count is not None and stored < self.item.count:
            code = "BULK_PARTIAL"
        self.end(BulkItem.State.DONE, code=code, reason=words(code))
        progressing.advance(self.job.pk)

    @transaction.atomic
    def give_up(self, code: str, reason: str) -> None:
        self.end(BulkItem.State.FAILED, code=code or "BULK_PARTIAL", reason=reason[:300])
        progressing.advance(self.job.pk)

    def lost(self, error: Gone) -> None:
        if error.code == "BULK_JOB_LOST":
            progressing.start_anew(self.job, error.code)
        else:
            self.give_up(error.code, words(error.code))


def _batches(lines: Iterator[ndjson.Line]) -> Iterator[list[ndjson.Line]]:
    batch: list[ndjson.Line] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line.raw)
        if len(batch) >= BATCH_LINES or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _is_cut(line: ndjson.Line) -> bool:
    return not line.is_blank and line.whole and line.entry().resource is None
