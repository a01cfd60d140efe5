"""The export itself: asked for, waited for without a worker sleeping, its files listed, and closed with a DELETE."""

from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from emr import calls, doctor, fields
from emr.bulk import progressing
from emr.bulk.opening import DUE_REASON, FELL_BACK
from emr.bulk.steps import MOST_SECONDS, Step
from emr.bulk.verdicts import words
from emr.models import BulkItem, BulkJob, BulkSeen, Pull
from emr.pulling import ending
from emr.pulling.holds import Postponed
from emr.tokens import Access
from emr.wire import bulk, scopes
from emr.wire.http import Door, NeverAgain, TryAgain, WireError

State = BulkJob.State
# An EMR that takes longer than this for an export has forgotten it; the largest take hours.
LONGEST = timedelta(hours=48)
FIRST_SECONDS = 5.0


class ExportStep(Step):
    """Where the job stands decides what is done: kick-off, status, or DELETE."""

    def go(self) -> None:
        with calls.door_to(self.connection) as door:
            if self.job.pull.state == Pull.State.CANCELLED:
                self._cancelled(door)
            elif self.job.state == State.STARTING:
                self._start(door)
            elif self.job.state == State.EXPORTING:
                self._poll(door)
            elif self.job.state == State.CLOSING:
                self._close(door)

    # --- kick-off ---

    def _start(self, door: Door) -> None:
        try:
            started = self.call(door, self._kick_off(door))
        except bulk.InProgress as error:
            self._waits_for_another(error)
            return
        except bulk.MethodRefused as error:
            if self.job.posts:
                self._refused(error)
                return
            self.change(posts=True)
            raise Postponed(0) from None
        except NeverAgain as error:
            if doctor.stops_connection(error.code):
                raise
            self._refused(error)
            return
        wait = self._wait(started.retry_after)
        with transaction.atomic():
            self._set(status_url=started.status_url)
            self.change(state=State.EXPORTING, started_at=timezone.now(), code="", progress="")
            self.cursor = {}
            self.commit()
        raise Postponed(wait)

    def _kick_off(self, door: Door) -> Any:
        profile = self.connection.profile

        def make(access: Access) -> bulk.Started:
            if not scopes.allows(access.scope, "Group"):
                raise bulk.Forbidden("BULK_GROUP", "the scope for the group was not granted")
            types = [kind for kind in profile.planned_types if scopes.allows(access.scope, kind)]
            self.change(types=types)
            return bulk.kick_off(
                door, access.bearer, self.connection.base_url, self.job.group_id,
                types=types, since=self.job.since, post=self.job.posts, aliases=profile.link_aliases,
            )  # fmt: skip

        return make

    def _waits_for_another(self, error: bulk.InProgress) -> None:
        """One asked for earlier runs, of which we have no address: wait until it has ended."""
        if timezone.now() > self.job.created_at + LONGEST:
            self.give_up(error.code, words(error.code))
            return
        self.change(code=error.code, progress="")
        wait = self._wait(error.retry_after)
        self.commit()
        raise Postponed(wait)

    def _refused(self, error: WireError) -> None:
        """Remembered: nobody asks again for a while, or until the group is another. The plan goes on by patient."""
        self.connection.enrolments.filter(due_reason=DUE_REASON).update(due_at=timezone.now(), due_reason=FELL_BACK)
        self._end_as(State.REFUSED, error.code, ": ".join(part for part in (words(error.code), error.detail) if part))

    # --- status ---

    def _poll(self, door: Door) -> None:
        base, aliases = self.connection.base_url, self.connection.profile.link_aliases
        url = self.job.status_url
        found = self.call(door, lambda access: bulk.poll(door, access.bearer, base, url, aliases=aliases))
        if isinstance(found, bulk.Manifest):
            self._list_files(found)
            return
        late = self.job.started_at is not None and timezone.now() > self.job.started_at + LONGEST
        if late:
            self.give_up("BULK_IN_PROGRESS", f"{words('BULK_IN_PROGRESS')}, for more than two days")
            return
        wait = self._wait(found.retry_after)
        with transaction.atomic():
            self.change(progress=found.progress)
            self.cursor = {"polls": self.cursor.get("polls", 0) + 1}
            self.commit()
        raise Postponed(wait)

    def _wait(self, asked: float | None) -> float:
        """As long as the server asks, within reason; else twice as long each time."""
        if asked is not None:
            return min(max(asked, 1.0), MOST_SECONDS)
        polls = self.cursor.get("polls", 0)
        self.cursor["polls"] = polls + 1
        return min(FIRST_SECONDS * 2.0 ** min(polls, 10), MOST_SECONDS)

    @transaction.atomic
    def _list_files(self, manifest: bulk.Manifest) -> None:
        """One item for each file; those that may not be fetched end at once, with the reason."""
        items = [self._item(number, file) for number, file in enumerate(manifest.files, start=1)]
        BulkItem.objects.bulk_create(items, batch_size=200)
        self.change(
            state=State.FETCHING,
            transaction_time=manifest.transaction_time,
            requires_token=manifest.requires_token,
            progress="",
        )
        self.cursor = {}
        self.commit()
        self.hold(lease=None, lease_until=None)
        progressing.advance(self.job.pk)

    def _item(self, number: int, file: bulk.ManifestFile) -> BulkItem:
        item = BulkItem(
            job=self.job,
            kind=BulkItem.Kind.FILE,
            number=number,
            file_kind=file.kind,
            resource_type=file.resource_type,
            url=file.url,
            count=file.count,
        )
        if not file.url:
            item.state, item.code, item.finished_at = BulkItem.State.FAILED, "FHIR_LINK_FOREIGN", timezone.now()
            item.reason = f"{words('FHIR_LINK_FOREIGN')}: {file.host}"[:300]
        return item

    # --- the end ---

    def _close(self, door: Door) -> None:
        """The server may forget the export. That it did not hear of it is no reason to call it incomplete."""
        if self.job.status_url:
            self._delete(door)
        self._end_as(State(self.job.ends_as), self.job.code, self.job.reason)

    def _cancelled(self, door: Door) -> None:
        if self.job.status_url:
            self._delete(door)
        self._end_as(State.CANCELLED, "", "the pull was cancelled")

    def _delete(self, door: Door) -> None:
        base, aliases = self.connection.base_url, self.connection.profile.link_aliases
        url = self.job.status_url
        try:
            self.call(door, lambda access: bulk.cancel(door, access.bearer, base, url, aliases=aliases))
        except TryAgain:
            if self.cursor.get("tries", 0) < 2:
                raise
        except NeverAgain as error:
            if doctor.stops_connection(error.code) and self.job.pull.state != Pull.State.CANCELLED:
                raise

    @transaction.atomic
    def _end_as(self, state: State, code: str, reason: str) -> None:
        self.end(BulkItem.State.DONE)
        self.job.items.filter(state=BulkItem.State.QUEUED).update(
            state=BulkItem.State.CANCELLED, lease=None, lease_until=None, finished_at=timezone.now()
        )
        BulkSeen.objects.filter(item__job=self.job).delete()
        self._set(status_url="")
        self.change(state=state, code=code, reason=reason[:300], ended_at=timezone.now(), progress="")
        progressing.forget_older(self.job)
        ending.finish_pulls(self.job.pull_id)

    def _set(self, *, status_url: str) -> None:
        self.job.status_url = status_url
        sealed = fields.seal(self.job, "status_url", self.job.pk, status_url)
        BulkJob.objects.filter(pk=self.job.pk).update(status_url=sealed)

    def lost(self, error: bulk.Gone) -> None:
        if error.code == "BULK_JOB_LOST":
            progressing.start_anew(self.job, error.code)
        else:
            self.give_up(error.code, words(error.code))

    def give_up(self, code: str, reason: str) -> None:
        """The export brings no more. What it has stored stays; everybody is due, patient by patient."""
        if self.job.state == State.CLOSING or self.job.pull.state == Pull.State.CANCELLED:
            ends_as = State(self.job.ends_as) if self.job.state == State.CLOSING else State.CANCELLED
            self._end_as(ends_as, self.job.code, self.job.reason)
            return
        with transaction.atomic():
            self.commit()
            progressing.fail(self.job, code, reason)
