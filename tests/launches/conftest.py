"""Launches against a real sandbox: its sign-in pages on one side, our callback's engine on the other."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache.backends.locmem import LocMemCache

from emr.models import Practice, SigningKey
from tests.emr.conftest import JwksServer, jwks_server, key_material, published, signing_key, unlimited  # noqa: F401
from tests.launches import place as places
from tests.launches.apps import SITE
from tests.launches.place import Place


@pytest.fixture(autouse=True)
def nobody_came_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Visits are counted by address and minute; all tests have one address."""
    monkeypatch.setattr("emr.visits.cache", LocMemCache(uuid4().hex, {}))


def _placed(practice: Practice, jwks_url: str, settings: Any, **options: Any) -> Iterator[Place]:
    settings.PUBLIC_URL = SITE
    with places.place(practice, jwks_url, **options) as made:
        settings.INSECURE_FHIR_HOSTS = frozenset({f"127.0.0.1:{made.sandbox.port}"})
        yield made


@pytest.fixture
def vendor_keys(signing_key: SigningKey, jwks_server: JwksServer) -> str:  # noqa: F811
    """Where the sandbox finds our public key."""
    return jwks_server.url


@pytest.fixture
def place(practice_a: Practice, vendor_keys: str, settings: Any) -> Iterator[Place]:
    """A patient app of practice A, connected to a sandbox with two charts."""
    yield from _placed(practice_a, vendor_keys, settings)


@pytest.fixture
def ehr(practice_a: Practice, vendor_keys: str, settings: Any) -> Iterator[Place]:
    """An EHR-launch app of practice A."""
    yield from _placed(practice_a, vendor_keys, settings, app_type="provider")
