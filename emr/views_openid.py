"""Pages of signing in by a practice's own identity provider: the way there, and the way back."""

import logging
from uuid import UUID

from allauth.account.utils import perform_login
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from emr import audit
from emr.accounts import identity_providers, second_factor, sessions
from emr.models import IdentityProvider
from emr.wire.errors import WireError

log = logging.getLogger(__name__)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def start(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The practice's own sign-in page, given to its members; a POST leads to the provider."""
    provider = _provider(pk)
    if request.method != "POST":
        return render(request, "emr/openid.html", {"provider": provider})
    if request.user.is_authenticated:
        logout(request)
    try:
        return redirect(identity_providers.begin(request, provider))
    except WireError as error:
        return _refused(request, provider, error.code)


@never_cache
@require_GET
def callback(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Back from the provider: signs a member in, to this practice alone; our own second factor follows where due."""
    provider = _provider(pk)
    try:
        user, by_mfa = identity_providers.finish(request, provider)
    except identity_providers.NotSignedIn as why:
        return _refused(request, provider, str(why))
    except WireError as error:
        return _refused(request, provider, error.code)
    if request.user.is_authenticated:
        logout(request)  # nothing of another session may be carried into this one
    request.session[sessions.ONLY_PRACTICE] = str(provider.practice_id)
    if by_mfa:
        second_factor.prove(request, user, "identity provider")
    answer: HttpResponse = perform_login(request, user, email_verification="none")
    return answer


def _provider(pk: UUID) -> IdentityProvider:
    return get_object_or_404(IdentityProvider.objects.select_related("practice"), pk=pk, enabled=True)


def _refused(request: HttpRequest, provider: IdentityProvider, why: str) -> HttpResponse:
    audit.record(
        audit.Action.SIGN_IN_REFUSED,
        by=None,
        practice=provider.practice,
        object_id=provider.pk,
        detail=f"identity provider: {why}",
    )
    return render(request, "emr/openid.html", {"provider": provider, "why": why}, status=403)
