"""Accounts by invitation only: one address, one practice, one role, used once, seven days long."""

import re
from datetime import timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from emr.accounts import invitations
from emr.models import AuditEvent, Invitation, Membership, Practice, User
from tests.accounts.doors import code, enrolled, give_code
from tests.conftest import signed_in

PASSWORD = "a long enough password"
SIGNUP = {"full_name": "Dana New", "email": "dana@example.org", "password1": PASSWORD, "password2": PASSWORD}


@pytest.fixture(autouse=True)
def _signup_form(settings: Settings) -> None:
    settings.ACCOUNT_FORMS = {"signup": "emr.forms.InvitedSignup"}


@pytest.fixture
def office(db: None) -> Client:
    return signed_in(User.objects.create_superuser("office@example.org", PASSWORD))


def invite(practice: Practice, email: str = "dana@example.org", role: str = "clinician") -> tuple[Invitation, str]:
    by, _ = User.objects.get_or_create(email="office@example.org")
    invitation = Invitation(email=email, practice=practice, role=role)
    return invitation, invitations.issue(invitation, by=by)


def path(token: str) -> str:
    return reverse("emr:invitation", args=[token])


def accepted_link(practice: Practice, **details: str) -> tuple[Client, Invitation]:
    invitation, token = invite(practice, **details)
    client = Client()
    assert client.post(path(token)).headers["Location"] == reverse("account_signup")
    return client, invitation


def sign_up(client: Client, **changes: str) -> Any:
    return client.post(reverse("account_signup"), SIGNUP | changes)


def closed(response: Any) -> bool:
    return "account/signup_closed.html" in [template.name for template in response.templates]


# --- made in the admin ---------------------------------------------------------------------------------


def add(office: Client, practice: Practice, email: str = "Dana@Example.org") -> Any:
    data = {"email": email, "practice": practice.pk, "role": "clinician"}
    return office.post(reverse("admin:emr_invitation_add"), data, follow=True)


def shown_links(response: Any) -> list[str]:
    return re.findall(r"http://testserver/invitations/([\w-]+)/", response.content.decode())


@pytest.mark.django_db(transaction=True)
def test_invitation_is_mailed_and_its_link_shown_once(office: Client, practice_a: Practice) -> None:
    [token] = shown_links(add(office, practice_a))
    [message] = mail.outbox
    assert message.to == ["dana@example.org"]
    assert f"http://testserver{path(token)}" in message.body
    assert "Alder Headache Clinic" in message.body
    assert "Clinician" in message.body
    invitation = Invitation.objects.get()
    assert invitation.token_hash == invitations.token_hash(token)
    assert invitation.invited_by is not None
    assert timedelta(days=6, hours=23) < invitation.expires_at - timezone.now() <= timedelta(days=7)
    for page in ("changelist", "change", "history"):
        args = [] if page == "changelist" else [invitation.pk]
        html = office.get(reverse(f"admin:emr_invitation_{page}", args=args)).content.decode()
        assert token not in html
        assert invitation.token_hash not in html
    assert AuditEvent.objects.get(action="membership").detail == "Invitation added: email, practice, role"


@pytest.mark.django_db(transaction=True)
def test_invitation_mail_text_is_not_html_escaped(office: Client, practice_a: Practice) -> None:
    Practice.objects.update(name="Smith & Sons' Clinic")
    add(office, practice_a)
    assert "Smith & Sons' Clinic" in mail.outbox[0].body


@pytest.mark.django_db(transaction=True)
def test_invitation_not_mailed_still_shows_the_link(office: Client, practice_a: Practice, settings: Settings) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 9  # nobody listens
    response = add(office, practice_a)
    assert "could not be mailed" in response.content.decode()
    assert len(shown_links(response)) == 1
    assert Invitation.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_invitation_sent_again_ends_the_old_link(office: Client, practice_a: Practice) -> None:
    [old] = shown_links(add(office, practice_a))
    begun = Client()
    begun.post(path(old))
    Invitation.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    data = {"action": "send_again", "_selected_action": [str(Invitation.objects.get().pk)]}
    [new] = shown_links(office.post(reverse("admin:emr_invitation_changelist"), data, follow=True))
    assert len(mail.outbox) == 2
    assert Client().get(path(old)).status_code == 404
    assert Client().get(path(new)).status_code == 200
    assert closed(begun.get(reverse("account_signup")))


def test_invitation_accepted_is_not_sent_again(office: Client, practice_a: Practice) -> None:
    invitation, _ = invite(practice_a)
    Invitation.objects.update(accepted_at=timezone.now())
    data = {"action": "send_again", "_selected_action": [str(invitation.pk)]}
    response = office.post(reverse("admin:emr_invitation_changelist"), data, follow=True)
    assert "accepted already" in response.content.decode()
    assert mail.outbox == []


def test_invitation_of_a_member_or_a_second_open_one_is_refused(
    office: Client, practice_a: Practice, alice: User
) -> None:
    assert b"is a member of the practice already" in add(office, practice_a, "ALICE@example.org").content
    invite(practice_a)
    assert b"An invitation to this address is open" in add(office, practice_a).content
    assert Invitation.objects.count() == 1


# --- the link --------------------------------------------------------------------------------------------


def test_link_shows_practice_and_role_and_changes_nothing_by_get(practice_a: Practice) -> None:
    invitation, token = invite(practice_a)
    client = Client()
    for _ in range(2):
        response = client.get(path(token))
        assert response.status_code == 200
        assert "Alder Headache Clinic" in response.content.decode()
        assert "Clinician" in response.content.decode()
    assert closed(client.get(reverse("account_signup")))
    invitation.refresh_from_db()
    assert invitation.accepted_at is None
    assert not AuditEvent.objects.exists()
    assert "no-store" in response.headers["Cache-Control"]


@pytest.mark.parametrize("method", ["get", "post"])
def test_link_unknown_used_and_expired_look_the_same(method: str, practice_a: Practice) -> None:
    answers = []
    used, used_token = invite(practice_a)
    Invitation.objects.filter(pk=used.pk).update(accepted_at=timezone.now())
    expired, expired_token = invite(practice_a, email="other@example.org")
    Invitation.objects.filter(pk=expired.pk).update(expires_at=timezone.now())
    for token in ("unknown", Invitation.new_token(), used_token, expired_token, used.token_hash):
        response = getattr(Client(), method)(path(token))
        answers.append((response.status_code, response.content))
    assert {status for status, _ in answers} == {404}
    assert len({content for _, content in answers}) == 1


def test_link_needs_the_csrf_token(practice_a: Practice) -> None:
    _, token = invite(practice_a)
    assert Client(enforce_csrf_checks=True).post(path(token)).status_code == 403


# --- signing up ------------------------------------------------------------------------------------------


def test_signup_without_invitation_is_closed(db: None) -> None:
    client = Client()
    for response in (client.get(reverse("account_signup")), sign_up(client)):
        assert closed(response)
    assert not User.objects.exists()


def test_signup_makes_account_and_membership(practice_a: Practice) -> None:
    client, invitation = accepted_link(practice_a)
    page = client.get(reverse("account_signup"))
    assert page.context["form"]["email"].value() == "dana@example.org"
    response = sign_up(client)
    assert response.status_code == 302, response.context["form"].errors
    user = User.objects.get(email="dana@example.org")
    assert user.full_name == "Dana New"
    assert user.check_password(PASSWORD)
    assert not user.is_staff
    assert (user.memberships.get().practice, user.memberships.get().role) == (practice_a, "clinician")
    invitation.refresh_from_db()
    assert invitation.accepted_at is not None
    assert client.session["_auth_user_id"] == str(user.pk)
    assert user.emailaddress_set.get().verified
    events = AuditEvent.objects.filter(user=user).values_list("action", "practice", "detail")
    assert set(events) == {
        ("membership", practice_a.pk, "Membership added: invitation accepted"),
        ("sign-in", practice_a.pk, ""),
    }


OTHER_ADDRESSES = [
    ("another address", {"email": "mallory@example.org"}),
    ("no address", {"email": ""}),
    ("two addresses", {"email": "dana@example.org,mallory@example.org"}),
]


@pytest.mark.parametrize("change", [row[1] for row in OTHER_ADDRESSES], ids=[row[0] for row in OTHER_ADDRESSES])
@pytest.mark.parametrize("form", ["emr.forms.InvitedSignup", "allauth.account.forms.SignupForm"])
def test_signup_is_for_the_invited_address_only(
    form: str, change: dict[str, str], practice_a: Practice, settings: Settings
) -> None:
    settings.ACCOUNT_FORMS = {"signup": form}
    client, _ = accepted_link(practice_a)
    client.post(reverse("account_signup") + "?email=mallory@example.org", SIGNUP | change)
    assert set(Membership.objects.values_list("user__email", flat=True)) <= {"dana@example.org"}
    assert not User.objects.filter(email__contains="mallory").exists()


def test_signup_takes_each_link_once(practice_a: Practice) -> None:
    _, token = invite(practice_a)
    first, second = Client(), Client()
    for client in (first, second):
        client.post(path(token))
    assert sign_up(first).status_code == 302
    assert closed(sign_up(second))
    assert Membership.objects.count() == 1


def test_signup_begun_in_time_ends_with_the_invitation(practice_a: Practice) -> None:
    client, invitation = accepted_link(practice_a)
    Invitation.objects.filter(pk=invitation.pk).update(expires_at=timezone.now())
    assert closed(sign_up(client))
    assert not User.objects.filter(email="dana@example.org").exists()


def test_signup_weak_password_is_refused_and_the_invitation_stays_open(practice_a: Practice) -> None:
    client, invitation = accepted_link(practice_a)
    response = sign_up(client, password1="password1234", password2="password1234")
    assert response.status_code == 200
    assert "password1" in response.context["form"].errors
    invitation.refresh_from_db()
    assert invitation.is_open()


def test_signup_cannot_make_staff_of_itself(practice_a: Practice) -> None:
    client, _ = accepted_link(practice_a, role="staff")
    sign_up(client, is_staff="on", is_superuser="on", role="admin", practice="other")
    user = User.objects.get(email="dana@example.org")
    assert (user.is_staff, user.is_superuser, user.memberships.get().role) == (False, False, "staff")


# --- people who have an account --------------------------------------------------------------------------


def test_member_elsewhere_signs_in_then_joins(practice_a: Practice, charlie: User) -> None:
    _, token = invite(practice_a, email=enrolled(charlie).email, role="staff")
    client = Client()
    assert "Sign in to accept" in client.get(path(token)).content.decode()
    target = client.post(path(token)).headers["Location"]
    assert target.startswith(reverse("account_login"))
    client.post(target, {"login": "charlie@example.org", "password": "correct horse battery"})
    assert give_code(client, code()).headers["Location"] == path(token)
    assert "Join Alder Headache Clinic" in client.get(path(token)).content.decode()
    assert client.post(path(token)).status_code == 302
    roles = set(charlie.memberships.values_list("practice__code", "role"))
    assert roles == {("AAAAAA", "staff"), ("BBBBBB", "clinician")}
    assert client.post(path(token)).status_code == 404
    assert AuditEvent.objects.filter(action="membership", user=charlie, practice=practice_a).count() == 1


def test_signed_in_with_another_address_cannot_accept(practice_a: Practice, charlie: User) -> None:
    invitation, token = invite(practice_a)
    client = signed_in(charlie)
    page = client.get(path(token))
    assert page.status_code == 200
    assert "dana@example.org" not in page.content.decode()
    assert client.post(path(token)).status_code == 403
    assert charlie.memberships.count() == 1
    invitation.refresh_from_db()
    assert invitation.is_open()


def test_member_already_there_keeps_the_role(practice_a: Practice, alice: User) -> None:
    _, token = invite(practice_a, email="alice@example.org", role="admin")
    assert signed_in(alice).post(path(token)).status_code == 302
    assert alice.memberships.get().role == "clinician"


def test_invitation_read_by_two_requests_is_accepted_by_one(practice_a: Practice, charlie: User) -> None:
    invitation, _ = invite(practice_a, email="charlie@example.org")
    first, second = (Invitation.objects.get(pk=invitation.pk) for _ in range(2))
    assert first.is_open()
    assert second.is_open()
    invitations.accept(first, charlie)
    with pytest.raises(invitations.InvitationClosed):
        invitations.accept(second, charlie)
    assert AuditEvent.objects.filter(action="membership").count() == 1


def test_invitation_sent_again_meanwhile_is_not_accepted_with_the_old_link(practice_a: Practice, charlie: User) -> None:
    invitation, _ = invite(practice_a, email="charlie@example.org")
    stale = Invitation.objects.get(pk=invitation.pk)
    invitations.issue(invitation, by=charlie)
    with pytest.raises(invitations.InvitationClosed):
        invitations.accept(stale, charlie)
    assert not charlie.memberships.filter(practice=practice_a).exists()
