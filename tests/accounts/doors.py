"""Signing in as people do: password, then the code of an authenticator app."""

import base64
import re

from django.http import HttpResponse
from django.test import Client
from django.urls import reverse

from emr.accounts import second_factor
from emr.models import User
from headachemd.demo import totp

PASSWORD = "correct horse battery"
SECRET = base64.b32encode(b"a secret of the test").decode()


def code(secret: str = SECRET, at: float | None = None) -> str:
    return totp.code(secret, at)


def enrolled(user: User, secret: str = SECRET) -> User:
    second_factor.enrol_totp(user, secret)
    return user


def give_password(client: Client, email: str = "alice@example.org", password: str = PASSWORD) -> HttpResponse:
    return client.post(reverse("account_login"), {"login": email, "password": password})


def give_code(client: Client, value: str) -> HttpResponse:
    return client.post(reverse("mfa_authenticate"), {"code": value})


def shown_key(page: str) -> str:
    """The authenticator app's key on the page of enrolment, which shows it in pieces of four."""
    shown = re.search(r"<code>((?:<span>[A-Z2-7]{4}</span>){8})</code>", page)
    assert shown, page
    return re.sub(r"</?span>", "", shown[1])


def through_both(user: User, client: Client | None = None) -> Client:
    """A client that went through the real pages."""
    client = client or Client()
    give_password(client, user.email)
    assert give_code(client, code()).status_code == 302
    return client
