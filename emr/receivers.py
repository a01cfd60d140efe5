"""What follows from people's comings and goings: audit rows, proofs of a second factor, the end of sessions."""

from typing import Any
from uuid import UUID

from allauth.account.signals import password_changed, password_reset, password_set
from allauth.core import context
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import (
    authentication_failed,
    authenticator_added,
    authenticator_removed,
    authenticator_used,
)
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db.models.signals import post_init, post_save, pre_delete
from django.dispatch import receiver
from django.http import HttpRequest

from emr.accounts import people_audit, second_factor, sessions
from emr.audit import Action
from emr.models import Membership, User
from emr.pulling import asking
from emr.signals import history_opened


@receiver(user_logged_in, dispatch_uid="sign-in")
def note_sign_in(*, user: User, request: HttpRequest, **_: Any) -> None:
    sessions.begin(request)
    people_audit.record(Action.SIGN_IN, user, by=user)


@receiver(user_logged_out, dispatch_uid="sign-out")
def note_sign_out(*, user: User | None, request: HttpRequest, **_: Any) -> None:
    if user is not None:
        people_audit.record(Action.SIGN_OUT, user, by=user, detail=getattr(request, "sign_out_reason", ""))


# --- passwords ---------------------------------------------------------------------------------------------


@receiver([password_set, password_changed], dispatch_uid="password-changed")
def note_password(*, user: User, **_: Any) -> None:
    # Django ends the other sessions: the password's hash is part of what they are signed with.
    people_audit.record(Action.PASSWORD, user, by=user, detail="changed; all other sessions ended")


@receiver(password_reset, dispatch_uid="password-reset")
def note_password_reset(*, user: User, **_: Any) -> None:
    people_audit.record(Action.PASSWORD, user, by=user, detail="set by a link in a mail; all sessions ended")


# --- second factors ----------------------------------------------------------------------------------------


@receiver(post_init, sender=Authenticator, dispatch_uid="authenticator-loaded")
def tell_owner(*, instance: Authenticator, **_: Any) -> None:
    second_factor.know_owner(instance)


@receiver(post_save, sender=Authenticator, dispatch_uid="factor-made")
def note_factor_made(*, instance: Authenticator, created: bool, **_: Any) -> None:
    """In the transaction that makes it: allauth's own signals are sent when that is over. Recovery codes made anew are
    a new row, too."""
    by = _actor()
    if created and by is not None:
        people_audit.record(Action.SECOND_FACTOR, instance.user, by=by, detail=f"added: {instance.type}")


@receiver(authenticator_added, dispatch_uid="factor-added")
def prove_by_added(*, request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    if authenticator.type in second_factor.FACTORS:
        second_factor.prove(request, user, authenticator.type)
        request.session.pop(second_factor.PENDING, None)


@receiver(authenticator_used, dispatch_uid="factor-used")
def note_factor_used(*, request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    second_factor.prove(request, user, authenticator.type)
    if authenticator.type == Authenticator.Type.RECOVERY_CODES:
        people_audit.record(Action.SECOND_FACTOR, user, by=user, detail="a recovery code was used")


@receiver(authenticator_removed, dispatch_uid="factor-removed")
def note_factor_removed(*, request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    people_audit.record(Action.SECOND_FACTOR, user, by=user, detail=f"removed: {authenticator.type}")
    if not second_factor.enrolled(user):
        second_factor.forget_proof(request)


@receiver(authentication_failed, dispatch_uid="factor-failed")
def note_factor_failed(*, user: User, **_: Any) -> None:
    people_audit.record(Action.SIGN_IN_REFUSED, user, by=None, detail="wrong code")


def _actor() -> User | None:
    """Whose request this is; None outside of one."""
    person = getattr(context.request, "user", None)
    return person if isinstance(person, User) else None


# --- roles -------------------------------------------------------------------------------------------------


@receiver(post_save, sender=Membership, dispatch_uid="membership-saved")
def end_sessions_of_changed(*, instance: Membership, created: bool, **_: Any) -> None:
    if not created:
        sessions.end_all(instance.user, "role changed", by=_actor())


@receiver(pre_delete, sender=Membership, dispatch_uid="membership-deleted")
def end_sessions_of_removed(*, instance: Membership, **_: Any) -> None:
    sessions.end_all(instance.user, "membership removed", by=_actor())


@receiver(post_save, sender=User, dispatch_uid="user-saved")
def end_sessions_of_deactivated(*, instance: User, created: bool, update_fields: Any, **_: Any) -> None:
    if not created and not instance.is_active and (update_fields is None or "is_active" in update_fields):
        sessions.end_all(instance, "account closed", by=_actor())


# --- charts ------------------------------------------------------------------------------------------------


@receiver(history_opened, dispatch_uid="history-opened")
def note_viewed(*, practice_id: UUID, patient_fhir_id: str, **_: Any) -> None:
    """Whom staff look at is fetched before those whom nobody does."""
    asking.viewed(practice_id, patient_fhir_id)
