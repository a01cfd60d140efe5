"""How often one address comes to pages that are open to everybody, counted by the minute in a cache all share.

Anybody can call them with made-up values, and each refusal is a row of the audit trail: so many of an address are
written down one by one in a minute, and the rest in one row that says how many. An IPv6 address stands for its /64,
which is what one customer has. Where the cache is in a database, visits at the same instant may count as one.
"""

import ipaddress
import time

from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest

from emr import audit, schedule

TASK = "emr.tasks.tell_refusals"
# Each in a minute, of one address: behind it may be a whole waiting room.
REFUSALS_WRITTEN = 10
LAUNCHES_BEGUN = 60
_MINUTE = 60
# The row is written when the minute is over; the count outlives a worker that is late.
_KEPT = 3600


def address_of(request: HttpRequest) -> str:
    """The address that asks: of the connection, or what our own proxies (TRUSTED_PROXY_COUNT) say of it."""
    proxies = settings.ALLAUTH_TRUSTED_PROXY_COUNT
    told = [part.strip() for part in request.headers.get("X-Forwarded-For", "").split(",") if part.strip()]
    text = told[-proxies] if 0 < proxies <= len(told) else request.META.get("REMOTE_ADDR", "")
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return "0.0.0.0"  # noqa: S104 - "not known", nothing is bound to it


def may_begin(address: str) -> bool:
    """Count a launch that this address begins; False when it has begun too many: each writes rows and spends a call."""
    return _count("begun", _group(address), _this_minute()) <= LAUNCHES_BEGUN


def to_be_written(address: str) -> bool:
    """Count a refusal that belongs to no launch; False when the row of its minute will tell of it."""
    group, minute = _group(address), _this_minute()
    number = _count("refused", group, minute)
    if number == REFUSALS_WRITTEN + 1 and not schedule.publish_later(TASK, _MINUTE + 5, group, minute):
        _record(group, "more than can be told")
    return number <= REFUSALS_WRITTEN


def tell_refusals(group: str, minute: int) -> None:
    """Write the row of this address and minute. A second time does nothing."""
    key = _key("refused", group, minute)
    number = cache.get(key, 0) - REFUSALS_WRITTEN
    if number > 0 and cache.add(f"{key}:told", 1, timeout=_KEPT):
        _record(group, f"{number} more in a minute")


def _record(group: str, how_many: str) -> None:
    audit.record(audit.Action.LAUNCH_REFUSED, by=None, detail=f"of no launch, from {group}: {how_many}")


def _this_minute() -> int:
    return int(time.time() // _MINUTE)


def _key(what: str, group: str, minute: int) -> str:
    return f"visits:{what}:{group}:{minute}"


def _count(what: str, group: str, minute: int) -> int:
    key = _key(what, group, minute)
    cache.add(key, 0, timeout=_KEPT)
    try:
        return cache.incr(key)
    except ValueError:
        return 1  # thrown out in between


def _group(address: str) -> str:
    ip = ipaddress.ip_address(address)
    return str(ip if ip.version == 4 else ipaddress.ip_network(f"{ip}/64", strict=False))
