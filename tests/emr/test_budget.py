"""The shared call budget, on the database and on a real Redis."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from emr import budget as budgets
from emr import calls, discovery, tokens
from emr.budget import Budget, DatabaseBudget, RedisBudget, seconds_to_next_minute
from emr.models import Connection
from tests.emr.conftest import Connect

ROOT = Path(__file__).resolve().parents[2]
REDIS_URL = os.environ.get("TEST_REDIS_URL", "")
needs_redis = pytest.mark.skipif(not REDIS_URL, reason="no redis-server on this machine")


pytestmark = pytest.mark.django_db


@pytest.fixture(
    params=["database", pytest.param("redis", marks=[needs_redis, pytest.mark.servers])],
)
def budget(request: Any) -> Iterator[Budget]:
    if request.param == "database":
        yield DatabaseBudget()
        return
    shared = RedisBudget(REDIS_URL)
    shared.redis.flushdb()
    yield shared
    shared.redis.close()


def test_the_limit_is_held_within_the_window(budget: Budget) -> None:
    waits = [budget.take("sandbox:AAAAAA", limit=5, window=61) for _ in range(8)]
    assert waits[:5] == [0.0] * 5
    assert all(55 < wait <= 61 for wait in waits[5:])
    assert budget.used("sandbox:AAAAAA", window=61) == 5


def test_practices_and_environments_are_counted_apart(budget: Budget) -> None:
    assert budget.take("sandbox:AAAAAA", limit=1, window=61) == 0
    assert budget.take("sandbox:BBBBBB", limit=1, window=61) == 0
    assert budget.take("production:AAAAAA", limit=1, window=61) == 0
    assert budget.take("sandbox:AAAAAA", limit=1, window=61) > 0


def test_the_last_calls_are_held_back_for_what_somebody_waits_for(budget: Budget) -> None:
    def take(interactive: bool = False) -> float:
        return budget.take("sandbox:AAAAAA", limit=5, window=61, held_back=2, interactive=interactive)

    assert [take() for _ in range(3)] == [0, 0, 0]
    assert 55 < take() <= 61
    assert [take(interactive=True) for _ in range(2)] == [0, 0]
    assert 55 < take(interactive=True) <= 61
    assert budget.used("sandbox:AAAAAA", window=61) == 5


@pytest.mark.django_db(transaction=True)
def test_a_token_that_somebody_waits_for_comes_out_of_the_calls_held_back(connect: Connect) -> None:
    connection, _ = connect(patients=1)
    connection = Connection.objects.select_related("practice", "registration").get(pk=connection.pk)
    profile = connection.profile
    used = {"limit": profile.calls_per_window, "window": 61, "held_back": profile.calls_held_back}
    with calls.door_to(connection) as door:
        discovery.configuration(connection, door)
        while budgets.shared().take(connection.budget_key, **used) == 0:
            pass
        with pytest.raises(calls.OverBudget):
            tokens.system_access(connection, door)
        assert tokens.system_access(connection, door, interactive=True).bearer


def test_calls_that_come_free_are_the_waiting_persons_first(budget: Budget) -> None:
    """All five made by somebody who waits: the background's turn is when three of them have left the window."""

    def take(interactive: bool = False) -> float:
        return budget.take("sandbox:AAAAAA", limit=5, window=1.0, held_back=2, interactive=interactive)

    for pause in (0.2, 0.2, 0, 0, 0):
        assert take(interactive=True) == 0
        time.sleep(pause)
    person, background = take(interactive=True), take()
    assert 0.3 < person <= 0.6
    assert person + 0.35 < background <= 1.0
    time.sleep(person + 0.02)
    assert take() > 0
    assert take(interactive=True) == 0


def test_a_reserve_as_large_as_the_limit_leaves_the_background_one_call(budget: Budget) -> None:
    assert budget.take("sandbox:AAAAAA", limit=2, window=61, held_back=2) == 0
    assert budget.take("sandbox:AAAAAA", limit=2, window=61, held_back=2) > 0


def test_the_wait_is_until_the_oldest_call_in_the_way_leaves(budget: Budget) -> None:
    for _ in range(3):
        assert budget.take("sandbox:AAAAAA", limit=3, window=2.4) == 0
        time.sleep(0.3)
    wait = budget.take("sandbox:AAAAAA", limit=3, window=2.4)
    assert 0.8 < wait <= 1.5
    time.sleep(wait + 0.02)
    assert budget.take("sandbox:AAAAAA", limit=3, window=2.4) == 0
    assert budget.take("sandbox:AAAAAA", limit=3, window=2.4) > 0


def test_a_block_holds_what_somebody_waits_for_too(budget: Budget) -> None:
    budget.block("sandbox:AAAAAA", 30)
    assert budget.take("sandbox:AAAAAA", limit=5, window=61, interactive=True) > 25


def test_a_call_comes_free_when_the_window_has_passed(budget: Budget) -> None:
    assert budget.take("sandbox:AAAAAA", limit=1, window=0.3) == 0
    wait = budget.take("sandbox:AAAAAA", limit=1, window=0.3)
    assert 0 < wait <= 0.3
    time.sleep(wait + 0.02)
    assert budget.take("sandbox:AAAAAA", limit=1, window=0.3) == 0


def test_a_block_is_for_everybody_and_is_never_shortened(budget: Budget) -> None:
    budget.block("sandbox:AAAAAA", 30)
    budget.block("sandbox:AAAAAA", 1)
    assert 25 < budget.take("sandbox:AAAAAA", limit=5, window=61) <= 30
    assert budget.used("sandbox:AAAAAA", window=61) == 0
    assert budget.take("sandbox:BBBBBB", limit=5, window=61) == 0


def test_the_next_minute_is_waited_for_with_jitter() -> None:
    assert 21 <= seconds_to_next_minute(1_000_000_000.0 // 60 * 60 + 40) <= 25


TAKE_MANY = """
import sys, django
django.setup()
from emr.budget import RedisBudget
budget = RedisBudget(sys.argv[1])
print(sum(budget.take("sandbox:AAAAAA", limit=100, window=61) == 0 for _ in range(60)))
"""


@needs_redis
@pytest.mark.servers
def test_four_processes_share_one_limit_on_redis() -> None:
    with redis.Redis.from_url(REDIS_URL) as server:
        server.flushdb()
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    command = [sys.executable, "-c", TAKE_MANY, REDIS_URL]
    workers = [subprocess.Popen(command, env=env, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert sum(int(worker.communicate(timeout=60)[0]) for worker in workers) == 100


def test_spread_calls_go_out_evenly_and_fill_the_window(budget: Budget) -> None:
    """Ten a second: by twos at most, none later than its turn, and no more than the limit in the window."""
    at = []
    began = time.monotonic()
    while time.monotonic() - began < 1.9:
        if budget.take("sandbox:AAAAAA", limit=10, window=1.0, spread=True, patience=0.5) == 0:
            at.append(time.monotonic() - began)
    assert 18 <= len(at) <= 22
    # As this process wakes: on a machine that does much else, a call is noted late, and the next one not.
    assert all(later - sooner > 0.85 for sooner, later in zip(at, at[10:], strict=False))
    assert all(later - sooner > 0.07 for sooner, later in zip(at, at[2:], strict=False))


def test_a_turn_within_patience_is_waited_for_and_a_later_one_is_not_counted(budget: Budget) -> None:
    assert budget.take("sandbox:AAAAAA", limit=1, window=0.4) == 0
    began = time.monotonic()
    assert budget.take("sandbox:AAAAAA", limit=1, window=0.4, patience=0.5) == 0
    assert 0.3 < time.monotonic() - began < 0.5
    assert 0.2 < budget.take("sandbox:AAAAAA", limit=1, window=0.4, patience=0.1) <= 0.4
    assert budget.used("sandbox:AAAAAA", window=0.4) <= 1


def test_what_somebody_waits_for_does_not_wait_for_the_spread(budget: Budget) -> None:
    def take(**kind: Any) -> float:
        return budget.take("sandbox:AAAAAA", limit=60, window=60.0, held_back=3, **kind)

    assert [take(spread=True) for _ in range(2)] == [0, 0]
    assert 1 < take(spread=True) <= 2
    assert [take(interactive=True) for _ in range(5)] == [0] * 5
