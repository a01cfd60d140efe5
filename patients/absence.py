"""Why something is not on the page. Absence of data is never shown as absence of the thing.

Each resource type of an enrolment is complete, not permitted, not supported here or not fetched
(TypeOutcome); complete with nothing in it is a state of its own. A type that ended complete with a reason (entries that
could not be read, a refused category beside answered ones) may be incomplete, and says so wherever it is shown.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Count, OuterRef, Subquery

from emr.models import ClientRegistration, Enrolment, Environment, Resource, TypeOutcome
from emr.models.kinds import kind_name
from patients.fetching import COLUMNS, Fetching, standing, state
from patients.models import Patient
from patients.wording import moment_words

Outcome = TypeOutcome.Outcome

# What each section of the page is read from: shown as awaited even when no pull has named it yet.
SECTION_TYPES = ("Condition", "MedicationRequest", "Observation", "AllergyIntolerance")
# When two connections disagree about a type, the one that knows most speaks for it.
_BEST_FIRST = (Outcome.COMPLETE, Outcome.NOT_FETCHED, Outcome.NOT_PERMITTED, Outcome.NOT_SUPPORTED)


@dataclass(frozen=True, slots=True)
class TypeState:
    """How one resource type stands over one connection.

    kept: resources of that type on file, whatever became of them since; confirmed/attempted: "" when never.
    """

    resource_type: str
    outcome: str
    reason: str
    kept: int
    confirmed_at: datetime | None
    confirmed: str
    attempted: str
    source: str

    @property
    def answered(self) -> bool:
        """The EMR's lists came to their end; whether all of them came whole, `complete` says."""
        return self.outcome == Outcome.COMPLETE

    @property
    def complete(self) -> bool:
        """Nothing is known to be left out."""
        return self.answered and not self.reason

    @property
    def partial(self) -> bool:
        """Answered, but something of it could not be read or was refused: `reason` says what."""
        return self.answered and not self.complete

    @property
    def word(self) -> str:
        """complete, may be incomplete, not permitted, not supported here or not fetched."""
        return outcome_word(self.outcome, self.reason)

    @property
    def name(self) -> str:
        """For staff: Diagnoses, Medication orders …; the FHIR name of a type we have no words for."""
        return kind_name(self.resource_type)

    @property
    def mark(self) -> str:
        """How the state's tag looks; its words say the same."""
        if self.complete:
            return "good" if self.kept else ""
        return "bad" if self.outcome == Outcome.NOT_FETCHED else "warn"

    @property
    def short(self) -> str:
        """For the line on top: "not permitted", "not fetched: timed out"."""
        told = self.reason and self.outcome == Outcome.NOT_FETCHED
        return f"{self.word}: {self.reason}" if told else self.word

    @property
    def label(self) -> str:
        """For the table of sources: one of the six states, in a word or two."""
        if self.complete and not self.kept:
            return "Nothing on file"
        return self.word.capitalize()

    @property
    def sentence(self) -> str:
        """Why a section read from this type has no rows."""
        because = f": {self.reason}" if self.reason else ""
        if self.partial:
            return f"May be incomplete{because}."
        if self.outcome == Outcome.NOT_PERMITTED:
            return f"Not permitted{because or ': the EMR does not let this connection read it'}."
        if self.outcome == Outcome.NOT_SUPPORTED:
            return f"Not supported here{because or ': the EMR does not offer it'}."
        if self.outcome == Outcome.NOT_FETCHED:
            return f"Not fetched yet{because or ': waiting for its turn'}."
        if self.kept:
            return "The EMR's complete list holds nothing that belongs here."
        return "Nothing on file: the EMR sent a complete, empty list."

    @property
    def caution(self) -> str:
        """Above rows that a later pull could not confirm; "" when they are current."""
        if self.complete:
            return ""
        if self.partial:
            return self.sentence
        since = f" What is shown was confirmed {self.confirmed}." if self.confirmed else ""
        return f"May be incomplete. {self.sentence}{since}"


@dataclass(frozen=True, slots=True)
class Completeness:
    """The line on top of every patient page, and the table of sources below it.

    missing: types that did not come, each with its state in words; partial: those that came but for something.
    fetching: None when no connection pulls this patient.
    """

    as_of: str
    sources: tuple[str, ...]
    missing: tuple[str, ...]
    states: tuple[TypeState, ...]
    enrolled: bool
    fetching: Fetching | None = None

    @property
    def partial(self) -> tuple[str, ...]:
        return tuple(state.resource_type for state in self.states if state.partial)

    @property
    def any_complete(self) -> bool:
        return any(state.confirmed_at for state in self.states)

    def of(self, resource_type: str) -> TypeState:
        """The state that speaks for a type; not fetched when nothing is known of it."""
        found = [state for state in self.states if state.resource_type == resource_type]
        found.sort(key=lambda state: (_BEST_FIRST.index(Outcome(state.outcome)), state.partial))
        if found:
            return found[0]
        why = "no connection has asked for it" if self.enrolled else "no connection pulls this patient"
        return _never_asked(resource_type, "", why)


def outcome_word(outcome: str, reason: str) -> str:
    """A TypeOutcome's state for staff: complete, may be incomplete, not permitted, not supported here, not fetched."""
    if outcome == Outcome.COMPLETE and reason:
        return "may be incomplete"
    return str(Outcome(outcome).label).lower()


def completeness(patient: Patient, zone: ZoneInfo) -> Completeness:
    """What is on file for this patient, how fresh it is and what is missing. One query, no bodies read."""
    rows = _outcomes(patient)
    states = tuple(_states(rows, patient.practice.name, zone))
    complete = [state.confirmed_at for state in states if state.answered and state.confirmed_at]
    # When nothing comes any more (a consent has ended), what is on file keeps its date.
    confirmed = complete or [state.confirmed_at for state in states if state.confirmed_at]
    return Completeness(
        as_of=moment_words(min(confirmed), zone) if confirmed else "",
        sources=tuple(dict.fromkeys(state.source for state in states)),
        missing=tuple(f"{state.resource_type} ({state.short})" for state in states if not state.answered),
        states=states,
        enrolled=bool(rows),
        fetching=standing(rows, zone),
    )


def _outcomes(patient: Patient) -> list[dict[str, Any]]:
    """A row for each enrolment and type, with how many resources of it are on file; a type's columns may be NULL."""
    # Read from an index alone: a resource's other columns lie behind its body.
    kept = (
        Resource.objects.filter(
            practice_id=patient.practice_id,
            patient_fhir_id=patient.fhir_id,
            resource_type=OuterRef("outcomes__resource_type"),
        )
        .order_by()
        .values("resource_type")
        .annotate(count=Count("*"))
        .values("count")
    )
    return list(
        Enrolment.objects.filter(connection__practice_id=patient.practice_id, patient_fhir_id=patient.fhir_id)
        .order_by("connection__created_at", "pk")
        .values(
            "pk",
            "connection__registration__vendor_profile",
            "connection__registration__environment",
            "outcomes__resource_type",
            "outcomes__outcome",
            "outcomes__reason",
            "outcomes__confirmed_at",
            "outcomes__attempted_at",
            *COLUMNS,
            kept=Subquery(kept),
            state=state(),
        )
    )


def _states(rows: Iterable[Mapping[str, object]], practice: str, zone: ZoneInfo) -> Iterable[TypeState]:
    """Each enrolment's outcomes by type, then those that no pull has reached yet."""
    by_enrolment: dict[object, list[Mapping[str, object]]] = {}
    for row in rows:
        by_enrolment.setdefault(row["pk"], []).append(row)
    for outcomes in by_enrolment.values():
        source = _source(outcomes[0], practice)
        asked = {str(row["outcomes__resource_type"]): row for row in outcomes if row["outcomes__resource_type"]}
        for _, row in sorted(asked.items()):
            yield _state(row, source, zone)
        for resource_type in SECTION_TYPES:
            if resource_type not in asked:
                yield _never_asked(resource_type, source, "waiting for its turn")


def _source(row: Mapping[str, object], practice: str) -> str:
    registration = ClientRegistration(vendor_profile=str(row["connection__registration__vendor_profile"]))
    name = registration.profile.name
    sandbox = row["connection__registration__environment"] == Environment.SANDBOX
    return f"{name} ({practice}{', sandbox' if sandbox else ''})"


def _state(row: Mapping[str, object], source: str, zone: ZoneInfo) -> TypeState:
    confirmed_at, attempted_at = row["outcomes__confirmed_at"], row["outcomes__attempted_at"]
    return TypeState(
        resource_type=str(row["outcomes__resource_type"]),
        outcome=str(row["outcomes__outcome"]),
        reason=str(row["outcomes__reason"]).strip().rstrip("."),
        kept=int(str(row["kept"] or 0)),
        confirmed_at=confirmed_at if isinstance(confirmed_at, datetime) else None,
        confirmed=moment_words(confirmed_at, zone) if isinstance(confirmed_at, datetime) else "",
        attempted=moment_words(attempted_at, zone) if isinstance(attempted_at, datetime) else "",
        source=source,
    )


def _never_asked(resource_type: str, source: str, reason: str) -> TypeState:
    return TypeState(resource_type, Outcome.NOT_FETCHED, reason, 0, None, "", "", source)
