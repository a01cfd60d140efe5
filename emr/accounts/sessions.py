"""How long a session lives: idle and absolute limits held by the server, and ending all of somebody's sessions.

Times are kept in the session itself (Unix seconds). What the browser asks for by itself (htmx polling, the warning's
own question) does not count as activity. HIPAA 164.312(a)(2)(iii), ASVS 5 7.3.1 and 7.3.2.
"""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from allauth.usersessions.adapter import DefaultUserSessionsAdapter
from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.db.models import F
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import resolve_url
from django.utils import timezone

from emr.accounts import people_audit
from emr.audit import Action
from emr.models import User

BEGAN, SEEN = "session_began", "session_seen"
# The practice a session is limited to; its id as text.
ONLY_PRACTICE = "session_only_practice"
# Activity is written down this often at most in one idle time: each is a write to the database.
RESOLUTION = 30
# Asked by machines and readers without a session; these views never touch it.
PUBLIC = frozenset(
    {"alive", "ready", "emr:jwks", "emr:jwks_sandbox", "emr:launch-invited", "emr:launch-begin", "emr:launch-callback"}
)
STATUS = "emr:session"


def begin(request: HttpRequest) -> None:
    """Start both clocks; called at every sign-in."""
    request.session[BEGAN] = request.session[SEEN] = int(time.time())


def seconds_left(request: HttpRequest) -> int:
    """Until this session ends if nobody does anything more; 0 when it has ended or never began."""
    if not request.user.is_authenticated:
        return 0
    idle = request.session.get(SEEN, 0) + settings.SESSION_IDLE_SECONDS - int(time.time())
    return max(0, min(idle, _absolute_left(request)))


def longest_left(request: HttpRequest) -> int:
    """The same for a page just asked for: the idle time, or less towards the session's longest time."""
    return max(0, min(settings.SESSION_IDLE_SECONDS, _absolute_left(request)))


def _absolute_left(request: HttpRequest) -> int:
    began: int = request.session.get(BEGAN, 0)
    return began + settings.SESSION_ABSOLUTE_SECONDS - int(time.time())


def touch(request: HttpRequest) -> None:
    """Somebody is here: the idle clock starts anew."""
    now = int(time.time())
    if (now - request.session.get(SEEN, 0)) * RESOLUTION >= settings.SESSION_IDLE_SECONDS:
        request.session[SEEN] = now
        UserSession.objects.filter(session_key=request.session.session_key).update(last_seen_at=timezone.now())


def end_all(user: User, why: str, *, by: User | None) -> None:
    """End every session of that person, at once and in this transaction."""
    User.objects.filter(pk=user.pk).update(session_generation=F("session_generation") + 1)
    user.refresh_from_db(fields=["session_generation"])
    people_audit.record(Action.SESSIONS, user, by=by, detail=why)


class AuditedSessions(DefaultUserSessionsAdapter):
    """allauth's list of sessions, with an audit row when its owner ends some."""

    def end_sessions(self, sessions: list[UserSession]) -> None:
        super().end_sessions(sessions)
        if sessions:
            owner = sessions[0].user
            people_audit.record(Action.SESSIONS, owner, by=owner, detail=f"{len(sessions)} ended by their owner")


def leave_for(request: HttpRequest, url: str, **query: str) -> HttpResponse:
    """Send the browser there; htmx, which would swap the page into the middle of another, is told by header."""
    target = f"{url}?{urlencode(query)}" if query else url
    if request.headers.get("HX-Request") == "true":
        return HttpResponse(status=204, headers={"HX-Redirect": target})
    return HttpResponseRedirect(target)


def route_of(request: HttpRequest) -> str:
    """The name of the route, with its namespace."""
    return request.resolver_match.view_name if request.resolver_match else ""


class SessionLimits:
    """Middleware: ends a session whose time is over, before its view runs; else notes that somebody was here."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponse | None:
        route = route_of(request)
        if route in PUBLIC or not isinstance(request.user, User):
            return None
        if not seconds_left(request):
            return self._end(request, route)
        only = request.session.get(ONLY_PRACTICE)
        request.user.only_practice = UUID(only) if only else None
        if self._shows_somebody_is_here(request, route):
            touch(request)
        return None

    def _shows_somebody_is_here(self, request: HttpRequest, route: str) -> bool:
        asked_by_itself = request.method in {"GET", "HEAD"} and (
            route == STATUS or request.headers.get("HX-Request") == "true"
        )
        return not asked_by_itself

    def _end(self, request: HttpRequest, route: str) -> HttpResponse | None:
        minutes = settings.SESSION_IDLE_SECONDS // 60
        idle = _absolute_left(request) > 0
        request.sign_out_reason = "idle" if idle else "longest time over"  # type: ignore[attr-defined]
        logout(request)
        why = f"after {minutes} minutes without activity" if idle else "because the session had lasted its longest time"
        messages.info(request, f"You were signed out {why}.")
        if route == STATUS:
            return None
        query = {"next": request.get_full_path()} if request.method == "GET" else {}
        return leave_for(request, resolve_url(settings.LOGIN_URL), **query)
