"""Accounts by invitation only: a link sent to one address, for one practice and role, used once.

The link's token is kept as a SHA-256 hash; the token itself is in the mail and shown once to the admin who
made it.
"""

import hashlib

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from django.conf import settings
from django.db import transaction
from django.forms import BaseForm
from django.http import HttpRequest
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone

from emr import audit
from emr.accounts import mails
from emr.models import Invitation, Membership, User

# Holds the accepted token's hash: sending an invitation again also ends sign-ups begun with the old link.
SESSION_KEY = "invitation"


class InvitationClosed(Exception):
    """The invitation was used, sent again, or has expired."""


def token_hash(token: str) -> str:
    """SHA-256 in hex. No salt: the token is 256 random bits."""
    return hashlib.sha256(token.encode()).hexdigest()


def issue(invitation: Invitation, *, by: User) -> str:
    """Give the invitation a new token and seven days, and save it. The token is returned, its hash stored."""
    token = Invitation.new_token()
    invitation.token_hash = token_hash(token)
    invitation.expires_at = timezone.now() + Invitation.LIFE
    invitation.invited_by = by
    invitation.save()
    return token


def link(token: str) -> str:
    """The address the invited person opens."""
    return settings.PUBLIC_URL + reverse("emr:invitation", args=[token])


def send(invitation: Invitation, token: str) -> bool:
    """Mail the link. False: the mail server did not take it, the admin must pass the link on."""
    context = {"invitation": invitation, "practice": invitation.practice, "link": link(token)}
    subject = f"Your account at {invitation.practice.name} in HeadacheMD"
    return mails.send("invitation", subject, context, [invitation.email])


def deliver(invitation: Invitation, token: str) -> tuple[bool, str]:
    """(mailed, what to tell the admin who invites); the words hold the link, which is shown this once."""
    sent = send(invitation, token)
    told = "was mailed" if sent else "could not be mailed: pass it on yourself"
    return sent, f"The link for {invitation.email} {told}. It is shown this once, copy it now: {link(token)}"


def find(token: str) -> Invitation | None:
    """The open invitation of this token."""
    return _open(token_hash(token))


def pending(request: HttpRequest) -> Invitation | None:
    """The open invitation whose link this session has accepted."""
    accepted = request.session.get(SESSION_KEY)
    return _open(accepted) if accepted else None


def _open(hashed: str) -> Invitation | None:
    invitation = Invitation.objects.select_related("practice").filter(token_hash=hashed).first()
    return invitation if invitation is not None and invitation.is_open() else None


def is_for(invitation: Invitation, user: User) -> bool:
    return invitation.email.casefold() == user.email.casefold()


@transaction.atomic
def accept(invitation: Invitation, user: User) -> Membership:
    """Make the membership; a role the person has there already stays. Raises InvitationClosed: used once."""
    now = timezone.now()
    still_open = Invitation.objects.filter(
        pk=invitation.pk, token_hash=invitation.token_hash, accepted_at=None, expires_at__gt=now
    )
    if not still_open.update(accepted_at=now):
        raise InvitationClosed
    membership, _ = Membership.objects.get_or_create(
        user=user, practice=invitation.practice, defaults={"role": invitation.role}
    )
    audit.record(
        audit.Action.MEMBERSHIP,
        by=user,
        practice=invitation.practice,
        object_id=membership.pk,
        detail="Membership added: invitation accepted",
    )
    return membership


class InvitationOnly(DefaultAccountAdapter):
    """allauth's sign-up, open only to a session that has accepted an invitation, and only for its address."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return pending(request) is not None

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        """Admins who belong to no practice have no charts to go to: they start in the admin."""
        if isinstance(request.user, User) and request.user.is_staff and not request.user.memberships.exists():
            return reverse("admin:index")
        return str(super().get_login_redirect_url(request))

    def save_user(self, request: HttpRequest, user: User, form: BaseForm, commit: bool = True) -> User:
        """Account and membership in one transaction. The address is the invitation's, whatever the form said.

        Raises ImmediateHttpResponse (to the closed sign-up page) when the invitation was used in between.
        """
        invitation = pending(request)
        if invitation is None:
            raise ImmediateHttpResponse(redirect("account_signup"))
        super().save_user(request, user, form, commit=False)
        user.email = invitation.email.lower()
        user.full_name = form.cleaned_data.get("full_name", "")
        try:
            with transaction.atomic():
                user.save()
                accept(invitation, user)
        except InvitationClosed:
            raise ImmediateHttpResponse(redirect("account_signup")) from None
        del request.session[SESSION_KEY]
        self.stash_verified_email(request, user.email)  # the link was sent there
        return user
