"""What the reading of one resource may need of the rest of the chart."""

from dataclasses import dataclass, field

from patients.projection.facts import Dated
from patients.projection.readers import Body

Version = dict[str, str]


@dataclass(frozen=True, slots=True)
class Chart:
    """One patient's resources as far as they speak about each other; ids are FHIR ids.

    practice_code: of the practice; medications: those that the patient's orders refer to, by id; replaced:
    "type/id" of resources that a later version stands for; versions: by "type/id" of that later one, what it
    stands for, as {"status", "date"}; visit_dates: of the encounters, by id; headache_visits: the encounters at
    which a headache was recorded as a diagnosis; bindings: what the practice says its unknown medication texts mean
    (patients.bindings.bindings_of).
    """

    practice_code: str = ""
    medications: dict[str, Body] = field(default_factory=dict)
    replaced: frozenset[str] = frozenset()
    versions: dict[str, list[Version]] = field(default_factory=dict)
    visit_dates: dict[str, Dated] = field(default_factory=dict)
    headache_visits: frozenset[str] = frozenset()
    bindings: dict[str, tuple[str, ...]] = field(default_factory=dict)
