from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any

from allauth.account.urls import urlpatterns as account_urls
from allauth.mfa.urls import urlpatterns as second_factor_urls
from allauth.usersessions.urls import urlpatterns as session_urls
from django.contrib import admin
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, include, path
from django.views.generic import RedirectView

from headachemd import health

# Of allauth's pages only these: addresses are given by invitation and changed by an admin, not by their owner.
ACCOUNT_PAGES = {
    "account_login",
    "account_logout",
    "account_signup",
    "account_inactive",
    "account_reauthenticate",
    "account_change_password",
    "account_reset_password",
    "account_reset_password_done",
    "account_reset_password_from_key",
    "account_reset_password_from_key_done",
}

View = Callable[..., HttpResponse]


def audited_together(patterns: Iterable[URLPattern | URLResolver]) -> Iterator[URLPattern | URLResolver]:
    """allauth's pages, each post in one transaction with its audit rows: what cannot be recorded is not done."""
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            inner = list(audited_together(pattern.url_patterns))
            yield URLResolver(pattern.pattern, inner, pattern.default_kwargs, pattern.app_name, pattern.namespace)
        else:
            yield URLPattern(pattern.pattern, _whole_posts(pattern.callback), pattern.default_args, pattern.name)


def _whole_posts(view: View) -> View:
    whole: View = transaction.atomic(view)

    @wraps(view)
    def answered(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return (whole if request.method == "POST" else view)(request, *args, **kwargs)

    return answered


urlpatterns = [
    path("healthz", health.alive, name="alive"),
    path("readyz", health.ready, name="ready"),
    # Django's own page would change a password past the audit and the rate limits.
    path("admin/password_change/", RedirectView.as_view(pattern_name="account_change_password")),
    path("admin/", admin.site.urls),
    path("accounts/", include([*audited_together(page for page in account_urls if page.name in ACCOUNT_PAGES)])),
    path("accounts/second-factor/", include([*audited_together(second_factor_urls)])),
    path("accounts/sessions/", include([*audited_together(session_urls)])),
    path("", include("emr.urls")),
    path("", include("patients.urls")),
]
