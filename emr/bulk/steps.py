"""One worker's hold on one step of an export: what all kinds of steps have in common.

Every commit is made under the lease, with the rows it belongs to: a worker that was killed, or that lost its lease, has
changed nothing, and whoever comes next goes on behind the last commit. The EMR is never called with a transaction open.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from emr import calls, doctor, tokens
from emr.bulk.verdicts import words
from emr.models import BulkItem, BulkJob, Pull
from emr.pulling import leases
from emr.pulling.holds import LeaseLost, Postponed
from emr.wire.bulk import Gone, Unauthorized
from emr.wire.http import Door, Throttled, TryAgain

T = TypeVar("T")

# Servers ask for hours at times; then what is ready would wait.
MOST_SECONDS = 300.0
# Seconds before each further try after a failure that may pass by itself; after the last, the step is given up.
PAUSES = (1.0, 60.0, 120.0, 240.0)


class Step:
    """One worker's hold on one item of an export."""

    def __init__(self, item: BulkItem) -> None:
        self.item = item
        self.job: BulkJob = item.job
        self.connection = item.job.connection
        self.cursor: dict[str, Any] = item.cursor
        self.stopped = False
        self.uncounted = 0

    def go(self) -> None:
        """As far as this run comes. Raises WireError for what is wrong with the connection."""
        raise NotImplementedError

    def lost(self, error: Gone) -> None:
        """The server has forgotten the export, or one of its files."""
        raise error

    def give_up(self, code: str, reason: str) -> None:
        """End the step without having done it."""
        raise NotImplementedError

    def call(self, door: Door, make: Callable[[tokens.Access], T]) -> T:
        """One counted call with a token. Unauthorized once means another token; twice, it is raised."""
        access = tokens.system_access(self.connection, door)
        try:
            return self.counted(lambda: make(access))
        except Unauthorized:
            tokens.drop(self.connection, access)
            if self.cursor.get("reauthorized"):
                raise
            self.cursor["reauthorized"] = True
            self.commit()
            raise Postponed(0) from None

    def counted(self, make: Callable[[], T]) -> T:
        """One call out of the practice's budget; a pause that the server asks for is kept."""
        calls.spend(self.connection)
        self.uncounted += 1
        try:
            return make()
        except Throttled as refusal:
            self.commit()
            if refusal.retry_after:
                raise Postponed(min(refusal.retry_after, MOST_SECONDS)) from None
            raise calls.throttled(self.connection, refusal) from None

    def try_again(self, error: TryAgain) -> None:
        """It may pass by itself: later, a few times; then the step is given up."""
        tries = self.cursor.get("tries", 0)
        if tries < len(PAUSES):
            self.cursor["tries"] = tries + 1
            self.commit()
            raise Postponed(PAUSES[tries])
        if doctor.stops_connection(error.code):
            self.cursor["tries"] = 0
            self.commit()
            raise error
        self.give_up(error.code, words(error.code))

    @transaction.atomic
    def commit(self, counts: Mapping[str, int] | None = None, **columns: Any) -> None:
        """Cursor, counts and columns of the item, under our lease or not at all. Notices that the pull was paused."""
        self.hold(cursor=self.cursor, lease_until=leases.end(), attempts=0, **columns)
        pull = Pull.objects.filter(pk=self.job.pull_id)
        counted = {name: F(name) + number for name, number in (counts or {}).items() if number}
        if self.uncounted:
            counted["calls"] = F("calls") + self.uncounted
        if counted:
            pull.update(**counted)
        self.uncounted = 0
        self.stopped = not pull.filter(state=Pull.State.RUNNING).exists()

    def hold(self, **columns: Any) -> None:
        """Change columns of the item under our lease. Raises LeaseLost when it is another's."""
        if not BulkItem.objects.filter(pk=self.item.pk, lease=self.item.lease).update(**columns):
            raise LeaseLost

    def end(self, state: str, **columns: Any) -> None:
        """The item is over, and its calls are counted."""
        self.commit(**columns)
        self.hold(state=state, lease=None, lease_until=None, finished_at=timezone.now())

    def change(self, **columns: Any) -> None:
        """Change columns of the job, here and in its row."""
        for name, value in columns.items():
            setattr(self.job, name, value)
        self.job.save(update_fields=list(columns))
