"""One token per life, one asker at a time, and what a server's silence about scope means."""

from typing import Any

import pytest
from django.utils import timezone

from emr import calls, tokens
from emr.models import Connection, SystemToken
from emr.wire import smart
from emr.wire.errors import WireError
from tests.emr.conftest import Connect

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]


def ask(connection: Connection) -> tokens.Access:
    connection = Connection.objects.select_related("practice", "registration").get(pk=connection.pk)
    with calls.door_to(connection) as door:
        return tokens.system_access(connection, door)


def minted(control: Any) -> int:
    return int(control.get("calls")["tokens_minted"])


def test_a_token_serves_until_its_end(connect: Connect) -> None:
    connection, control = connect(patients=1)
    first, second = ask(connection), ask(connection)
    assert first == second
    assert minted(control) == 1
    SystemToken.objects.update(expires_at=timezone.now() + tokens.MARGIN)
    assert ask(connection).generation == first.generation + 1
    assert minted(control) == 2


def test_while_one_asks_the_others_come_back_later(connect: Connect) -> None:
    connection, control = connect(patients=1)
    ask(connection)
    SystemToken.objects.update(expires_at=None, claimed_at=timezone.now())
    with pytest.raises(tokens.TokenBusy):
        ask(connection)
    SystemToken.objects.update(claimed_at=timezone.now() - tokens.CLAIM_LIFE * 2)
    ask(connection)
    assert minted(control) == 2


def test_a_worker_told_to_end_frees_the_claim(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    def ending(*_: object, **__: object) -> None:
        assert SystemToken.objects.get().claimed_at is not None
        raise SystemExit

    connection, _ = connect(patients=1)
    with monkeypatch.context() as patch:
        patch.setattr(tokens, "_mint", ending)
        with pytest.raises(SystemExit):
            ask(connection)
    assert SystemToken.objects.get().claimed_at is None
    assert ask(connection).bearer


def test_a_refused_request_frees_the_claim(connect: Connect) -> None:
    connection, control = connect(patients=1)
    control.fault("500", match={"path": "/token"}, times=1)
    with pytest.raises(WireError):
        ask(connection)
    assert SystemToken.objects.get().claimed_at is None
    assert ask(connection).bearer


def test_an_older_generation_cannot_be_dropped_again(connect: Connect) -> None:
    connection, _ = connect(patients=1)
    old = ask(connection)
    tokens.drop(connection, old)
    new = ask(connection)
    tokens.drop(connection, old)
    assert ask(connection) == new


@pytest.mark.parametrize(
    ("said", "granted"), [(None, "asked"), ("", ""), ("system/Patient.read", "system/Patient.read")]
)
def test_silence_about_scope_is_what_was_asked_and_an_empty_one_is_nothing(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, said: str | None, granted: str
) -> None:
    connection, _ = connect(patients=1)
    answer = smart.TokenAnswer("t", 300, said, "Bearer", (), None)
    monkeypatch.setattr(tokens.smart, "client_credentials", lambda *args, **kwargs: answer)
    scope = ask(connection).scope
    assert scope == (" ".join(sorted(connection.registration.scopes.split())) if granted == "asked" else granted)
    assert ask(connection).scope == scope
