"""A practice's admin manages its people."""

from typing import Any

import pytest
import time_machine
from django.core import mail
from django.test import Client
from django.urls import reverse

from emr.accounts import invitations
from emr.models import AuditEvent, Invitation, Membership, Practice, User
from tests.accounts.doors import enrolled
from tests.conftest import member, signed_in

Role = Membership.Role


@pytest.fixture
def admin(practice_a: Practice) -> User:
    return member("adam@example.org", practice_a, Role.ADMIN)


@pytest.fixture
def client(admin: User) -> Client:
    return signed_in(admin)


def page(practice: Practice) -> str:
    return reverse("emr:members", args=[practice.pk])


def test_the_page_says_who_works_here_and_who_lacks_a_second_factor(
    client: Client, practice_a: Practice, alice: User, charlie: User
) -> None:
    enrolled(alice)
    text = client.get(page(practice_a)).content.decode()
    assert text.count("set up") == 1
    assert "alice@example.org" in text
    assert "charlie@example.org" not in text


def test_somebody_is_invited(
    client: Client, admin: User, practice_a: Practice, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        answer = client.post(page(practice_a), {"do": "invite", "email": "Dana@example.org", "role": "clinician"})
    assert answer.status_code == 302
    row = Invitation.objects.get()
    assert (row.email, row.practice, row.role, row.invited_by) == ("dana@example.org", practice_a, "clinician", admin)
    assert mail.outbox[0].to == ["dana@example.org"]
    assert AuditEvent.objects.get(action="membership").detail == "Invitation added"


def test_an_invitation_is_for_the_admins_own_practice(
    client: Client, practice_a: Practice, practice_b: Practice
) -> None:
    sent = {"do": "invite", "email": "dana@example.org", "role": "admin", "practice": str(practice_b.pk)}
    client.post(page(practice_a), sent)
    assert Invitation.objects.get().practice == practice_a


@pytest.mark.parametrize(
    ("email", "said"),
    [("adam@example.org", "member of the practice already"), ("nothing", "valid email"), ("", "required")],
)
def test_an_invitation_that_makes_no_sense_is_refused(
    client: Client, practice_a: Practice, email: str, said: str
) -> None:
    answer = client.post(page(practice_a), {"do": "invite", "email": email, "role": "staff"})
    assert said in answer.content.decode()
    assert not Invitation.objects.exists()


def test_an_invitation_is_sent_again_and_withdrawn(client: Client, admin: User, practice_a: Practice) -> None:
    row = Invitation(email="dana@example.org", practice=practice_a)
    old = invitations.issue(row, by=admin)
    client.post(page(practice_a), {"do": "again", "invitation": str(row.pk)})
    assert invitations.find(old) is None
    client.post(page(practice_a), {"do": "withdraw", "invitation": str(row.pk)})
    assert not Invitation.objects.exists()
    details = AuditEvent.objects.filter(action="membership").values_list("detail", flat=True)
    assert set(details) == {"Invitation sent again", "Invitation withdrawn"}


def test_a_role_is_changed_and_the_person_signed_out(
    client: Client, admin: User, practice_a: Practice, bob: User
) -> None:
    theirs = signed_in(bob)
    row = bob.memberships.get()
    client.post(page(practice_a), {"do": "role", "member": str(row.pk), "role": "clinician"})
    row.refresh_from_db()
    assert row.role == "clinician"
    assert theirs.get("/").status_code == 302
    details = AuditEvent.objects.filter(user=admin, object_id__in=[row.pk, bob.pk]).values_list("action", "detail")
    assert set(details) == {("membership", "Membership changed: staff to clinician"), ("sessions", "role changed")}


def test_a_member_is_removed(client: Client, practice_a: Practice, bob: User) -> None:
    theirs = signed_in(bob)
    client.post(page(practice_a), {"do": "remove", "member": str(bob.memberships.get().pk)})
    assert not bob.memberships.exists()
    assert theirs.get("/").status_code == 302
    assert AuditEvent.objects.filter(practice=practice_a, detail="Membership removed").count() == 1


@pytest.mark.parametrize("sent", [{"do": "role", "role": "staff"}, {"do": "remove"}], ids=["role", "removal"])
def test_an_admin_does_not_lock_the_practice_out(
    client: Client, admin: User, practice_a: Practice, sent: dict[str, str]
) -> None:
    answer = client.post(page(practice_a), sent | {"member": str(admin.memberships.get().pk)}, follow=True)
    assert "another admin" in answer.content.decode()
    assert admin.memberships.get().role == "admin"


@pytest.mark.parametrize(
    "sent",
    [
        {"do": "role", "role": "owner"}, {"do": "role", "member": "x", "role": "staff"}, {"do": "nothing"}, {},
        {"do": "withdraw", "invitation": "x"},
    ],
    ids=str,
)  # fmt: skip
def test_nonsense_is_not_found(client: Client, practice_a: Practice, bob: User, sent: dict[str, str]) -> None:
    assert client.post(page(practice_a), {"member": str(bob.memberships.get().pk)} | sent).status_code == 404
    assert bob.memberships.get().role == "staff"


def test_people_of_another_practice_are_out_of_reach(client: Client, practice_a: Practice, charlie: User) -> None:
    row = charlie.memberships.get()
    theirs = Invitation(email="x@example.org", practice=row.practice)
    invitations.issue(theirs, by=charlie)
    for sent in (
        {"do": "remove", "member": str(row.pk)},
        {"do": "role", "member": str(row.pk), "role": "staff"},
        {"do": "withdraw", "invitation": str(theirs.pk)},
        {"do": "again", "invitation": str(theirs.pk)},
    ):
        assert client.post(page(practice_a), sent).status_code == 404
        assert client.post(page(row.practice), sent).status_code == 404
    assert charlie.memberships.get().role == row.role


def test_managing_members_asks_who_it_is(practice_a: Practice, admin: User, bob: User) -> None:
    with time_machine.travel(1_800_000_000, tick=False) as now:
        client = signed_in(admin)
        now.shift(601)
        for method in (client.get, client.post):
            answer = method(page(practice_a), {"do": "remove", "member": str(bob.memberships.get().pk)})
            assert answer.headers["Location"].startswith(reverse("account_reauthenticate"))
        assert bob.memberships.exists()
        confirm = client.post(answer.headers["Location"], {"password": "correct horse battery"})
        assert confirm.headers["Location"].startswith(page(practice_a))
        assert client.get(page(practice_a)).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/admin/emr/signingkey/add/", "/admin/emr/clientregistration/add/", "/admin/emr/user/{alice}/change/",
        "/admin/emr/identityprovider/add/",
    ],
)  # fmt: skip
def test_forms_of_keys_secrets_and_people_ask_who_it_is(alice: User, path: str) -> None:
    office = User.objects.create_superuser("office@example.org", "correct horse battery")
    path = path.format(alice=alice.pk)
    with time_machine.travel(1_800_000_000, tick=False) as now:
        client = signed_in(office)
        assert client.get(path).status_code == 200
        now.shift(601)
        for answer in (client.get(path), client.post(path, {"new_client_secret": "canary-posted-secret"})):
            assert answer.headers["Location"].startswith(reverse("account_reauthenticate"))
        assert "canary-posted-secret" not in str(dict(client.session))
        assert client.get("/admin/emr/pull/").status_code == 200  # looking is free
        assert client.post(reverse("admin:logout")).status_code in {200, 302}
