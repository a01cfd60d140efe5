"""One practice's server in trouble, another's well: what stops the one does not touch the other."""

from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from django.utils import timezone

from emr import budget, roster
from emr.models import CallWindow, ClientRegistration, Connection, Enrolment, Practice, Pull, Resource, SigningKey
from emr.pulling import breaker
from tests.pulls.conftest import tick, work
from tests.pulls.odd_server import OddServer, Said, bundle, serving

pytestmark = pytest.mark.django_db(transaction=True)

Two = tuple[tuple[Connection, OddServer], tuple[Connection, OddServer]]
LIST = bundle([{"resource": {"resourceType": "Condition", "id": "c1", "code": {"text": "x"}}}])


@pytest.fixture
def two(practice_a: Practice, practice_b: Practice, signing_key: SigningKey, settings: Any) -> Iterator[Two]:
    """Two practices, each with a server and two patients; both of the same app."""
    registration = ClientRegistration.objects.create(name="Test app", client_id="ours", environment="sandbox")
    registration.scopes = registration.profile.default_scopes
    registration.save()
    with ExitStack() as stack:
        found = []
        for practice in (practice_a, practice_b):
            server = stack.enter_context(serving())
            server.scope = registration.scopes
            connection = Connection.objects.create(
                practice=practice, registration=registration, base_url=server.base, state=Connection.State.ACTIVE
            )
            roster.enrol(connection, ["p1", "p2"], Enrolment.KnownBy.LIST)
            found.append((connection, server))
        settings.INSECURE_FHIR_HOSTS = frozenset(server.host_port for _, server in found)
        yield found[0], found[1]


def test_an_outage_of_one_practice_pauses_that_practice_alone(two: Two) -> None:
    (ill, server), (well, other) = two
    server.answer = lambda asked: Said({}, status=503)
    other.answer = lambda asked: Said(LIST) if asked.path == "Condition" else None
    work(ill)
    paused = ill.pulls.get()
    assert (paused.state, paused.failing_code) == (Pull.State.PAUSED, "FHIR_5XX")
    assert paused.calls == breaker.TRIPS_AT
    assert well.pulls.get().state == Pull.State.COMPLETE
    # Nobody calls the one meanwhile, and the other goes on.
    calls = len(server.asked)
    well.enrolments.update(due_at=timezone.now(), whole=True)
    work(well)
    assert [pull.state for pull in well.pulls.all()] == [Pull.State.COMPLETE] * 2
    assert len(server.asked) == calls
    # Half open: one item of the two, and its two types, ask whether the server is well again.
    Pull.objects.filter(pk=paused.pk).update(probe_at=timezone.now())
    assert len(tick()) == 1
    assert len(server.asked) == calls + 2
    server.answer = lambda asked: None
    Pull.objects.filter(pk=paused.pk).update(probe_at=timezone.now())
    assert work(ill).state == Pull.State.COMPLETE


FORMS = [
    ("without a word", {}, 0.0, 66.0),
    ("seconds", {"Retry-After": "45"}, 44.5, 45.0),
    ("a date by the server's own clock", "date", 44.0, 45.0),
    ("a date that is past", "past", 0.0, 66.0),
    ("nothing to wait for", {"Retry-After": "0"}, 0.0, 66.0),
    ("no number and no date", {"Retry-After": "soon"}, 0.0, 66.0),
    ("hours", {"Retry-After": "7200"}, 119.0, 120.0),
]


@pytest.mark.parametrize(("headers", "least", "most"), [row[1:] for row in FORMS], ids=[row[0] for row in FORMS])
def test_a_429_stops_that_practice_for_everybody_as_long_as_it_says(
    two: Two, headers: Any, least: float, most: float
) -> None:
    (ill, server), (well, _) = two
    hour = timedelta(hours=1)
    if isinstance(headers, str):
        said = timezone.now() + hour  # the server's clock is an hour ahead
        until = said + timedelta(seconds=45 if headers == "date" else -45)
        headers = {"Date": format_datetime(said, usegmt=True), "Retry-After": format_datetime(until, usegmt=True)}
    refusals = [Said({}, status=429, headers=headers)]
    server.answer = lambda asked: refusals.pop() if refusals and asked.path == "Condition" else None
    before = timezone.now().timestamp()
    tick()
    after = timezone.now().timestamp()
    blocked = CallWindow.objects.get(key=ill.budget_key).blocked_until
    assert before + least <= blocked <= after + most
    held = ill.pulls.get().hold_until
    assert held is not None
    assert held.timestamp() == pytest.approx(blocked, abs=5.0)
    # Staff who wait are not let through either: the server refuses them, too.
    assert budget.shared().take(ill.budget_key, limit=250, window=61, interactive=True) > 0
    assert not CallWindow.objects.filter(key=well.budget_key, blocked_until__gt=0).exists()
    assert well.pulls.get().hold_until is None
    assert not refusals
    # One call more than without it, and nothing is missing.
    CallWindow.objects.update(blocked_until=0)
    assert work(ill).state == Pull.State.COMPLETE
    assert len(server.asked) == 2 * len(ill.profile.plan) + 1


def test_a_record_of_one_practice_is_no_record_of_the_other(two: Two) -> None:
    (one, server), (other, second) = two
    for each in (server, second):
        each.answer = lambda asked: Said(LIST) if asked.path == "Condition" and asked.query["patient"] == "p1" else None
    work(one)
    work(other)
    rows = Resource.objects.filter(resource_type="Condition", fhir_id="c1")
    assert set(rows.values_list("practice", "patient_fhir_id")) == {
        (one.practice_id, "p1"), (other.practice_id, "p1"),
    }  # fmt: skip
