"""The door for people: what allauth asks of us at sign-in, and confirming who sits there before sensitive acts."""

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial, wraps
from smtplib import SMTPException
from typing import Any
from urllib.parse import urlsplit

from allauth.account.authentication import get_authentication_records
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import resolve_url
from django.urls import reverse

from emr import access, audit
from emr.accounts import people_audit, sessions
from emr.accounts.invitations import InvitationOnly
from emr.models import User

log = logging.getLogger(__name__)

_ALLAUTHS_STAGE = "allauth.mfa.stages.AuthenticateStage"
_OUR_STAGE = "emr.accounts.second_factor.SecondFactorStage"


class StaffAccounts(InvitationOnly):
    """allauth's account adapter."""

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        refused(credentials.get("email") or "", "wrong password")

    def get_login_stages(self) -> list[str]:
        return [_OUR_STAGE if stage == _ALLAUTHS_STAGE else stage for stage in super().get_login_stages()]

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        return not confirmed_recently(self.request)

    def get_reset_password_from_key_url(self, key: str) -> str:
        """At our own address, whatever host the request named."""
        return settings.PUBLIC_URL + urlsplit(super().get_reset_password_from_key_url(key)).path

    def send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        """Sent once what it is about is committed: a mail server neither holds that up nor undoes it."""
        transaction.on_commit(partial(self._send_mail, template_prefix, email, context))

    def _send_mail(self, template_prefix: str, email: str, context: dict[str, Any]) -> None:
        try:
            super().send_mail(template_prefix, email, context | {"site": settings.PUBLIC_URL})
        except (OSError, SMTPException) as error:
            log.warning("a mail about an account was not sent: %s", type(error).__name__)


def refused(email: str, why: str) -> None:
    """One audit row of a sign-in that was refused. What was typed is not written down: it may be a password."""
    user = User.objects.filter(email__iexact=email).first() if email else None
    if user is not None:
        people_audit.record(audit.Action.SIGN_IN_REFUSED, user, by=None, detail=why)
    else:
        audit.record(audit.Action.SIGN_IN_REFUSED, by=None, detail=f"{why}, no such account")


def confirmed_recently(request: HttpRequest) -> bool:
    """Whether the person signed in or confirmed who they are within ACCOUNT_REAUTHENTICATION_TIMEOUT seconds."""
    if not isinstance(request.user, User):
        return False
    records = get_authentication_records(request, request.user)
    times = [record["at"] for record in records] + [request.session.get(sessions.BEGAN, 0)]
    return bool(time.time() - max(times) < settings.ACCOUNT_REAUTHENTICATION_TIMEOUT)


def ask_to_confirm(request: HttpRequest, back: str = "") -> HttpResponse | None:
    """None, or the way to the page that asks for password, code or passkey, and leads back (to this address if blank).

    What was posted is not kept meanwhile: it may hold secrets, and sessions lie in the database.
    """
    if confirmed_recently(request):
        return None
    back = back or request.get_full_path()
    if request.method == "POST":
        messages.info(request, "Nothing was done yet. Confirm that it is you, then do it once more.")
    methods = StaffAccounts(request).get_reauthentication_methods(request.user)
    if methods:
        return sessions.leave_for(request, methods[0]["url"], next=back)
    logout(request)  # signed in by an identity provider alone: it has to vouch anew
    messages.info(request, "Sign in again to go on.")
    return sessions.leave_for(request, resolve_url(settings.LOGIN_URL), next=back)


def confirmed(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """For views of sensitive acts, which answer GET as well as POST."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        return ask_to_confirm(request) or view(request, *args, **kwargs)

    return guarded


def guard_admin(admin_view: Callable[..., Any]) -> Callable[..., Any]:
    """Around AdminSite.admin_view: every change in the admin, and every form of a model that holds secrets or people,
    is for somebody who confirmed recently who they are; a change and its audit row are one transaction. What it refuses
    is audited."""

    def guarding(view: Callable[..., HttpResponse], *args: Any, **kwargs: Any) -> Any:
        inner = admin_view(view, *args, **kwargs)

        @wraps(inner)
        def guarded(request: HttpRequest, *view_args: Any, **view_kwargs: Any) -> HttpResponse:
            if _sensitive(request) and isinstance(request.user, User) and request.user.is_staff:
                asked = ask_to_confirm(request)
                if asked is not None:
                    return asked
            try:
                with transaction.atomic() if request.method == "POST" else nullcontext():
                    answer: HttpResponse = inner(request, *view_args, **view_kwargs)
            except (Http404, PermissionDenied, SuspiciousOperation) as refusal:
                _note_refused(request, refusal, view_kwargs.get("object_id", view_kwargs.get("pk")))
                raise
            return answer

        return guarded

    return guarding


def _note_refused(request: HttpRequest, refusal: Exception, object_id: object) -> None:
    """What a superuser asks for and does not find is not there; what no list answers is nobody's to ask."""
    if isinstance(refusal, SuspiciousOperation):
        access.note_refused(request, "asked what the page does not offer", object_id)
    elif not request.user.is_superuser:
        access.note_refused(request, object_id=object_id)


SENSITIVE_MODELS = (
    "user",
    "membership",
    "invitation",
    "practice",
    "identityprovider",
    "signingkey",
    "clientregistration",
    "fhiruser",
)


def _sensitive(request: HttpRequest) -> bool:
    name = request.resolver_match.url_name or "" if request.resolver_match else ""
    if request.path == reverse("admin:logout"):
        return False
    if name == "emr_signingkey_download":
        return True
    forms = tuple(f"emr_{model}_{form}" for model in SENSITIVE_MODELS for form in ("add", "change", "delete"))
    return request.method == "POST" or name in forms
