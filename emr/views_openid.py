"""Pages of signing in by a practice's own identity provider: the way there, and the way back."""

from uuid import UUID

from allauth.account.utils import perform_login
from django.contrib.auth import logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods

from emr import audit
from emr.accounts import address_codes, identity_providers, second_factor, sessions
from emr.accounts.identity_providers import Arrival, NotSignedIn
from emr.forms import AddressCode
from emr.models import IdentityProvider
from emr.wire.errors import WireError

_NO_WORD = "the provider's word could not be had, or could not be believed"


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def start(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The practice's own sign-in page, given to its members; a POST leads to the provider.

    By a page that leaves by itself and not by a redirect, which the CSP's form-action would stop.
    """
    provider = _provider(pk)
    if request.method != "POST":
        return render(request, "emr/openid.html", {"provider": provider})
    if request.user.is_authenticated:
        logout(request)
    try:
        address = identity_providers.begin(request, provider)
    except WireError as error:
        return _refused(request, provider, _NO_WORD, error.code)
    return render(request, "emr/openid_leaving.html", {"provider": provider, "address": address})


@never_cache
@require_GET
def callback(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Back from the provider: signs a member in, to this practice alone; our own second factor follows where due."""
    provider = _provider(pk)
    try:
        arrival = identity_providers.finish(request, provider)
        if arrival.unproven:
            address_codes.ask(request, provider, arrival)
            return redirect("emr:openid_prove", provider.pk)
    except NotSignedIn as why:
        return _refused(request, provider, str(why))
    except WireError as error:
        return _refused(request, provider, _NO_WORD, error.code)
    return _sign_in(request, provider, arrival)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def prove(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Asks for the code that was mailed, the first time somebody comes from a provider that vouches for no address."""
    provider = _provider(pk)
    form = AddressCode(request.POST or None)
    try:
        address = address_codes.address(request, provider)
        if request.method == "POST" and form.is_valid():
            return _sign_in(request, provider, address_codes.prove(request, provider, form.cleaned_data["code"]))
    except address_codes.WrongCode:
        _note_refused(provider, "wrong code from a mail")
        form.add_error("code", "This is not the code we mailed. Use the one from the newest mail.")
    except NotSignedIn as why:
        return _refused(request, provider, str(why))
    context = {"provider": provider, "form": form, "address": address}
    return render(request, "emr/openid_prove.html", context)


def _provider(pk: UUID) -> IdentityProvider:
    return get_object_or_404(IdentityProvider.objects.select_related("practice"), pk=pk, enabled=True)


def _sign_in(request: HttpRequest, provider: IdentityProvider, arrival: Arrival) -> HttpResponse:
    if request.user.is_authenticated:
        logout(request)  # nothing of another session may be carried into this one
    request.session[sessions.ONLY_PRACTICE] = str(provider.practice_id)
    if arrival.by_mfa:
        second_factor.prove(request, arrival.user, "identity provider")
    answer: HttpResponse = perform_login(request, arrival.user, email_verification="none")
    return answer


def _note_refused(provider: IdentityProvider, why: str) -> None:
    audit.record(
        audit.Action.SIGN_IN_REFUSED,
        by=None,
        practice=provider.practice,
        object_id=provider.pk,
        detail=f"identity provider: {why}",
    )


def _refused(request: HttpRequest, provider: IdentityProvider, why: str, code: str = "") -> HttpResponse:
    _note_refused(provider, code or why)
    return render(request, "emr/openid.html", {"provider": provider, "why": why, "code": code}, status=403)
