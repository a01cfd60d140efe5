"""What a registration adds to token requests: whitelisted parameters and another audience."""

from collections.abc import Mapping
from typing import Any

import jwt
import pytest

from emr import calls, tokens
from emr.models import Connection
from emr.wire.errors import NeverAgain
from emr.wire.http import Answer, Door
from tests.emr.conftest import Connect

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("unlimited")]


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[Mapping[str, str]]:
    """The forms that were posted; they are posted all the same."""
    forms: list[Mapping[str, str]] = []
    real = Door.post_form

    def noted(door: Door, url: str, form: Mapping[str, str], **options: Any) -> Answer:
        forms.append(form)
        return real(door, url, form, **options)

    monkeypatch.setattr(Door, "post_form", noted)
    return forms


def ask(connection: Connection) -> str:
    with calls.door_to(connection) as door:
        return tokens.system_access(connection, door).bearer


def test_token_request_has_nothing_extra_by_default(connect: Connect, sent: list[Mapping[str, str]]) -> None:
    connection, _ = connect(patients=1)
    assert ask(connection)
    assert set(sent[0]) == {"grant_type", "scope", "client_assertion_type", "client_assertion"}


def test_token_request_names_the_practice_where_the_registration_says_so(
    connect: Connect, sent: list[Mapping[str, str]]
) -> None:
    connection, _ = connect(patients=1)
    connection.registration.extra_token_params = {"practice_code": "{practice_code}"}
    assert ask(connection)
    assert sent[0]["practice_code"] == "AAAAAA"


def test_assertion_is_for_the_audience_the_registration_names(connect: Connect, sent: list[Mapping[str, str]]) -> None:
    connection, _ = connect(patients=1)
    connection.registration.assertion_audience = "https://fixed.example.org/token"
    with pytest.raises(NeverAgain, match="TOK_INVALID_CLIENT"):
        ask(connection)  # the sandbox wants its own
    claims = jwt.decode(sent[0]["client_assertion"], options={"verify_signature": False})
    assert claims["aud"] == "https://fixed.example.org/token"
    assert connection.smart_configuration is not None
    connection.registration.assertion_audience = connection.smart_configuration["token_endpoint"]
    assert ask(connection)
