"""What each role may do, as a table over the routes; break-glass; working in several practices."""

import uuid
from datetime import timedelta
from smtplib import SMTPException
from typing import Any

import pytest
import time_machine
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from emr import access
from emr.access import MAY, Act
from emr.accounts import mails
from emr.models import AuditEvent, BreakGlass, Membership, Practice, User
from patients.models import Patient
from tests.accounts.doors import PASSWORD
from tests.conftest import member, signed_in
from tests.pages import charts
from tests.test_isolation import routes

Role = Membership.Role
ROLES = (Role.CLINICIAN, Role.STAFF, Role.PRIVACY_OFFICER, Role.ADMIN)

# act: clinician, staff, privacy officer, admin
TABLE = {
    Act.BELONG: "y y y y",
    Act.CHARTS: "y y - -",
    Act.ENTER: "y y - -",
    Act.EXPORT: "y y - -",
    Act.PULLS: "y y - y",
    Act.STEER: "y - - y",
    Act.ROSTER: "y y - y",
    Act.AUDIT: "- - y -",
    Act.MEMBERS: "- - - y",
    Act.BREAK_GLASS: "- - y y",
    Act.ADMINISTER: "- - - y",
}
# A route of each act: name, arguments by the practice's and patient's ids.
PAGES = {
    Act.BELONG: ("emr:practice", "practice"),
    Act.CHARTS: ("patients:history", "patient"),
    Act.ENTER: ("patients:assessment-new", "patient"),
    Act.EXPORT: ("patients:exports", "patient"),
    Act.PULLS: ("emr:pulls", "practice"),
    Act.ROSTER: ("emr:roster", "practice"),
    Act.AUDIT: ("emr:audit-trail", "practice"),
    Act.MEMBERS: ("emr:members", "practice"),
    Act.BREAK_GLASS: ("emr:break_glass", "practice"),
}


def allowed(act: Act, role: Role) -> bool:
    return TABLE[act].split()[ROLES.index(role)] == "y"


@pytest.fixture
def person(practice_a: Practice) -> Patient:
    return charts.patient(practice_a)


def address(act: Act, person: Patient) -> str:
    name, of = PAGES[act]
    return reverse(name, args=[person.pk if of == "patient" else person.practice_id])


@pytest.mark.parametrize("act", Act, ids=lambda act: act.name.lower())
def test_the_table_of_roles(act: Act) -> None:
    assert {role for role in ROLES if allowed(act, role)} == MAY[act]


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("act", PAGES, ids=lambda act: act.name.lower())
def test_pages_open_by_role(practice_a: Practice, person: Patient, act: Act, role: Role) -> None:
    answer = signed_in(member("who@example.org", practice_a, role)).get(address(act, person))
    assert answer.status_code == (200 if allowed(act, role) else 403)
    if answer.status_code == 403:
        assert "Not open to your role" in answer.content.decode()
        assert "GARCIA" not in answer.content.decode()


def test_every_staff_route_declares_its_act() -> None:
    acts = {route: pattern.callback.act for route, pattern in routes() if hasattr(pattern.callback, "members_only")}
    assert len(acts) > 30
    assert set(acts.values()) == set(Act) - {Act.ADMINISTER}  # that one is for the admin's own pages
    assert {act for route, act in acts.items() if route.startswith(("patients/", "sources/"))} <= {
        Act.CHARTS, Act.ENTER, Act.EXPORT, Act.AUDIT, Act.ROSTER,
    }  # fmt: skip


def test_a_refusal_looks_the_same_whether_or_not_the_patient_exists(practice_a: Practice, person: Patient) -> None:
    client = signed_in(member("who@example.org", practice_a, Role.ADMIN))
    there = client.get(reverse("patients:history", args=[person.pk]))
    nowhere = client.get(reverse("patients:history", args=[uuid.uuid4()]))
    assert (there.status_code, nowhere.status_code) == (403, 403)
    assert b"csrfmiddlewaretoken" in there.content
    assert len(there.content) == len(nowhere.content)


def test_a_role_of_one_practice_is_worth_nothing_in_another(practice_a: Practice, person: Patient) -> None:
    """An officer here and a clinician there: the act is allowed somewhere, the rows are not."""
    practice_b = Practice.objects.create(name="Birch Neurology", code="BBBBBB")
    both = member("both@example.org", practice_b, Role.CLINICIAN)
    Membership.objects.create(user=both, practice=practice_a, role=Role.PRIVACY_OFFICER)
    client = signed_in(both)
    for act in (Act.CHARTS, Act.ENTER, Act.EXPORT, Act.ROSTER):
        assert client.get(address(act, person)).status_code == 404, act
    assert client.get(reverse("emr:audit-trail", args=[practice_a.pk])).status_code == 200
    assert client.get(reverse("emr:audit-trail", args=[practice_b.pk])).status_code == 404
    assert [each.code for each in access.practices_of(both)] == ["BBBBBB"]


# --- break-glass -------------------------------------------------------------------------------------------


REASON = "Patient unconscious in the emergency room, clinicians unreachable"


@pytest.fixture
def officer(practice_a: Practice) -> User:
    return member("olga@example.org", practice_a, Role.PRIVACY_OFFICER)


@pytest.fixture
def admin(practice_a: Practice) -> User:
    return member("adam@example.org", practice_a, Role.ADMIN)


def break_it(client: Client, practice: Practice, reason: str = REASON) -> Any:
    return client.post(reverse("emr:break_glass", args=[practice.pk]), {"reason": reason})


def test_breaking_the_glass_opens_charts_to_read(
    practice_a: Practice, person: Patient, admin: User, officer: User, django_capture_on_commit_callbacks: Any
) -> None:
    client = signed_in(admin)
    listing, history = reverse("patients:list", args=[practice_a.pk]), address(Act.CHARTS, person)
    assert "breaking the glass" in client.get(listing).content.decode()
    with django_capture_on_commit_callbacks(execute=True):
        assert break_it(client, practice_a).headers["Location"] == listing
    page = client.get(history).content.decode()
    assert "Break-glass." in page
    assert "marked in the audit trail" in page
    for act in (Act.ENTER, Act.EXPORT):
        assert client.get(address(act, person)).status_code == 403
    told = AuditEvent.objects.get(action="read-history", user=admin)
    assert told.detail.startswith("BREAK-GLASS")
    opened = AuditEvent.objects.get(action="break-glass")
    assert (opened.user, opened.practice, opened.object_id) == (admin, practice_a, BreakGlass.objects.get().pk)
    (letter,) = mail.outbox
    assert letter.to == [officer.email]
    assert REASON not in letter.body + letter.subject
    assert "GARCIA" not in letter.body
    assert REASON in signed_in(officer).get(reverse("emr:practice", args=[practice_a.pk])).content.decode()


def test_it_closes_by_itself_and_by_hand(practice_a: Practice, person: Patient, admin: User) -> None:
    history = address(Act.CHARTS, person)
    with time_machine.travel(1_800_000_000, tick=False) as now:  # 03:00 in New York
        client = signed_in(admin)
        break_it(client, practice_a)
        assert ">03:30</time>" in client.get(history).content.decode()
        for minutes in (10, 10, 9):
            now.shift(timedelta(minutes=minutes))
            assert client.get(history).status_code == 200
        now.shift(timedelta(minutes=1))
        assert client.get(history).status_code == 403
        now.shift(timedelta(minutes=-20))
        again = signed_in(admin)
        break_it(again, practice_a)
        assert again.post(reverse("emr:break_glass_close", args=[practice_a.pk])).status_code == 302
        assert again.get(history).status_code == 403


@pytest.mark.parametrize("reason", ["", "   ", "x", "short reason"], ids=["none", "blanks", "a letter", "too short"])
def test_a_reason_is_needed(practice_a: Practice, person: Patient, admin: User, reason: str) -> None:
    client = signed_in(admin)
    assert break_it(client, practice_a, reason).status_code == 200
    assert not BreakGlass.objects.exists()
    assert client.get(address(Act.CHARTS, person)).status_code == 403


def test_strangers_break_nothing(practice_a: Practice, practice_b: Practice, person: Patient) -> None:
    root = User.objects.create_superuser("root@example.org", PASSWORD)
    for user in (member("bella@example.org", practice_b, Role.ADMIN), root):
        assert break_it(signed_in(user), practice_a).status_code == 404
        # Not even with a row made by mistake.
        BreakGlass.objects.create(
            user=user, practice=practice_a, reason=REASON, expires_at=timezone.now() + timedelta(minutes=5)
        )
        assert signed_in(user).get(address(Act.CHARTS, person)).status_code in {403, 404}
        assert not access.allows(user, practice_a, Act.CHARTS)


def test_clinicians_need_no_break_glass(alice: User, practice_a: Practice, person: Patient) -> None:
    assert break_it(signed_in(alice), practice_a).status_code == 403
    signed_in(alice).get(address(Act.CHARTS, person))
    assert AuditEvent.objects.get(action="read-history").detail == ""


def test_a_glass_is_of_one_person_in_one_practice(
    practice_a: Practice, practice_b: Practice, person: Patient, admin: User, officer: User
) -> None:
    Membership.objects.create(user=admin, practice=practice_b, role=Role.ADMIN)
    break_it(signed_in(admin), practice_a)
    assert signed_in(officer).get(address(Act.CHARTS, person)).status_code == 403
    assert signed_in(admin).get(reverse("patients:list", args=[practice_b.pk])).status_code == 404


def test_a_changed_role_closes_the_glass(practice_a: Practice, person: Patient, admin: User) -> None:
    break_it(signed_in(admin), practice_a)
    membership = admin.memberships.get()
    membership.delete()
    admin.refresh_from_db()
    assert signed_in(admin).get(address(Act.CHARTS, person)).status_code == 404


def test_breaking_asks_who_it_is(practice_a: Practice, admin: User) -> None:
    with time_machine.travel(1_800_000_000, tick=False) as now:
        client = signed_in(admin)
        now.shift(601)
        answer = break_it(client, practice_a)
        assert answer.headers["Location"].startswith(reverse("account_reauthenticate"))
        assert REASON not in str(dict(client.session))
        assert not BreakGlass.objects.exists()


def test_a_mail_server_that_is_down_does_not_close_charts(
    practice_a: Practice, admin: User, officer: User, monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    def down(*_: object, **__: object) -> None:
        raise SMTPException("server says: olga@example.org")

    monkeypatch.setattr(mails, "send_mail", down)
    with django_capture_on_commit_callbacks(execute=True):
        assert break_it(signed_in(admin), practice_a).status_code == 302


# --- several practices -------------------------------------------------------------------------------------


@pytest.fixture
def two(alice: User, practice_b: Practice) -> User:
    Membership.objects.create(user=alice, practice=practice_b, role=Role.PRIVACY_OFFICER)
    return alice


def test_one_chooses_and_switches_and_the_header_says_where_one_is(
    two: User, practice_a: Practice, practice_b: Practice, person: Patient
) -> None:
    client = signed_in(two)
    choice = client.get("/").content.decode()
    assert "Choose a practice" in choice
    switch = {practice: reverse("emr:switch", args=[practice.pk]) for practice in (practice_a, practice_b)}
    assert all(f'action="{url}"' in choice for url in switch.values())
    assert client.get(switch[practice_a]).status_code == 405  # never by a link
    client.post(switch[practice_a])
    page = client.get("/", follow=True)
    assert page.request["PATH_INFO"] == reverse("patients:list", args=[practice_a.pk])
    assert '<summary><span class="vh">Practice: </span>Alder Headache Clinic</summary>' in page.content.decode()
    assert "GARCIA" in page.content.decode()
    client.post(switch[practice_b])
    page = client.get("/", follow=True)
    assert page.request["PATH_INFO"] == reverse("emr:practice", args=[practice_b.pk])  # opens no charts there
    assert "as privacy officer" in page.content.decode()
    assert "GARCIA" not in page.content.decode()


def test_the_header_names_the_practice_of_the_page(two: User, practice_b: Practice, person: Patient) -> None:
    client = signed_in(two)
    client.post(reverse("emr:switch", args=[practice_b.pk]))
    page = client.get(address(Act.CHARTS, person)).content.decode()
    assert '<summary><span class="vh">Practice: </span>Alder Headache Clinic</summary>' in page


def test_one_cannot_switch_to_a_practice_of_others(alice: User, practice_b: Practice) -> None:
    assert signed_in(alice).post(reverse("emr:switch", args=[practice_b.pk])).status_code == 404


def test_a_choice_that_is_no_longer_ones_own_is_forgotten(two: User, practice_b: Practice) -> None:
    client = signed_in(two)
    client.post(reverse("emr:switch", args=[practice_b.pk]))
    Membership.objects.filter(practice=practice_b)._raw_delete("default")  # without the signal that ends sessions
    assert "Alder" in client.get("/", follow=True).content.decode()
