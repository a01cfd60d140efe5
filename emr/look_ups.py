"""Seek a person in the EMR by what the vendor's profile allows, for staff who wait; enrolling them is staff's to do."""

from collections.abc import Iterable
from datetime import timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from emr import calls, catalogue, demographics, doctor, fields, hints, roster, tokens
from emr.demographics import Sought
from emr.models import Connection, Enrolment, LookUp, User
from emr.profiles import Profile
from emr.wire import fhir, scopes
from emr.wire.errors import NeverAgain, Throttled, TryAgain, WireError
from emr.wire.http import Door

LEASE = timedelta(seconds=60)
TRIES = 3
NOT_GRANTED = "This connection may not search for patients: the scope was not granted."


def parameters(sought: Sought, profile: Profile) -> dict[str, str] | None:
    """The search this EMR offers for such a person; None when it has none for what is known."""
    values = {
        "_id": sought.fhir_id,
        "identifier": sought.account_no,
        "family": sought.family,
        "given": sought.given,
        "birthdate": sought.birth_date,
    }
    for names in profile.patient_search:
        if all(values.get(name) for name in names):
            return {name: values[name] for name in names}
    return None


def ask(connection: Connection, searches: Iterable[dict[str, str]], by: User | None) -> list[LookUp]:
    """Have these people sought by a worker, ahead of everything else."""
    rows = [
        LookUp(practice_id=connection.practice_id, connection=connection, asked_by=by, sought=search)
        for search in searches
    ]
    LookUp.objects.bulk_create(rows, batch_size=200)
    transaction.on_commit(lambda: hints.publish("emr.tasks.tick"))
    return rows


def run(pk: UUID) -> None:
    """Make the search if nobody else is at it. One call; waiting goes back to the queue."""
    now = timezone.now()
    rows = LookUp.objects.filter(pk=pk, state=LookUp.State.QUEUED)
    if not rows.filter(LookUp.free()).update(lease_until=now + LEASE, attempts=F("attempts") + 1):
        return
    row = rows.select_related("connection__practice", "connection__registration").first()
    if row is None:
        return
    try:
        _search(row)
    except (calls.OverBudget, tokens.TokenBusy) as wait:
        _wait(row, wait.seconds, attempts=row.attempts - 1)
    except TryAgain as error:
        if row.attempts >= TRIES:
            _fail(row, error)
        else:
            _wait(row, 2.0 ** (row.attempts - 1), attempts=row.attempts)
    except WireError as error:
        _fail(row, error)
    except fields.SecretUnreadable as error:
        doctor.degrade(row.connection, "SECRET_UNREADABLE", str(error))


def _search(row: LookUp) -> None:
    """One search, and with a new token once more where the token was refused. Raises Unauthorized for the second."""
    with calls.door_to(row.connection) as door:
        access = tokens.system_access(row.connection, door, interactive=True)
        if not scopes.allows(access.scope, "Patient"):
            _end(row, LookUp.State.FAILED, reason=NOT_GRANTED)
            return
        try:
            page = _page(row, door, access)
        except fhir.Unauthorized:
            tokens.drop(row.connection, access)
            page = _page(row, door, tokens.system_access(row.connection, door, interactive=True))
    found = [
        demographics.read(entry.resource).as_json()
        for entry in page.entries
        if entry.resource is not None and not entry.fault and entry.resource_type == "Patient"
    ]
    reason = "There are more; only the first are shown." if page.next_url or page.next_refused else ""
    _end(row, LookUp.State.DONE, found=found, reason=reason)


def _page(row: LookUp, door: Door, access: tokens.Access) -> fhir.Page:
    connection, aliases = row.connection, row.connection.profile.link_aliases
    calls.spend(connection, interactive=True)
    try:
        return fhir.search(
            door, access.bearer, connection.base_url, "Patient", list(row.sought.items()), aliases=aliases
        )
    except Throttled as refusal:
        raise calls.throttled(connection, refusal) from None


def enrol(row: LookUp, fhir_id: str) -> bool:
    """Staff say that this is the person. False when the look-up did not find them, or is over."""
    if fhir_id not in {person["fhir_id"] for person in row.found}:
        return False
    if not LookUp.objects.filter(pk=row.pk, state=LookUp.State.DONE).update(state=LookUp.State.ENROLLED):
        return False
    roster.enrol(row.connection, [fhir_id], Enrolment.KnownBy.LOOK_UP, waited_for=True)
    transaction.on_commit(lambda: hints.publish("emr.tasks.tick"))
    return True


def _wait(row: LookUp, seconds: float, *, attempts: int) -> None:
    LookUp.objects.filter(pk=row.pk, state=LookUp.State.QUEUED).update(
        lease_until=None, not_before=timezone.now() + timedelta(seconds=seconds), attempts=max(attempts, 0)
    )


def _fail(row: LookUp, error: WireError) -> None:
    if isinstance(error, NeverAgain) and doctor.stops_connection(error.code):
        doctor.degrade(row.connection, error.code, str(error), error.request_id)
    _end(row, LookUp.State.FAILED, reason=f"{catalogue.explain(error.code).title} ({error.code})")


def _end(row: LookUp, state: LookUp.State, *, found: Iterable[object] = (), reason: str = "") -> None:
    LookUp.objects.filter(pk=row.pk, state=LookUp.State.QUEUED).update(
        state=state, found=list(found), reason=reason, lease_until=None
    )
