"""What a pass over all patients leaves behind: whose a record is, everybody's outcomes, what is gone, how far it is."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from emr import freshness, schedule, signals, store
from emr.models import Connection, Enrolment, Pull, Resource, Sweep, SweptPage, TypeOutcome, WorkItem
from emr.pulling import merges
from emr.pulling.holds import Outcome
from emr.store import Owner
from emr.wire import fhir
from emr.wire.fhir import Entry

_AT_ONCE = 500
# Why a type is asked for patient by patient: then it is the search that says whose a record is.
NOBODYS = "no record of the list of all patients says whose it is"


@dataclass(frozen=True)
class Ended:
    """How a pass ended. begun: by our clock. full: it asked for everything, not for what changed."""

    outcome: Outcome
    reason: str
    code: str
    begun: datetime
    full: bool


# --- whose a record is ---


def owner(entry: Entry, connection: Connection, shared: Collection[str]) -> Owner:
    """Of an entry of a list of all patients. One that names nobody, or somebody elsewhere, is not to be kept."""
    resource = entry.resource or {}
    if entry.resource_type in shared:
        return Owner("")
    if not merges.is_at_home(resource, connection):
        return Owner("", "about a patient of another server")
    about = fhir.patient_of(resource) or _participant(resource)
    return Owner(about) if about else Owner("", "names no patient, and was asked for over all of them")


def patients(entries: Iterable[Entry], connection: Connection) -> set[str]:
    """The patients named: those nobody knew yet are this practice's, for its own server names them."""
    return {
        found.patient_fhir_id
        for entry in entries
        if entry.resource is not None and not entry.fault and not (found := owner(entry, connection, ())).reason
    }


def _participant(resource: dict[str, Any]) -> str | None:
    """The one patient of an appointment; None when it has none, or several."""
    listed = resource.get("participant") if resource.get("resourceType") == "Appointment" else None
    found = fhir.references({"at": listed}, {"Patient"})
    return found.pop()[1] if len(found) == 1 else None


# --- how far it is ---


def window(connection: Connection, resource_type: str) -> str:
    """The lower edge of the next pass, as an instant on the server's clock; "" when it is to ask for everything."""
    row = connection.sweeps.filter(resource_type=resource_type).first()
    plan = connection.profile.population
    if row is None or plan is None or row.since is None or row.full_at is None:
        return ""
    if row.full_at <= timezone.now() - timedelta(days=plan.full_days):
        return ""
    edge = row.since - timedelta(seconds=plan.overlap_seconds)
    return edge.strftime("%Y-%m-%dT%H:%M:%SZ")


def advance(connection: Connection, resource_type: str, told: Ended, server_at: str) -> None:
    """After a complete pass the next one asks from the server's time of this one's first page; else soon, the same.

    A server that does not say its time is asked for everything each time: nothing is lost by a guess.
    """
    complete = told.outcome == Outcome.COMPLETE
    after = connection.profile.freshness.shortest if complete else schedule.RETRY
    values: dict[str, Any] = {"next_at": timezone.now() + after}
    if complete:
        values["since"] = datetime.fromisoformat(server_at) if server_at else None
        if told.full:
            values["full_at"] = told.begun
    Sweep.objects.filter(connection=connection, resource_type=resource_type).update(**values)


# --- what it says of everybody ---


def record(connection: Connection, resource_type: str, told: Ended) -> None:
    """The type's outcome for every patient: a few statements, however many they are.

    What changed says nothing complete of somebody who never had a whole list; their lists are fetched one by one.
    """
    rows = TypeOutcome.objects.filter(enrolment__connection=connection, resource_type=resource_type)
    if not told.full:
        rows = rows.exclude(confirmed_at=None)
    said = {"outcome": told.outcome, "reason": told.reason[:300], "code": told.code}
    when = {"attempted_at": timezone.now()}
    if told.outcome == Outcome.COMPLETE:
        when["confirmed_at"] = told.begun
    differing = rows.exclude(**said).values("enrolment")
    Enrolment.objects.filter(pk__in=differing, untold=False).update(untold=True)
    rows.update(**said, **when)
    if told.full:
        own = TypeOutcome.objects.filter(enrolment=OuterRef("pk"), resource_type=resource_type)
        without = connection.enrolments.filter(~Exists(own))
        new = list(without.values_list("pk", flat=True))
        Enrolment.objects.filter(pk__in=without.values("pk"), untold=False).update(untold=True)
        TypeOutcome.objects.bulk_create(
            (TypeOutcome(enrolment_id=pk, resource_type=resource_type, **said, **when) for pk in new),
            batch_size=_AT_ONCE,
            ignore_conflicts=True,
        )


def mark_gone(connection: Connection, item: WorkItem, begun: datetime) -> int:
    """After a complete pass over everything: what is on file since before it and was not sent is no longer there."""
    seen: set[str] = set()
    for marks in SweptPage.objects.filter(item=item).values_list("marks", flat=True).iterator():
        seen.update(marks.split())
    rows = Resource.objects.filter(
        connection=connection, resource_type=item.resource_type, no_longer_sent_at=None, changed_at__lt=begun
    ).exclude(query__endswith=store.BY_REFERENCE)
    found = rows.values_list("pk", "fhir_id", "patient_fhir_id").iterator()
    gone = [(pk, patient) for pk, fhir_id, patient in found if store.mark(fhir_id) not in seen]
    now = timezone.now()
    for start in range(0, len(gone), _AT_ONCE):
        some = gone[start : start + _AT_ONCE]
        Resource.objects.filter(pk__in=[pk for pk, _ in some]).update(no_longer_sent_at=now)
        connection.enrolments.filter(patient_fhir_id__in={patient for _, patient in some}).update(untold=True)
    return len(gone)


def awaited(connection: Connection) -> list[str]:
    """Patients whose noted appointment is past: another one may follow it."""
    start, _ = freshness.today_and_tomorrow(connection.practice, timezone.now())
    return list(connection.enrolments.filter(next_appointment_at__lt=start).values_list("patient_fhir_id", flat=True))


def settle(pull: Pull, *, all_by_population: bool) -> None:
    """The patients without an item in the pull are as fresh as the lists: they are told so, a few hundred at a time."""
    connection = pull.connection
    rest = connection.enrolments.filter(~schedule.has_item(), untold=False)
    rest.update(pulled_at=timezone.now())
    if all_by_population:
        rest.filter(asked_at=None).update(**schedule.NOT_DUE, due_reason="with all patients")
    ids = list(rest.values_list("patient_fhir_id", flat=True))
    transaction.on_commit(lambda: _tell(connection, ids))


def _tell(connection: Connection, ids: list[str]) -> None:
    for start in range(0, len(ids), _AT_ONCE):
        signals.patients_confirmed.send(
            sender=settle, practice_id=connection.practice_id, patient_fhir_ids=ids[start : start + _AT_ONCE]
        )
