"""What people read: mails of accounts, browsers by name, messages, pages of refusals; what password managers need."""

import re
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from django.core import mail
from django.test import Client
from django.urls import reverse

from emr.models import Practice, User
from emr.templatetags.people_words import agent, fours
from tests.accounts.doors import code, enrolled, give_code, give_password, shown_key, through_both
from tests.conftest import signed_in

transactional = pytest.mark.django_db(transaction=True)

AGENTS = [
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 "
     "Edg/131.0.2903.51", "Edge 131 on Windows"),
    ("Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 "
     "Safari/605.1.15", "Safari 18 on Mac"),
    ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 "
     "Mobile/15E148 Safari/604.1", "Safari 18 on iPhone"),
    ("Mozilla/5.0 (X11; Linux x86_64; rv:133.0) Gecko/20100101 Firefox/133.0", "Firefox 133 on Linux"),
    ("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36",
     "Chrome 131 on Android"),
    ("curl/8.5.0", "unknown browser"), ("", "unknown browser"),
]  # fmt: skip


@pytest.mark.parametrize(("header", "words"), AGENTS, ids=[words or "none" for _, words in AGENTS])
def test_agent(header: str, words: str) -> None:
    assert agent(header) == words


def test_fours() -> None:
    assert fours("ABCDEFGHIJ") == ["ABCD", "EFGH", "IJ"]


@transactional
def test_mails_say_who_writes_what_happened_and_what_to_do(alice: User, settings: Any) -> None:
    settings.PUBLIC_URL = "https://app.example.org"
    client = Client()
    give_password(client)
    secret = shown_key(client.get(reverse("mfa_activate_totp")).content.decode())
    client.post(reverse("mfa_activate_totp"), {"code": code(secret)})
    Client().post(reverse("account_reset_password"), {"email": "alice@example.org"}, headers={"Host": "localhost"})
    Client().post(reverse("account_reset_password"), {"email": "nobody@example.org"})
    app, reset, unknown = mail.outbox
    assert [letter.subject for letter in mail.outbox] == [
        "HeadacheMD: an authenticator app was set up",
        "HeadacheMD: set a new password",
        "HeadacheMD: no account with this address",
    ]
    assert "tell your practice's admin" in app.body
    assert "https://app.example.org/accounts/sessions/" in app.body
    assert re.search(r"^https://app\.example\.org/accounts/password/reset/key/\S+$", reset.body, re.MULTILINE)
    assert "Accounts are by invitation" in unknown.body
    for letter in mail.outbox:
        assert "testserver" not in letter.subject + letter.body
        assert "localhost" not in letter.subject + letter.body
        assert "sign up" not in letter.body


@transactional
def test_a_link_to_set_a_password_works_once(alice: User) -> None:
    Client().post(reverse("account_reset_password"), {"email": alice.email})
    link = re.search(r"/accounts/password/reset/key/\S+", mail.outbox[0].body)
    assert link
    client = Client()
    form = client.get(link[0], follow=True)
    answer = client.post(
        form.request["PATH_INFO"], {"password1": "another long pass", "password2": "another long pass"}
    )
    assert answer.headers["Location"] == reverse("account_reset_password_from_key_done")
    assert "used already or has expired" in Client().get(link[0], follow=True).content.decode()


@transactional
def test_recovery_codes_are_shown_once_and_can_be_printed(alice: User) -> None:
    client = Client()
    give_password(client)
    secret = shown_key(client.get(reverse("mfa_activate_totp")).content.decode())
    client.post(reverse("mfa_activate_totp"), {"code": code(secret)})
    first = client.get(reverse("mfa_view_recovery_codes")).content.decode()
    assert len(re.findall(r"<li><code>\d{8}</code>", first)) == 10
    assert "recovery codes of alice@example.org" in first  # on paper
    again = client.get(reverse("mfa_view_recovery_codes")).content.decode()
    assert not re.findall(r"\d{8}", re.sub(r'value="[^"]*"', "", again))
    assert "10 of 10 are unused" in again
    assert client.get(reverse("mfa_download_recovery_codes")).status_code in {403, 404}
    client.post(reverse("mfa_generate_recovery_codes"))
    assert Authenticator.objects.filter(user=alice, type="recovery_codes").count() == 1
    assert (
        len(re.findall(r"<li><code>\d{8}</code>", client.get(reverse("mfa_view_recovery_codes")).content.decode()))
        == 10
    )


@pytest.mark.parametrize(
    ("page", "fields"),
    [
        ("account_login", {"login": "username", "password": "current-password"}),
        ("account_reauthenticate", {"password": "current-password"}),
        (
            "account_change_password",
            {"oldpassword": "current-password", "password1": "new-password", "password2": "new-password"},
        ),
        ("mfa_reauthenticate", {"code": "one-time-code"}),
        ("mfa_add_webauthn", {"name": "off"}),
    ],
)
def test_password_managers_find_their_fields(alice: User, page: str, fields: dict[str, str]) -> None:
    client = Client() if page == "account_login" else signed_in(enrolled(alice))
    html = client.get(reverse(page)).content.decode()
    for name, meant in fields.items():
        field = re.search(rf'<input[^>]*name="{name}"[^>]*>', html)
        assert field, name
        assert f'autocomplete="{meant}"' in field[0]


def test_a_code_that_was_shown_before_is_refused_in_words(alice: User) -> None:
    enrolled(alice)
    shown = code()
    give_password(first := Client())
    assert give_code(first, shown).status_code == 302
    give_password(second := Client())
    assert "Incorrect code" in give_code(second, shown).content.decode()


def test_switching_says_where_one_works_now(alice: User, practice_b: Practice) -> None:
    alice.memberships.create(practice=practice_b, role="clinician")
    client = signed_in(alice)
    client.post(reverse("emr:switch", args=[practice_b.pk]))
    assert "You now work in Birch Neurology." in client.get("/", follow=True).content.decode()


def test_a_post_that_has_to_be_confirmed_first_says_that_nothing_was_done(alice: User) -> None:
    alice.memberships.update(role="admin")
    client = through_both(enrolled(alice))
    session = client.session
    session["session_began"] = session["session_began"] - 601
    session["account_authentication_methods"] = []
    session.save()
    address = reverse("emr:members", args=[alice.memberships.get().practice_id])
    answer = client.post(address, {"do": "invite", "email": "x@example.org", "role": "staff"}, follow=True)
    assert "Nothing was done yet. Confirm that it is you" in answer.content.decode()
    assert "x@example.org" not in answer.content.decode()


@pytest.mark.parametrize("signed", [False, True], ids=["signed out", "signed in"])
def test_a_page_that_is_not_there_leads_on(alice: User, signed: bool) -> None:
    client = signed_in(alice) if signed else Client()
    answer = client.get("/nonsense/")
    assert answer.status_code == 404
    assert ("Back to the start" if signed else "Sign in") in answer.content.decode()


def test_too_many_tries_have_a_page_of_ours(alice: User, settings: Any) -> None:
    settings.ACCOUNT_RATE_LIMITS = {"reset_password": "1/m/ip"}
    address = reverse("account_reset_password")
    answers = [Client(REMOTE_ADDR="192.0.2.77").post(address, {"email": "x@example.org"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [302, 429]
    assert "Wait a few minutes" in answers[1].content.decode()
    assert "wordmark" in answers[1].content.decode()


def test_nobody_is_greeted_with_what_they_just_did(alice: User) -> None:
    client = through_both(enrolled(alice))
    assert "Successfully" not in client.get("/", follow=True).content.decode()
