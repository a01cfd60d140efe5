"""How often somebody comes in vain, counted by the minute in a cache all share.

Anybody can call the pages that are open to everybody with made-up values, anybody signed in those of staff with made-up
ids, and each refusal is a row of the audit trail: so many of an address, or of a person, are written down one by one in
a minute, and the rest in one row that says how many. An IPv6 address stands for its /64, which is what one customer
has. Where the cache is in a database, visits at the same instant may count as one.
"""

import ipaddress
import time
from collections.abc import Iterable
from uuid import UUID

from django.core.cache import cache
from django.http import HttpRequest

from emr import addresses, audit, hints
from emr.accounts import people_audit
from emr.models import Practice, User

TASK = "emr.tasks.tell_refusals"
# Each in a minute, of one address (behind it may be a whole waiting room), or of one person.
REFUSALS_WRITTEN = 10
LAUNCHES_BEGUN = 60
_MINUTE = 60
# What is counted: a launch refused to an address, a page denied to a person.
_LAUNCH, _DENIED = "refused", "denied"
# The row is written when the minute is over; the count outlives a worker that is late.
_KEPT = 3600


def address_of(request: HttpRequest) -> str:
    """The address that asks, for limits that count each; all whose address is not known count as one."""
    return addresses.address_of(request) or "0.0.0.0"  # noqa: S104 - "not known", nothing is bound to it


def may_begin(address: str) -> bool:
    """Count a launch that this address begins; False when it has begun too many: each writes rows and spends a call."""
    return _count("begun", _group(address), _this_minute()) <= LAUNCHES_BEGUN


def to_be_written(address: str) -> bool:
    """Count a refusal that belongs to no launch; False when the row of its minute will tell of it."""
    return _written(_LAUNCH, _group(address))


def note_denied(user: User, practices: Iterable[Practice | None], object_id: UUID | None, detail: str) -> None:
    """Audit, within the limit, that this person asked for what is not theirs: a row in the chain of each practice.

    ASVS 5 16.3.2. practices: theirs (None: the chain of no practice). object_id: what was asked for.
    """
    if not _written(_DENIED, str(user.pk)):
        return
    for practice in practices:
        audit.record(audit.Action.ACCESS_REFUSED, by=user, practice=practice, object_id=object_id, detail=detail)


def tell_refusals(group: str, minute: int, what: str = _LAUNCH) -> None:
    """Write the row of this address or person and minute. A second time does nothing."""
    key = _key(what, group, minute)
    number = cache.get(key, 0) - REFUSALS_WRITTEN
    if number > 0 and cache.add(f"{key}:told", 1, timeout=_KEPT):
        _record(what, group, f"{number} more in a minute")


def _written(what: str, group: str) -> bool:
    minute = _this_minute()
    number = _count(what, group, minute)
    kind = () if what == _LAUNCH else (what,)
    if number == REFUSALS_WRITTEN + 1 and not hints.publish_later(TASK, _MINUTE + 5, group, minute, *kind):
        _record(what, group, "more than can be told")
    return number <= REFUSALS_WRITTEN


def _record(what: str, group: str, how_many: str) -> None:
    if what == _LAUNCH:
        audit.record(audit.Action.LAUNCH_REFUSED, by=None, detail=f"of no launch, from {group}: {how_many}")
        return
    user = User.objects.get(pk=group)  # accounts are never deleted
    people_audit.record(audit.Action.ACCESS_REFUSED, user, by=user, detail=how_many)


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
