"""How much a request may bring: refused by the length it states, before a byte of it is read or kept.

Django bounds form fields, not files; whoever signs nobody in could else fill memory or disk at any address with a form.
"""

from collections.abc import Callable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string


def limited_bodies(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """413 for a body longer than MOST_BODY_BYTES (RFC 9110, 15.5.14).

    A body without a stated length is read by nobody: WSGI hands on none (PEP 3333), and Django takes it for empty.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        if _stated_length(request) > settings.MOST_BODY_BYTES:
            page = render_to_string("413.html", {"megabytes": settings.MOST_BODY_BYTES // 1_000_000})
            return HttpResponse(page, status=413)
        return get_response(request)

    return middleware


def _stated_length(request: HttpRequest) -> int:
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0  # as Django takes it
