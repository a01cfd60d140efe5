"""Windows of what changed, against servers whose clocks are not ours: no moment falls between two windows."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from django.utils import timezone

from emr.models import Connection, Resource, TypeOutcome
from tests.pulls.conftest import work
from tests.pulls.odd_server import Asked, OddServer, Said, bundle
from tests.pulls.test_paging import TYPE, Odd, entry, odd, of_path  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]


def next_pass(connection: Connection, server: OddServer) -> str:
    """The lower edge of the next window of the type; "" where everything is asked for."""
    server.asked.clear()
    connection.sweeps.update(next_at=timezone.now())
    work(connection)
    first = next(asked for asked in server.asked if asked.path == TYPE)
    return parse_qs(urlsplit(first.target).query).get("_lastUpdated", [""])[0].removeprefix("ge")


# What the Date of each answer is off by; how long before the first pass the second one's window has to begin.
CLOCKS = [
    ("as ours", 0, 300),
    ("ten minutes behind", -600, 900),
    ("ten minutes ahead", 600, 300),
    ("a day ahead", 86_400, 300),
]


@pytest.mark.parametrize(("seconds", "before"), [row[1:] for row in CLOCKS], ids=[row[0] for row in CLOCKS])
def test_the_next_window_begins_before_the_last_pass_did(odd: Odd, seconds: int, before: int) -> None:  # noqa: F811
    connection, server = odd
    of_path(connection, "population")

    def answer(asked: Asked) -> Said | None:
        now = datetime.now(UTC) + timedelta(seconds=seconds)
        entries = [entry(1)] if asked.path == TYPE else []
        return Said(bundle(entries), headers={"Date": format_datetime(now, usegmt=True)})

    server.answer = answer
    began = datetime.now(UTC)
    work(connection)
    ended = datetime.now(UTC)
    edge = datetime.fromisoformat(next_pass(connection, server))
    # Whole seconds, cut off and not rounded: what was written in the same second is in.
    assert began - timedelta(seconds=before + 2) <= edge <= ended - timedelta(seconds=before)


def test_a_server_that_says_no_time_is_asked_for_everything(odd: Odd) -> None:  # noqa: F811
    connection, server = odd
    of_path(connection, "population")
    server.answer = lambda asked: Said(bundle([entry(1)] if asked.path == TYPE else []), headers={"Date": ""})
    work(connection)
    assert next_pass(connection, server) == ""
    assert TypeOutcome.objects.get(resource_type=TYPE).outcome == "complete"


def test_the_overlap_brings_nothing_twice(odd: Odd) -> None:  # noqa: F811
    connection, server = odd
    of_path(connection, "population")
    server.answer = lambda asked: Said(bundle([entry(1), entry(2)] if asked.path == TYPE else []))
    first = work(connection)
    connection.sweeps.update(next_at=timezone.now())
    second = work(connection)
    assert (first.new, second.new, second.changed, second.same, second.gone) == (2, 0, 0, 2, 0)
    assert Resource.objects.filter(resource_type=TYPE).count() == 2


def test_a_window_that_was_not_read_to_its_end_is_asked_for_again(odd: Odd) -> None:  # noqa: F811
    connection, server = odd
    of_path(connection, "population")
    server.answer = lambda asked: Said(bundle([entry(1)] if asked.path == TYPE else []))
    work(connection)
    edge = next_pass(connection, server)
    connection.sweeps.filter(resource_type=TYPE).update(since=timezone.now() - timedelta(hours=5))
    edge = next_pass(connection, server)
    connection.sweeps.filter(resource_type=TYPE).update(since=timezone.now() - timedelta(hours=5))
    links = [{"relation": "next", "url": "https://elsewhere.example/r4?page=2"}]
    server.answer = lambda asked: Said(bundle([entry(2)], link=links) if asked.path == TYPE else bundle([]))
    edge = next_pass(connection, server)
    server.answer = lambda asked: Said(bundle([entry(3)] if asked.path == TYPE else []))
    assert next_pass(connection, server) == edge
    assert set(Resource.objects.filter(resource_type=TYPE).values_list("fhir_id", flat=True)) == {"c1", "c2", "c3"}
