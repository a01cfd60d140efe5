"""Emergency access: charts opened for a while to a member whose role does not open them (45 CFR 164.312(a)(2)(ii)).

For privacy officers and practice admins of that practice, never for strangers or superusers. Reading only, for half an
hour, with a reason; every page read meanwhile is marked in the audit trail. The other privacy officers (where there are
none the other admins) get a mail, and see it on every page until one of them says that it was looked into.
"""

import logging
from functools import partial

from django.db import transaction
from django.utils import timezone

from emr import audit
from emr.accounts import mails
from emr.models import BreakGlass, Membership, Practice, User

log = logging.getLogger(__name__)

# On the banner of every page; all of them stand on the practice's own.
MOST_SHOWN = 5


@transaction.atomic
def open_charts(user: User, practice: Practice, reason: str) -> BreakGlass:
    """Break the glass; audited, and told to those who watch once it is committed. The caller checked the role."""
    now = timezone.now()
    BreakGlass.objects.filter(user=user, practice=practice, closed_at=None, expires_at__gt=now).update(closed_at=now)
    glass = BreakGlass.objects.create(
        user=user, practice=practice, reason=reason, opened_at=now, expires_at=now + BreakGlass.LIFE
    )
    # The reason may name a patient: it stands in its own row, not in the trail's text.
    _record(glass, f"BREAK-GLASS opened for {BreakGlass.LIFE.seconds // 60} minutes")
    transaction.on_commit(partial(_tell, glass))
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


# --- who watches -------------------------------------------------------------------------------------------


def watchers(practice: Practice, person: User) -> list[User]:
    """Who is told when that person opens charts: the other privacy officers, else the other practice admins."""
    rows = Membership.objects.filter(practice=practice, user__is_active=True).exclude(user=person)
    for role in (Membership.Role.PRIVACY_OFFICER, Membership.Role.ADMIN):
        found = [row.user for row in rows.filter(role=role).select_related("user").order_by("user__email")]
        if found:
            return found
    return []


def unreviewed(practice: Practice, watcher: User) -> list[BreakGlass]:
    """What was opened there, is for that person to look into, and nobody has yet; the latest first."""
    rows = BreakGlass.objects.filter(practice=practice, reviewed_at=None).exclude(user=watcher).select_related("user")
    return [glass for glass in rows[:MOST_SHOWN] if watcher in watchers(practice, glass.user)]


@transaction.atomic
def review(glass: BreakGlass, by: User) -> None:
    """A watcher has read why; audited. The first one counts."""
    seen = {"reviewed_at": timezone.now(), "reviewed_by": by}
    if BreakGlass.objects.filter(pk=glass.pk, reviewed_at=None).update(**seen):
        audit.record(
            audit.Action.BREAK_GLASS, by=by, practice=glass.practice, object_id=glass.pk, detail="BREAK-GLASS reviewed"
        )


def _tell(glass: BreakGlass) -> None:
    """One mail to each watcher, without the reason. A mail server that is down closes no charts in an emergency."""
    to = [user.email for user in watchers(glass.practice, glass.user)]
    subject = f"Break-glass: charts of {glass.practice.name} were opened"
    mails.send("break_glass", subject, {"glass": glass}, to)
    if not to:
        log.warning("break-glass %s: the practice has nobody to tell", glass.pk)
