"""Which way a connection's records come: a group's export, searches over all patients, or patient by patient.

The choice follows from the profile, the scopes and one stored probe. What the server refuses later is stored with its
reason and asked for patient by patient from then on; nothing is probed again unless an admin asks.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cache

from django.utils import timezone

from emr import profiles
from emr.models import BulkJob, ClientRegistration, Connection, Sweep
from emr.models.kinds import kind_name
from emr.wire import scopes


class Path(StrEnum):
    BULK = "bulk"
    POPULATION = "population"
    PATIENTS = "patients"


@dataclass(frozen=True)
class Choice:
    """The path in use, in words. types: those asked for over all patients. because: why not a cheaper path."""

    path: Path
    types: frozenset[str]
    decided_at: datetime | None
    because: tuple[str, ...]

    @property
    def words(self) -> str:
        return {
            Path.BULK: "The group's bulk export",
            Path.POPULATION: f"Searches over all patients ({', '.join(sorted(map(kind_name, self.types)))})",
            Path.PATIENTS: "Patient by patient",
        }[self.path]


def choose(connection: Connection) -> Choice:
    """The path in use now. One query."""
    rows = {row.resource_type: row for row in connection.sweeps.all()}
    because = tuple(f"{kind_name(row.resource_type)}: {row.reason}" for row in rows.values() if not row.works)
    if refused := export_refusal(connection):
        because = (f"Bulk export: {refused.reason}", *because)
    decided = max((row.decided_at for row in rows.values()), default=None)
    if may_export(connection):
        return Choice(Path.BULK, frozenset(), decided, because)
    types = _working(connection, (row.resource_type for row in rows.values() if row.works))
    return Choice(Path.POPULATION if "Patient" in types else Path.PATIENTS, types, decided, because)


def may_export(connection: Connection) -> bool:
    """True when the app may export a group, and the server has not refused to."""
    registration = connection.registration
    return (
        registration.app_type == ClientRegistration.AppType.BACKEND_BULK
        and bool(connection.group_id)
        and scopes.allows(registration.scopes, "Group")
        and export_refusal(connection) is None
    )


def export_refusal(connection: Connection) -> BulkJob | None:
    """The export that the server refused, while that answer stands: for this group, and for the profile's time."""
    since = timezone.now() - timedelta(hours=connection.profile.freshness.refused_hours)
    state = BulkJob.State.REFUSED
    refused = connection.bulk_jobs.filter(state=state, group_id=connection.group_id, created_at__gt=since)
    job = refused.first()
    if job is None or connection.bulk_jobs.filter(created_at__gt=job.created_at, started_at__isnull=False).exists():
        return None
    return job


def candidates(connection: Connection) -> tuple[str, ...]:
    """Types that might be asked for over all patients, by profile and scopes, in order; none for a person's grant."""
    population, registration = connection.profile.population, connection.registration
    if population is None or not registration.is_backend:
        return ()
    return tuple(
        kind for kind in population.types if scopes.allows(registration.scopes, kind, action="s") or kind == "Patient"
    )


def by_population(connection: Connection) -> frozenset[str]:
    """The types asked for over all patients; none where that is not the path."""
    if not connection.profile.population or may_export(connection):
        return frozenset()
    types = _working(connection, connection.sweeps.filter(works=True).values_list("resource_type", flat=True))
    return types if "Patient" in types else frozenset()


def _working(connection: Connection, types: Iterable[str]) -> frozenset[str]:
    return frozenset(candidates(connection)).intersection(types)


def left_over(connection: Connection, types: frozenset[str]) -> frozenset[str]:
    """Granted types of the plan that are not among `types`: asked for patient by patient."""
    granted = connection.registration.scopes
    planned = {query.resource_type for query in connection.profile.plan}
    return frozenset(kind for kind in planned - types if scopes.allows(granted, kind))


def needs_probe(connection: Connection) -> bool:
    """True when nobody knows yet whether searches over all patients work."""
    if not candidates(connection) or choose(connection).path == Path.BULK:
        return False
    return not connection.sweeps.exists()


def sweep_due(connection: Connection, now: datetime) -> bool:
    """True when all patients are to be asked for: for the first time, to find out, or since the last pass is old."""
    if not connection.profile.population:
        return False
    if needs_probe(connection):
        return True
    types = by_population(connection)
    return bool(types) and connection.sweeps.filter(resource_type__in=types, next_at__lte=now).exists()


def refuse(connection: Connection, resource_type: str, reason: str, code: str = "") -> None:
    """The server refused this type over all patients: it is not asked for so again, and why."""
    said = {"works": False, "reason": reason[:300], "code": code, "decided_at": timezone.now()}
    Sweep.objects.update_or_create(connection=connection, resource_type=resource_type, defaults=said)


def forget(connection: Connection) -> None:
    """An admin wants it found out anew: the next pull probes, and asks for everything."""
    connection.sweeps.all().delete()


@cache
def population_profiles() -> tuple[str, ...]:
    """Keys of the profiles that know searches over all patients."""
    return tuple(key for key, _ in profiles.choices() if profiles.get(key).population)
