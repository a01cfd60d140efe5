"""A patient's invitation: a link that serves once. What is stored is its token's digest."""

import hashlib
from datetime import date

from django.db import transaction
from django.utils import timezone

from emr import audit
from emr.models import Connection, PatientInvitation, Practice, User
from emr.wire.authorize import random_text


class InvitationClosed(Exception):
    """This link leads nowhere (any more). reason: "unknown", "used", "expired" or "revoked"."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def digest(text: str) -> str:
    """SHA-256 in hex. No salt: what is digested here is 256 random bits."""
    return hashlib.sha256(text.encode()).hexdigest()


@transaction.atomic
def invite(
    practice: Practice,
    connection: Connection,
    by: User | None,
    *,
    given: str,
    family: str,
    birth_date: date,
    patient_fhir_id: str = "",
    language: str = "en",
) -> tuple[PatientInvitation, str]:
    """Invite one person to let the practice read their record; audited.

    Returns the invitation and the token of its link, which is shown now or never. An earlier invitation of the same
    person that is still open is withdrawn. ValueError: the connection is another practice's, or not a patient's app.
    """
    if connection.practice_id != practice.pk:
        raise ValueError("this connection is another practice's")
    if connection.registration.app_type != connection.registration.AppType.PATIENT:
        raise ValueError("only a patient's app asks patients")
    now, token = timezone.now(), random_text()
    person = {"given": given.strip(), "family": family.strip(), "birth_date": birth_date}
    known = {**person, "patient_fhir_id": patient_fhir_id}
    PatientInvitation.objects.filter(
        **known, connection=connection, used_at=None, revoked_at=None, expires_at__gt=now
    ).update(revoked_at=now)
    invitation = PatientInvitation.objects.create(
        **known,
        practice=practice,
        connection=connection,
        language=language,
        token_digest=digest(token),
        created_by=by,
        created_at=now,
        expires_at=now + PatientInvitation.LIFE,
    )
    audit.record(audit.Action.INVITE, by=by, practice=practice, object_id=invitation.pk, detail="invited")
    return invitation, token


@transaction.atomic
def revoke_invitation(invitation: PatientInvitation, by: User | None) -> bool:
    """Withdraw an open invitation; audited. False: it was over already."""
    rows = PatientInvitation.objects.filter(pk=invitation.pk, used_at=None, revoked_at=None)
    if not rows.update(revoked_at=timezone.now()):
        return False
    invitation.refresh_from_db(fields=["revoked_at"])
    audit.record(audit.Action.INVITE, by=by, practice=invitation.practice, object_id=invitation.pk, detail="withdrawn")
    return True


def open_invitation(token: str) -> PatientInvitation:
    """The invitation of this link. Raises InvitationClosed."""
    rows = PatientInvitation.objects.select_related("practice", "connection__practice", "connection__registration")
    invitation = rows.filter(token_digest=digest(token)).first()
    if invitation is None:
        raise InvitationClosed("unknown")
    if invitation.state != PatientInvitation.State.OPEN:
        raise InvitationClosed(invitation.state)
    return invitation
