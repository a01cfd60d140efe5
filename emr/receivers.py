"""Audit rows of signing in and out."""

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.dispatch import receiver

from emr import audit
from emr.models import User


@receiver(user_logged_in, dispatch_uid="audit-sign-in")
def record_sign_in(*, user: User, **_: Any) -> None:
    audit.record(audit.Action.SIGN_IN, by=user)


@receiver(user_logged_out, dispatch_uid="audit-sign-out")
def record_sign_out(*, user: User | None, **_: Any) -> None:
    if user is not None:
        audit.record(audit.Action.SIGN_OUT, by=user)
