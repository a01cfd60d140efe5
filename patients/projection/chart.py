"""What the reading of one resource may need of the rest of the chart."""

from dataclasses import dataclass, field

from patients.projection.readers import Body


@dataclass(frozen=True, slots=True)
class Chart:
    """The practice's code, and its Medication resources that the patient's orders refer to, by FHIR id."""

    practice_code: str = ""
    medications: dict[str, Body] = field(default_factory=dict)
