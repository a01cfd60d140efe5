"""A seeded practice of believable headache patients, with charts as dirty as an EMR's.

Everything is invented. The shapes (long ids, medication references, text-only sigs, sentinel dates, strings
for numbers) are those recorded from eClinicalWorks/healow FHIR R4 servers.
"""

import datetime as dt

from sandbox.charts.charts import chart
from sandbox.charts.codings import Json
from sandbox.charts.practice import medications, organization, staff

__all__ = ["chart", "generate"]


def generate(*, patients: int, seed: int, today: dt.date, booked: bool = False) -> list[Json]:
    """Return all FHIR R4 resources of a practice with that many patients, the practice's own first.

    Deterministic for its arguments. Patient k is the same whatever the number of patients, so a practice can
    grow. The first twelve are the cast, the next eight one of each other kind (18 and 19 are two charts of one
    person); Medications are those the charts refer to. Appointments are there when `booked`: eClinicalWorks
    serves none. Raises ValueError for a negative number of patients.
    """
    if patients < 0:
        raise ValueError(f"patients must not be negative: {patients}")
    numbers = range(1, patients + 1)
    charts = [each for number in numbers for each in chart(number, seed=seed, today=today, booked=booked)]
    ordered = {
        resource["medicationReference"]["reference"]
        for resource in charts
        if resource["resourceType"] == "MedicationRequest"
    }
    drugs = [drug for drug in medications(seed, today) if f"Medication/{drug['id']}" in ordered]
    return [organization(seed), *staff(seed, today), *drugs, *charts]
