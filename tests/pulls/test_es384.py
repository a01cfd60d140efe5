"""A whole pull by an app whose assertions are signed with ES384 (SMART App Launch 2.2), beside an RS384 key."""

from typing import Any

import pytest

from emr import keys
from emr.models import Connection, Environment, Pull, Resource, SigningKey, TypeOutcome
from tests.emr.conftest import Control, JwksServer
from tests.pulls.conftest import ConnectGeneric, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]


@pytest.fixture
def es384(connect_generic: ConnectGeneric, jwks_server: JwksServer) -> tuple[Connection, Control]:
    """Both kinds of key are published; the server takes ES384 from this client alone."""
    connection, control = connect_generic(patients=3)
    key = keys.generate(environment=Environment.SANDBOX, algorithm="ES384")
    keys.activate(key)
    jwks_server.document = keys.jwks(Environment.SANDBOX)
    registration = connection.registration
    registration.signing_algorithm = "ES384"
    registration.full_clean()
    registration.save()
    register(connection, jwks_server, "ES384")
    return connection, control


def register(connection: Connection, jwks_server: JwksServer, algorithm: str) -> None:
    registration = connection.registration
    app: dict[str, Any] = {"client_id": registration.client_id, "jwks_url": jwks_server.url, "alg": algorithm}
    app |= {"scopes": registration.scopes, "app_type": "backend-single", "active": True}
    Control(control_url(connection)).post("clients", app)


def control_url(connection: Connection) -> str:
    return connection.base_url.partition("/fhir")[0] + "/control"


def test_a_pull_signed_with_es384_brings_everything(es384: tuple[Connection, Control]) -> None:
    connection, control = es384
    assert {key["alg"] for key in keys.jwks(Environment.SANDBOX)["keys"]} == {"RS384", "ES384"}
    pull = work(connection)
    assert pull.state == Pull.State.COMPLETE
    assert set(TypeOutcome.objects.values_list("outcome", flat=True)) == {"complete"}
    served = {(kind, fhir_id) for kind, fhir_id, *_ in control.get("ledger")["served"]}
    assert served == set(Resource.objects.values_list("resource_type", "fhir_id"))
    assert connection.system_tokens.get().generation == 1
    key = SigningKey.objects.get(algorithm="ES384")
    assert key.proved_at is not None


def test_a_token_that_ends_in_a_pull_is_renewed_with_an_assertion_of_its_own(es384: tuple[Connection, Control]) -> None:
    connection, control = es384
    control.fault("expire-tokens", match={"type": "Condition"}, times=1)
    assert work(connection).state == Pull.State.COMPLETE
    # The sandbox refuses an assertion whose jti it has seen.
    assert connection.system_tokens.get().generation == 2


def test_a_client_registered_for_the_other_algorithm_is_told_so(
    es384: tuple[Connection, Control], jwks_server: JwksServer
) -> None:
    connection, _ = es384
    register(connection, jwks_server, "RS384")
    work(connection)
    connection.refresh_from_db()
    assert (connection.state, connection.reason_code) == (Connection.State.DEGRADED, "TOK_INVALID_CLIENT")
    assert not Resource.objects.exists()
