"""The pen a chart is written with: ids, dates and dice of one patient."""

import datetime as dt
import random
from dataclasses import dataclass, replace

from sandbox.charts.codings import Json
from sandbox.charts.dates import instant
from sandbox.charts.ids import resource_id
from sandbox.charts.story import Person, Story

EMERGENCIES = ("emergency", "injury")  # kinds of visits that were in the emergency department
PRACTITIONERS = 4
LOCATIONS = 2


@dataclass(frozen=True)
class Visit:
    """One encounter: when (date and minutes after midnight), what for and where it stands."""

    number: int
    on: dt.date
    minutes: int
    kind: str
    reason: str
    status: str

    @property
    def is_emergency(self) -> bool:
        return self.kind in EMERGENCIES


@dataclass(frozen=True)
class Pen:
    """Patient `number` (from 1) of the practice `seed`, as of `today`. Dice are per topic, so that one more
    throw about allergies does not change the visits."""

    seed: int
    number: int
    today: dt.date
    person: Person
    story: Story
    visits: tuple[Visit, ...] = ()

    def dice(self, topic: str) -> random.Random:
        """A generator of its own for this patient and topic."""
        return random.Random(f"{self.seed}/{self.number}/{topic}")

    def with_visits(self, visits: tuple[Visit, ...]) -> "Pen":
        return replace(self, visits=visits)

    def day(self, ago: int) -> dt.date:
        return self.today - dt.timedelta(days=ago)

    def id(self, kind: str, *key: object) -> str:
        return resource_id(self.seed, kind, self.number, *key)

    @property
    def patient(self) -> Json:
        return {"reference": f"Patient/{self.id('Patient')}"}

    def other_patient(self, number: int) -> Json:
        """Reference to another patient of the practice."""
        return {"reference": f"Patient/{resource_id(self.seed, 'Patient', number)}"}

    @property
    def practitioner(self) -> Json:
        return shared(self.seed, "Practitioner", self.number % PRACTITIONERS)

    @property
    def location(self) -> Json:
        return shared(self.seed, "Location", self.number % LOCATIONS)

    def encounter(self, visit: Visit) -> Json:
        return {"reference": f"Encounter/{self.id('Encounter', visit.number)}"}

    def head(self, kind: str, on: dt.date, *key: object) -> Json:
        """resourceType, id and `meta.lastUpdated` (never later than yesterday's close; no versionId)."""
        updated = min(on, self.today - dt.timedelta(days=1))
        return {
            "resourceType": kind,
            "id": self.id(kind, *key),
            "meta": {"lastUpdated": instant(updated, 1020 + self.number % 60)},
        }

    def seen(self) -> list[Visit]:
        """Visits that took place, oldest first."""
        return [visit for visit in self.visits if visit.status == "finished"]


def shared(seed: int, kind: str, index: object) -> Json:
    """Reference to a resource that belongs to the practice, not to a patient."""
    return {"reference": f"{kind}/{resource_id(seed, kind, 'practice', index)}"}
