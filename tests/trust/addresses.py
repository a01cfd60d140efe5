"""Addresses made from the resolver's routes."""

import re
import uuid
from collections.abc import Mapping

_PART = re.compile(r"<(?:(?P<kind>\w+):)?(?P<name>\w+)>")
_SOME = {"uuid": "00000000-0000-4000-8000-000000000000", "int": "7", "slug": "topiramate", "str": "x", "path": "x"}
# The few routes that are regular expressions, of Django's admin and of allauth.
_REGULAR = {
    r"^password/reset/key/(?P<uidb36>[0-9A-Za-z]+)-(?P<key>.+)/$": "password/reset/key/3-x/",
    "^(?P<app_label>auth|emr|patients|account|mfa|usersessions|axes)/$": "emr/",
    "(?P<url>.*)$": "no-such-page",
}


def made_up(route: str, ids: Mapping[str, object] | None = None) -> str:
    """An address of the route; ids by name, anything made up for the others."""
    for written, plain in _REGULAR.items():
        route = route.replace(written, plain)
    route = re.sub(r"\^?\(\?P<app_label>[^)]*\)/\$", "emr/", route)
    known = ids or {}

    def value(found: re.Match[str]) -> str:
        kind = found["kind"] or "str"
        return str(known.get(found["name"], "cancel" if found["name"] == "step" else _SOME.get(kind, "x")))

    return "/" + _PART.sub(value, route).lstrip("^").rstrip("$")


def names(route: str) -> list[str]:
    """The names of the route's UUID parts."""
    return [found["name"] for found in _PART.finditer(route) if found["kind"] == "uuid"]


def random_id() -> str:
    return str(uuid.uuid4())
