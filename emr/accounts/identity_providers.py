"""Sign-in by a practice's own identity provider: for its existing members, to that practice alone.

A provider speaks for the addresses of its domains only, makes no accounts and opens no admin: whoever runs one
practice's provider must not become somebody elsewhere. People are known by issuer and subject after the first time;
that first time the address must be proven, by the provider's word or by a code mailed to it (address_codes).
"""

import hmac
import json
import time
from dataclasses import asdict, dataclass
from functools import partial

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse

from emr.accounts import mails, people_audit
from emr.audit import Action
from emr.fields import SecretUnreadable, seal, unseal
from emr.models import ExternalIdentity, IdentityProvider, User
from emr.wire import oidc

SESSION_KEY = "openid_attempt"
LIFE_SECONDS = 600


class NotSignedIn(Exception):
    """The provider's word does not sign anybody in. Its text is ours, fit for the audit and the page."""


@dataclass(frozen=True)
class Arrival:
    """Who came back from the provider. by_mfa: it has asked for a second factor, and the practice vouches for that.

    unproven: the subject not linked to the account yet, because nobody has shown that the address is theirs.
    """

    user: User
    by_mfa: bool
    unproven: str = ""


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


def finish(request: HttpRequest, provider: IdentityProvider) -> Arrival:
    """Who is signed in. Each attempt is good for one answer.

    Raises NotSignedIn, and WireError when the provider's answers cannot be had or believed.
    """
    attempt = _attempt(request.session.pop(SESSION_KEY, ""), provider)
    told = request.GET
    if attempt is None or not hmac.compare_digest(attempt.state.encode(), told.get("state", "").encode()):
        raise NotSignedIn("the answer was not asked for in this browser, or came too late")
    if "iss" in told and told["iss"] != provider.issuer:  # RFC 9207
        raise NotSignedIn("another provider answered")
    if not told.get("code"):
        raise NotSignedIn("the provider did not sign you in")
    person = oidc.sign_in(client_of(provider), attempt, told["code"])
    by_mfa = provider.does_mfa and person.by_mfa
    user = linked(provider, person.subject)
    if user is not None:
        return Arrival(user, by_mfa)
    user = _named(provider, person.email)
    if not person.verified:
        return Arrival(user, by_mfa, unproven=person.subject)
    link(provider, user, person.subject, "address verified by the provider")
    return Arrival(user, by_mfa)


def _attempt(sealed: str, provider: IdentityProvider) -> oidc.Attempt | None:
    try:
        kept = json.loads(unseal(IdentityProvider, "attempt", provider.pk, sealed) or "{}")
    except SecretUnreadable:  # begun at another provider
        return None
    at = kept.pop("at", 0)
    return oidc.Attempt(**kept) if kept and time.time() - at <= LIFE_SECONDS else None


def linked(provider: IdentityProvider, subject: str) -> User | None:
    """Whose account that subject is linked to, if any. Raises NotSignedIn when it may not sign in any more."""
    links = ExternalIdentity.objects.filter(provider=provider, issuer=provider.issuer, subject=subject)
    found = links.select_related("user").first()
    if found is not None:
        _require_member(provider, found.user)
    return found.user if found is not None else None


def _named(provider: IdentityProvider, email: str) -> User:
    """The member with that address, linked to nobody at the provider yet. Raises NotSignedIn."""
    user = User.objects.filter(email__iexact=email).first() if email else None
    if user is None:
        raise NotSignedIn("no account has the address the provider names")
    _require_linkable(provider, user)
    return user


def _require_linkable(provider: IdentityProvider, user: User) -> None:
    _require_member(provider, user)
    if ExternalIdentity.objects.filter(provider=provider, issuer=provider.issuer, user=user).exists():
        raise NotSignedIn("the account is linked to another person at the provider")


@transaction.atomic
def link(provider: IdentityProvider, user: User, subject: str, how: str) -> None:
    """From now on that subject is this account; audited, and its owner gets a mail. Raises NotSignedIn."""
    _require_linkable(provider, user)
    ExternalIdentity.objects.create(provider=provider, issuer=provider.issuer, user=user, subject=subject)
    people_audit.record(Action.IDENTITY, user, by=user, detail=f"linked: {how}")
    subject_line, context = "A new way to sign in to HeadacheMD", {"provider": provider, "user": user}
    transaction.on_commit(partial(mails.send, "identity_linked", subject_line, context, [user.email]))


def _require_member(provider: IdentityProvider, user: User) -> None:
    if not provider.speaks_for(user.email):
        raise NotSignedIn("the provider does not speak for this address")
    if user.is_staff or user.is_superuser:
        raise NotSignedIn("accounts of the admin sign in with password and second factor")
    if not user.is_active or not user.memberships.filter(practice=provider.practice_id).exists():
        raise NotSignedIn("not a member of this practice")
