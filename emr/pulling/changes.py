"""Which records a pull brought, changed or missed, and which did since a day. Metadata alone: no body is read.

Nothing of it is written down anywhere: it is read from the resources' own times.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, F, Q, QuerySet
from django.utils import timezone

from emr.models import Pull, Resource

MOST = 200


@dataclass(frozen=True)
class Change:
    """A record that came, changed or was missed. what: new / changed / no longer sent."""

    resource: Resource
    what: str


@dataclass(frozen=True)
class TypeChanges:
    """How many records of a type are new, changed, no longer sent."""

    resource_type: str
    new: int
    changed: int
    gone: int


@dataclass(frozen=True)
class Changes:
    """Newest first, up to MOST; `more` when there are others. types: counts over all of them."""

    rows: tuple[Change, ...]
    more: bool
    types: tuple[TypeChanges, ...]


def of_pull(pull: Pull) -> Changes:
    """What a pull changed. One pull at a time runs over a connection; what a later one changed again is on its list."""
    rows = Resource.objects.filter(connection=pull.connection_id)
    if not (pull.new or pull.changed or pull.gone):
        return Changes((), False, ())
    return between(rows, pull.started_at, pull.finished_at or timezone.now())


def between(resources: QuerySet[Resource], since: datetime, until: datetime) -> Changes:
    """What changed of these resources from `since` to `until`. Three queries."""
    touched = Q(changed_at__gte=since, changed_at__lte=until)
    gone = Q(no_longer_sent_at__gte=since, no_longer_sent_at__lte=until)
    found = list(_listed(resources, touched, gone))
    return Changes(tuple(found[:MOST]), len(found) > MOST, tuple(_counted(resources, touched, gone)))


def _listed(resources: QuerySet[Resource], touched: Q, gone: Q) -> Iterator[Change]:
    rows = resources.defer(*Resource.PHI_FIELDS)
    for row in rows.filter(gone).order_by("resource_type", "pk")[: MOST + 1]:
        yield Change(row, "no longer sent")
    for row in rows.filter(touched, no_longer_sent_at=None).order_by("-changed_at", "pk")[: MOST + 1]:
        yield Change(row, "new" if row.first_seen_at == row.changed_at else "changed")


def _counted(resources: QuerySet[Resource], touched: Q, gone: Q) -> Iterator[TypeChanges]:
    fresh = touched & Q(no_longer_sent_at=None)
    rows = (
        resources.filter(touched | gone)
        .order_by("resource_type")
        .values("resource_type")
        .annotate(
            new=Count("pk", filter=fresh & Q(first_seen_at=F("changed_at"))),
            changed=Count("pk", filter=fresh & ~Q(first_seen_at=F("changed_at"))),
            gone=Count("pk", filter=gone),
        )
    )
    for row in rows:
        yield TypeChanges(**row)
