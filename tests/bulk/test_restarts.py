"""An export across workers that die between its files: what is done is not fetched again, nor asked for again."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from emr.bulk import opening, running, waiting
from emr.models import BulkItem, BulkJob
from emr.wire import ndjson
from emr.wire.http import Door
from tests.bulk.conftest import ConnectBulk, calls, work
from tests.bulk.test_kills import Killed, lives

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file was asked for."""
    counts: Counter[str] = Counter()
    opened = ndjson.opened

    @contextmanager
    def counting(door: Door, url: str, bearer: str | None) -> Iterator[Any]:
        counts[url] += 1
        with opened(door, url, bearer) as lines:
            yield lines

    monkeypatch.setattr("emr.wire.ndjson.opened", counting)
    return counts


def next_worker() -> list[Any]:
    """Leases of the dead end; what a worker of a new process finds in the rows alone."""
    connections.close_all()
    long_ago = timezone.now() - timedelta(hours=1)
    BulkItem.objects.filter(state="queued").update(not_before=None, published_at=None)
    BulkItem.objects.filter(state="queued", lease__isnull=False).update(lease_until=long_ago)
    return waiting.waiting_items()


def test_a_worker_that_dies_after_each_file_leaves_none_to_be_fetched_twice(
    connect_bulk: ConnectBulk, fetched: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, control = connect_bulk(patients=2, exports={"lines": 40})
    advance, deaths = running._take, []

    def dies(step: Any) -> None:
        """Right behind the commit that ended the file: nobody was told."""
        advance(step)
        if step.item.kind == BulkItem.Kind.FILE:
            deaths.append(step.item.pk)
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(running, "_take", dies)
        job = lives(connection)
    files = job.items.filter(kind=BulkItem.Kind.FILE)
    assert (job.state, job.restarts) == (BulkJob.State.COMPLETE, 0)
    assert len(deaths) == files.count() > 5
    assert set(fetched.values()) == {1}
    assert len(fetched) == len(deaths)
    told = control.get("bulk")
    assert (told["started"], told["cancelled"], told["held"]) == (1, 1, 0)


def test_a_worker_that_dies_in_a_file_has_that_file_fetched_again_and_no_other(
    connect_bulk: ConnectBulk, fetched: Counter[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, control = connect_bulk(patients=1, exports={"polls": 0})
    split, deaths = ndjson.split_lines, [1]

    def dies_once(pieces: Any) -> Iterator[ndjson.Line]:
        for line in split(pieces):
            yield line
            if len(fetched) == 3 and deaths:
                deaths.pop()
                raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("emr.wire.ndjson.split_lines", dies_once)
        job = lives(connection)
    assert job.state == BulkJob.State.COMPLETE
    assert sorted(fetched.values())[-2:] == [1, 2]
    # Discovery, token, kick-off, list of files, each file, one of them twice, DELETE.
    assert calls(control) == 1 + 1 + 1 + 1 + len(fetched) + 1 + 1


def test_the_export_goes_on_at_the_servers_address_after_a_restart(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=1, exports={"polls": 3})
    opening.open_due()
    for _ in range(2):
        for item in next_worker():
            running.run(item)
    row = BulkJob.objects.get()
    assert row.state == BulkJob.State.EXPORTING
    assert row.status_url.startswith(connection.base_url)
    assert row.progress.endswith("% complete")
    assert work(connection).state == BulkJob.State.COMPLETE
    assert control.get("bulk")["started"] == 1
