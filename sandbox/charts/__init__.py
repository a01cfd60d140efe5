"""A seeded practice of believable headache patients, with charts as dirty as an EMR's.

Everything is invented. The shapes (long ids, medication references, text-only sigs, sentinel dates, strings
for numbers) are those recorded from eClinicalWorks/healow FHIR R4 servers.
"""

import datetime as dt

from sandbox.charts.charts import chart
from sandbox.charts.codings import Json
from sandbox.charts.practice import medications, organization, staff

__all__ = ["chart", "generate"]


def generate(*, patients: int, seed: int, today: dt.date) -> list[Json]:
    """Return all FHIR R4 resources of a practice with that many patients, the practice's own first.

    Deterministic for its arguments. Patient k is the same whatever the number of patients, so a practice can
    grow. The first twelve are the cast; Medications are those the charts refer to. Raises ValueError for a
    negative number of patients.
    """
    if patients < 0:
        raise ValueError(f"patients must not be negative: {patients}")
    charts = [resource for number in range(1, patients + 1) for resource in chart(number, seed=seed, today=today)]
    ordered = {
        resource["medicationReference"]["reference"]
        for resource in charts
        if resource["resourceType"] == "MedicationRequest"
    }
    drugs = [drug for drug in medications(seed, today) if f"Medication/{drug['id']}" in ordered]
    return [organization(seed), *staff(seed, today), *drugs, *charts]
