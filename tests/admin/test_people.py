"""Practices, memberships and users in the admin: what may change, who may change it, what the audit keeps."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission
from django.test import Client
from django.urls import reverse

from emr.admin import scoping
from emr.models import AuditEvent, Connection, Membership, Practice, User
from tests.conftest import member, signed_in

PRACTICE = {"name": "Cedar Clinic", "code": "CCCCCC", "time_zone": "America/Chicago"}


def inline(*members: dict[str, object], initial: int = 0) -> dict[str, object]:
    data: dict[str, object] = {"memberships-TOTAL_FORMS": len(members), "memberships-INITIAL_FORMS": initial}
    for number, row in enumerate(members):
        data |= {f"memberships-{number}-{name}": value for name, value in row.items()}
    return data


def told() -> list[tuple[str, str]]:
    """(action, detail) of every event but signing in, oldest first."""
    events = AuditEvent.objects.exclude(action=AuditEvent.Action.SIGN_IN).order_by("at")
    return list(events.values_list("action", "detail"))


def test_practice_added_with_a_member_is_audited(office: Client, charlie: User) -> None:
    data = PRACTICE | inline({"user": charlie.pk, "role": "staff"})
    assert office.post(reverse("admin:emr_practice_add"), data).status_code == 302
    practice = Practice.objects.get(code="CCCCCC")
    assert practice.memberships.get().user == charlie
    assert told() == [
        ("configuration", "Practice added: name, code, time_zone"),
        ("membership", "Membership added"),
    ]
    assert {event.practice for event in AuditEvent.objects.exclude(practice=None)} == {practice}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"code": "abcdef"}, "code"),
        ({"code": "ABCDE"}, "code"),
        ({"code": "ABCDEF\n7"}, "code"),
        ({"time_zone": "America/Nowhere"}, "time_zone"),
    ],
    ids=["small letters", "five letters", "a second line", "unknown time zone"],
)
def test_practice_form_refuses(change: dict[str, str], field: str, office: Client) -> None:
    response = office.post(reverse("admin:emr_practice_add"), PRACTICE | change | inline())
    assert field in response.context["adminform"].form.errors
    assert not Practice.objects.exists()
    assert told() == []


def test_practice_code_is_fixed_once_connected(office: Client, connection: Connection) -> None:
    practice = connection.practice
    data = PRACTICE | {"code": "ZZZZZZ"} | inline()
    office.post(reverse("admin:emr_practice_change", args=[practice.pk]), data)
    practice.refresh_from_db()
    assert (practice.name, practice.code) == ("Cedar Clinic", "AAAAAA")


def test_membership_role_changed_and_removed_is_audited(office: Client, alice: User, bob: User) -> None:
    alices, bobs = alice.memberships.get(), bob.memberships.get()
    practice = alices.practice
    shared = {"name": practice.name, "code": practice.code, "time_zone": practice.time_zone}
    rows = {
        membership.user_id: {"id": membership.pk, "practice": practice.pk, "role": membership.role}
        for membership in (alices, bobs)
    }
    rows[alice.pk]["role"] = "privacy-officer"
    rows[bob.pk]["DELETE"] = "on"
    address = reverse("admin:emr_practice_change", args=[practice.pk])
    formset = office.get(address).context["inline_admin_formsets"][0].formset
    ordered = [rows[form.instance.user_id] for form in formset.initial_forms]
    assert office.post(address, shared | inline(*ordered, initial=2)).status_code == 302
    alices.refresh_from_db()
    assert alices.role == "privacy-officer"
    assert not Membership.objects.filter(pk=bobs.pk).exists()
    events = AuditEvent.objects.filter(action="membership").order_by("detail")
    assert [(event.detail, event.object_id) for event in events] == [
        ("Membership changed: role", alices.pk),
        ("Membership deleted", bobs.pk),
    ]


def test_membership_cannot_be_moved_to_another_practice(office: Client, alice: User, practice_b: Practice) -> None:
    membership = alice.memberships.get()
    row = {"id": membership.pk, "user": alice.pk, "practice": practice_b.pk, "role": "staff"}
    data = {"email": alice.email, "full_name": "Alice", "is_active": "on"} | inline(row, initial=1)
    assert office.post(reverse("admin:emr_user_change", args=[alice.pk]), data).status_code == 302
    membership.refresh_from_db()
    assert membership.practice.code == "AAAAAA"
    assert membership.role == "staff"


def test_user_switched_off_is_signed_out_and_audited(office: Client, alice: User) -> None:
    hers = signed_in(alice)
    membership = alice.memberships.get()
    row = {"id": membership.pk, "user": alice.pk, "practice": membership.practice_id, "role": membership.role}
    data = {"full_name": "Alice"} | inline(row, initial=1)
    assert office.post(reverse("admin:emr_user_change", args=[alice.pk]), data).status_code == 302
    assert ("membership", "User changed: is_active") in told()
    assert hers.get(reverse("account_change_password")).status_code == 302


def test_user_is_not_made_in_the_admin(office: Client) -> None:
    assert office.get(reverse("admin:emr_user_add")).status_code == 403


def test_user_page_never_shows_or_takes_a_password(office: Client, alice: User) -> None:
    html = office.get(reverse("admin:emr_user_change", args=[alice.pk])).content.decode()
    assert alice.password not in html
    assert 'type="password"' not in html


def helper(practice: Practice, *codenames: str) -> Client:
    """A practice's own admin, with these permissions in Django's."""
    user = member("helper@example.org", practice, Membership.Role.ADMIN)
    User.objects.filter(pk=user.pk).update(is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return signed_in(user)


def test_staff_who_may_edit_users_cannot_make_themselves_superuser(practice_a: Practice) -> None:
    client = helper(practice_a, "change_user", "view_user")
    me = User.objects.get(email="helper@example.org")
    data = {"full_name": "Hal Helper", "is_active": "on", "is_staff": "on", "is_superuser": "on"} | inline()
    assert client.post(reverse("admin:emr_user_change", args=[me.pk]), data).status_code == 302
    me.refresh_from_db()
    assert me.full_name == "Hal Helper"
    assert not me.is_superuser


def test_staff_who_may_edit_users_cannot_switch_a_superuser_off(superuser: User, practice_a: Practice) -> None:
    Membership.objects.create(user=superuser, practice=practice_a)
    client = helper(practice_a, "change_user", "view_user")
    data = {"full_name": "", "is_active": ""} | inline()
    assert client.post(reverse("admin:emr_user_change", args=[superuser.pk]), data).status_code == 403
    superuser.refresh_from_db()
    assert superuser.is_active


def entering(office: Client, person: User, **flags: str) -> None:
    """Their page saved by a superuser, with these flags ticked and everything else as it was."""
    rows = [
        {"id": each.pk, "user": person.pk, "practice": each.practice_id, "role": each.role}
        for each in person.memberships.all()
    ]
    data = {"full_name": person.full_name, "is_active": "on"} | flags | inline(*rows, initial=len(rows))
    assert office.post(reverse("admin:emr_user_change", args=[person.pk]), data).status_code == 302


def standing(person: User) -> tuple[bool, set[str]]:
    person = User.objects.get(pk=person.pk)
    return person.is_staff, person.get_user_permissions()


def test_entering_the_admin_is_one_act(office: Client, practice_a: Practice, connection: Connection) -> None:
    person = member("ada@example.org", practice_a, Membership.Role.ADMIN)
    hers = signed_in(person)
    entering(office, person, is_staff="on")
    is_staff, permissions = standing(person)
    assert is_staff
    assert {"emr.change_connection", "emr.view_user", "emr.add_invitation", "patients.view_patient"} <= permissions
    assert not {"emr.add_connection", "emr.delete_user", "emr.view_signingkey", "emr.view_auditevent"} & permissions
    assert ("membership", "User changed: is_staff") in told()
    assert AuditEvent.objects.get(action="sessions").detail == "may enter the admin"
    assert AuditEvent.objects.get(action="sessions").practice == practice_a
    assert hers.get("/admin/").status_code == 302  # signed out
    hers = signed_in(User.objects.get(pk=person.pk))
    for model, scope in scoping.SCOPES.items():
        listed = hers.get(reverse(f"admin:{model.lower().replace('.', '_')}_changelist")) if shown(model) else None
        assert listed is None or listed.status_code == (200 if scope.may else 403), model
    assert hers.get(reverse("admin:emr_connection_change", args=[connection.pk])).status_code == 200
    entering(office, person)
    assert standing(person) == (False, set())
    assert hers.get("/admin/").status_code == 302
    assert AuditEvent.objects.filter(action="sessions", detail="may enter the admin no more").exists()


def shown(label: str) -> bool:
    return apps.get_model(label) in admin.site._registry


def test_another_change_ends_no_session_and_brings_the_permissions_up_to_date(office: Client, alice: User) -> None:
    entering(office, alice, is_staff="on")
    User.objects.get(pk=alice.pk).user_permissions.clear()
    hers = signed_in(User.objects.get(pk=alice.pk))
    entering(office, alice, is_staff="on", full_name="Alice B")
    assert "emr.change_connection" in standing(alice)[1]
    assert hers.get("/admin/").status_code == 200


def test_a_superuser_needs_no_permissions(office: Client, alice: User) -> None:
    entering(office, alice, is_staff="on", is_superuser="on")
    assert not User.objects.get(pk=alice.pk).user_permissions.exists()


def test_nothing_is_picked_by_hand(office: Client, alice: User) -> None:
    form = office.get(reverse("admin:emr_user_change", args=[alice.pk])).context["adminform"].form
    assert {"is_active", "is_staff", "is_superuser"} <= set(form.fields)
    assert not {"groups", "user_permissions"} & set(form.fields)
    assert not admin.site.is_registered(Group)


@pytest.mark.parametrize("model", ["user", "practice"])
def test_autocomplete_finds_people_and_practices(model: str, office: Client, alice: User) -> None:
    field = {"app_label": "emr", "model_name": "membership", "field_name": model}
    answer = office.get(reverse("admin:autocomplete"), field | {"term": "al"}).json()
    assert [row["text"] for row in answer["results"]] == [
        {"user": "Alice", "practice": "Alder Headache Clinic (AAAAAA)"}[model]
    ]
