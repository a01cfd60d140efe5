"""Who comes first: staff asked now, today or tomorrow, this week, viewed lately, oldest."""

from datetime import datetime, timedelta

import pytest
import time_machine
from django.utils import timezone

from emr import pulls, schedule
from emr.models import Connection, Enrolment, Practice, Pull, User, WorkItem
from emr.pulling import asking, ending, pace, queue
from tests.emr.conftest import Connect
from tests.pulls.conftest import enrol

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that could be under way is: here it is about its order alone."""
    monkeypatch.setattr(pace, "width", lambda pull: 100)


NOW = "2026-11-23 14:00+00:00"  # Monday, 09:00 in New York


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}:00-05:00")


def due(connection: Connection, name: str, **more: object) -> Enrolment:
    values = {"known_by": "list", "due_at": timezone.now() - timedelta(minutes=5)} | more
    return Enrolment.objects.create(connection=connection, patient_fhir_id=name, **values)


def order() -> list[str]:
    items = queue.waiting_items()
    names = dict(WorkItem.objects.values_list("pk", "enrolment__patient_fhir_id"))
    return [names[pk] for pk in items]


@time_machine.travel(NOW, tick=False)
def test_due_work_is_taken_in_the_order_of_its_urgency(connection: Connection) -> None:
    due(connection, "pulled yesterday", pulled_at=at("2026-11-22T09:00"))
    due(connection, "pulled last week", pulled_at=at("2026-11-16T09:00"))
    due(connection, "never pulled")
    due(connection, "viewed yesterday", viewed_at=at("2026-11-22T09:00"))
    due(connection, "viewed an hour ago", viewed_at=at("2026-11-23T08:00"))
    due(connection, "viewed last month", viewed_at=at("2026-10-23T08:00"), pulled_at=at("2026-11-22T23:00"))
    due(connection, "comes on Sunday", next_appointment_at=at("2026-11-29T10:00"))
    due(connection, "comes in two weeks", next_appointment_at=at("2026-12-07T10:00"), pulled_at=at("2026-11-23T01:00"))
    due(connection, "comes the day after tomorrow", next_appointment_at=at("2026-11-25T00:00"))
    due(connection, "comes tomorrow late", next_appointment_at=at("2026-11-24T23:59"))
    due(connection, "comes today", next_appointment_at=at("2026-11-23T15:00"))
    due(connection, "came this morning", next_appointment_at=at("2026-11-23T00:00"))
    due(connection, "asked later", asked_at=at("2026-11-23T08:59"))
    due(connection, "asked first", asked_at=at("2026-11-23T08:58"), next_appointment_at=at("2026-11-29T10:00"))
    schedule.open_pulls()
    assert order() == [
        "asked first", "asked later", "came this morning", "comes today", "comes tomorrow late",
        "comes the day after tomorrow", "comes on Sunday", "viewed an hour ago", "viewed yesterday", "never pulled",
        "pulled last week", "pulled yesterday", "viewed last month", "comes in two weeks",
    ]  # fmt: skip


@time_machine.travel(NOW, tick=False)
def test_who_is_urgent_joins_a_pull_under_way_and_others_wait_for_the_next(connection: Connection) -> None:
    due(connection, "first")
    assert schedule.open_pulls() == 1
    due(connection, "asked", asked_at=timezone.now())
    due(connection, "today", next_appointment_at=at("2026-11-23T15:00"))
    due(connection, "whenever")
    assert schedule.open_pulls() == 0
    assert schedule.open_pulls() == 0  # a second beat adds nothing
    pull = Pull.objects.get()
    assert set(pull.items.values_list("enrolment__patient_fhir_id", flat=True)) == {"first", "asked", "today"}
    assert order() == ["asked", "today", "first"]
    pull.items.update(state="done")
    connection.enrolments.exclude(due_at__lte=timezone.now()).update(pulled_at=timezone.now())
    ending.finish_pulls()
    assert schedule.open_pulls() == 1
    assert order() == ["whenever"]


def test_a_pull_is_not_closed_while_an_item_joins_it(connection: Connection) -> None:
    enrolment = due(connection, "first")
    schedule.open_pulls()
    pull = Pull.objects.get()
    pull.items.update(state="done")
    WorkItem.objects.create(pull=pull, enrolment=enrolment)
    ending._finish_pull(pull.pk)
    pull.refresh_from_db()
    assert pull.state == Pull.State.RUNNING


@time_machine.travel(NOW, tick=False)
def test_viewed_is_noted_at_most_every_quarter_of_an_hour(connection: Connection, practice_b: Practice) -> None:
    enrolment = due(connection, "p1")
    asking.viewed(practice_b.pk, "p1")
    enrolment.refresh_from_db()
    assert enrolment.viewed_at is None
    asking.viewed(connection.practice_id, "p1")
    enrolment.refresh_from_db()
    assert enrolment.viewed_at == timezone.now()
    with time_machine.travel("2026-11-23 14:10+00:00", tick=False):
        asking.viewed(connection.practice_id, "p1")
        assert Enrolment.objects.get().viewed_at == enrolment.viewed_at
    with time_machine.travel("2026-11-23 14:16+00:00", tick=False):
        asking.viewed(connection.practice_id, "p1")
        assert Enrolment.objects.get().viewed_at == timezone.now()


@pytest.mark.usefixtures("unlimited")
def test_a_worker_does_what_staff_wait_for_before_the_item_it_was_sent(connect: Connect, alice: User) -> None:
    connection, control = connect(patients=3)
    enrol(connection, control)
    schedule.open_pulls()
    sent, *_, wanted = queue.waiting_items()
    asking.refresh(connection.practice_id, WorkItem.objects.get(pk=wanted).enrolment.patient_fhir_id, alice)
    pulls.run(sent)
    done = WorkItem.objects.filter(state="done").order_by("finished_at").values_list("pk", flat=True)
    assert list(done) == [wanted, sent]


def test_a_practice_without_calls_is_let_be_but_for_what_staff_wait_for(connection: Connection) -> None:
    for name in ("first", "second", "asked"):
        due(connection, name, asked_at=timezone.now() if name == "asked" else None)
    schedule.open_pulls()
    Pull.objects.update(hold_until=timezone.now() + timedelta(seconds=30))
    assert order() == ["asked"]
    assert order() == []
    Pull.objects.update(hold_until=timezone.now() - timedelta(seconds=1))
    assert sorted(order()) == ["first", "second"]


def test_an_item_published_before_the_hold_is_published_again_after_it(connection: Connection) -> None:
    due(connection, "first")
    schedule.open_pulls()
    assert order() == ["first"]
    WorkItem.objects.update(published_at=timezone.now() - timedelta(seconds=5))
    Pull.objects.update(hold_until=timezone.now() - timedelta(seconds=1))
    assert order() == ["first"]


def test_an_admins_pull_of_everybody_asks_for_every_type_and_displaces_nobody(
    connection: Connection, alice: User
) -> None:
    enrolled = due(connection, "first", due_at=None)
    due(connection, "second", due_at=None)
    assert asking.request_pull(connection, "asked for by an admin") == 2
    schedule.open_pulls()
    assert set(WorkItem.objects.values_list("rank", "wanted_at")) == {(WorkItem.Rank.OLDEST, None)}
    assert asking.refresh(connection.practice_id, enrolled.patient_fhir_id, alice)
    assert order() == ["first", "second"]
    assert not Enrolment.objects.exclude(due_at=None, whole=False, asked_at=None).exists()
