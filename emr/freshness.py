"""How fresh a patient is, type by type. A type within its life (the profile's) need not be fetched again."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from django.db.models import Min, Prefetch, Q, QuerySet
from django.utils import timezone

from emr import catalogue
from emr.models import Connection, Enrolment, Practice, TypeOutcome
from emr.profiles import Profile

_REFUSED = {TypeOutcome.Outcome.NOT_PERMITTED, TypeOutcome.Outcome.NOT_SUPPORTED}
# Upper edges of the classes in which ages are counted.
AGES = (timedelta(hours=1), timedelta(hours=6), timedelta(hours=12), timedelta(hours=24), timedelta(days=3))


@dataclass(frozen=True)
class Missing:
    """A type that is not fresh. why: never fetched, how old it is, or what went wrong the last time."""

    resource_type: str
    why: str


@dataclass(frozen=True)
class Late:
    """Somebody who is awaited and not fresh. at: the appointment."""

    enrolment: Enrolment
    at: datetime
    missing: tuple[Missing, ...]


@dataclass(frozen=True)
class Day:
    """A day of the practice. awaited: patients with an appointment. late: those of them who are not fresh."""

    name: str
    awaited: int
    late: tuple[Late, ...] = field(repr=False)


@dataclass(frozen=True)
class Awaited:
    """Today and tomorrow. not_fresh: of whom something is older than its life, or was never fetched."""

    days: tuple[Day, ...]

    @property
    def coming(self) -> int:
        return sum(day.awaited for day in self.days)

    @property
    def not_fresh(self) -> tuple[Late, ...]:
        return tuple(late for day in self.days for late in day.late)


@dataclass(frozen=True)
class Ages:
    """A practice's patients by the age of what they have on file: how many per class, in the order of `labels`."""

    enrolled: int
    counts: tuple[int, ...]
    never: int


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
    rows = list(enrolment.outcomes.all())
    rest = set(fresh_types(rows, profile, at))
    rest.update(row.resource_type for row in rows if _is_answered(row, profile, at))
    return tuple(dict.fromkeys(query.resource_type for query in profile.plan if query.resource_type not in rest))


def _is_answered(row: TypeOutcome, profile: Profile, at: datetime) -> bool:
    """Refused, wholly or in part, within its life: to ask again would bring no more."""
    return row.outcome in _REFUSED and row.attempted_at + profile.freshness.life(row.resource_type) > at


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


def awaited(practice: Practice) -> Awaited:
    """Who comes today and tomorrow, and who of them is not fresh now. Three queries.

    Of a patient whom several connections pull, a type is fresh when one of them has it fresh.
    """
    now = timezone.now()
    start, end = today_and_tomorrow(practice, now)
    middle = start.astimezone(ZoneInfo(practice.time_zone)) + timedelta(days=1)
    rows = _enrolments(practice).filter(next_appointment_at__gte=start, next_appointment_at__lt=end)
    people: dict[str, list[Enrolment]] = {}
    for enrolment in with_outcomes(rows).order_by("next_appointment_at", "pk"):
        people.setdefault(enrolment.patient_fhir_id, []).append(enrolment)
    late = {patient: _late(enrolments, now) for patient, enrolments in people.items()}
    days = []
    for name, since, until in (("today", start, middle), ("tomorrow", middle, end)):
        found = [each for each in late.values() if since <= each.at < until]
        days.append(Day(name, len(found), tuple(each for each in found if each.missing)))
    return Awaited(tuple(days))


def _late(enrolments: list[Enrolment], now: datetime) -> Late:
    """The first of them is the one with the next appointment."""
    lacking: dict[str, list[str]] = {}
    planned: dict[str, int] = {}
    for enrolment in enrolments:
        profile = enrolment.connection.profile
        rows = {row.resource_type: row for row in enrolment.outcomes.all()}
        for kind in dict.fromkeys(query.resource_type for query in profile.plan):
            planned[kind] = planned.get(kind, 0) + 1
        for kind in not_fresh(enrolment, profile, now):
            lacking.setdefault(kind, []).append(_why(rows.get(kind), now))
    missing = tuple(Missing(kind, whys[0]) for kind, whys in lacking.items() if len(whys) == planned[kind])
    at = enrolments[0].next_appointment_at
    assert at is not None  # noqa: S101 - they were sought by it; for the type checker
    return Late(enrolments[0], at, missing)


def _why(row: TypeOutcome | None, now: datetime) -> str:
    if row is None or (row.confirmed_at is None and not row.reason):
        return "never fetched"
    if row.outcome != TypeOutcome.Outcome.COMPLETE:
        return row.reason or row.get_outcome_display().lower()
    return f"{_span(now - row.confirmed_at)} old" if row.confirmed_at else "never fetched"


def ages(practice: Practice) -> Ages:
    """How old what is on file is, since the list confirmed longest ago; types with a life of their own are let be.

    One query a connection. Of a patient whom several connections pull, the fresher one counts.
    """
    now = timezone.now()
    found: dict[str, timedelta | None] = {}
    connections = practice.connections.exclude(state=Connection.State.REVOKED).select_related("registration")
    for connection in connections:
        own = ~Q(outcomes__resource_type__in=list(connection.profile.freshness.hours))
        rows = connection.enrolments.annotate(
            ordinary=Min("outcomes__confirmed_at", filter=own), confirmed=Min("outcomes__confirmed_at")
        )
        for patient, ordinary, confirmed in rows.values_list("patient_fhir_id", "ordinary", "confirmed"):
            since = ordinary or confirmed
            known = found.get(patient)
            age = now - since if since else None
            found[patient] = min((each for each in (known, age) if each is not None), default=None)
    classes = Counter(sum(age >= edge for edge in AGES) for age in found.values() if age is not None)
    counts = tuple(classes[number] for number in range(len(AGES) + 1))
    return Ages(len(found), counts, len(found) - sum(counts))


def _enrolments(practice: Practice) -> QuerySet[Enrolment]:
    rows = Enrolment.objects.filter(connection__practice=practice)
    return rows.exclude(connection__state=Connection.State.REVOKED)


def labels() -> tuple[str, ...]:
    """The classes of age: "under 1 h" … "3 days and more"."""
    names = [_span(edge) for edge in AGES]
    return (
        f"under {names[0]}",
        *(f"{low} to {high}" for low, high in pairwise(names)),
        f"{names[-1]} and more",
    )


def _span(edge: timedelta) -> str:
    """Whole hours, from two days on whole days."""
    hours = edge // timedelta(hours=1)
    return f"{hours // 24} days" if hours >= 48 else f"{hours} h"
