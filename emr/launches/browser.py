"""What ties a launch to the browser it began in: a random value in a cookie of its own, gone with the browser.

The value is of 256 bits and only its digest is stored (emr.models.Launch). SameSite=Lax: the EMR sends people back by
a top-level GET, which carries it; a form posted from elsewhere does not.
"""

import secrets
from collections.abc import Callable
from functools import wraps
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils.cache import patch_vary_headers

from emr.launches.words import LANGUAGES

COOKIE = "__Host-launch" if settings.HTTPS else "headachemd_launch"
LANGUAGE_COOKIE = "__Host-launch-language" if settings.HTTPS else "headachemd_launch_language"
LIFE_SECONDS = 3600  # longer than any launch: who is late is told so, and not that the browser is another
_LONGEST = 64

View = Callable[..., HttpResponse]


def unlisted(view: View) -> View:
    """Neither kept by a browser or proxy nor found by a search engine; and the path, a secret, is in no log line."""

    @wraps(view)
    def hidden(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Robots-Tag"] = "noindex, nofollow"
        patch_vary_headers(response, ["Cookie", "Accept-Language"])
        # Django logs the path of an answer of 400 and above, unless it was logged before.
        response._has_been_logged = True  # type: ignore[attr-defined]
        return response

    return hidden


def key_of(request: HttpRequest) -> str:
    """The browser's value; "" when it has none, which fits no launch."""
    return request.COOKIES.get(COOKIE, "")[:_LONGEST]


def key_for(request: HttpRequest) -> str:
    """The browser's value, or a new one. Two tabs of a browser share it."""
    return key_of(request) or secrets.token_urlsafe(32)


def remember(response: HttpResponse, key: str, language: str = "") -> HttpResponse:
    """Leave the value (and the language of the pages) with the browser."""
    _set(response, COOKIE, key)
    if language in LANGUAGES:
        _set(response, LANGUAGE_COOKIE, language)
    return response


def forget(response: HttpResponse) -> HttpResponse:
    """Nothing of a launch stays on a tablet that goes from hand to hand."""
    response.delete_cookie(COOKIE, path="/", samesite="Lax")
    response.delete_cookie(LANGUAGE_COOKIE, path="/", samesite="Lax")
    return response


def _set(response: HttpResponse, name: str, value: str) -> None:
    response.set_cookie(
        name, value, max_age=LIFE_SECONDS, path="/", secure=settings.HTTPS, httponly=True, samesite="Lax"
    )
