"""How fresh a patient is, type by type. A type within its life (the profile's) need not be fetched again."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from django.db.models import Prefetch, QuerySet
from django.utils import timezone

from emr import catalogue
from emr.models import Connection, Enrolment, Practice, TypeOutcome
from emr.profiles import Profile

_REFUSED = {TypeOutcome.Outcome.NOT_PERMITTED, TypeOutcome.Outcome.NOT_SUPPORTED}
# Upper edges of the classes in which ages are counted.
AGES = (timedelta(hours=1), timedelta(hours=6), timedelta(hours=12), timedelta(hours=24), timedelta(days=3))


@dataclass(frozen=True)
class Standing:
    """A practice's patients by the age of what they have on file.

    ages: how many per class, in the order of `labels`. coming: patients with an appointment today or tomorrow.
    not_fresh: those of them of whom something is older than its life, or was never fetched.
    """

    practice: Practice
    enrolled: int
    ages: tuple[int, ...]
    never: int
    coming: int
    not_fresh: tuple["Late", ...] = field(repr=False)


@dataclass(frozen=True)
class Late:
    """Somebody who is awaited and not fresh. `types`: what is missing or too old."""

    enrolment: Enrolment
    at: datetime
    types: tuple[str, ...]


def fresh_types(outcomes: Iterable[TypeOutcome], profile: Profile, at: datetime) -> list[str]:
    """The types that need not be asked for: still fresh at `at`, or refused for good not long ago."""
    now = timezone.now()
    return sorted(row.resource_type for row in outcomes if is_fresh(row, profile, at) or is_refused(row, profile, now))


def is_fresh(row: TypeOutcome, profile: Profile, at: datetime) -> bool:
    """Complete, and its life ends after `at`."""
    if row.outcome != TypeOutcome.Outcome.COMPLETE or row.confirmed_at is None:
        return False
    return row.confirmed_at + profile.freshness.life(row.resource_type) > at


def is_refused(row: TypeOutcome, profile: Profile, now: datetime) -> bool:
    """Refused in all its queries, with a code that asking again does not change, within the profile's time."""
    if row.outcome not in _REFUSED or not row.code or catalogue.explain(row.code).retries != "no":
        return False
    return row.attempted_at + timedelta(hours=profile.freshness.refused_hours) > now


def not_fresh(enrolment: Enrolment, profile: Profile, at: datetime) -> tuple[str, ...]:
    """Planned types that would not be fresh at `at`. Types of the plan only: those read by reference are kept."""
    rest = set(fresh_types(enrolment.outcomes.all(), profile, at))
    return tuple(dict.fromkeys(query.resource_type for query in profile.plan if query.resource_type not in rest))


def with_outcomes(enrolments: QuerySet[Enrolment]) -> QuerySet[Enrolment]:
    """The same rows with what `not_fresh` reads: two queries for all of them."""
    return enrolments.select_related("connection__practice", "connection__registration").prefetch_related(
        Prefetch("outcomes", queryset=TypeOutcome.objects.order_by("resource_type"))
    )


def today_and_tomorrow(practice: Practice, now: datetime) -> tuple[datetime, datetime]:
    """From the start of today to the end of tomorrow on the practice's clock, as instants."""
    local = now.astimezone(ZoneInfo(practice.time_zone))
    start = local.replace(hour=0, minute=0, second=0, microsecond=0)
    # On the wall clock, then as an instant: a day with a clock change has 23 or 25 hours.
    return start, start + timedelta(days=2)


def standing(practice: Practice) -> Standing:
    """Counts by age, and who on the list of today and tomorrow is not fresh now."""
    now = timezone.now()
    start, end = today_and_tomorrow(practice, now)
    ages, never, late, coming, enrolled = [0] * (len(AGES) + 1), 0, [], 0, 0
    rows = Enrolment.objects.filter(connection__practice=practice).exclude(connection__state=Connection.State.REVOKED)
    for enrolment in with_outcomes(rows).order_by("next_appointment_at", "pk").iterator(chunk_size=500):
        enrolled += 1
        age = _age(enrolment, now)
        if age is None:
            never += 1
        else:
            ages[sum(age >= edge for edge in AGES)] += 1
        at = enrolment.next_appointment_at
        if at is not None and start <= at < end:
            coming += 1
            if types := not_fresh(enrolment, enrolment.connection.profile, now):
                late.append(Late(enrolment, at, types))
    return Standing(practice, enrolled, tuple(ages), never, coming, tuple(late))


def labels() -> tuple[str, ...]:
    """The classes of age: "under 1 h" … "3 days and more"."""
    names = [_span(edge) for edge in AGES]
    return (
        f"under {names[0]}",
        *(f"{low} to {high}" for low, high in pairwise(names)),
        f"{names[-1]} and more",
    )


def _span(edge: timedelta) -> str:
    hours = edge // timedelta(hours=1)
    return f"{hours // 24} days" if hours > 24 else f"{hours} h"


def _age(enrolment: Enrolment, now: datetime) -> timedelta | None:
    """Since the list confirmed longest ago; types with a life of their own are let be. None: nothing was confirmed."""
    own = enrolment.connection.profile.freshness.hours
    confirmed = [row.confirmed_at for row in enrolment.outcomes.all() if row.confirmed_at is not None]
    ordinary = [
        row.confirmed_at for row in enrolment.outcomes.all() if row.confirmed_at and row.resource_type not in own
    ]
    return now - min(ordinary or confirmed) if confirmed else None
