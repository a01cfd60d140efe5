"""Who may see which practice's patients: the one place that decides.

Membership is read for every request. A stranger gets 404, the same as for a row that does not exist.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AnonymousUser
from django.db.models import Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import resolve_url

from emr.models import Practice, User

M = TypeVar("M", bound=Model)
View = Callable[..., HttpResponse]


def practices_of(user: User | AnonymousUser) -> QuerySet[Practice]:
    """The practices whose charts this person may open. Being a superuser opens none."""
    if not isinstance(user, User) or not user.is_active:
        return Practice.objects.none()
    return Practice.objects.filter(memberships__user=user).order_by("name")


def practice_or_404(user: User | AnonymousUser, practice_id: UUID) -> Practice:
    """That practice, or Http404 when this person is no member of it."""
    practice = practices_of(user).filter(pk=practice_id).first()
    if practice is None:
        raise Http404
    return practice


def visible(rows: QuerySet[M], user: User | AnonymousUser) -> QuerySet[M]:
    """Those of the rows (of any model with a `practice`) that belong to this person's practices."""
    return rows.filter(practice__in=practices_of(user).order_by().values("pk"))


def visible_or_404(rows: QuerySet[M], user: User | AnonymousUser, pk: UUID) -> M:
    """That row, or Http404 when it is another practice's or does not exist."""
    row = visible(rows, user).filter(pk=pk).first()
    if row is None:
        raise Http404
    return row


def members_only(view: View) -> View:
    """For every staff view: signed in, and a member somewhere."""

    @login_required
    def signed_in(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not practices_of(request.user).exists():
            raise Http404
        return view(request, *args, **kwargs)

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.headers.get("HX-Request") == "true" and not request.user.is_authenticated:
            # htmx would swap the sign-in page into the middle of the page whose session has ended.
            return HttpResponse(status=204, headers={"HX-Redirect": resolve_url(settings.LOGIN_URL)})
        return signed_in(request, *args, **kwargs)

    guarded.members_only = True  # type: ignore[attr-defined]  # the route test looks for it
    return guarded
