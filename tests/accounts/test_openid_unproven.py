"""A provider that does not say its addresses are verified (Entra ID): the first time, a mailed code proves them."""

import re
import time
from smtplib import SMTPException
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.test import Client
from django.urls import reverse

from emr.accounts import address_codes, mails
from emr.models import AuditEvent, ExternalIdentity, IdentityProvider, Membership, Practice, User
from tests.accounts.doors import code, enrolled, give_code
from tests.accounts.provider import Provider
from tests.accounts.test_openid import closed, come_back, idp, is_in, removed, row, superuser
from tests.conftest import member

__all__ = ["idp", "row"]  # fixtures


def from_entra(client: Client, row: IdentityProvider, idp: Provider, **claims: Any) -> Any:
    """Back from a provider whose token has no email_verified."""
    return come_back(client, row, idp, email_verified=None, **claims)


@pytest.fixture(autouse=True)
def none_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim of None stands for no claim at all."""
    whole = Provider.token

    def token(self: Provider) -> dict[str, Any]:
        self.claims = {name: value for name, value in self.claims.items() if value is not None}
        return whole(self)

    monkeypatch.setattr(Provider, "token", token)


def mailed() -> str:
    found = re.search(r"^\d{4} \d{4}$", mail.outbox[-1].body, re.MULTILINE)
    assert found, mail.outbox[-1].body
    return found[0]


def page(row: IdentityProvider) -> str:
    return reverse("emr:openid_prove", args=[row.pk])


def give(client: Client, row: IdentityProvider, typed: str) -> Any:
    return client.post(page(row), {"code": typed})


def test_the_code_links_the_account_once_and_for_all(
    row: IdentityProvider, idp: Provider, alice: User, practice_a: Practice, django_capture_on_commit_callbacks: Any
) -> None:
    client = Client()
    assert from_entra(client, row, idp).headers["Location"] == page(row)
    assert not is_in(client)
    assert not ExternalIdentity.objects.exists()
    assert [letter.to for letter in mail.outbox] == [["alice@example.org"]]
    assert "alice@example.org" in client.get(page(row)).content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        assert give(client, row, mailed()).status_code == 302
    assert client.session["_auth_user_id"] == str(alice.pk)
    assert client.get(reverse("patients:list", args=[practice_a.pk])).status_code == 200  # its amr said mfa
    linked = AuditEvent.objects.get(action="identity")
    assert (linked.user, linked.practice, linked.detail) == (
        alice,
        practice_a,
        "linked: address proven by a mailed code",
    )
    assert mail.outbox[-1].to == ["alice@example.org"]
    assert "opens your account" in mail.outbox[-1].body
    again = Client()
    assert from_entra(again, row, idp, email=None).headers["Location"] == "/"  # the subject counts now
    assert is_in(again)
    assert len(mail.outbox) == 2


def test_our_second_factor_still_follows(row: IdentityProvider, idp: Provider, alice: User) -> None:
    enrolled(alice)
    client = Client()
    from_entra(client, row, idp, amr=["pwd"])
    assert give(client, row, mailed()).headers["Location"].startswith(reverse("mfa_authenticate"))
    assert not is_in(client)
    assert give_code(client, code()).status_code == 302


def test_the_session_is_of_that_practice_alone(
    row: IdentityProvider, idp: Provider, alice: User, practice_b: Practice
) -> None:
    Membership.objects.create(user=alice, practice=practice_b, role=Membership.Role.CLINICIAN)
    client = Client()
    from_entra(client, row, idp)
    give(client, row, mailed())
    assert client.get(reverse("patients:list", args=[practice_b.pk])).status_code == 404


def test_a_wrong_code_may_be_corrected_five_times(row: IdentityProvider, idp: Provider, alice: User) -> None:
    client = Client()
    from_entra(client, row, idp)
    right = mailed()
    wrong = "0000 0000" if right != "0000 0000" else "1111 1111"
    for _ in range(address_codes.TRIES):
        answer = give(client, row, wrong)
        assert answer.status_code == 200
        assert "not the code we mailed" in answer.content.decode()
    assert give(client, row, right).status_code == 403
    assert give(client, row, right).status_code == 403  # nothing is awaited any more
    assert not is_in(client)
    refused = AuditEvent.objects.filter(action="sign-in-refused").values_list("detail", flat=True)
    assert list(refused).count("identity provider: wrong code from a mail") == address_codes.TRIES


def test_a_code_is_of_one_browser_one_time_and_one_provider(
    row: IdentityProvider, idp: Provider, alice: User, practice_b: Practice
) -> None:
    client, other = Client(), Client()
    from_entra(client, row, idp)
    assert give(other, row, mailed()).status_code == 403
    theirs = IdentityProvider.objects.create(
        practice=practice_b, issuer=idp.issuer, client_id="b", email_domains="example.org"
    )
    assert give(client, theirs, mailed()).status_code == 403
    with time_machine.travel(time.time() + address_codes.LIFE_SECONDS + 1, tick=False):
        assert give(client, row, mailed()).status_code == 403
    assert give(client, row, mailed()).status_code == 302
    client.logout()
    assert give(client, row, mailed()).status_code == 403


@pytest.mark.parametrize("happening", [removed, closed, superuser])
def test_nobody_is_mailed_whom_the_provider_may_not_sign_in(
    row: IdentityProvider, idp: Provider, alice: User, happening: Any
) -> None:
    happening(alice)
    assert from_entra(Client(), row, idp).status_code == 403
    assert mail.outbox == []


@pytest.mark.parametrize("happening", [removed, closed, superuser])
def test_who_ceased_to_be_a_member_meanwhile_is_refused(
    row: IdentityProvider, idp: Provider, alice: User, happening: Any
) -> None:
    client = Client()
    from_entra(client, row, idp)
    happening(alice)
    assert give(client, row, mailed()).status_code == 403
    assert not is_in(client)
    assert not ExternalIdentity.objects.exists()


def test_no_second_person_is_linked_to_an_account(row: IdentityProvider, idp: Provider, alice: User) -> None:
    client = Client()
    from_entra(client, row, idp)
    give(client, row, mailed())
    count = len(mail.outbox)
    assert from_entra(Client(), row, idp, sub="s-2").status_code == 403
    assert len(mail.outbox) == count


def test_codes_are_not_mailed_without_end(
    row: IdentityProvider, idp: Provider, alice: User, practice_a: Practice
) -> None:
    answers = [from_entra(Client(), row, idp).status_code for _ in range(address_codes.MAILS_AN_HOUR + 1)]
    assert answers == [302] * address_codes.MAILS_AN_HOUR + [403]
    assert len(mail.outbox) == address_codes.MAILS_AN_HOUR
    member("dora@example.org", practice_a, Membership.Role.STAFF)
    assert from_entra(Client(), row, idp, sub="s-9", email="dora@example.org").status_code == 302


def test_a_code_that_cannot_be_mailed_is_said_to_be(
    row: IdentityProvider, idp: Provider, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def down(*_: object, **__: object) -> None:
        raise SMTPException("server says: alice@example.org")

    monkeypatch.setattr(mails, "send_mail", down)
    client = Client()
    answer = from_entra(client, row, idp)
    assert answer.status_code == 403
    assert "could not be mailed" in answer.content.decode()
    assert client.get(page(row)).status_code == 403


def test_the_code_waits_sealed(row: IdentityProvider, idp: Provider, alice: User) -> None:
    client = Client()
    from_entra(client, row, idp)
    assert mailed().replace(" ", "") not in str(dict(client.session))
    assert str(alice.pk) not in str(dict(client.session))


def test_a_sign_in_name_that_is_an_address_stands_for_a_missing_email_and_is_proven_like_one(
    row: IdentityProvider, idp: Provider, alice: User
) -> None:
    client = Client()
    answer = from_entra(client, row, idp, email=None, preferred_username="Alice@example.org")
    assert answer.headers["Location"] == page(row)
    assert [letter.to for letter in mail.outbox] == [["alice@example.org"]]
    assert not ExternalIdentity.objects.exists()
    assert give(client, row, mailed()).status_code == 302
    assert client.session["_auth_user_id"] == str(alice.pk)


NAMES = {
    "not an address": {"preferred_username": "alice"},
    "two addresses": {"preferred_username": "alice@example.org bob@example.org"},
    "not text": {"preferred_username": ["alice@example.org"]},
    "none at all": {},
    "beside an address said to be unverified": {
        "email": "alice@example.org", "email_verified": False, "preferred_username": "alice@example.org",
    },
}  # fmt: skip


@pytest.mark.parametrize("claims", NAMES.values(), ids=NAMES.keys())
def test_a_sign_in_name_that_is_no_address_names_nobody(
    row: IdentityProvider, idp: Provider, alice: User, claims: dict[str, Any]
) -> None:
    client = Client()
    assert come_back(client, row, idp, **{"email": None, "email_verified": None} | claims).status_code == 403
    assert mail.outbox == []


def test_a_sign_in_name_is_never_verified(row: IdentityProvider, idp: Provider, alice: User) -> None:
    client = Client()
    told = {"email": None, "email_verified": True, "preferred_username": "alice@example.org"}
    assert come_back(client, row, idp, **told).headers["Location"] == page(row)
    assert not is_in(client)
