"""The database has no room for another row: nothing is half done, and work goes on once there is room again."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from emr import store
from emr.models import AuditEvent, BulkItem, Practice, Pull, Resource, TypeOutcome, User, WorkItem
from emr.pulling import room
from emr.wire import fhir
from patients.models import Assessment, Entry, Patient
from tests.bulk import conftest as exports
from tests.bulk.test_export import exported
from tests.conftest import signed_in
from tests.emr.conftest import Connect
from tests.entering import posts
from tests.faults.disks import Disk, small_disk
from tests.faults.test_exact_counts import least, on_file, served
from tests.pages import charts
from tests.pulls.conftest import calls, enrol, tick, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]
connect_bulk = exports.connect_bulk  # the fixture

# More often than a step may stop its worker.
ROUNDS = WorkItem.MAX_ATTEMPTS + 2


@pytest.fixture
def disk(db: None) -> Iterator[Disk]:
    with small_disk() as made:
        yield made


def full_at_the_nth(monkeypatch: pytest.MonkeyPatch, disk: Disk, nth: int, place: Any, name: str) -> None:
    """Something else takes up the room while the nth such call of a worker is under way."""
    original, seen = getattr(place, name), []

    def called(*args: Any, **kwargs: Any) -> Any:
        seen.append(1)
        if len(seen) == nth:
            disk.fill()
        return original(*args, **kwargs)

    monkeypatch.setattr(place, name, called)


def test_a_pull_waits_while_the_disk_is_full_and_ends_with_the_same_rows(
    connect: Connect, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, control = connect(patients=1, page_size=1000)
    enrol(connection, control)
    full_at_the_nth(monkeypatch, disk, 4, fhir, "search")
    assert len(tick()) == 1
    before = on_file()
    for _ in range(ROUNDS):
        item = WorkItem.objects.get()
        assert (item.state, item.attempts, item.lease) == ("queued", 0, None)
        assert item.not_before is not None
        assert 0 < (item.not_before - timezone.now()).total_seconds() <= room.WAIT_SECONDS
        assert before.items() <= served(control).items()
        assert len(tick()) == 1
    assert on_file() == before != {}
    assert not TypeOutcome.objects.filter(outcome="not-fetched").exists()
    disk.make_room()
    pull = work(connection)
    assert (pull.state, pull.items.get().reason) == ("complete", "")
    assert on_file() == served(control)
    assert pull.new == Resource.objects.count() > len(before)
    # The page that found no room was asked for again each time, and once more at the end; nothing else was.
    assert calls(control) == least(connection) + ROUNDS + 1
    assert Entry.objects.exists()


def test_an_export_waits_while_the_disk_is_full_and_ends_with_the_same_rows(
    connect_bulk: exports.ConnectBulk, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, control = connect_bulk(patients=1)
    full_at_the_nth(monkeypatch, disk, 3, store, "keep_of_many")
    for _ in range(ROUNDS + 3):
        exports.tick()
    waiting = BulkItem.objects.filter(kind="file", state="queued", not_before__gt=timezone.now())
    assert set(waiting.values_list("attempts", "lease")) == {(0, None)}
    assert not BulkItem.objects.filter(state="failed").exists()
    before = on_file()
    disk.make_room()
    assert exports.work(connection).state == "complete"
    assert Pull.objects.get().new == len(on_file()) > len(before) > 0
    rows = Resource.objects.values_list("resource_type", "fhir_id", "patient_fhir_id")
    assert {(kind, fhir_id): patient for kind, fhir_id, patient in rows} == exported(control, connection)


def test_another_error_of_the_database_is_held_against_the_page(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be the page that the database cannot take: it must not be asked for again for ever."""

    def refuse(*_: object, **__: object) -> None:
        raise OperationalError("the statement is too long")

    connection, control = connect(patients=1, page_size=1000)
    enrol(connection, control)
    monkeypatch.setattr(store, "keep_of_many", refuse)
    for _ in range(WorkItem.MAX_ATTEMPTS):
        with pytest.raises(OperationalError, match="too long"):
            tick()
        WorkItem.objects.update(lease_until=None)  # the lease runs out
    assert work(connection).state == "incomplete"
    assert WorkItem.objects.get().state == "failed"


# --- people ---


def until_refused(ask: Callable[[], Any]) -> tuple[int, Any]:
    """(how often it still fitted, the first answer that did not): rows fill up the page they lie on."""
    for fitted in range(300):
        answer = ask()
        if answer.status_code == 500:
            return fitted, answer
    raise AssertionError("the disk was never full")


def refused_page(answer: Any, person: Patient) -> None:
    page = answer.content.decode()
    assert "Something went wrong" in page
    assert person.family.lower() not in page.lower()


def test_a_chart_is_not_shown_when_its_event_has_no_room(practice_a: Practice, alice: User, disk: Disk) -> None:
    person, events = charts.rich(practice_a), AuditEvent.objects.filter(action="read-history")
    url, client = reverse("patients:history", args=[person.pk]), signed_in(alice, Client(raise_request_exception=False))
    assert client.get(url).status_code == 200
    before = events.count()
    disk.fill()
    shown, answer = until_refused(lambda: client.get(url))
    refused_page(answer, person)
    assert events.count() == before + shown
    disk.make_room()
    assert client.get(url).status_code == 200
    assert events.count() == before + shown + 1


def test_an_assessment_and_its_event_are_saved_together_or_not_at_all(
    practice_a: Practice, alice: User, disk: Disk
) -> None:
    person = charts.rich(practice_a)
    url, client = reverse("patients:assessment-new", args=[person.pk]), signed_in(alice)
    client.raise_request_exception = False
    disk.fill()
    saved, answer = until_refused(lambda: client.post(url, posts.assessment(date="2026-11-20")))
    refused_page(answer, person)
    assert Assessment.objects.count() == AuditEvent.objects.filter(action="assessment").count() == saved
    disk.make_room()
    assert client.post(url, posts.assessment(date="2026-11-20")).status_code == 302
    assert Assessment.objects.count() == AuditEvent.objects.filter(action="assessment").count() == saved + 1
