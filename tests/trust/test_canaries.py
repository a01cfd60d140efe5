"""Patients' names and secrets stay where they belong: not in logs, other columns, error pages, Redis or git."""

import subprocess

import pytest
from django.core.cache import cache

from emr import hints, resealing
from emr.fields import SecretField
from tests import servers
from tests.trust import canaries
from tests.trust.canaries import SECRET
from tests.trust.probing import CANARIES, World

needs_redis = pytest.mark.skipif(not servers.redis_server(), reason="no redis-server on this machine")


@pytest.fixture
def world(db: None) -> World:
    return canaries.plant(World.make())


def test_logs_of_all_kinds_of_requests_hold_no_canary(world: World) -> None:
    lines, hits = canaries.in_logs(world, 1 / 100)
    assert lines > 100
    assert hits == []


def test_error_pages_hold_no_canary(world: World) -> None:
    assert canaries.in_error_pages(world) == (1, [])


def test_database_holds_secrets_nowhere_in_clear_and_names_in_their_columns_alone(world: World) -> None:
    looked_at, strays = canaries.in_database(world)
    assert looked_at > 1000
    assert strays == []


def test_secrets_are_there_to_be_found() -> None:
    """Every secret field is among those that were given a canary above."""
    known = {(model, name) for model, name in resealing.secret_fields()}
    assert len(known) >= 4
    assert all(isinstance(model._meta.get_field(name), SecretField) for model, name in known)


def test_superusers_pages_hold_no_secret_and_no_name(world: World) -> None:
    asked, hits = canaries.in_admin_pages(world)
    assert asked > 100
    assert hits == []


@needs_redis
@pytest.mark.servers
def test_redis_holds_no_canary(world: World) -> None:
    keys, hits = canaries.in_redis(world, 1 / 1000)
    assert keys >= 3
    assert hits == []


@needs_redis
@pytest.mark.servers
def test_a_canary_in_redis_is_found(db: None) -> None:
    """In a key, in a value of the cache, and in the base64 of a message's body."""
    with canaries.on_redis() as server:
        cache.set(f"name-{CANARIES['A']}", 1)
        cache.set("plain", {"token": SECRET})
        hints.publish("emr.tasks.run_item", CANARIES["B"])
        assert len(canaries.found_in(server)) == 3


def test_history_holds_no_canary() -> None:
    try:
        lines, hits = canaries.in_history()
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("no git history here")
    assert lines > 0
    assert hits == []


def test_messages_to_workers_hold_ids_alone(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is published goes through one function; what it sends is the task's name and ids."""
    sent: list[object] = []
    monkeypatch.setattr("emr.hints.current_app.send_task", lambda name, args=(), **options: sent.append((name, args)))
    hints.publish("emr.tasks.run_item", world.patients["A"].pk)
    assert sent == [("emr.tasks.run_item", [str(world.patients["A"].pk)])]
