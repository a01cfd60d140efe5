"""Signing in and out: audited, one door for the admin too, with rate limits."""

from django.test import Client
from django.urls import reverse

from emr.models import AuditEvent, User

PASSWORD = "correct horse battery"


def log_in(client: Client, email: str = "alice@example.org", password: str = PASSWORD) -> int:
    return client.post(reverse("account_login"), {"login": email, "password": password}).status_code


def test_sign_in_and_out_are_audited(alice: User) -> None:
    client = Client()
    assert log_in(client) == 302
    client.post(reverse("account_logout"))
    events = AuditEvent.objects.order_by("at").values_list("action", "user")
    assert list(events) == [("sign-in", alice.pk), ("sign-out", alice.pk)]


def test_sign_in_with_a_wrong_password_is_not_audited_as_one(alice: User) -> None:
    assert log_in(Client(), password="wrong password") == 200
    assert not AuditEvent.objects.exists()


def test_sign_out_of_nobody_leaves_no_event(db: None) -> None:
    Client().post(reverse("account_logout"))
    assert not AuditEvent.objects.exists()


def test_admin_login_is_the_page_with_rate_limits(db: None) -> None:
    response = Client().get(reverse("admin:index"), follow=True)
    assert response.redirect_chain[-1][0].startswith(reverse("account_login"))
    assert reverse("admin:index").strip("/") in response.redirect_chain[-1][0]


def test_admin_login_takes_no_password_itself(db: None) -> None:
    User.objects.create_superuser("office@example.org", PASSWORD)
    client = Client()
    client.post(reverse("admin:login"), {"username": "office@example.org", "password": PASSWORD})
    assert "_auth_user_id" not in client.session


def test_admin_login_leads_back_to_the_admin(db: None) -> None:
    User.objects.create_superuser("office@example.org", PASSWORD)
    client = Client()
    page = client.get(reverse("admin:index"), follow=True)
    answer = client.post(page.redirect_chain[-1][0], {"login": "office@example.org", "password": PASSWORD})
    assert answer.status_code == 302
    assert client.get(answer.headers["Location"], follow=True).request["PATH_INFO"] == reverse("admin:index")


def test_admin_refuses_a_member_who_is_not_staff(alice: User) -> None:
    client = Client()
    client.force_login(alice)
    assert client.get(reverse("admin:index"), follow=True).status_code == 403


def test_sign_in_sixth_wrong_password_is_refused(alice: User) -> None:
    statuses = [log_in(Client(), password=f"wrong password {number}") for number in range(5)]
    assert statuses == [200] * 5
    assert log_in(Client()) != 302  # the right one, too late
    assert not AuditEvent.objects.exists()


def test_an_admin_without_a_practice_starts_in_the_admin(client: Client, db: None) -> None:
    User.objects.create_superuser("root@example.org", "correct horse battery")
    answer = client.post("/accounts/login/", {"login": "root@example.org", "password": "correct horse battery"})
    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")
