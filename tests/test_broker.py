"""A page that asks for work does not wait for a broker that is away: its row is kept, and a later tick publishes it."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery

from emr import hints
from headachemd import broker
from tests.test_settings import start


@pytest.fixture
def hung() -> Iterator[int]:
    """The port of a server that accepts and never answers."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(32)
        yield server.getsockname()[1]


@pytest.fixture
def dead() -> int:
    """A port nobody listens at."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port: int = server.getsockname()[1]
    return port


WEB = "from headachemd.wsgi import application; import celery; print(celery.current_app.conf.broker_transport_options)"


def test_web_processes_are_publishers_and_workers_are_not(tmp_path: Path) -> None:
    in_web = start(tmp_path, "-c", WEB).stdout
    assert "'socket_timeout': 0.5" in in_web
    anywhere = WEB.replace("from headachemd.wsgi import application", "from headachemd.celery import app")
    assert "'socket_timeout': 5" in start(tmp_path, "-c", anywhere).stdout


@pytest.mark.parametrize("state", ["dead", "hung"])
def test_a_broker_that_is_away_costs_a_page_less_than_two_seconds(
    state: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"redis://127.0.0.1:{request.getfixturevalue(state)}/0"
    app = Celery("away", set_as_current=False)
    app.conf.update(broker.celery_settings(redis_url=url, queue_dir=tmp_path, embedded=False))
    broker.for_publishers(app)
    monkeypatch.setattr(hints, "current_app", app)
    started = time.monotonic()
    assert hints.publish("emr.tasks.tick") is False
    assert time.monotonic() - started < 4  # two where nothing else runs; as long as workers wait would be five
