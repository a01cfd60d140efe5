"""Signing in and out: two steps, audited, one door for the admin too, with rate limits that all processes share."""

import base64
import os
import subprocess
import sys
from pathlib import Path

import pytest
import time_machine
from cryptography.fernet import Fernet
from django.core.cache import caches
from django.db import connection
from django.test import Client
from django.urls import reverse

from emr.models import AuditEvent, Practice, User
from tests.accounts.doors import PASSWORD, SECRET, code, enrolled, give_code, give_password, through_both
from tests.conftest import signed_in, with_password_only


def actions(user: User) -> list[tuple[str, str]]:
    return list(AuditEvent.objects.filter(object_id=user.pk).order_by("at").values_list("action", "detail"))


@pytest.mark.parametrize(
    ("at", "digits"),
    [(59, "94287082"), (1111111109, "07081804"), (1234567890, "89005924"), (20000000000, "65353130")],
    ids=["RFC 6238 B, 1", "B, 2", "B, 4", "B, 6"],
)
def test_codes_are_those_of_the_rfc(at: int, digits: str) -> None:
    assert code(base64.b32encode(b"12345678901234567890").decode(), at) == digits[-6:]


def test_password_then_code_signs_in_and_both_ends_are_audited(alice: User, practice_a: Practice) -> None:
    client = Client()
    first = give_password(client, enrolled(alice).email)
    assert first.headers["Location"] == reverse("mfa_authenticate")
    assert "_auth_user_id" not in client.session
    assert give_code(client, code()).headers["Location"] == "/"
    assert client.get("/", follow=True).status_code == 200
    client.post(reverse("account_logout"))
    assert actions(alice) == [("sign-in", ""), ("sign-out", "")]
    assert set(AuditEvent.objects.values_list("practice", flat=True)) == {practice_a.pk}


def test_a_code_signs_in_once(alice: User) -> None:
    enrolled(alice)
    with time_machine.travel(1_800_000_010, tick=False) as now:
        shown = code(SECRET, 1_800_000_010)
        through_both(alice)
        for later in (0, 19, 31, 49):  # past its own half minute it would still be right
            now.move_to(1_800_000_010 + later)
            second = Client()
            give_password(second)
            assert give_code(second, f"{shown[:3]} {shown[3:]}").status_code == 200, later
            assert "_auth_user_id" not in second.session
        now.move_to(1_800_000_070)
        assert give_code(second, code()).status_code == 302


def test_a_wrong_code_is_refused_and_audited(alice: User) -> None:
    client = Client()
    give_password(client, enrolled(alice).email)
    assert give_code(client, "000000").status_code == 200
    assert "_auth_user_id" not in client.session
    assert actions(alice) == [("sign-in-refused", "wrong code")]


def test_codes_are_not_guessed(alice: User) -> None:
    client = Client()
    give_password(client, enrolled(alice).email)
    for number in range(5):
        give_code(client, f"00000{number}")
    assert give_code(client, code()).status_code == 200  # the right one, too late
    assert "_auth_user_id" not in client.session


def test_a_wrong_password_is_audited_without_what_was_typed(alice: User, practice_a: Practice) -> None:
    assert give_password(Client(), password="wrong password").status_code == 200
    assert give_password(Client(), email="typed-in-the-wrong-field", password="x").status_code == 200
    assert give_password(Client(), email="nobody@example.org", password="x").status_code == 200
    rows = list(AuditEvent.objects.order_by("at").values_list("action", "user", "practice", "object_id", "detail"))
    assert rows == [
        ("sign-in-refused", None, practice_a.pk, alice.pk, "wrong password"),
        ("sign-in-refused", None, None, None, "wrong password, no such account"),
    ]


def test_sign_out_of_nobody_leaves_no_event(db: None) -> None:
    Client().post(reverse("account_logout"))
    assert not AuditEvent.objects.exists()


# --- rate limits -------------------------------------------------------------------------------------------


def test_sixth_wrong_password_is_refused(alice: User) -> None:
    enrolled(alice)
    assert [give_password(Client(), password=f"wrong {number}").status_code for number in range(5)] == [200] * 5
    assert give_password(Client()).status_code != 302  # the right one, too late


def test_the_limit_of_an_account_holds_whatever_address_asks(alice: User) -> None:
    for number in range(5):
        client = Client(headers={"X-Forwarded-For": f"198.51.100.{number}"}, REMOTE_ADDR=f"203.0.113.{number}")
        give_password(client, password="wrong")
    assert give_password(Client(REMOTE_ADDR="203.0.113.99")).status_code == 200


def test_the_limit_of_an_address_is_not_reset_by_a_header_it_sends(alice: User) -> None:
    for number in range(10):
        client = Client(headers={"X-Forwarded-For": f"198.51.100.{number}"})
        give_password(client, email=f"person{number}@example.org", password="wrong")
    enrolled(alice)
    assert give_password(Client(headers={"X-Forwarded-For": "198.51.100.77"})).status_code == 200
    assert give_password(Client(REMOTE_ADDR="203.0.113.1")).status_code == 302


def test_limits_lie_in_the_cache_all_processes_share(alice: User) -> None:
    before = set(_cache_keys())  # rows that ran out lie there until they are in the way
    for number in range(3):
        give_password(Client(), password=f"wrong {number}")
    other = caches.create_connection("default")  # as another process has it
    keys = [key for key in set(_cache_keys()) - before if "login_failed" in key]
    assert keys
    assert all(other.get(key) for key in keys)


def _cache_keys() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT cache_key FROM cache")
        return [row[0].split(":", 2)[2] for row in cursor.fetchall()]


_GUESS = """
import django, sys
django.setup()
from django.core.management import call_command
from django.test import Client
from django.conf import settings
settings.ALLOWED_HOSTS = ["testserver"]
if sys.argv[1] == "prepare":
    call_command("migrate", verbosity=0)
    call_command("createcachetable", verbosity=0)
    from emr.models import User
    User.objects.create_user("alice@example.org", "correct horse battery")
else:
    for guess in sys.argv[2:]:
        answer = Client().post("/accounts/login/", {"login": "alice@example.org", "password": guess})
        print(answer.status_code)
"""


def test_two_processes_count_together(tmp_path: Path) -> None:
    env = os.environ | {
        "DJANGO_SETTINGS_MODULE": "headachemd.settings", "HEADACHEMD_MODE": "embedded", "PUBLIC_URL": "http://testserver",
        "SECRET_KEY": "k" * 60, "FIELD_KEYS": Fernet.generate_key().decode(), "VAR_DIR": str(tmp_path), "REDIS_URL": "",
        "DATABASE_URL": f"sqlite:///{tmp_path}/two.sqlite3", "LOG_LEVEL": "ERROR",
    }  # fmt: skip

    def run(*arguments: str) -> list[str]:
        command = [sys.executable, "-c", _GUESS, *arguments]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    run("prepare")
    assert run("guess", "wrong 1", "wrong 2", "wrong 3") == ["200"] * 3
    assert run("guess", "wrong 4", "wrong 5", PASSWORD) == ["200"] * 3  # the right one would be 302
    assert run("guess", PASSWORD) == ["200"]


# --- the admin's door --------------------------------------------------------------------------------------


def test_admin_login_is_the_page_with_rate_limits(db: None) -> None:
    response = Client().get(reverse("admin:index"), follow=True)
    assert response.redirect_chain[-1][0].startswith(reverse("account_login"))
    assert reverse("admin:index").strip("/") in response.redirect_chain[-1][0]


def test_admin_login_takes_no_password_itself(db: None) -> None:
    User.objects.create_superuser("office@example.org", PASSWORD)
    client = Client()
    client.post(reverse("admin:login"), {"username": "office@example.org", "password": PASSWORD})
    assert "_auth_user_id" not in client.session


def test_admin_login_leads_through_the_code_back_to_the_admin(db: None) -> None:
    office = enrolled(User.objects.create_superuser("office@example.org", PASSWORD))
    client = Client()
    page = client.get(reverse("admin:index"), follow=True)
    answer = client.post(page.redirect_chain[-1][0], {"login": office.email, "password": PASSWORD})
    assert answer.headers["Location"].startswith(reverse("mfa_authenticate"))
    assert client.get(reverse("admin:index")).status_code == 302
    answer = give_code(client, code())
    assert client.get(answer.headers["Location"], follow=True).request["PATH_INFO"] == reverse("admin:index")


def test_admin_is_closed_to_a_superuser_without_a_second_factor(db: None) -> None:
    office = User.objects.create_superuser("office@example.org", PASSWORD)
    answer = with_password_only(office).get(reverse("admin:index"))
    assert (answer.status_code, answer.headers["Location"]) == (302, reverse("mfa_index"))


def test_admin_refuses_a_member_who_is_not_staff(alice: User) -> None:
    assert signed_in(alice).get(reverse("admin:index"), follow=True).status_code == 403


def test_passwords_are_not_changed_in_the_admin(db: None) -> None:
    office = User.objects.create_superuser("office@example.org", PASSWORD)
    answer = signed_in(office).get("/admin/password_change/")
    assert answer.headers["Location"] == reverse("account_change_password")


def test_an_admin_without_a_practice_starts_in_the_admin(db: None) -> None:
    office = enrolled(User.objects.create_superuser("root@example.org", PASSWORD))
    client = Client()
    give_password(client, office.email)
    assert give_code(client, code()).headers["Location"] == "/admin/"
