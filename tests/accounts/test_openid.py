"""Sign-in by a practice's own provider: members only, that practice only, our second factor unless it did its own."""

import html
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from emr.models import AuditEvent, ExternalIdentity, IdentityProvider, Membership, Practice, User
from tests.accounts import provider as clinic
from tests.accounts.doors import code, enrolled, give_code
from tests.accounts.provider import CLIENT_ID, CLIENT_SECRET, Provider
from tests.conftest import signed_in


@pytest.fixture
def idp(settings: Any) -> Iterator[Provider]:
    with clinic.trusted(settings) as provider:
        yield provider


@pytest.fixture
def row(idp: Provider, practice_a: Practice) -> IdentityProvider:
    return IdentityProvider.objects.create(
        practice=practice_a, issuer=idp.issuer, client_id=CLIENT_ID, client_secret=CLIENT_SECRET,
        email_domains="example.org", does_mfa=True,
    )  # fmt: skip


def go(client: Client, row: IdentityProvider) -> dict[str, str]:
    """Press the button. Returns the parameters the provider gets."""
    answer = client.post(reverse("emr:openid", args=[row.pk]))
    page = answer.content.decode()
    assert answer.status_code == 200, page  # no redirect: the CSP's form-action would stop it in a browser
    address = html.unescape(re.findall(r'<a [^>]*class="onward" href="([^"]+)"', page)[0])
    assert f'content="0; url={html.escape(address)}"' in page
    target = urlsplit(address)
    assert f"{target.scheme}://{target.netloc}{target.path}" == f"{row.issuer}/auth"
    return {name: values[0] for name, values in parse_qs(target.query).items()}


def come_back(client: Client, row: IdentityProvider, idp: Provider, **claims: Any) -> Any:
    sent = go(client, row)
    told = {"email": "alice@example.org", "email_verified": True, "amr": ["pwd", "mfa"], "nonce": sent["nonce"]}
    idp.claims = told | claims
    return client.get(reverse("emr:openid_callback", args=[row.pk]), {"state": sent["state"], "code": "c-1"})


def is_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_a_member_signs_in_and_the_secret_goes_to_the_provider_alone(
    row: IdentityProvider, idp: Provider, alice: User, practice_a: Practice
) -> None:
    client = Client()
    sent = go(client, row)
    assert (sent["response_type"], sent["scope"], sent["code_challenge_method"]) == (
        "code",
        "openid email profile",
        "S256",
    )
    assert CLIENT_SECRET not in str(sent)
    assert sent["redirect_uri"] == f"http://testserver/accounts/openid/{row.pk}/callback/"
    answer = come_back(client, row, idp)
    assert answer.headers["Location"] == "/"
    assert client.get(reverse("patients:list", args=[practice_a.pk])).status_code == 200
    form = idp.asked[0]
    assert form["client_secret"] == CLIENT_SECRET
    assert len(form["code_verifier"]) == 43
    assert ExternalIdentity.objects.get().subject == "s-1"
    assert AuditEvent.objects.filter(action="sign-in", user=alice, practice=practice_a).count() == 1


def test_the_second_time_the_subject_counts_and_not_the_address(
    row: IdentityProvider, idp: Provider, alice: User, bob: User
) -> None:
    come_back(Client(), row, idp)
    client = Client()
    come_back(client, row, idp, email="bob@example.org")  # renamed there, or somebody's trick
    assert client.session["_auth_user_id"] == str(alice.pk)
    stranger = Client()
    assert come_back(stranger, row, idp, sub="s-2").status_code == 403  # a second person with alice's address
    assert not is_in(stranger)


@pytest.mark.parametrize(
    ("does_mfa", "amr"), [(True, ["pwd"]), (True, None), (True, "mfa"), (False, ["mfa"])],
    ids=["password alone there", "says nothing", "not a list", "practice does not vouch"],
)  # fmt: skip
def test_our_second_factor_still_applies(
    row: IdentityProvider, idp: Provider, alice: User, does_mfa: bool, amr: Any
) -> None:
    IdentityProvider.objects.update(does_mfa=does_mfa)
    new = Client()
    come_back(new, row, idp, amr=amr)
    assert new.get("/").headers["Location"] == reverse("mfa_index")  # none yet: enrolment
    enrolled(alice)
    client = Client()
    assert come_back(client, row, idp, amr=amr).headers["Location"].startswith(reverse("mfa_authenticate"))
    assert not is_in(client)
    assert give_code(client, code()).status_code == 302
    assert client.get("/", follow=True).status_code == 200


def test_the_session_is_limited_to_that_practice(
    row: IdentityProvider, idp: Provider, alice: User, practice_a: Practice, practice_b: Practice
) -> None:
    Membership.objects.create(user=alice, practice=practice_b, role=Membership.Role.CLINICIAN)
    client = Client()
    come_back(client, row, idp)
    assert client.get(reverse("patients:list", args=[practice_a.pk])).status_code == 200
    assert client.get(reverse("patients:list", args=[practice_b.pk])).status_code == 404
    assert "Birch" not in client.get("/", follow=True).content.decode()
    assert signed_in(alice).get(reverse("patients:list", args=[practice_b.pk])).status_code == 200


OF_THE_ACCOUNT = [
    "mfa_index", "mfa_add_webauthn", "mfa_list_webauthn", "mfa_activate_totp", "mfa_deactivate_totp",
    "mfa_view_recovery_codes", "mfa_generate_recovery_codes", "usersessions_list", "account_change_password",
]  # fmt: skip


@pytest.mark.parametrize("page", OF_THE_ACCOUNT)
def test_the_session_reaches_nothing_that_outlives_it(
    row: IdentityProvider, idp: Provider, alice: User, page: str
) -> None:
    """Whoever runs the provider could else add a passkey to her account, and be her in her other practices."""
    enrolled(alice)
    client = Client()
    come_back(client, row, idp)
    for answer in (client.get(reverse(page)), client.post(reverse(page), {"name": "mine"})):
        assert (answer.status_code, answer.headers["Location"]) == (302, "/")
    assert "sign in with your email and password" in client.get("/", follow=True).content.decode()


def test_a_first_authenticator_app_may_be_set_up_there_but_no_passkey(
    row: IdentityProvider, idp: Provider, alice: User
) -> None:
    IdentityProvider.objects.update(does_mfa=False)
    client = Client()
    come_back(client, row, idp)
    assert client.get(reverse("mfa_activate_totp")).status_code == 200
    assert client.get(reverse("mfa_add_webauthn")).headers["Location"] == "/"


def removed(user: User) -> None:
    user.memberships.all().delete()


def closed(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)


def superuser(user: User) -> None:
    User.objects.filter(pk=user.pk).update(is_superuser=True, is_staff=True)


def elsewhere(user: User) -> None:
    User.objects.filter(pk=user.pk).update(email="alice@example.com")


@pytest.mark.parametrize("happening", [removed, closed, superuser, elsewhere])
@pytest.mark.parametrize("linked", [False, True], ids=["first time", "linked before"])
def test_who_is_refused(
    row: IdentityProvider, idp: Provider, alice: User, practice_a: Practice, happening: Any, linked: bool
) -> None:
    if linked:
        come_back(Client(), row, idp)
    happening(alice)
    client = Client()
    answer = come_back(client, row, idp, email=User.objects.get(pk=alice.pk).email)
    assert answer.status_code == 403
    assert not is_in(client)
    assert AuditEvent.objects.filter(action="sign-in-refused", practice=practice_a).count() == 1


@pytest.mark.parametrize(
    "claims",
    [
        {"email_verified": False}, {"email_verified": "true"}, {"email": ""}, {"email": "nobody@example.org"},
        {"nonce": "another"}, {"aud": "another-app"}, {"iss": "https://evil.example"}, {"exp": 1_000_000_000},
        {"sub": ""}, {"azp": "another-app"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_not_believed(row: IdentityProvider, idp: Provider, alice: User, claims: dict[str, Any]) -> None:
    client = Client()
    assert come_back(client, row, idp, **claims).status_code == 403
    assert not is_in(client)
    assert not User.objects.exclude(pk=alice.pk).exists()  # no sign-up


def test_an_answer_is_taken_once_in_the_browser_that_asked(row: IdentityProvider, idp: Provider, alice: User) -> None:
    asked, other = Client(), Client()
    sent = go(asked, row)
    idp.claims = {"email": "alice@example.org", "email_verified": True, "nonce": sent["nonce"]}
    callback, told = reverse("emr:openid_callback", args=[row.pk]), {"state": sent["state"], "code": "c-1"}
    assert other.get(callback, told).status_code == 403
    assert asked.get(callback, told | {"state": "x"}).status_code == 403
    assert asked.get(callback, told).status_code == 403  # the attempt is spent
    assert idp.asked == []


def test_an_answer_comes_in_time_from_the_provider_that_was_asked(
    row: IdentityProvider, idp: Provider, alice: User, practice_b: Practice
) -> None:
    other = IdentityProvider.objects.create(
        practice=practice_b, issuer=idp.issuer, client_id="b", email_domains="example.org"
    )
    for callback, more, seconds in (
        (other, {}, 0),
        (row, {"iss": "https://evil.example"}, 0),
        (row, {"code": ""}, 0),
        (row, {}, 601),
    ):
        client = Client()
        sent = go(client, row)
        with time_machine.travel(time.time() + seconds, tick=False):
            told = {"state": sent["state"], "code": "c-1"} | more
            assert client.get(reverse("emr:openid_callback", args=[callback.pk]), told).status_code == 403
    assert idp.asked == []


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example"},
        {"token_endpoint": "https://evil.example/token"},
        {"jwks_uri": "https://evil.example/keys"},
        {"authorization_endpoint": None},
    ],
    ids=str,
)
def test_a_provider_s_document_does_not_lead_elsewhere(
    row: IdentityProvider, idp: Provider, document: dict[str, Any]
) -> None:
    idp.document = document
    assert Client().post(reverse("emr:openid", args=[row.pk])).status_code == 403
    assert idp.asked == []


def test_a_provider_that_is_switched_off_is_not_there(row: IdentityProvider, alice: User) -> None:
    IdentityProvider.objects.update(enabled=False)
    for page in ("emr:openid", "emr:openid_callback"):
        assert Client().get(reverse(page, args=[row.pk])).status_code == 404


def test_an_admin_sets_a_provider_up_and_its_secret_is_not_shown(practice_a: Practice) -> None:
    office = signed_in(User.objects.create_superuser("office@example.org", "correct horse battery"))
    sent = {
        "practice": str(practice_a.pk), "issuer": "https://idp.example/realms/a", "client_id": "app",
        "new_client_secret": CLIENT_SECRET, "email_domains": "clinic.example", "other_hosts": "", "enabled": "on",
        "identities-TOTAL_FORMS": 0, "identities-INITIAL_FORMS": 0,
    }  # fmt: skip
    add = reverse("admin:emr_identityprovider_add")
    assert "issuer starts with https" in office.post(add, sent | {"issuer": "http://idp.example"}).content.decode()
    assert "not a domain" in office.post(add, sent | {"email_domains": "@clinic"}).content.decode()
    assert office.post(add, sent).status_code == 302
    row = IdentityProvider.objects.get()
    assert row.client_secret == CLIENT_SECRET
    page = office.get(reverse("admin:emr_identityprovider_change", args=[row.pk])).content.decode()
    assert CLIENT_SECRET not in page
    assert f"/accounts/openid/{row.pk}/callback/" in page
    assert AuditEvent.objects.filter(action="configuration", practice=practice_a).count() == 1
