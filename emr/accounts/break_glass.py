"""Emergency access: charts opened for a while to a member whose role does not open them (45 CFR 164.312(a)(2)(ii)).

For privacy officers and practice admins of that practice, never for strangers or superusers. Reading only, for half an
hour, with a reason; every page read meanwhile is marked in the audit trail, and the privacy officers get a mail.
"""

import logging
from functools import partial
from smtplib import SMTPException

from django.core.mail import send_mail
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone

from emr import audit
from emr.models import BreakGlass, Membership, Practice, User

log = logging.getLogger(__name__)


@transaction.atomic
def open_charts(user: User, practice: Practice, reason: str) -> BreakGlass:
    """Break the glass; audited, and told to the privacy officers once it is committed. The caller checked the role."""
    now = timezone.now()
    BreakGlass.objects.filter(user=user, practice=practice, closed_at=None, expires_at__gt=now).update(closed_at=now)
    glass = BreakGlass.objects.create(
        user=user, practice=practice, reason=reason, opened_at=now, expires_at=now + BreakGlass.LIFE
    )
    # The reason may name a patient: it stands in its own row, not in the trail's text.
    _record(glass, f"BREAK-GLASS opened for {BreakGlass.LIFE.seconds // 60} minutes")
    transaction.on_commit(partial(_tell_officers, glass))
    return glass


@transaction.atomic
def close(user: User, practice: Practice) -> None:
    """Close what that person has open there; nothing when there is none."""
    now = timezone.now()
    for glass in BreakGlass.objects.filter(user=user, practice=practice, closed_at=None, expires_at__gt=now):
        BreakGlass.objects.filter(pk=glass.pk).update(closed_at=now)
        _record(glass, "BREAK-GLASS closed")


def _record(glass: BreakGlass, detail: str) -> None:
    audit.record(audit.Action.BREAK_GLASS, by=glass.user, practice=glass.practice, object_id=glass.pk, detail=detail)


def _tell_officers(glass: BreakGlass) -> None:
    """One mail, without the reason. A mail server that is down does not close charts in an emergency."""
    officers = Membership.objects.filter(practice=glass.practice, role=Membership.Role.PRIVACY_OFFICER)
    to = list(officers.filter(user__is_active=True).values_list("user__email", flat=True))
    text = render_to_string("emr/mail/break_glass.txt", {"glass": glass})
    try:
        for address in to:
            send_mail(f"Break-glass at {glass.practice.name}", text, None, [address])
    except (OSError, SMTPException) as error:
        log.error("privacy officers were not told of break-glass %s: %s", glass.pk, type(error).__name__)
    if not to:
        log.warning("break-glass %s: the practice has no privacy officer to tell", glass.pk)
