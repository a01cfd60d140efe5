"""A sandbox on a port of its own, with one app registered."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from joserfc.jwk import ECKey, RSAKey

from sandbox.clients import RegisteredClient
from sandbox.config import SandboxConfig
from sandbox.server import Sandbox
from tests.sandbox.app import CLIENT_ID, App, Clock, JwksHost, Keys, Web, public


@pytest.fixture(scope="session")
def keys() -> Keys:
    return Keys(RSAKey.generate_key(2048), RSAKey.generate_key(2048), ECKey.generate_key("P-384"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def jwks_host() -> Iterator[JwksHost]:
    with JwksHost() as host:
        thread = threading.Thread(target=host.serve_forever, args=(0.02,))
        thread.start()
        yield host
        host.shutdown()
        thread.join()


@pytest.fixture
def jwks(jwks_host: JwksHost, keys: Keys) -> JwksHost:
    """The app's published keys: one, until the test publishes others."""
    jwks_host.status, jwks_host.hits = 200, 0
    jwks_host.publish(public(keys.rsa))
    return jwks_host


@pytest.fixture
def start(clock: Clock) -> Iterator[Callable[..., Sandbox]]:
    running: list[Sandbox] = []

    def start(**settings: Any) -> Sandbox:
        sandbox = Sandbox(SandboxConfig(**{"clock": clock, **settings})).start()
        running.append(sandbox)
        return sandbox

    yield start
    for sandbox in running:
        sandbox.stop()


@pytest.fixture
def connect(start: Callable[..., Sandbox], jwks: JwksHost, clock: Clock, keys: Keys) -> Iterator[Callable[..., App]]:
    """Starts a sandbox with one registered app and opens a connection to it."""
    opened: list[Web] = []

    def connect(*, client: dict[str, Any] | None = None, **settings: Any) -> App:
        registered = RegisteredClient(CLIENT_ID, jwks.url, **(client or {}))
        sandbox = start(clients=(registered,), **settings)
        web = Web(sandbox.port)
        opened.append(web)
        return App(web, clock, keys.rsa)

    yield connect
    for web in opened:
        web.connection.close()


@pytest.fixture
def charts(tmp_path: Path) -> Callable[[dict[str, str]], Path]:
    """Writes a folder of chart files and returns it."""

    def charts(files: dict[str, str]) -> Path:
        folder = tmp_path / "charts"
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return folder

    return charts
