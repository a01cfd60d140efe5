"""Who may see which practice's patients, and what each role may do: the one place that decides.

Membership is read for every request. A stranger gets 404, the same as for a row that does not exist. A view declares
what it does (`may(Act.ENTER)`, `members_only` for reading charts); `practices_of` and `visible`, asked within that
request, then know the practices where this person's role allows exactly that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import wraps
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Max, Model, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render, resolve_url
from django.utils import timezone

from emr import visits
from emr.models import Membership, Practice, User

M = TypeVar("M", bound=Model)
View = Callable[..., HttpResponse]

# Where a session keeps the practice its person works in (id as text).
CHOSEN = "session_practice"

_CLINICIAN, _STAFF = Membership.Role.CLINICIAN, Membership.Role.STAFF
_OFFICER, _ADMIN = Membership.Role.PRIVACY_OFFICER, Membership.Role.ADMIN


class Act(StrEnum):
    """What staff pages are for."""

    BELONG = "see the practice's own pages"
    CHARTS = "open lists, charts, sources, prints"
    ENTER = "enter assessments, statements and meanings of texts"
    EXPORT = "export charts as files"
    PULLS = "see pulls and ask for one"
    STEER = "pause, resume and cancel pulls"
    ROSTER = "enrol patients and bring schedules"
    AUDIT = "read the audit trail"
    MEMBERS = "invite, change and remove members"
    BREAK_GLASS = "open charts for a while, giving a reason"
    ADMINISTER = "set up the practice and its connections in the admin"


MAY: dict[Act, frozenset[str]] = {
    Act.BELONG: frozenset({_CLINICIAN, _STAFF, _OFFICER, _ADMIN}),
    Act.CHARTS: frozenset({_CLINICIAN, _STAFF}),
    Act.ENTER: frozenset({_CLINICIAN, _STAFF}),
    Act.EXPORT: frozenset({_CLINICIAN, _STAFF}),
    Act.PULLS: frozenset({_CLINICIAN, _STAFF, _ADMIN}),
    Act.STEER: frozenset({_CLINICIAN, _ADMIN}),
    Act.ROSTER: frozenset({_CLINICIAN, _STAFF, _ADMIN}),
    Act.AUDIT: frozenset({_OFFICER}),
    Act.MEMBERS: frozenset({_ADMIN}),
    Act.BREAK_GLASS: frozenset({_OFFICER, _ADMIN}),
    Act.ADMINISTER: frozenset({_ADMIN}),
}
# What an open break-glass adds to a role of MAY[BREAK_GLASS]. Reading only.
BEHIND_GLASS = frozenset({Act.CHARTS})


NOT_THEIRS = "not theirs, or not there"


@dataclass(frozen=True)
class Standing:
    """What one person is in one practice now. glass_until: their break-glass there is open until then."""

    practice: Practice
    role: str
    glass_until: datetime | None = None

    @property
    def role_words(self) -> str:
        return str(Membership.Role(self.role).label).lower()

    def may(self, act: Act) -> bool:
        behind_glass = self.glass_until is not None and self.role in MAY[Act.BREAK_GLASS] and act in BEHIND_GLASS
        return self.role in MAY[act] or behind_glass


def standings(user: User | AnonymousUser) -> tuple[Standing, ...]:
    """One for each practice this person is a member of, by name; being a superuser adds none.

    A session begun at a practice's own identity provider knows that practice alone (`user.only_practice`).
    """
    if not isinstance(user, User) or not user.is_active:
        return ()
    known: tuple[Standing, ...] | None = getattr(user, "_standings", None)
    if known is not None:
        return known
    rows = Membership.objects.filter(user=user).select_related("practice").order_by("practice__name")
    if user.only_practice is not None:
        rows = rows.filter(practice=user.only_practice)
    open_glass = Q(
        practice__break_glasses__user=user,
        practice__break_glasses__closed_at=None,
        practice__break_glasses__expires_at__gt=timezone.now(),
    )
    until = Max("practice__break_glasses__expires_at", filter=open_glass)
    return tuple(Standing(row.practice, row.role, row.until) for row in rows.annotate(until=until))


def practices_of(user: User | AnonymousUser, act: Act | None = None) -> QuerySet[Practice]:
    """The practices where this person may do that; by default what the running view declared, else open charts."""
    return Practice.objects.filter(pk__in=_allowed(user, act)).order_by("name")


def allows(user: User | AnonymousUser, practice: Practice, act: Act) -> bool:
    """Whether this person may do that there."""
    return practice.pk in _allowed(user, act)


def practice_or_404(user: User | AnonymousUser, practice_id: UUID) -> Practice:
    """That practice, or Http404 when this person may not do there what the view does."""
    for standing in standings(user):
        if standing.practice.pk == practice_id and standing.may(_acting(user)):
            return standing.practice
    raise Http404


def visible(rows: QuerySet[M], user: User | AnonymousUser) -> QuerySet[M]:
    """Those of the rows (of any model with a `practice`) that belong to practices where this person may do this."""
    return rows.filter(practice__in=_allowed(user))


def visible_or_404(rows: QuerySet[M], user: User | AnonymousUser, pk: UUID) -> M:
    """That row, or Http404 when it is another practice's or does not exist."""
    row = visible(rows, user).filter(pk=pk).first()
    if row is None:
        raise Http404
    return row


def administered(request: HttpRequest) -> list[UUID] | None:
    """The practices whose rows this request may touch in Django's admin; None for a superuser, who sets up all of them.

    Read once for each request and kept with it, never in the session.
    """
    user = request.user
    if user.is_active and user.is_superuser:
        return None
    known: list[UUID] | None = getattr(request, "_administered", None)
    if known is None:
        known = request._administered = _allowed(user, Act.ADMINISTER)  # type: ignore[attr-defined]
    return known


def wholly_administered(people: QuerySet[User], request: HttpRequest) -> QuerySet[User]:
    """Those of the people who are members where this request may touch rows, nowhere else, and no superusers.

    An account reaches as far as its memberships: what is done to it is for whoever administers them all.
    """
    practices = administered(request)
    if practices is None:
        return people
    elsewhere = Membership.objects.exclude(practice__in=practices).values("user")
    here = Membership.objects.filter(practice__in=practices).values("user")
    return people.filter(pk__in=here, is_superuser=False).exclude(pk__in=elsewhere)


def _allowed(user: User | AnonymousUser, act: Act | None = None) -> list[UUID]:
    doing = act or _acting(user)
    return [standing.practice.pk for standing in standings(user) if standing.may(doing)]


def _acting(user: User | AnonymousUser) -> Act:
    declared: Act = getattr(user, "_acting", Act.CHARTS)
    return declared


def may(act: Act) -> Callable[[View], View]:
    """For every staff view: signed in, and a member somewhere whose role allows this act.

    A person of no practice gets 404. A member whose role does not allow it gets a page that says so, the same for
    every address; which practices' rows the view may then touch is for `visible` to say. Either is audited, and so is
    what the view itself answers with 404 or 403.
    """

    def guard(view: View) -> View:
        @login_required
        def signed_in(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            own = standings(request.user)
            if not own:
                _note_denied(request, own, "a member of no practice", kwargs)
                raise Http404
            _remember(request.user, own, act)
            if not any(standing.may(act) for standing in own):
                _note_denied(request, own, f"the role may not {act}", kwargs)
                return _role_refused(request, act, own)
            try:
                return view(request, *args, **kwargs)
            except (Http404, PermissionDenied):
                _note_denied(request, own, NOT_THEIRS, kwargs)
                raise

        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if request.headers.get("HX-Request") == "true" and not request.user.is_authenticated:
                # htmx would swap the sign-in page into the middle of the page whose session has ended.
                return HttpResponse(status=204, headers={"HX-Redirect": resolve_url(settings.LOGIN_URL)})
            return signed_in(request, *args, **kwargs)

        guarded.members_only = True  # type: ignore[attr-defined]  # the route test looks for it
        guarded.act = act  # type: ignore[attr-defined]
        return guarded

    return guard


members_only = may(Act.CHARTS)


def _remember(user: Any, own: tuple[Standing, ...], act: Act) -> None:
    """On this request's own user object; the next request reads the memberships anew."""
    user._standings, user._acting = own, act
    user.behind_glass = frozenset(
        standing.practice.pk for standing in own if standing.may(act) and standing.role not in MAY[act]
    )


def note_refused(request: HttpRequest, why: str = NOT_THEIRS, object_id: object = None) -> None:
    """For Django's admin, whose pages are not wrapped by `may`: the same rows. object_id: as its address has it."""
    try:
        wanted = UUID(str(object_id))
    except ValueError:
        wanted = None
    _note_denied(request, standings(request.user), why, {"pk": wanted})


def _note_denied(request: HttpRequest, own: tuple[Standing, ...], why: str, ids: dict[str, Any]) -> None:
    """In the chains of the person's own practices: their privacy officers ask what they were looking for."""
    if not isinstance(request.user, User):
        return
    route = request.resolver_match.view_name if request.resolver_match else ""
    wanted = ids.get("pk", ids.get("practice_id"))
    practices: list[Practice | None] = [*(standing.practice for standing in own)] or [None]
    visits.note_denied(request.user, practices, wanted, f"{request.method} {route}: {why}")


def _role_refused(request: HttpRequest, act: Act, own: tuple[Standing, ...]) -> HttpResponse:
    breakable = [each.practice for each in own if act in BEHIND_GLASS and each.may(Act.BREAK_GLASS)]
    return render(request, "emr/role_refused.html", {"act": act, "breakable": breakable}, status=403)
