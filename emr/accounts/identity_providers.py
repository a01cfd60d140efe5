"""Sign-in by a practice's own identity provider: for its existing members, to that practice alone.

A provider speaks for the addresses of its domains only, makes no accounts and opens no admin: whoever runs one
practice's provider must not become somebody elsewhere. People are known by issuer and subject after the first time.
"""

import hmac
import json
import time
from dataclasses import asdict

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse

from emr.fields import SecretUnreadable, seal, unseal
from emr.models import ExternalIdentity, IdentityProvider, User
from emr.wire import oidc

SESSION_KEY = "openid_attempt"
LIFE_SECONDS = 600


class NotSignedIn(Exception):
    """The provider's word does not sign anybody in. Its text is ours, fit for the audit and the page."""


def client_of(provider: IdentityProvider) -> oidc.Client:
    """Our side of it; a distinct callback for each provider (RFC 9700 section 4.4: mix-up)."""
    return oidc.Client(
        issuer=provider.issuer,
        client_id=provider.client_id,
        secret=provider.client_secret,
        redirect_uri=settings.PUBLIC_URL + reverse("emr:openid_callback", args=[provider.pk]),
        hosts=frozenset(provider.other_hosts.split()),
        insecure=settings.INSECURE_FHIR_HOSTS,
    )


def begin(request: HttpRequest, provider: IdentityProvider) -> str:
    """The provider's address for this browser; what must come back is kept sealed in its session. Raises WireError."""
    attempt = oidc.Attempt.new()
    url = oidc.address(client_of(provider), attempt)
    kept = json.dumps({"at": int(time.time()), **asdict(attempt)})
    request.session[SESSION_KEY] = str(seal(IdentityProvider, "attempt", provider.pk, kept))
    return url


def finish(request: HttpRequest, provider: IdentityProvider) -> tuple[User, bool]:
    """(who is signed in, whether the provider has asked for a second factor). Each attempt is good for one answer.

    Raises NotSignedIn, and WireError when the provider's answers cannot be had or believed.
    """
    attempt = _attempt(request.session.pop(SESSION_KEY, ""), provider)
    told = request.GET
    if attempt is None or not hmac.compare_digest(attempt.state.encode(), told.get("state", "").encode()):
        raise NotSignedIn("not asked for here, or too long ago")
    if "iss" in told and told["iss"] != provider.issuer:  # RFC 9207
        raise NotSignedIn("answered by another provider")
    if not told.get("code"):
        raise NotSignedIn("the provider did not sign you in")
    person = oidc.sign_in(client_of(provider), attempt, told["code"])
    return member(provider, person), provider.does_mfa and person.by_mfa


def _attempt(sealed: str, provider: IdentityProvider) -> oidc.Attempt | None:
    try:
        kept = json.loads(unseal(IdentityProvider, "attempt", provider.pk, sealed) or "{}")
    except SecretUnreadable:  # begun at another provider
        return None
    at = kept.pop("at", 0)
    return oidc.Attempt(**kept) if kept and time.time() - at <= LIFE_SECONDS else None


@transaction.atomic
def member(provider: IdentityProvider, person: oidc.Person) -> User:
    """The active member of the practice this is; linked now if it is the first time. Raises NotSignedIn."""
    known = {"provider": provider, "issuer": person.issuer}
    link = ExternalIdentity.objects.select_related("user").filter(**known, subject=person.subject).first()
    if link is not None:
        user = link.user
    else:
        found = User.objects.filter(email__iexact=person.email).first() if person.email else None
        if found is None:
            raise NotSignedIn("no account has the verified address the provider names")
        user = found
    _require_member(provider, user)
    if link is None:
        if ExternalIdentity.objects.filter(**known, user=user).exists():
            raise NotSignedIn("the account is linked to another person at the provider")
        ExternalIdentity.objects.create(**known, user=user, subject=person.subject)
    return user


def _require_member(provider: IdentityProvider, user: User) -> None:
    if not provider.speaks_for(user.email):
        raise NotSignedIn("the provider does not speak for this address")
    if user.is_staff or user.is_superuser:
        raise NotSignedIn("accounts of the admin sign in with password and second factor")
    if not user.is_active or not user.memberships.filter(practice=provider.practice_id).exists():
        raise NotSignedIn("not a member of this practice")
