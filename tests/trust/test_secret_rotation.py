"""Secrets change while people work: what the old one signed or sealed goes on, step by step as operations.md says.

A step is what a process has in its environment. While processes are restarted one after another, two neighbouring
steps are at work at once, so that each must take what the other makes.
"""

import io
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet
from django.conf import settings
from django.core import mail
from django.core.management import call_command
from django.test import Client, override_settings
from django.urls import reverse

from emr import fields
from emr.models import LookUp, Practice, SigningKey, User
from patients.models import Digest
from tests.accounts.doors import SECRET, enrolled, give_password, through_both
from tests.conftest import signed_in
from tests.pages import charts
from tests.trust import test_uploads as uploading

pytestmark = pytest.mark.django_db
connection = uploading.connection  # the fixture

MAILED = pytest.mark.django_db(transaction=True)  # a mail goes out once what it is about is committed
OLD, NEW = secrets.token_urlsafe(48), secrets.token_urlsafe(48)
Step = Callable[[], AbstractContextManager[None]]


def step(key: str, *others: str) -> Step:
    return lambda: override_settings(SECRET_KEY=key, SECRET_KEY_FALLBACKS=list(others))


BEFORE, ANNOUNCED, CHANGED, AFTER = step(OLD), step(OLD, NEW), step(NEW, OLD), step(NEW)
NEIGHBOURS = {"announcing": (BEFORE, ANNOUNCED), "changing": (ANNOUNCED, CHANGED), "dropping": (CHANGED, AFTER)}
AT_ONCE = pytest.mark.parametrize(("one", "other"), NEIGHBOURS.values(), ids=NEIGHBOURS.keys())
AT_A_STOP, ROLLING = (BEFORE, CHANGED, AFTER), (BEFORE, ANNOUNCED, CHANGED, AFTER)


@pytest.fixture(autouse=True)
def _published(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emr.hints.publish", lambda *args: True)


def is_in(client: Client) -> bool:
    answer = client.get(reverse("usersessions_list"))
    return answer.status_code == 200


# --- sessions ---


@pytest.mark.parametrize("steps", [AT_A_STOP, ROLLING], ids=["at a stop", "rolling"])
def test_a_session_in_use_goes_on(alice: User, steps: tuple[Step, ...]) -> None:
    enrolled(alice)
    with time_machine.travel(1_800_000_000, tick=False) as now:
        with steps[0]():
            client = signed_in(alice)
        for each in steps:
            now.shift(60)
            with each():
                assert is_in(client)


def test_a_session_ends_where_the_former_key_is_not_known(alice: User) -> None:
    enrolled(alice)
    with BEFORE():
        client = signed_in(alice)
    with AFTER():
        answer = client.get(reverse("usersessions_list"))
    assert answer.headers["Location"].startswith(reverse("account_login"))


@AT_ONCE
def test_processes_of_two_steps_share_a_session(alice: User, one: Step, other: Step) -> None:
    enrolled(alice)
    with one():
        client = signed_in(alice)
        assert is_in(client)
    for each in (other, one, other, one):
        with each():
            assert is_in(client)


def test_the_list_of_sessions_holds_those_from_before_and_ends_them(alice: User) -> None:
    enrolled(alice)
    listing = reverse("usersessions_list")
    with time_machine.travel(1_800_000_000, tick=False) as now:
        with BEFORE():
            elsewhere = through_both(alice, Client(headers={"User-Agent": "Front desk"}))
            now.shift(60)  # a code of the app is right once
            here = through_both(alice)
        with CHANGED():
            assert is_in(elsewhere)
            assert "Front desk" in here.get(listing).content.decode()
            here.post(listing)
            assert not is_in(elsewhere)
            assert is_in(here)


def test_the_second_factor_is_still_to_be_shown(alice: User) -> None:
    """The password was right before, the code comes after."""
    enrolled(alice, SECRET)
    client = Client()
    with BEFORE():
        assert give_password(client).status_code == 302
    with CHANGED():
        assert client.get(reverse("mfa_authenticate")).status_code == 200
        assert not is_in(client)


# --- links of mails, forms, pages kept ---


def asked_for_link(user: User) -> str:
    Client().post(reverse("account_reset_password"), {"email": user.email})
    found = re.search(r"/accounts/password/reset/key/\S+", mail.outbox[-1].body)
    assert found
    return found[0]


def opens(link: str) -> bool:
    return 'name="password1"' in Client().get(link, follow=True).content.decode()


@MAILED
@AT_ONCE
def test_a_reset_link_goes_on(alice: User, one: Step, other: Step) -> None:
    with one():
        link = asked_for_link(alice)
    with other():
        assert opens(link)


@MAILED
def test_a_reset_link_ends_with_its_key(alice: User) -> None:
    with BEFORE():
        link = asked_for_link(alice)
    with CHANGED():
        assert opens(link)
    with AFTER():
        assert not opens(link)


@pytest.mark.parametrize("later", [ANNOUNCED, CHANGED, AFTER])
def test_a_form_that_was_open_is_taken(alice: User, later: Step) -> None:
    client = Client(enforce_csrf_checks=True)
    with BEFORE():
        page = client.get(reverse("account_login")).content.decode()
    token = re.search('name="csrfmiddlewaretoken" value="([^"]+)"', page)
    assert token
    with later():
        form = {"login": alice.email, "password": "wrong", "csrfmiddlewaretoken": token[1]}
        assert client.post(reverse("account_login"), form).status_code == 200  # the form again, not 403


@pytest.mark.parametrize(("later", "goes_on"), [(ANNOUNCED, True), (CHANGED, True), (AFTER, False)])
def test_a_list_that_was_shown_is_done(
    connection: Any, practice_a: Practice, bob: User, later: Step, goes_on: bool
) -> None:
    url = uploading.page_of(practice_a)
    with BEFORE():
        shown = uploading.sent_back(uploading.bring(signed_in(bob), url, uploading.HEAD + uploading.NEW))
    with later():
        answer = signed_in(bob).post(url, shown)
    assert (answer.status_code == 302) is goes_on
    assert LookUp.objects.exists() is goes_on


def test_what_was_said_before_is_still_read_after(connection: Any, practice_a: Practice, bob: User) -> None:
    """A message waits in a signed cookie for the next page."""
    url = uploading.page_of(practice_a)
    with BEFORE():
        client = signed_in(bob)
        shown = uploading.sent_back(uploading.bring(client, url, uploading.HEAD + uploading.NEW))
        assert client.post(url, shown).status_code == 302
    with CHANGED():
        assert "1 is being looked up" in client.get(url).content.decode()


@pytest.mark.parametrize(("later", "anew"), [(ANNOUNCED, False), (CHANGED, False), (AFTER, True)])
def test_pages_kept_ready_are_shown_or_made_anew(practice_a: Practice, alice: User, later: Step, anew: bool) -> None:
    person = charts.rich(practice_a)
    url = reverse("patients:history", args=[person.pk])
    with BEFORE():
        assert signed_in(alice).get(url).status_code == 200
        made = Digest.objects.get().sheet
    with later():
        answer = signed_in(alice).get(url)
    assert answer.status_code == 200
    assert person.family.upper() in answer.content.decode()
    assert (Digest.objects.get().sheet != made) is anew


# --- what is sealed in the database ---


@pytest.fixture
def key(db: None) -> Iterator[SigningKey]:
    with override_settings(FIELD_KEYS=[FIRST]):
        yield SigningKey.objects.create(
            environment="sandbox", algorithm="RS384", kid="k", public_jwk={}, private_pem="the private half"
        )


FIRST, SECOND = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def test_field_keys_change_step_by_step(key: SigningKey) -> None:
    for keys in ([FIRST], [FIRST, SECOND], [SECOND, FIRST]):
        with override_settings(FIELD_KEYS=keys):
            assert SigningKey.objects.get().private_pem == "the private half"
    with override_settings(FIELD_KEYS=[SECOND, FIRST]):
        call_command("rotate_field_keys", stdout=io.StringIO())
    for keys in ([FIRST, SECOND], [SECOND, FIRST], [SECOND]):
        with override_settings(FIELD_KEYS=keys):
            assert SigningKey.objects.get().private_pem == "the private half"
    with override_settings(FIELD_KEYS=[FIRST]), pytest.raises(fields.SecretUnreadable):
        _ = SigningKey.objects.get().private_pem


def test_keys_are_rotated_until_nothing_is_left_to_do(key: SigningKey, alice: User) -> None:
    """As the runbook has it: a second time finds nothing, those of second factors among it, and changes no row."""
    with override_settings(FIELD_KEYS=[FIRST]):
        enrolled(alice)
    with override_settings(FIELD_KEYS=[SECOND, FIRST]):
        assert _rotated() == "2 secrets are sealed anew with the first of FIELD_KEYS, 0 were already."
        stored = Authenticator.objects.values_list("data", flat=True).get()
        assert _rotated() == "0 secrets are sealed anew with the first of FIELD_KEYS, 2 were already."
        assert Authenticator.objects.values_list("data", flat=True).get() == stored


def _rotated() -> str:
    said = io.StringIO()
    call_command("rotate_field_keys", stdout=said)
    return said.getvalue().strip()


# --- the document ---


def test_operations_says_how_long_the_former_key_is_needed() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text("utf-8")
    assert timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT) == timedelta(days=3)
    assert settings.PASSWORD_RESET_TIMEOUT > settings.SESSION_ABSOLUTE_SECONDS
    assert "three days" in text
    assert "SECRET_KEY_FALLBACKS" in text
