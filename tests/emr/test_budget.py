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
from emr.models import CallWindow, Connection
from tests.emr.conftest import Connect

ROOT = Path(__file__).resolve().parents[2]
REDIS_URL = os.environ.get("TEST_REDIS_URL", "")
NEAR = 0.01  # Redis reads its own clock, and rounds
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
        return budget.take("sandbox:AAAAAA", limit=5, window=2.4, held_back=2, interactive=interactive)

    made: list[float] = []
    for pause in (0.2, 0.8, 0, 0, 0):
        made.append(time.time())
        assert take(interactive=True) == 0
        time.sleep(pause)
    began = time.time()
    person, background = take(interactive=True), take()
    ended = time.time()
    assert made[0] + 2.4 - ended - NEAR < person < made[1] - 0.2 + 2.4 - began + NEAR
    assert made[2] + 2.4 - ended - NEAR < background <= 2.4
    time.sleep(person + 0.02)
    assert take() > 0
    assert take(interactive=True) == 0


def test_a_reserve_as_large_as_the_limit_leaves_the_background_one_call(budget: Budget) -> None:
    assert budget.take("sandbox:AAAAAA", limit=2, window=61, held_back=2) == 0
    assert budget.take("sandbox:AAAAAA", limit=2, window=61, held_back=2) > 0


def test_the_wait_is_until_the_oldest_call_in_the_way_leaves(budget: Budget) -> None:
    began = time.time()
    for pause in (0.9, 0, 0):
        assert budget.take("sandbox:AAAAAA", limit=3, window=2.4) == 0
        time.sleep(pause)
    wait = budget.take("sandbox:AAAAAA", limit=3, window=2.4)
    assert began + 2.4 - time.time() - NEAR < wait <= 1.5
    time.sleep(wait + 0.02)
    assert budget.take("sandbox:AAAAAA", limit=3, window=2.4) == 0
    assert budget.take("sandbox:AAAAAA", limit=3, window=2.4) > 0


def test_a_block_holds_what_somebody_waits_for_too(budget: Budget) -> None:
    budget.block("sandbox:AAAAAA", 30)
    assert budget.take("sandbox:AAAAAA", limit=5, window=61, interactive=True) > 25


def test_a_call_comes_free_when_the_window_has_passed(budget: Budget) -> None:
    assert budget.take("sandbox:AAAAAA", limit=1, window=1.0) == 0
    wait = budget.take("sandbox:AAAAAA", limit=1, window=1.0)
    assert 0 < wait <= 1.0
    time.sleep(wait + 0.02)
    assert budget.take("sandbox:AAAAAA", limit=1, window=1.0) == 0


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


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long was to be slept, which a machine that does much else may make longer."""
    seconds: list[float] = []
    sleep = time.sleep

    def noted(wanted: float) -> None:
        seconds.append(wanted)
        sleep(wanted)

    monkeypatch.setattr("emr.budget.time.sleep", noted)
    return seconds


def turns(budget: Budget) -> list[float]:
    """The moments of the calls that were counted, oldest first."""
    if isinstance(budget, RedisBudget):
        return [at for _, at in budget.redis.zrange("calls:sandbox:AAAAAA", 0, -1, withscores=True)]
    return sorted(CallWindow.objects.get(key="sandbox:AAAAAA").sent)


def test_spread_calls_go_out_evenly_and_fill_the_window(budget: Budget, slept: list[float]) -> None:
    """Ten a second: by twos at most, none later than its turn, and no more than the limit in the window."""
    at: list[float] = []
    for number in range(20):
        assert budget.take("sandbox:AAAAAA", limit=10, window=1.0, spread=True, patience=0.5) == 0
        at.append(turns(budget)[-1])
        if slept[-1] > NEAR:  # asked before its turn
            before = [at[number - calls] + calls * 0.1 for calls in (2, 8, 10) if calls <= number]
            assert at[number] <= max(before) + NEAR
    assert len(slept) == 20
    assert sum(seconds > 0 for seconds in slept) >= 5
    assert all(later - sooner >= 1.0 - NEAR for sooner, later in zip(at, at[10:], strict=False))
    assert all(later - sooner > 0.19 for sooner, later in zip(at, at[2:], strict=False))


def test_a_turn_within_patience_is_waited_for_and_a_later_one_is_not_counted(
    budget: Budget, slept: list[float]
) -> None:
    began = time.time()
    assert budget.take("sandbox:AAAAAA", limit=1, window=1.0) == 0
    assert budget.take("sandbox:AAAAAA", limit=1, window=1.0, patience=1.5) == 0
    assert time.time() >= began + 1.0 - NEAR
    assert 0 < slept[-1] <= 1.0
    assert 0.1 < budget.take("sandbox:AAAAAA", limit=1, window=1.0, patience=0.1) <= 1.0
    assert budget.used("sandbox:AAAAAA", window=1.0) <= 1


def test_what_somebody_waits_for_does_not_wait_for_the_spread(budget: Budget) -> None:
    def take(**kind: Any) -> float:
        return budget.take("sandbox:AAAAAA", limit=60, window=60.0, held_back=3, **kind)

    assert [take(spread=True) for _ in range(2)] == [0, 0]
    assert 0 < take(spread=True) <= 2
    assert [take(interactive=True) for _ in range(5)] == [0] * 5
