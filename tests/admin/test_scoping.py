"""What a practice's own admin, no superuser, meets in Django's admin: the practice's rows and no other."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django import forms
from django.contrib import admin
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import Permission
from django.db.models import Model
from django.test import Client

from emr import access
from emr.admin import scoping
from emr.admin.scoping import SCOPES
from emr.models import (
    AuditEvent,
    ClientRegistration,
    Connection,
    DoctorReport,
    FhirUser,
    IdentityProvider,
    Invitation,
    Letter,
    Membership,
    Practice,
    Resource,
    SigningKey,
    User,
)
from tests.admin.test_pages import url
from tests.admin.test_people import inline
from tests.conftest import member, signed_in
from tests.trust.rows import Rows

REGISTERED = list(admin.site._registry)
KEPT = [model for model in REGISTERED if SCOPES[model._meta.label].way]
HIDDEN = [model for model in REGISTERED if not SCOPES[model._meta.label].way]


def practice_admin(email: str, *practices: Practice) -> User:
    """A person with every permission Django's admin knows; what limits them must be the scope."""
    user = User.objects.create_user(email, "correct horse battery", full_name=email, is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    for practice in practices:
        Membership.objects.create(user=user, practice=practice, role=Membership.Role.ADMIN)
    return user


@pytest.fixture
def own(practice_a: Practice) -> Rows:
    return Rows(practice_a)


@pytest.fixture
def strange(practice_b: Practice) -> Rows:
    return Rows(practice_b)


@pytest.fixture
def anna(practice_a: Practice) -> User:
    return practice_admin("anna@example.org", practice_a)


@pytest.fixture
def client(anna: User) -> Client:
    return signed_in(anna)


@pytest.fixture
def both(practice_a: Practice, practice_b: Practice) -> User:
    """A member of either practice."""
    user = member("both@example.org", practice_a, Membership.Role.STAFF)
    Membership.objects.create(user=user, practice=practice_b, role=Membership.Role.CLINICIAN)
    return user


def row_of(rows: Rows, model: type[Model]) -> Model:
    if model is User:
        return member(f"{rows.practice.code}@example.org".lower(), rows.practice, Membership.Role.STAFF)
    row: Model = rows.of(model)
    if model is ClientRegistration:
        rows.of(Connection)
    return row


# --- the table ---------------------------------------------------------------------------------------------


def undeclared() -> set[str]:
    inlines = {each.model for model_admin in admin.site._registry.values() for each in model_admin.inlines}
    return {model._meta.label for model in {*REGISTERED, *inlines}} - SCOPES.keys()


def test_every_model_of_the_admin_declares_its_scope_with_a_reason() -> None:
    assert undeclared() == set()
    assert all(scope.why for scope in SCOPES.values())


def test_a_model_that_declares_none_is_noticed_and_hidden(
    monkeypatch: pytest.MonkeyPatch, client: Client, own: Rows
) -> None:
    monkeypatch.delitem(SCOPES, "emr.Pull")
    assert undeclared() == {"emr.Pull"}
    assert client.get("/admin/emr/pull/").status_code == 403


def test_every_admin_and_inline_is_scoped(client: Client) -> None:
    request = client.get("/admin/").wsgi_request
    for model_admin in admin.site._registry.values():
        assert isinstance(model_admin, scoping.Scoped)
        assert all(issubclass(each, scoping.ScopedInline) for each in model_admin.get_inlines(request, None))


# --- lists and pages ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", KEPT, ids=lambda model: model.__name__)
def test_lists_and_pages_are_of_ones_own_practice(model: type[Model], client: Client, own: Rows, strange: Rows) -> None:
    mine, theirs = row_of(own, model), row_of(strange, model)
    listed = client.get(url(model, "changelist"))
    keys = {row.pk for row in listed.context["cl"].queryset}
    assert mine.pk in keys
    assert theirs.pk not in keys
    assert str(theirs.pk) not in listed.content.decode()
    assert client.get(url(model, "change", mine.pk)).status_code == 200
    for page in ("change", "history", "delete"):
        answer = client.get(url(model, page, theirs.pk))
        # As for a row that does not exist; 403 where nobody of a practice deletes or looks back.
        assert (answer.status_code, answer.headers.get("Location")) in {(302, "/admin/"), (403, None)}, page
    assert client.get(url(model, "change", theirs.pk)).status_code == 302


@pytest.mark.parametrize("model", HIDDEN, ids=lambda model: model.__name__)
def test_what_is_not_a_practices_is_hidden(model: type[Model], client: Client, own: Rows) -> None:
    assert client.get(url(model, "changelist")).status_code == 403
    assert client.get(url(model, "add")).status_code == 403
    assert f'href="{url(model, "changelist")}"' not in client.get("/admin/").content.decode()


ONLY_READ = [model for model in KEPT if SCOPES[model._meta.label].may == {scoping.VIEW}]


@pytest.mark.parametrize("model", ONLY_READ, ids=lambda model: model.__name__)
def test_what_is_only_read_is_not_written(model: type[Model], client: Client, own: Rows) -> None:
    row = row_of(own, model)
    assert client.get(url(model, "add")).status_code == 403
    assert client.post(url(model, "change", row.pk), {"name": "another"}).status_code == 403
    assert client.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    assert model._base_manager.filter(pk=row.pk).exists()


def test_the_practices_are_read_anew_for_each_request(client: Client, anna: User, own: Rows) -> None:
    row = row_of(own, Connection)
    assert client.get(url(Connection, "change", row.pk)).status_code == 200
    anna.memberships.update(role=Membership.Role.CLINICIAN)  # by update: her session goes on
    assert client.get(url(Connection, "change", row.pk)).headers["Location"] == "/admin/"
    assert not client.get(url(Connection, "changelist")).context["cl"].queryset.exists()


def test_an_admin_of_two_practices_sees_both(own: Rows, strange: Rows) -> None:
    client = signed_in(practice_admin("ada@example.org", own.practice, strange.practice))
    keys = {row_of(rows, Connection).pk for rows in (own, strange)}
    assert {row.pk for row in client.get(url(Connection, "changelist")).context["cl"].queryset} == keys


def test_other_roles_administer_nothing_there(own: Rows) -> None:
    officer = practice_admin("ola@example.org", own.practice)
    officer.memberships.update(role=Membership.Role.PRIVACY_OFFICER)
    row_of(own, Connection)
    assert not signed_in(officer).get(url(Connection, "changelist")).context["cl"].queryset.exists()


def test_a_superuser_sees_connections_of_all_practices(office: Client, own: Rows, strange: Rows) -> None:
    keys = {row_of(rows, Connection).pk for rows in (own, strange)}
    assert {row.pk for row in office.get(url(Connection, "changelist")).context["cl"].queryset} == keys


# --- forms and what they offer ------------------------------------------------------------------------------


def choices(answer: Any) -> Iterator[tuple[str, forms.ModelChoiceField]]:
    """Every list to choose from of a page, its inlines' too."""
    shown = [answer.context["adminform"].form]
    shown += [formset.formset.empty_form for formset in answer.context["inline_admin_formsets"]]
    for form in shown:
        for name, field in form.fields.items():
            if isinstance(field, forms.ModelChoiceField) and not field.widget.is_hidden:
                yield f"{type(form).__name__}.{name}", field


def test_forms_offer_rows_of_ones_own(client: Client, anna: User, own: Rows, strange: Rows) -> None:
    asked = 0
    for model in KEPT:
        row_of(strange, model)
        pages = [url(model, "change", row_of(own, model).pk), url(model, "add")]
        for answer in (client.get(page) for page in pages):
            for name, field in choices(answer) if answer.status_code == 200 else ():
                asked += 1
                offered = field.queryset
                assert offered is not None
                reached = scoping.own(offered.model._base_manager.all(), answer.wsgi_request)
                assert set(offered) <= set(reached), name
    assert asked >= 6


def invited(rows: Rows) -> dict[str, object]:
    return {"email": "new@example.org", "practice": rows.practice.pk, "role": "staff"}


def vouched(rows: Rows) -> dict[str, object]:
    told = {"issuer": "https://idp.example.org", "client_id": "app", "email_domains": "example.org"}
    return told | {"practice": rows.practice.pk, "identities-TOTAL_FORMS": 0, "identities-INITIAL_FORMS": 0}


def launching(rows: Rows) -> dict[str, object]:
    app = rows.insert(ClientRegistration, {"app_type": ClientRegistration.AppType.PROVIDER})
    link = rows.insert(Connection, {"registration_id": app.pk})
    return {"connection": link.pk, "fhir_user": "Practitioner/1", "user": row_of(rows, User).pk}


ADDED: list[tuple[str, type[Model], Callable[[Rows], dict[str, object]]]] = [
    ("an invitation", Invitation, invited),
    ("an identity provider", IdentityProvider, vouched),
    ("who launches as whom", FhirUser, launching),
]


@pytest.mark.parametrize(("model", "form"), [row[1:] for row in ADDED], ids=[row[0] for row in ADDED])
def test_nothing_is_added_to_another_practice(
    model: type[Model], form: Callable[[Rows], dict[str, object]], client: Client, own: Rows, strange: Rows
) -> None:
    refused = client.post(url(model, "add"), form(strange))
    assert refused.status_code == 200
    assert refused.context["adminform"].form.errors
    assert strange.practice.name not in str(refused.context["adminform"].form.errors)
    assert not model._base_manager.exists()
    assert client.post(url(model, "add"), form(own)).status_code == 302
    assert model._base_manager.count() == 1


@pytest.mark.parametrize("model", [Practice, User, Connection, ClientRegistration, SigningKey, Letter])
def test_what_the_operator_founds_is_not_added(model: type[Model], client: Client) -> None:
    assert client.get(url(model, "add")).status_code == 403
    assert client.post(url(model, "add"), {"name": "New", "code": "NNNNNN"}).status_code == 403


def test_a_launch_signs_in_as_nobody_who_works_elsewhere_too(
    client: Client, own: Rows, strange: Rows, both: User, superuser: User
) -> None:
    Membership.objects.create(user=superuser, practice=own.practice)
    form = launching(own)
    for person in (both, superuser, row_of(strange, User)):
        answer = client.post(url(FhirUser, "add"), form | {"user": person.pk})
        assert list(answer.context["adminform"].form.errors) == ["user"]
    assert not FhirUser.objects.exists()


def test_a_practices_code_and_a_connections_address_are_the_operators(client: Client, own: Rows) -> None:
    practice, link = own.practice, row_of(own, Connection)
    assert isinstance(link, Connection)
    told = {"name": "Alder Headache Center", "code": "BBBBBB", "time_zone": "America/Chicago"}
    rows = membership_rows(client, url(Practice, "change", practice.pk))
    assert client.post(url(Practice, "change", practice.pk), told | rows).status_code == 302
    practice.refresh_from_db()
    assert (practice.name, practice.code) == ("Alder Headache Center", "AAAAAA")
    before = link.base_url
    posted = {"base_url": "https://elsewhere.example/AAAAAA", "group_id": "g-7", "patients_to_enrol": ""}
    assert client.post(url(Connection, "change", link.pk), posted).status_code == 302
    link.refresh_from_db()
    assert (link.base_url, link.group_id) == (before, "g-7")


def membership_rows(client: Client, page: str) -> dict[str, object]:
    """What the page's form of memberships would send back unchanged."""
    formset = client.get(page).context["inline_admin_formsets"][0].formset
    rows: list[dict[str, object]] = [
        {"id": row.pk, "user": row.user_id, "practice": row.practice_id, "role": row.role}
        for row in (form.instance for form in formset.initial_forms)
    ]
    return inline(*rows, initial=len(rows))


# --- people ------------------------------------------------------------------------------------------------


def test_somebody_elsewhere_is_no_choice_for_a_membership(client: Client, own: Rows, charlie: User) -> None:
    page = url(Practice, "change", own.practice.pk)
    rows = membership_rows(client, page)
    number = rows["memberships-INITIAL_FORMS"]
    joined = {f"memberships-{number}-user": charlie.pk, f"memberships-{number}-role": "admin"}
    told = {"name": own.practice.name, "time_zone": own.practice.time_zone}
    counted = {"memberships-TOTAL_FORMS": int(str(number)) + 1}
    answer = client.post(page, told | rows | joined | counted)
    assert answer.status_code == 200
    assert not charlie.memberships.filter(practice=own.practice).exists()


def test_a_person_of_two_practices_is_shown_with_ones_own_membership(
    client: Client, own: Rows, strange: Rows, both: User
) -> None:
    html = client.get(url(User, "change", both.pk)).content.decode()
    assert own.practice.name in html
    assert strange.practice.name not in html
    assert str(both.memberships.get(practice=strange.practice).pk) not in html


def test_a_person_of_two_practices_keeps_name_and_the_other_membership(
    client: Client, own: Rows, strange: Rows, both: User
) -> None:
    here, there = (both.memberships.get(practice=rows.practice) for rows in (own, strange))
    page = url(User, "change", both.pk)
    changed = {"id": here.pk, "user": both.pk, "practice": own.practice.pk, "role": "privacy-officer"}
    assert client.post(page, {"full_name": "Renamed"} | inline(changed, initial=1)).status_code == 302
    both.refresh_from_db()
    assert both.full_name == "Both"
    assert both.memberships.get(practice=own.practice).role == "privacy-officer"
    forged = {"id": there.pk, "user": both.pk, "practice": strange.practice.pk, "role": "staff", "DELETE": "on"}
    client.post(page, inline(forged, initial=1))
    there.refresh_from_db()
    assert there.role == "clinician"


FLAGS = {"is_active": "", "is_staff": "on", "is_superuser": "on", "groups": "1", "user_permissions": "1"}


@pytest.mark.parametrize("who", ["herself", "a member"])
def test_nobody_is_given_flags_or_permissions(who: str, client: Client, anna: User, bob: User) -> None:
    user = anna if who == "herself" else bob
    before = (user.is_active, user.is_staff, user.is_superuser, user.user_permissions.count(), user.groups.count())
    page = url(User, "change", user.pk)
    rows = membership_rows(client, page)
    assert client.post(page, {"full_name": "Renamed"} | FLAGS | rows).status_code == 302
    user = User.objects.get(pk=user.pk)
    assert user.full_name == "Renamed"
    after = (user.is_active, user.is_staff, user.is_superuser, user.user_permissions.count(), user.groups.count())
    assert after == before


@pytest.mark.parametrize("model", [User, Practice], ids=["the person's page", "the practice's page"])
@pytest.mark.parametrize("wanted", [{"role": "clinician"}, {"DELETE": "on"}], ids=["another role", "removed"])
def test_an_admins_own_role_is_for_another_to_change(
    model: type[Model], wanted: dict[str, str], client: Client, anna: User, own: Rows
) -> None:
    """It would open charts without breaking the glass, or leave the practice without an admin."""
    page = url(model, "change", anna.pk if model is User else own.practice.pk)
    mine = anna.memberships.get()
    row = {"id": mine.pk, "user": anna.pk, "practice": own.practice.pk, "role": "admin"} | wanted
    shown = {"name": own.practice.name, "time_zone": own.practice.time_zone, "full_name": "Anna"}
    answer = client.post(page, shown | inline(row, initial=1))
    assert answer.status_code == 200
    assert "Your own role is for another admin to change." in answer.content.decode()
    assert anna.memberships.get().role == "admin"
    same = client.post(page, shown | inline(row | {"role": "admin", "DELETE": ""}, initial=1))
    assert same.status_code == 302


def test_a_changed_name_is_in_the_trail_of_the_persons_practices(client: Client, bob: User) -> None:
    """The trail knows people by it."""
    membership = bob.memberships.get()
    row = {"id": membership.pk, "user": bob.pk, "practice": membership.practice_id, "role": membership.role}
    client.post(url(User, "change", bob.pk), {"full_name": "Renamed"} | inline(row, initial=1))
    event = AuditEvent.objects.get(detail="User changed: full_name")
    assert (event.practice, event.object_id) == (membership.practice, bob.pk)


def test_a_second_factor_is_reset_for_ones_own_people_alone(
    client: Client, own: Rows, bob: User, both: User, charlie: User, superuser: User
) -> None:
    Membership.objects.create(user=superuser, practice=own.practice)
    before = {user.pk: user.session_generation for user in (bob, both, charlie, superuser)}
    chosen = {"action": "reset_second_factor", "_selected_action": list(before)}
    client.post(url(User, "changelist"), chosen)
    reset = [user.email for user in User.objects.filter(pk__in=before) if user.session_generation != before[user.pk]]
    assert reset == [bob.email]


# --- autocompletes, filters, query strings ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "column", "found"),
    [
        ("membership", "practice", ["Alder Headache Clinic (AAAAAA)"]),
        ("membership", "user", ["anna@example.org", "Bob"]),
        ("fhiruser", "connection", []),
    ],
)
def test_autocompletes_find_rows_of_ones_own(
    source: str, column: str, found: list[str], client: Client, own: Rows, strange: Rows, bob: User, charlie: User
) -> None:
    answer = client.get("/admin/autocomplete/", {"app_label": "emr", "model_name": source, "field_name": column})
    assert sorted(row["text"] for row in answer.json()["results"]) == sorted(found)
    strange_term = {"term": "charlie" if column == "user" else "BBBBBB"}
    asked = {"app_label": "emr", "model_name": source, "field_name": column} | strange_term
    assert client.get("/admin/autocomplete/", asked).json()["results"] == []


@pytest.mark.parametrize("column", ["directory_entry", "registration"])
def test_autocompletes_of_the_operators_rows(column: str, client: Client, own: Rows, strange: Rows) -> None:
    mine = own.connection.registration
    row_of(strange, Connection)
    asked = {"app_label": "emr", "model_name": "connection", "field_name": column}
    answer = client.get("/admin/autocomplete/", asked)
    if column == "directory_entry":
        assert answer.status_code == 403
    else:
        assert [row["id"] for row in answer.json()["results"]] == [str(mine.pk)]


FILTERED = [
    (model, name)
    for model in KEPT
    for name in admin.site._registry[model].list_filter
    if isinstance(name, str) and name.endswith("practice")
]


@pytest.mark.parametrize(("model", "name"), FILTERED, ids=[f"{model.__name__}.{name}" for model, name in FILTERED])
def test_filters_by_practice_offer_ones_own(
    model: type[Model], name: str, client: Client, own: Rows, strange: Rows, both: User
) -> None:
    for rows in (own, strange):
        row_of(rows, model)
    listed = client.get(url(model, "changelist"))
    assert strange.practice.name not in listed.content.decode()
    # With one practice there is nothing to choose, and asking for another's changes nothing: with two, it finds
    # nothing, not even those of one's own who are members there too.
    asked = {f"{name}__id__exact": str(strange.practice.pk)}
    same = client.get(url(model, "changelist"), asked).context["cl"].queryset
    assert set(same) == set(listed.context["cl"].queryset)
    third = Practice.objects.create(name="Cedar Clinic", code="CCCCCC")
    of_two = signed_in(practice_admin("ada@example.org", own.practice, third))
    listed = of_two.get(url(model, "changelist"))
    filters = next(spec for spec in listed.context["cl"].filter_specs if getattr(spec, "field_path", "") == name)
    assert {str(key) for key, _ in filters.lookup_choices} == {str(own.practice.pk), str(third.pk)}
    kept = of_two.get(url(model, "changelist"), {f"{name}__id__exact": str(own.practice.pk)})
    assert kept.context["cl"].queryset.exists()
    assert not of_two.get(url(model, "changelist"), asked).context["cl"].queryset.exists()


NOT_OFFERED = [
    ("the body of a record", "resource", "body__contains=Smith"),
    ("a patient's id at the EMR", "resource", "patient_fhir_id__startswith=a"),
    ("a patient's name", "patientinvitation", "family__startswith=S"),
    ("a password's hash", "user", "password__startswith=md5"),
    ("a secret", "clientregistration", "client_secret__contains=a"),
    ("an invitation's link", "invitation", "token_hash__startswith=0"),
    ("a filter's column by other means", "user", "memberships__practice__in=x"),
    ("a filter's row by another column", "pull", "practice__name__startswith=B"),
    ("who works elsewhere", "user", "memberships__role=admin"),
    ("a character that no text of PostgreSQL has", "bulkitem", "state=%00"),
    ("the same in a filter's own question", "bulkitem", "state__exact=%00"),
]


@pytest.mark.parametrize(("model", "query"), [row[1:] for row in NOT_OFFERED], ids=[row[0] for row in NOT_OFFERED])
@pytest.mark.parametrize("who", ["practice admin", "superuser"])
def test_lists_answer_no_question_the_page_does_not_offer(
    who: str, model: str, query: str, client: Client, office: Client
) -> None:
    asking = client if who == "practice admin" else office
    assert asking.get(f"/admin/emr/{model}/?{query}").status_code == 400


def test_links_and_dates_of_lists_still_work(client: Client, own: Rows) -> None:
    item, letter = row_of(own, next(m for m in KEPT if m.__name__ == "WorkItem")), row_of(own, Letter)
    assert isinstance(letter, Letter)
    linked = client.get("/admin/emr/workitem/", {"pull__id__exact": item.pull_id})  # type: ignore[attr-defined]
    assert linked.context["cl"].result_count == 1
    dated = client.get("/admin/emr/letter/", {"written_at__year": letter.written_at.year, "sent_at__isempty": "1"})
    assert dated.context["cl"].result_count == 1


# --- actions, deletes, history ------------------------------------------------------------------------------


def test_actions_reach_rows_of_ones_own(client: Client, own: Rows, strange: Rows) -> None:
    keys = [row_of(rows, Connection).pk for rows in (strange, own)]
    for action in ("check_now", "pull_now", "probe_anew"):
        client.post(url(Connection, "changelist"), {"action": action, "_selected_action": keys})
    assert {report.connection_id for report in DoctorReport.objects.all()} == {keys[1]}
    told = AuditEvent.objects.exclude(practice=None).exclude(action__in=["sign-in", "sign-in-refused"])
    assert {event.practice for event in told} == {own.practice}


def test_deletes_reach_rows_of_ones_own(client: Client, own: Rows, strange: Rows) -> None:
    mine, theirs, third = row_of(own, Invitation), row_of(strange, Invitation), own.insert(Invitation, {})
    chosen = {"action": "delete_selected", "_selected_action": [theirs.pk, third.pk], "post": "yes"}
    client.post(url(Invitation, "changelist"), chosen)
    assert client.post(url(Invitation, "delete", theirs.pk), {"post": "yes"}).headers["Location"] == "/admin/"
    assert client.post(url(Invitation, "delete", mine.pk), {"post": "yes"}).status_code == 302
    assert [row.pk for row in Invitation.objects.all()] == [theirs.pk]


def test_a_delete_page_names_no_row_of_another_practice(
    client: Client, strange: Rows, both: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing an admin of a practice may delete has such rows today; so here they may delete people."""
    allowed = scoping.Scope("memberships__practice", "for this test", frozenset({"view", "change", "delete"}), True)
    monkeypatch.setitem(SCOPES, "emr.User", allowed)
    user_admin = type(admin.site._registry[User])
    monkeypatch.setattr(user_admin, "has_delete_permission", lambda *_: True)
    page = client.get(url(User, "delete", both.pk))
    assert page.status_code == 200
    assert "Rows of others hang on it" in page.content.decode()
    assert strange.practice.name not in page.content.decode()
    client.post(url(User, "delete", both.pk), {"post": "yes"})
    assert User.objects.filter(pk=both.pk).exists()


def test_history_is_of_ones_own_rows(client: Client, own: Rows, strange: Rows, superuser: User, both: User) -> None:
    mine, theirs = row_of(own, Connection), row_of(strange, Connection)
    for row in (mine, theirs, both):
        LogEntry.objects.log_actions(superuser.pk, [row], CHANGE, f"changed at {strange.practice}", single_object=True)
    assert client.get(url(Connection, "history", mine.pk)).status_code == 200
    assert client.get(url(Connection, "history", theirs.pk)).headers["Location"] == "/admin/"
    # Its entries name the memberships that were changed, wherever.
    assert client.get(url(User, "history", both.pk)).status_code == 403


def test_recent_actions_name_rows_that_are_still_ones_own(client: Client, anna: User, own: Rows, strange: Rows) -> None:
    for rows in (own, strange):
        LogEntry.objects.log_actions(anna.pk, [rows.practice], CHANGE, "changed", single_object=True)
    html = client.get("/admin/").content.decode()
    assert own.practice.name in html
    assert strange.practice.name not in html


# --- pages of our own ---------------------------------------------------------------------------------------

OF_CONNECTIONS = ["test", "retry", "reconnect", "activated", "letter", "disconnect"]
OF_THE_OPERATOR = ["confirm", "confirm-host", "key"]


def test_buttons_of_another_practices_connection_are_not_there(client: Client, strange: Rows) -> None:
    link = row_of(strange, Connection)
    assert client.get(f"/admin/emr/connection/{link.pk}/checklist/").status_code == 404
    for button in [*OF_CONNECTIONS, *OF_THE_OPERATOR]:
        answer = client.post(f"/admin/emr/connection/{link.pk}/do/{button}/", {"kind": "activate"})
        assert answer.status_code == 404, button
    assert not DoctorReport.objects.exists()
    assert not Letter.objects.exists()


def test_buttons_of_ones_own_connection(client: Client, office: Client, own: Rows) -> None:
    link = row_of(own, Connection)
    assert client.get(f"/admin/emr/connection/{link.pk}/checklist/").status_code == 200
    for button in OF_CONNECTIONS:
        answer = client.post(f"/admin/emr/connection/{link.pk}/do/{button}/", {"kind": "activate"})
        assert answer.status_code == 302, button
    for button in OF_THE_OPERATOR:  # they change what other practices connect by
        assert client.post(f"/admin/emr/connection/{link.pk}/do/{button}/").status_code == 403, button
    assert not SigningKey.objects.exists()
    assert office.post(f"/admin/emr/connection/{link.pk}/do/key/").status_code == 302
    assert SigningKey.objects.exists()


@pytest.mark.parametrize("mark", ["sent", "asked-again", "answered"])
def test_letters_are_downloaded_and_followed_up_in_ones_own_practice(
    mark: str, client: Client, own: Rows, strange: Rows
) -> None:
    mine, theirs = row_of(own, Letter), row_of(strange, Letter)
    assert client.get(f"/admin/emr/letter/{mine.pk}/letter.eml").status_code == 200
    assert client.get(f"/admin/emr/letter/{theirs.pk}/letter.eml").status_code == 404
    assert client.post(f"/admin/emr/letter/{mine.pk}/do/{mark}/").status_code == 302
    before = Letter.objects.filter(pk=theirs.pk).values().get()
    assert client.post(f"/admin/emr/letter/{theirs.pk}/do/{mark}/").status_code == 404
    assert Letter.objects.filter(pk=theirs.pk).values().get() == before


def test_keys_and_their_calendar_are_the_operators(client: Client, office: Client) -> None:
    office.post(url(SigningKey, "add"), {"environment": "sandbox", "algorithm": "ES384", "rsa_bits": 3072})
    key = SigningKey.objects.get()
    assert client.get(f"/admin/emr/signingkey/{key.pk}/download/public.pem").status_code == 404
    assert client.get("/admin/emr/signingkey/calendar/").status_code == 403
    client.post(url(SigningKey, "changelist"), {"action": "retire", "_selected_action": [key.pk]})
    key.refresh_from_db()
    assert key.state == SigningKey.State.NEXT


def test_the_error_catalogue_is_everybodys(client: Client) -> None:
    assert client.get("/admin/emr/doctorreport/catalogue/").status_code == 200


def test_charts_stay_metadata(client: Client, practice_a: Practice) -> None:
    rows = Rows(practice_a, "Canaryname")
    row = row_of(rows, Resource)
    for page in (url(Resource, "changelist"), url(Resource, "change", row.pk)):
        html = client.get(page).content.decode()
        assert str(row.pk) in html
        assert not re.search("canaryname", html, re.IGNORECASE)


# --- the one place that decides -----------------------------------------------------------------------------


def test_only_the_practices_admin_administers() -> None:
    assert access.MAY[access.Act.ADMINISTER] == {Membership.Role.ADMIN}


def test_a_superuser_who_may_not_sign_in_administers_nothing(superuser: User, practice_a: Practice) -> None:
    request = signed_in(superuser).get("/admin/").wsgi_request
    assert access.administered(request) is None
    request.user.is_active = False
    assert access.administered(request) == []
