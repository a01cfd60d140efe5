"""What the frame of every page shows of the person: their practices, what their role opens here, an open glass."""

from dataclasses import dataclass
from typing import Any

from django import template
from django.conf import settings
from django.http import HttpRequest
from django.template import Context

from emr import access
from emr.access import Act, Standing
from emr.accounts import break_glass, sessions
from emr.models import BreakGlass, Practice, User

register = template.Library()


@dataclass(frozen=True)
class Frame:
    """here: the practice of the page, else the one chosen last; others: where one may switch to.

    opened: break-glasses here which this person is to look into.
    """

    here: Standing | None
    others: tuple[Practice, ...]
    warn_seconds: int
    seconds_left: int
    opened: tuple[BreakGlass, ...]

    @property
    def may(self) -> dict[str, bool]:
        """Each act of emr.access by name, as allowed here."""
        return {act.name.lower(): self.here is not None and self.here.may(act) for act in Act}


@register.simple_tag(takes_context=True)
def frame(context: Context) -> Frame | None:
    """None for the signed-out and for pages made without a request (the page of a failure)."""
    request = context.get("request")
    if not isinstance(request, HttpRequest) or not isinstance(getattr(request, "user", None), User):
        return None
    return of(request, context.get("practice"))


def of(request: HttpRequest, shown: Any) -> Frame:
    own = access.standings(request.user)
    wanted = str(shown.pk) if isinstance(shown, Practice) else request.session.get(access.CHOSEN, "")
    here = next((each for each in own if str(each.practice.pk) == wanted), None)
    if here is None and len(own) == 1:
        here = own[0]
    others = tuple(each.practice for each in own if each is not here)
    opened: tuple[BreakGlass, ...] = ()
    if here is not None and here.role in access.MAY[Act.BREAK_GLASS] and isinstance(request.user, User):
        opened = tuple(break_glass.unreviewed(here.practice, request.user))
    return Frame(here, others, settings.SESSION_WARN_SECONDS, sessions.longest_left(request), opened)
