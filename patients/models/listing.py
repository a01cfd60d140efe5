"""What the list of patients is searched, filtered and sorted by: one narrow row for each patient, and appointments.

Both are projections like Entry: patients.listing fills them, and they may be dropped and filled again.
"""

from datetime import UTC, datetime
from typing import ClassVar

from django.db import models

from emr.models import Practice, Resource, Row, TypeOutcome
from patients.models.records import Patient

NEVER = datetime(1970, 1, 1, tzinfo=UTC)
# Of how the appointments of a patient stand: complete, but for something that could not be read or was refused.
PARTIAL = "partial"
_COMPLETE, *_OTHERS = TypeOutcome.Outcome.choices
APPOINTMENTS = [_COMPLETE, (PARTIAL, "May be incomplete"), *_OTHERS]
_LOOKED_AT = ("search_text", "birth_date", "families", "chronic", "cgrp_until", "exposed_until", "midas_on")


class Listing(models.Model):
    """One patient as the list looks for them.

    Everything a search or filter reads lies in an index in the order of the list: looking through 100,000 patients
    reads that index alone and no table, whatever is asked. What depends on the day is kept as the last day on which
    it holds, so that it stays true while nothing new comes.
    """

    SEARCHED: ClassVar[int] = 240  # characters; PostgreSQL holds an index row to 2,700 bytes

    patient = models.OneToOneField(Patient, on_delete=models.CASCADE, primary_key=True, related_name="listing")
    practice = models.ForeignKey(Practice, on_delete=models.PROTECT, db_index=False)  # the index below begins with it
    sort_name = models.CharField(max_length=120, blank=True, help_text="family and given names as the list sorts them")
    search_text = models.CharField(max_length=SEARCHED, blank=True, help_text="names without accents, account number")
    birth_date = models.DateField(null=True)
    families = models.PositiveIntegerField(default=0, help_text="headache families on record, one bit each")
    chronic = models.BooleanField(default=False, help_text="an active diagnosis of a chronic headache")
    cgrp_until = models.DateField(null=True, help_text="last day of an active order for a CGRP-targeting drug")
    exposed_until = models.DateField(null=True, help_text="last day on which acute orders reach the line of 10 or 15")
    midas_on = models.DateField(null=True, help_text="latest MIDAS, measured or entered")
    # Never null: databases disagree on which end of an index holds what is missing.
    as_of = models.DateTimeField(default=NEVER, help_text="all complete lists are at least as fresh as this")
    appointments = models.CharField(max_length=16, choices=APPOINTMENTS, default=TypeOutcome.Outcome.NOT_FETCHED)

    PHI_FIELDS: ClassVar[tuple[str, ...]] = (
        "sort_name", "search_text", "birth_date", "families", "chronic", "cgrp_until", "exposed_until", "midas_on",
    )  # fmt: skip

    class Meta:
        indexes = [
            models.Index(fields=["practice", "sort_name", "patient", *_LOOKED_AT, "as_of"], name="listing_by_name"),
            models.Index(fields=["practice", "as_of", "sort_name", "patient", *_LOOKED_AT], name="listing_by_age"),
            models.Index(fields=["practice", "appointments"], name="listing_appointments"),
        ]  # fmt: skip

    def __str__(self) -> str:
        return f"listing of patient {self.patient_id}"


class ScheduledVisit(Row):
    """An appointment on the day and at the time of the practice's own clock."""

    practice = models.ForeignKey(Practice, on_delete=models.PROTECT)
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="scheduled")
    source = models.ForeignKey(Resource, on_delete=models.CASCADE)
    day = models.DateField()
    starts_at = models.DateTimeField(null=True, help_text="blank: the record names a day only")
    title = models.CharField(max_length=300)
    status = models.CharField(max_length=60, blank=True, help_text="the record's own word")
    off = models.BooleanField(default=False, help_text="cancelled, or the patient was not seen")

    PHI_FIELDS: ClassVar[tuple[str, ...]] = ("day", "starts_at", "title", "status")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source"], name="one_visit_per_appointment")]
        indexes = [
            models.Index(fields=["practice", "day", "starts_at"], name="schedule_of_a_day"),
            models.Index(fields=["patient", "day"], name="schedule_of_a_patient"),
        ]

    def __str__(self) -> str:
        return f"scheduled visit {self.pk}"
