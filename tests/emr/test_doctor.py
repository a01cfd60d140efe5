"""What is wrong with a connection is said on the connection, in the catalogue's words, without secrets."""

import socket
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone

from emr import catalogue, doctor, keys, schedule
from emr.models import Connection, Environment, SigningKey
from tests.emr.conftest import Connect, Control, JwksServer

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]


def verdict(connection: Connection) -> tuple[str, str]:
    doctor.check(Connection.objects.select_related("practice", "registration").get(pk=connection.pk))
    connection.refresh_from_db()
    return connection.state, connection.reason_code


def test_a_healthy_connection_is_active_after_two_calls(connect: Connect) -> None:
    connection, control = connect(patients=1)
    Connection.objects.update(state=Connection.State.REGISTERED, reason_code="NET_CONNECT")
    assert verdict(connection) == ("active", "")
    assert connection.active_at is not None
    assert connection.smart_configuration["token_endpoint"].endswith("/token")
    assert sum(control.get("calls")["minutes"]["AAAAAA"].values()) == 2


def wrong_client_id(connection: Connection, control: Control, jwks_server: JwksServer) -> None:
    connection.registration.client_id = "somebody-else"
    connection.registration.save()


def no_client_id(connection: Connection, control: Control, jwks_server: JwksServer) -> None:
    connection.registration.client_id = ""
    connection.registration.save()


def unknown_kid(connection: Connection, control: Control, jwks_server: JwksServer) -> None:
    other = keys.generate(environment=Environment.SANDBOX)
    keys.activate(other)  # and the vendor still sees the old document


def no_key(connection: Connection, control: Control, jwks_server: JwksServer) -> None:
    SigningKey.objects.all().delete()


def nobody_listens(connection: Connection, control: Control, jwks_server: JwksServer) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings.INSECURE_FHIR_HOSTS = frozenset({f"127.0.0.1:{port}"})  # put back by the fixture's own setting
    connection.base_url = f"http://127.0.0.1:{port}/fhir/r4/AAAAAA"
    connection.save()


def no_code(connection: Connection, control: Control, jwks_server: JwksServer) -> None:
    connection.base_url = connection.base_url.removesuffix("/AAAAAA")
    connection.save()


def another_code(connection: Connection, control: Control, jwks_server: JwksServer) -> None:
    connection.base_url = connection.base_url.replace("AAAAAA", "CCCCCC")
    connection.save()


def plain_http(connection: Connection, control: Control, jwks_server: JwksServer) -> None:
    connection.base_url = "http://fhir4.healow.com/fhir/r4/AAAAAA"
    connection.save()


def web_page(connection: Connection, control: Control, jwks_server: JwksServer) -> None:
    control.fault("not-json", times=3)


def bad_scope(connection: Connection, control: Control, jwks_server: JwksServer) -> None:
    connection.registration.scopes += " system/Appointment.read"
    connection.registration.save()


def not_activated(connection: Connection, control: Control, jwks_server: JwksServer) -> None:
    control.fault("not-enabled", match={"path": "/token"})


def swapped_fields(connection: Connection, control: Control, jwks_server: JwksServer) -> None:
    control.fault("swap-error-403", match={"path": "/token"})


SITUATIONS = [
    (wrong_client_id, "TOK_INVALID_CLIENT"),
    (no_client_id, "CFG_CLIENT_ID"),
    (unknown_kid, "TOK_INVALID_CLIENT"),
    (no_key, "KEY_MISSING"),
    (nobody_listens, "NET_CONNECT"),
    (no_code, "CFG_PRACTICE_CODE"),
    (another_code, "CFG_PRACTICE_CODE"),
    (plain_http, "CFG_PRACTICE_CODE"),
    (web_page, "DISC_NOT_JSON"),
    (bad_scope, "TOK_SCOPE_BACKEND"),
    (not_activated, "AUTHZ_APP_NOT_ACTIVATED"),
    (swapped_fields, "TOK_REFUSED"),
]


@pytest.mark.parametrize(("situation", "code"), [pytest.param(*row, id=row[0].__name__) for row in SITUATIONS])
def test_each_situation_is_named(connect: Connect, jwks_server: JwksServer, situation: Any, code: str) -> None:
    connection, control = connect(patients=1)
    situation(connection, control, jwks_server)
    assert verdict(connection) == ("degraded", code)
    explanation = catalogue.explain(code)
    assert explanation.title != catalogue.explain("no such code").title
    assert explanation.next_step
    assert connection.reason_at is not None
    told = connection.reason_detail
    assert "Traceback" not in told
    assert "eyJ" not in told  # the start of every JWT
    assert "PRIVATE KEY" not in told


def test_a_degraded_connection_pulls_nothing_and_is_checked_again_where_it_may_clear(
    connect: Connect,
) -> None:
    connection, _ = connect(patients=1)
    before = timezone.now() - schedule.RECHECK * 2
    for code, again in {"NET_CONNECT": True, "TOK_INVALID_CLIENT": False, "FHIR_429": True}.items():
        Connection.objects.update(state=Connection.State.DEGRADED, reason_code=code, reason_at=before)
        assert schedule.connections_to_check() == ([connection.pk] if again else [])
    Connection.objects.update(reason_code="NET_CONNECT", reason_at=timezone.now())
    assert schedule.connections_to_check() == []


def test_a_token_of_another_generation_is_not_dropped(connect: Connect) -> None:
    connection, _ = connect(patients=1)
    assert verdict(connection) == ("active", "")
    assert connection.system_tokens.get().expires_at is not None


def test_the_token_is_sealed_in_the_database(connect: Connect) -> None:
    connection, _ = connect(patients=1)
    doctor.check(connection)
    token = connection.system_tokens.get()
    stored = type(token).objects.values_list("access_token", flat=True).get()
    assert token.access_token not in str(stored)
    assert str(stored).startswith("gAAAA")
    assert token.access_token not in repr(token) + str(token)
