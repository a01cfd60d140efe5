from allauth.account.urls import urlpatterns as account_urls
from allauth.mfa.urls import urlpatterns as second_factor_urls
from django.contrib import admin
from django.urls import include, path
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

urlpatterns = [
    path("healthz", health.alive, name="alive"),
    path("readyz", health.ready, name="ready"),
    # Django's own page would change a password past the audit and the rate limits.
    path("admin/password_change/", RedirectView.as_view(pattern_name="account_change_password")),
    path("admin/", admin.site.urls),
    path("accounts/", include([page for page in account_urls if page.name in ACCOUNT_PAGES])),
    path("accounts/second-factor/", include(second_factor_urls)),
    path("accounts/sessions/", include("allauth.usersessions.urls")),
    path("", include("emr.urls")),
    path("", include("patients.urls")),
]
