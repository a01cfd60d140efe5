"""How patients' consents stand, for staff: state, ends, warnings, and what was granted of what was asked for."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cached_property
from uuid import UUID

from django.contrib.auth.models import AnonymousUser
from django.db.models import QuerySet
from django.utils import timezone

from emr import access, catalogue, demographics, grants
from emr.demographics import Person
from emr.launches import scope_words
from emr.models import Connection, Environment, Grant, Practice, Resource, User

State = Grant.State
NAMELESS = "Patient without a name yet"


@dataclass(frozen=True)
class Standing:
    """One patient's consent now. name: FAMILY, Given as the record has it; as_invited: as staff wrote it, until the
    record says it."""

    grant: Grant
    name: str
    as_invited: bool
    now: datetime

    @property
    def current(self) -> bool:
        return self.grant.state in Grant.CURRENT

    @property
    def needs_consent(self) -> bool:
        return self.grant.state == State.NEEDS_CONSENT

    @property
    def held(self) -> bool:
        return self.grant.state == State.HELD

    @cached_property
    def end(self) -> grants.CalendarEntry | None:
        """The nearest end to come; None when none is known, or it is over."""
        return next(iter(grants.ends(self.grant, self.now)), None)

    @property
    def word(self) -> str:
        return str(State(self.grant.state).label)

    @property
    def mark(self) -> str:
        return {State.ACTIVE: "good", State.NEEDS_CONSENT: "warn", State.HELD: "warn"}.get(State(self.grant.state), "")

    @property
    def reason(self) -> catalogue.Explanation | None:
        return catalogue.explain(self.grant.reason_code) if self.grant.reason_code else None

    @property
    def sandbox(self) -> bool:
        return self.grant.connection.registration.environment == Environment.SANDBOX

    @cached_property
    def compared(self) -> scope_words.Compared:
        return scope_words.compared(self.grant.requested_scope, self.grant.scope)


def visible_grants(user: User | AnonymousUser) -> QuerySet[Grant]:
    """Patients' grants of this person's practices."""
    connections = access.visible(Connection.objects.all(), user)
    rows = Grant.objects.filter(connection__in=connections, user=None)
    return rows.select_related("connection__practice", "connection__registration", "invitation")


def standing(rows: Iterable[Grant], practice: Practice) -> list[Standing]:
    """These grants as staff see them, in the same order. One query for all names."""
    rows = list(rows)
    people = people_on_file(practice.pk, (row.patient_fhir_id for row in rows if row.state != State.HELD))
    now = timezone.now()
    return [Standing(row, *_name(row, people.get(row.patient_fhir_id)), now) for row in rows]


def people_on_file(practice_id: UUID, fhir_ids: Iterable[str]) -> dict[str, Person]:
    """FHIR id → who that is, of those whose Patient was fetched."""
    rows = Resource.objects.filter(practice_id=practice_id, resource_type="Patient", fhir_id__in=set(fhir_ids))
    people = (demographics.read(json.loads(body)) for body in rows.values_list("body", flat=True))
    return {person.fhir_id: person for person in people}


def born(text: str) -> str:
    """A birth date as the charts show it (07-Mar-1989); as sent when it is no whole date."""
    try:
        return f"{date.fromisoformat(text):%d-%b-%Y}"
    except ValueError:
        return text or "not on file"


def _name(grant: Grant, person: Person | None) -> tuple[str, bool]:
    """(name, whether staff gave it). A record that names nobody leaves the name as invited."""
    invited = grant.invitation
    if person is not None and (person.names or invited is None):
        return person.label, False
    return (f"{invited.family.upper()}, {invited.given}", True) if invited is not None else (NAMELESS, False)
