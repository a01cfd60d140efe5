"""What the history page and the lists behind it are rendered from."""

from dataclasses import dataclass
from datetime import date
from functools import cached_property
from zoneinfo import ZoneInfo

from django.utils import timezone

from patients import absence
from patients.histories import digests
from patients.histories.digests import Sheet
from patients.histories.heading import AllergyList, Banner, Heading, heading
from patients.histories.lists import TITLES, Listing, listing
from patients.models import Patient

SHOW_ALL = frozenset(TITLES)

# What each section is read from.
_TYPES = {
    "diagnosis": "Condition",
    "treatment": "MedicationRequest",
    "measure": "Observation",
    "allergy": "AllergyIntolerance",
    "visit": "Encounter",
    "report": "DiagnosticReport",
    "procedure": "Procedure",
    "appointment": "Appointment",
    "document": "DocumentReference",
}


@dataclass(frozen=True)
class History:
    """cautions: per kind, why its rows may not be all; allergies: all of them; listing: the entries of the one kind
    that was asked for, None for the page; awaited: nothing has come yet."""

    patient: Patient
    today: date
    banner: Banner
    completeness: absence.Completeness
    cautions: dict[str, str]
    allergies: AllergyList
    listing: Listing | None
    awaited: bool

    @cached_property
    def sheet(self) -> Sheet:
        """The page below the heading. One query when it is kept ready, seven more when it has to be made: only the
        page that shows it asks for it."""
        return digests.sheet(self.patient, self._heading, self.cautions, self.today)

    @property
    def _heading(self) -> Heading:
        return Heading(self.banner, self.completeness, self.allergies)


def history(patient: Patient, *, today: date, all_of: str = "") -> History:
    """The history of `patient` (loaded with its practice); ages and future dates are judged by `today`.

    all_of: a member of SHOW_ALL. Two queries, three with all_of.
    """
    top = heading(patient, today)
    known = top.completeness
    return History(
        patient=patient,
        today=today,
        banner=top.banner,
        completeness=known,
        cautions={kind: known.of(type_).caution for kind, type_ in _TYPES.items() if known.of(type_).kept},
        allergies=top.allergies,
        listing=listing(patient, all_of, today, known.of(_TYPES[all_of]).sentence) if all_of else None,
        awaited=not known.any_complete and not any(state.kept for state in known.states),
    )


def refresh(patient: Patient) -> None:
    """Make today's page ready. Repeatable."""
    zone = ZoneInfo(patient.practice.time_zone)
    _ = history(patient, today=timezone.localdate(timezone=zone)).sheet
