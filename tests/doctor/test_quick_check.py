"""The quick check of beat and pulls: two calls, the same names as the full self-test, and when it comes again."""

import pytest
from django.utils import timezone

from emr import calls, catalogue, doctor
from emr.models import Connection
from emr.pulling import waiting
from tests.doctor.situations import SITUATIONS, UNLISTED, Situation, Unlisted
from tests.doctor.stage import Stage

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited", "impatient")]

# What it takes more than two calls, or a look at ourselves, to find out.
DEEPER = {
    "no asymmetric clients", "no Backend Services", "another signing algorithm wanted", "something repeats requests",
    "minute spent at the token endpoint", "backend app on the patients' host", "production app on the staging host",
    "plain http", "an algorithm the vendor does not take", "host that does not exist", "answer that does not come",
    "answer that drips", "token endpoint that hangs",
}  # fmt: skip
QUICK = [
    one
    for one in SITUATIONS
    if one.step in {"configuration", "network", "discovery", "token"} and one.name not in DEEPER and not one.warns
]


def checked(place: Stage) -> Connection:
    connection = Connection.objects.select_related("practice", "registration").get(pk=place.connection.pk)
    doctor.check(connection)
    connection.refresh_from_db()
    return connection


def test_a_healthy_connection_is_active_after_two_calls(well: Stage) -> None:
    Connection.objects.update(state=Connection.State.REGISTERED, reason_code="NET_CONNECT", active_at=None)
    connection = checked(well)
    assert (connection.state, connection.reason_code) == ("active", "")
    assert connection.active_at is not None
    assert connection.smart_configuration["token_endpoint"].endswith("/token")
    assert well.calls() == 2


@pytest.mark.parametrize("situation", [pytest.param(one, id=one.name) for one in QUICK])
def test_a_situation_has_the_name_the_self_test_gives_it(well: Stage, situation: Situation) -> None:
    situation.arrange(well)
    connection = checked(well)
    assert (connection.state, connection.reason_code) == ("degraded", situation.code)
    assert connection.reason_at is not None
    told = connection.reason_detail
    assert "Traceback" not in told
    assert "eyJ" not in told  # the start of every JWT
    assert "PRIVATE KEY" not in told


@pytest.mark.parametrize(
    "unlisted", [pytest.param(one, id=one.name) for one in UNLISTED if one.step in {"discovery", "token"}]
)
def test_an_unlisted_answer_is_not_guessed_at(well: Stage, unlisted: Unlisted) -> None:
    unlisted.arrange(well)
    connection = checked(well)
    assert connection.state == "degraded"
    assert not catalogue.explain(connection.reason_code).listed


def test_the_table_leaves_enough() -> None:
    assert len(QUICK) >= 30


def test_a_spent_minute_says_nothing_about_the_connection(well: Stage) -> None:
    well.fault("429", "/token")
    connection = Connection.objects.select_related("practice", "registration").get()
    with pytest.raises(calls.OverBudget):
        doctor.check(connection)
    connection.refresh_from_db()
    assert (connection.state, connection.reason_code) == ("active", "")


def test_a_degraded_connection_is_checked_again_where_it_may_clear(well: Stage) -> None:
    before = timezone.now() - waiting.RECHECK * 2
    for code, again in {"NET_CONNECT": True, "TOK_INVALID_CLIENT": False, "FHIR_429": True}.items():
        Connection.objects.update(state=Connection.State.DEGRADED, reason_code=code, reason_at=before)
        assert waiting.connections_to_check() == ([well.connection.pk] if again else [])
    Connection.objects.update(reason_code="NET_CONNECT", reason_at=timezone.now())
    assert waiting.connections_to_check() == []


def test_the_token_is_sealed_in_the_database(well: Stage) -> None:
    connection = checked(well)
    token = connection.system_tokens.get()
    assert token.expires_at is not None
    stored = type(token).objects.values_list("access_token", flat=True).get()
    assert token.access_token not in str(stored)
    assert str(stored).startswith("gAAAA")
    assert token.access_token not in repr(token) + str(token)
