"""How long sessions live, what extends them, and what ends them all."""

import re
from typing import Any

import pytest
import time_machine
from django.conf import settings
from django.core import mail
from django.test import Client
from django.urls import reverse

from emr.accounts import sessions
from emr.models import AuditEvent, Membership, Practice, User
from tests.accounts.doors import PASSWORD, enrolled, through_both
from tests.conftest import signed_in

IDLE, LONGEST = 15 * 60, 12 * 3600
HTMX = {"HX-Request": "true"}


@pytest.fixture
def now() -> Any:
    with time_machine.travel(1_800_000_000, tick=False) as traveller:
        yield traveller


def is_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_limits_are_what_the_policy_says() -> None:
    assert settings.SESSION_IDLE_SECONDS == IDLE
    assert settings.SESSION_WARN_SECONDS == 120
    assert settings.SESSION_ABSOLUTE_SECONDS == settings.SESSION_COOKIE_AGE == LONGEST


# --- idle --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "headers", "extends"),
    [
        ("get", {}, True),
        ("post", {}, True),
        ("post", HTMX, True),
        ("get", HTMX, False),
        ("head", HTMX, False),
    ],
    ids=["opening a page", "sending a form", "searching as one types", "polling", "polling by HEAD"],
)
def test_what_people_do_extends_a_session_and_polling_does_not(
    now: Any, alice: User, practice_a: Practice, method: str, headers: dict[str, str], extends: bool
) -> None:
    client = signed_in(alice)
    page = reverse("patients:list", args=[practice_a.pk])
    now.shift(IDLE - 10)
    assert getattr(client, method)(page, headers=headers).status_code == 200
    now.shift(20)
    assert (client.get(page).status_code == 200) is extends


def test_an_idle_session_ends_before_its_page_is_made(now: Any, alice: User, practice_a: Practice) -> None:
    client = signed_in(alice)
    page = reverse("patients:list", args=[practice_a.pk])
    now.shift(IDLE)
    answer = client.get(page)
    assert answer.headers["Location"] == f"{reverse('account_login')}?next={page.replace('/', '%2F')}"
    assert not is_in(client)
    assert "after 15 minutes without activity" in client.get(reverse("account_login")).content.decode()
    assert not AuditEvent.objects.filter(action="list-patients").exists()
    assert AuditEvent.objects.get(action="sign-out").detail == "idle"


def test_a_poll_of_an_ended_session_leads_the_browser_away(now: Any, alice: User, practice_a: Practice) -> None:
    client = signed_in(alice)
    now.shift(IDLE)
    answer = client.get(reverse("patients:list", args=[practice_a.pk]), headers=HTMX)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["HX-Redirect"].startswith(reverse("account_login"))


def test_a_form_sent_too_late_changes_nothing(now: Any, alice: User, practice_a: Practice) -> None:
    client = signed_in(alice)
    now.shift(IDLE)
    answer = client.post(reverse("emr:switch", args=[practice_a.pk]))
    assert answer.headers["Location"] == reverse("account_login")


def test_asking_how_long_is_left_does_not_extend_and_the_button_does(now: Any, alice: User) -> None:
    client, ask = signed_in(alice), reverse("emr:session")
    assert client.get(ask).json() == {"left": IDLE}
    now.shift(IDLE - 60)
    assert client.get(ask).json() == {"left": 60}
    assert client.get(ask).json() == {"left": 60}
    assert client.post(ask).json() == {"left": IDLE}
    now.shift(IDLE)
    assert client.get(ask).json() == {"left": 0}
    assert not is_in(client)


def test_the_button_needs_the_csrf_token(alice: User) -> None:
    assert signed_in(alice, Client(enforce_csrf_checks=True)).post(reverse("emr:session")).status_code == 403


def test_a_stranger_is_told_nothing_about_sessions(db: None) -> None:
    assert Client().get(reverse("emr:session")).json() == {"left": 0}
    assert Client().post(reverse("emr:session")).json() == {"left": 0}


def test_activity_is_not_written_at_every_request(now: Any, alice: User) -> None:
    client = signed_in(alice)
    began = client.session[sessions.SEEN]
    now.shift(29)
    client.get("/")
    assert client.session[sessions.SEEN] == began
    now.shift(1)
    client.get("/")
    assert client.session[sessions.SEEN] == began + 30


def test_a_session_without_its_times_has_ended(alice: User) -> None:
    client = signed_in(alice)
    session = client.session
    del session[sessions.SEEN]
    session.save()
    assert client.get("/").headers["Location"].startswith(reverse("account_login"))


# --- absolute ----------------------------------------------------------------------------------------------


def test_twelve_hours_end_a_session_in_full_use(now: Any, alice: User) -> None:
    client = signed_in(alice)
    for _ in range(LONGEST // 600 - 1):
        now.shift(600)
        assert client.get("/", follow=True).status_code == 200
    now.shift(540)
    assert client.post(reverse("emr:session")).json() == {"left": 60}  # no button makes it longer
    now.shift(60)
    assert client.get("/").headers["Location"].startswith(reverse("account_login"))
    assert AuditEvent.objects.get(action="sign-out").detail == "longest time over"


def test_pages_tell_the_script_when_to_warn(alice: User) -> None:
    page = signed_in(alice).get("/", follow=True).content.decode()
    assert 'data-warn="120"' in page
    assert 'data-left="900"' in page
    assert "session.js" in page
    assert "data-session" not in Client().get(reverse("account_login")).content.decode()


# --- ending them all ---------------------------------------------------------------------------------------


def deactivate(user: User) -> None:
    user.is_active = False
    user.save()


def change_role(user: User) -> None:
    membership = user.memberships.get()
    membership.role = Membership.Role.STAFF
    membership.save()


def change_password(user: User) -> None:
    user.set_password("another horse battery")
    user.save()


ENDS = {
    "account closed": deactivate,
    "role changed": change_role,
    "membership removed": lambda user: user.memberships.all().delete(),
    "password changed": change_password,
}


@pytest.mark.parametrize("happening", ENDS.values(), ids=ENDS.keys())
def test_every_session_of_the_person_ends(alice: User, bob: User, happening: Any) -> None:
    theirs, other = [signed_in(alice) for _ in range(3)], signed_in(bob)
    happening(alice)
    for client in theirs:
        assert client.get("/").headers["Location"].startswith(reverse("account_login"))
    assert other.get("/", follow=True).status_code == 200


def test_ending_is_audited_with_who_did_it(practice_a: Practice, alice: User) -> None:
    office = User.objects.create_superuser("office@example.org", PASSWORD)
    alice.refresh_from_db()
    page = reverse("admin:emr_user_change", args=[alice.pk])
    membership = alice.memberships.get()
    sent = {
        "full_name": "Alice", "memberships-TOTAL_FORMS": 1, "memberships-INITIAL_FORMS": 1,
        "memberships-0-id": str(membership.pk), "memberships-0-user": str(alice.pk), "memberships-0-role": "clinician",
    }  # fmt: skip
    assert signed_in(office).post(page, sent).status_code == 302
    row = AuditEvent.objects.get(action="sessions")
    assert (row.user, row.practice, row.object_id, row.detail) == (office, practice_a, alice.pk, "account closed")


@pytest.mark.django_db(transaction=True)  # mails are sent after the commit
def test_own_password_change_keeps_this_session_alone(alice: User) -> None:
    enrolled(alice)
    here, elsewhere = signed_in(alice), signed_in(alice)
    sent = {"oldpassword": PASSWORD, "password1": "another horse battery", "password2": "another horse battery"}
    assert here.post(reverse("account_change_password"), sent).status_code == 302
    assert here.get("/", follow=True).status_code == 200
    assert elsewhere.get("/").headers["Location"].startswith(reverse("account_login"))
    assert AuditEvent.objects.filter(action="password", object_id=alice.pk).count() == 1
    assert "Alice" not in mail.outbox[0].subject


@pytest.mark.django_db(transaction=True)  # mails are sent after the commit
def test_password_set_by_mail_ends_every_session(alice: User) -> None:
    theirs = signed_in(alice)
    Client().post(reverse("account_reset_password"), {"email": alice.email})
    link = re.search(r"/accounts/password/reset/key/\S+", mail.outbox[0].body)
    assert link
    thief_free = Client()
    form = thief_free.get(link[0], follow=True)
    new = {"password1": "another horse battery", "password2": "another horse battery"}
    assert thief_free.post(form.redirect_chain[-1][0], new).status_code == 302
    assert not is_in(thief_free)  # a link in a mail is no second factor
    assert theirs.get("/").headers["Location"].startswith(reverse("account_login"))
    assert AuditEvent.objects.filter(action="password").count() == 1


# --- the list of sessions ----------------------------------------------------------------------------------


def test_sessions_are_listed_and_the_others_ended(alice: User) -> None:
    enrolled(alice)
    with time_machine.travel(1_800_000_000, tick=False) as now:
        elsewhere = through_both(alice, Client(headers={"User-Agent": "Front desk <b>"}))
        now.shift(60)
        here = through_both(alice, Client(headers={"User-Agent": "Room 2"}))
        page = here.get(reverse("usersessions_list")).content.decode()
        assert "Front desk &lt;b&gt;" in page
        assert page.count("this one") == 1
        here.post(reverse("usersessions_list"))
        assert here.get("/", follow=True).status_code == 200
        assert elsewhere.get("/").headers["Location"].startswith(reverse("account_login"))
    assert AuditEvent.objects.get(action="sessions").detail == "1 ended by their owner"


def test_sessions_of_others_are_not_listed(alice: User, bob: User) -> None:
    through_both(enrolled(bob), Client(headers={"User-Agent": "Bob's browser"}))
    assert "Bob" not in signed_in(alice).get(reverse("usersessions_list")).content.decode()
