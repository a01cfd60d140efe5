"""Headers on every answer: every route, its methods, errors of every kind, the admin, redirects to https."""

from collections.abc import Callable

import pytest
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from django.test import Client, override_settings
from django.urls import path

from emr.models import User
from headachemd.headers import CONTENT_SECURITY_POLICY
from headachemd.urls import urlpatterns as real_patterns
from tests.conftest import signed_in
from tests.test_isolation import routes
from tests.trust.addresses import made_up

pytestmark = pytest.mark.django_db

WANTED = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}
SECRET_ADDRESSES = ("emr/callback", "emr/launch", "i/")
PUBLIC_CACHE = (".well-known/", "admin/jsi18n/")  # our public keys; words of the admin's own scripts


def check(answer: HttpResponse, where: str) -> None:
    for name, value in WANTED.items():
        # Addresses that hold a code or a token are told to nobody, our own pages included.
        values = {value, "no-referrer"} if name == "Referrer-Policy" and where.startswith(SECRET_ADDRESSES) else {value}
        assert answer.headers.get(name) in values, (where, name, answer.headers.get(name))
    if not where.startswith(PUBLIC_CACHE):
        assert "no-store" in answer.headers["Cache-Control"], where


def test_every_route_carries_the_headers(alice: User) -> None:
    root = User.objects.create_superuser("root@example.org", "correct horse battery")
    clients = [Client(), signed_in(alice), signed_in(root)]
    asked = 0
    for route, _ in routes():
        for client in clients:
            client.raise_request_exception = False
            for method in ("get", "post"):
                check(getattr(client, method)(made_up(route)), route)
                asked += 1
    assert asked > 400


def test_csp_allows_nothing_inline() -> None:
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert CONTENT_SECURITY_POLICY.startswith("default-src 'none'")


def boom(request: HttpRequest) -> HttpResponse:
    raise OperationalError("Key (family)=(Zyxwcanary) already exists")


urlpatterns = [*real_patterns, path("boom/", boom)]


def _crash(client: Client) -> HttpResponse:
    client.raise_request_exception = False
    return client.get("/boom/")


ERRORS: dict[str, tuple[int, Callable[[Client], HttpResponse]]] = {
    "400 of a foreign host": (400, lambda client: client.get("/", headers={"host": "evil.example"})),
    "403 without a CSRF token": (403, lambda client: Client(enforce_csrf_checks=True).post("/accounts/login/")),
    "404": (404, lambda client: client.get("/no-such-page/")),
    "405": (405, lambda client: client.post("/.well-known/jwks.json")),
    "500": (500, _crash),
}


@override_settings(ROOT_URLCONF="tests.trust.test_headers")
@pytest.mark.parametrize(("status", "ask"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_carry_the_headers_and_no_detail(status: int, ask: Callable[[Client], HttpResponse]) -> None:
    answer = ask(Client())
    assert answer.status_code == status
    check(answer, "error")
    assert b"Zyxwcanary" not in answer.content


def test_redirect_to_https_carries_the_headers() -> None:
    with override_settings(SECURE_SSL_REDIRECT=True):
        answer = Client().get("/healthz")
    assert answer.status_code == 301
    assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
