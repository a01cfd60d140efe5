"""Rows of a practice being connected, and the sandbox and admin fixtures of the neighbours."""

import pytest

from emr.models import ClientRegistration, Connection, Practice
from tests.admin.conftest import office, superuser  # noqa: F401
from tests.emr.conftest import connect, jwks_server, key_material, signing_key, unlimited  # noqa: F401

PRODUCTION_BASE = "https://fhir4.eclinicalworks.com/fhir/r4/AAAAAA"


@pytest.fixture
def registration(db: None) -> ClientRegistration:
    made = ClientRegistration(
        name="Backend app",
        environment="production",
        portal="eClinicalWorks",
        client_id="id-of-ours",
        client_secret="canary-client-secret",
        activation_code="ACT-42",
    )
    made.scopes = made.profile.default_scopes
    made.save()
    return made


@pytest.fixture
def connection(practice_a: Practice, registration: ClientRegistration) -> Connection:
    return Connection.objects.create(practice=practice_a, registration=registration, base_url=PRODUCTION_BASE)
