"""Workers that die at every commit: whoever goes on ends with the same rows as the undisturbed run."""

import json
import sys
import uuid
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from emr import store
from emr.bulk import opening, running, waiting
from emr.bulk.steps import Step
from emr.models import BulkItem, BulkJob, Connection, Enrolment, Pull, Quarantine, Resource, TypeOutcome
from emr.pulling.holds import LeaseLost
from tests.bulk.conftest import ConnectBulk, on_file, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]


class Killed(BaseException):
    """The worker is gone, whatever it was at."""


@pytest.fixture(scope="module")
def small_batches() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("emr.bulk.files.BATCH_LINES", 15)
        patch.setattr("emr.bulk.patients.BATCH", 1)
        yield


class Reaper:
    """Kills at every commit twice: before it is made, and, by the next worker, right after it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.deaths: Counter[tuple[str, ...]] = Counter()
        commit = Step.commit

        def committed(step: Step, *args: Any, **columns: Any) -> None:
            caller = sys._getframe(1).f_code.co_name
            place = (str(step.item.pk), step.job.state, caller, json.dumps(step.cursor, sort_keys=True))
            self.deaths[place] += 1
            if self.deaths[place] == 1:
                raise Killed
            commit(step, *args, **columns)
            if self.deaths[place] == 2:
                raise Killed

        patch.setattr(Step, "commit", committed)


def lives(connection: Connection, *, rounds: int = 200, forgiving: bool = False) -> BulkJob:
    """Worker after worker, each until it dies; a lease ends before the next comes.

    forgiving: no death is held against its item, so that many may follow each other.
    """
    for _ in range(rounds):
        opening.open_due()
        long_ago = timezone.now() - timedelta(hours=1)
        BulkItem.objects.filter(state="queued").update(not_before=None, published_at=None)
        BulkItem.objects.filter(state="queued", lease__isnull=False).update(lease_until=long_ago)
        if forgiving:
            BulkItem.objects.update(attempts=0)
        items = waiting.waiting_items()
        if not items:
            break
        for item in items:
            try:
                running.run(item)
            except Killed:
                continue
    return connection.bulk_jobs.latest("created_at")


def standing(connection: Connection) -> dict[str, Any]:
    return {
        "resources": on_file(connection),
        "enrolled": sorted(connection.enrolments.values_list("patient_fhir_id", "known_by", "untold")),
        "outcomes": sorted(
            TypeOutcome.objects.values_list("enrolment__patient_fhir_id", "resource_type", "outcome", "reason")
        ),
        "quarantine": sorted(Quarantine.objects.values_list("reason", "body_hash")),
        "files": sorted(BulkItem.objects.filter(kind="file").values_list("resource_type", "number", "lines", "state")),
    }


def forget(connection: Connection) -> None:
    for model in (Pull, Resource, Enrolment, Quarantine):
        model.objects.all().delete()
    connection.refresh_from_db()


@pytest.mark.usefixtures("small_batches")
def test_killed_at_every_commit_the_rows_are_the_same(
    connect_bulk: ConnectBulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, control = connect_bulk(patients=2, exports={"lines": 40})
    bad = {"kind": "bad-line", "match": {"path": "Condition.1"}, "times": None}
    control.post("faults", bad)
    assert work(connection).state == BulkJob.State.COMPLETE
    undisturbed = standing(connection)
    assert len(undisturbed["quarantine"]) == 1
    forget(connection)
    with monkeypatch.context() as patch:
        reaper = Reaper(patch)
        job = lives(connection, forgiving=True)
    assert len(reaper.deaths) > 30
    assert (job.state, job.restarts) == (BulkJob.State.COMPLETE, 0)
    assert standing(connection) == undisturbed
    pull = Pull.objects.get()
    assert (pull.state, pull.new, pull.quarantined) == (Pull.State.COMPLETE, len(undisturbed["resources"]), 1)


@pytest.mark.usefixtures("small_batches")
def test_killed_in_a_file_only_its_tail_is_stored_again(
    connect_bulk: ConnectBulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, _ = connect_bulk(patients=2)
    seen: list[str] = []
    keep = store.keep_of_many

    def counted(entries: Any, **options: Any) -> Any:
        seen.extend(f"{entry.resource_type}/{entry.fhir_id}" for entry in entries)
        if len(seen) > 60 and not deaths:
            deaths.append(1)
            raise Killed
        return keep(entries, **options)

    deaths: list[int] = []
    monkeypatch.setattr("emr.bulk.files.store.keep_of_many", counted)
    job = lives(connection)
    assert (job.state, deaths) == (BulkJob.State.COMPLETE, [1])
    assert len(seen) - len(set(seen)) <= 15


def test_what_kills_its_worker_stops_at_three(connect_bulk: ConnectBulk, monkeypatch: pytest.MonkeyPatch) -> None:
    connection, _ = connect_bulk(patients=1)
    keep = store.keep_of_many
    tried: list[int] = []

    def poisoned(entries: Any, **options: Any) -> Any:
        if any(entry.resource_type == "Condition" for entry in entries):
            tried.append(1)
            raise Killed
        return keep(entries, **options)

    monkeypatch.setattr("emr.bulk.files.store.keep_of_many", poisoned)
    job = lives(connection)
    assert len(tried) == BulkItem.MAX_ATTEMPTS
    assert (job.state, job.code) == (BulkJob.State.INCOMPLETE, "BULK_PARTIAL")
    assert set(
        TypeOutcome.objects.filter(resource_type="Condition").values_list("outcome", flat=True)
    ) == {TypeOutcome.Outcome.NOT_FETCHED}  # fmt: skip


@pytest.mark.usefixtures("small_batches")
def test_file_that_changed_meanwhile_is_read_from_its_beginning(
    connect_bulk: ConnectBulk, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, control = connect_bulk(patients=1)
    deaths: list[int] = []
    keep = store.keep_of_many

    def dies_once(entries: Any, **options: Any) -> Any:
        if Resource.objects.filter(resource_type="Observation").count() >= 15 and not deaths:
            deaths.append(1)
            # A line more, in front of those stored already.
            control.post("faults", {"kind": "bad-line", "match": {"path": "Observation.1"}, "line": "no-id"})
            raise Killed
        return keep(entries, **options)

    monkeypatch.setattr("emr.bulk.files.store.keep_of_many", dies_once)
    job = lives(connection)
    assert (job.state, deaths) == (BulkJob.State.COMPLETE, [1])
    file = job.items.get(kind="file", resource_type="Observation")
    assert file.lines == file.count + Quarantine.objects.count()


def test_worker_that_lost_its_lease_changes_nothing(connect_bulk: ConnectBulk) -> None:
    _, control = connect_bulk(patients=1, exports={"polls": 0})
    opening.open_due()
    (item,) = waiting.waiting_items()
    running.run(item)
    stale = Step(BulkItem.objects.get(pk=item))
    BulkItem.objects.filter(pk=item).update(lease=uuid.uuid4())
    stale.cursor = {"polls": 99}
    with pytest.raises(LeaseLost):
        stale.commit(code="STALE")
    assert BulkItem.objects.get(pk=item).code == ""
    assert control.get("bulk")["started"] == 1
