"""Patients as staff see them, and the dated facts of their histories: projections of emr.models.Resource."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

from emr.models import Practice, Resource, Row


class Precision(models.TextChoices):
    YEAR = "year"
    MONTH = "month"
    DAY = "day"
    TIME = "time"


class Patient(Row):
    """A practice's patient. Upserted by (practice, FHIR id) and never deleted: assessments and audit hang on it."""

    practice = models.ForeignKey(Practice, on_delete=models.PROTECT, related_name="patients")
    fhir_id = models.CharField(max_length=128)
    family = models.CharField(max_length=200, blank=True)
    given = models.CharField(max_length=200, blank=True)
    title = models.CharField(max_length=50, blank=True)
    suffix = models.CharField(max_length=50, blank=True, help_text="Jr., III: what tells father from son")
    birth_date = models.DateField(null=True)
    birth_precision = models.CharField(max_length=5, choices=Precision.choices, blank=True)
    sex = models.CharField(max_length=20, blank=True, help_text="administrative gender, in words; blank: not on file")
    account_no = models.CharField(max_length=64, blank=True)
    deceased = models.BooleanField(default=False)
    deceased_on = models.DateField(null=True)
    # Of another Patient of the same practice, whether on file or not. Look it up within the practice only.
    replaced_by = models.CharField(max_length=128, blank=True, help_text="FHIR id of the record that this one became")
    see_also = models.CharField(max_length=128, blank=True, help_text="FHIR id of another record of this person")
    # What the list searches: names without accents or case, account number.
    search_text = models.CharField(max_length=600, blank=True)
    source = models.ForeignKey(Resource, on_delete=models.SET_NULL, null=True)
    created_at = models.DateTimeField(default=timezone.now)
    projected_at = models.DateTimeField(default=timezone.now)

    PHI_FIELDS: ClassVar[tuple[str, ...]] = (
        "fhir_id", "family", "given", "title", "suffix", "birth_date", "sex", "account_no", "deceased", "deceased_on",
        "replaced_by", "see_also", "search_text",
    )  # fmt: skip

    class Meta:
        constraints = [models.UniqueConstraint(fields=["practice", "fhir_id"], name="one_patient_per_fhir_id")]
        indexes = [models.Index(fields=["practice", "family", "given", "id"], name="patients_by_name")]

    def __str__(self) -> str:
        return f"patient {self.pk}"  # never the name: this string reaches logs and admin history


class Entry(Row):
    """One dated fact with its source. A projection: may be dropped and rebuilt from the resources at any time."""

    class Kind(models.TextChoices):
        DIAGNOSIS = "diagnosis", "Diagnosis"
        TREATMENT = "treatment", "Treatment"
        MEASURE = "measure", "Measure"
        ALLERGY = "allergy", "Allergy or intolerance"
        VISIT = "visit", "Visit"
        REPORT = "report", "Report"
        PROCEDURE = "procedure", "Procedure"
        APPOINTMENT = "appointment", "Appointment"
        DOCUMENT = "document", "Document"

    practice = models.ForeignKey(Practice, on_delete=models.PROTECT)
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, related_name="entries")
    source = models.ForeignKey(Resource, on_delete=models.CASCADE)
    ordinal = models.PositiveSmallIntegerField(default=0, help_text="one resource may state several facts")
    kind = models.CharField(max_length=12, choices=Kind.choices)

    date = models.DateField(null=True)
    date_precision = models.CharField(max_length=5, choices=Precision.choices, blank=True)
    date_meaning = models.CharField(max_length=20, blank=True, help_text="onset, recorded, ordered, measured …")
    end_date = models.DateField(null=True)

    title = models.CharField(max_length=300, help_text="what the record calls it")
    code = models.CharField(max_length=64, blank=True)
    system = models.CharField(max_length=200, blank=True)
    status = models.CharField(max_length=60, blank=True, help_text="the record's own word")
    # Ours: headache class of a diagnosis, drug class of a treatment, instrument of a measure, "emergency" … of a visit,
    # "imaging" or "laboratory" of a report, "botox-procedure" … of a procedure. Blank: unclassified.
    group = models.CharField(max_length=60, blank=True)
    role = models.CharField(max_length=30, blank=True, help_text="treatments: preventive, acute …")
    about_headache = models.BooleanField(default=False)
    value = models.DecimalField(max_digits=18, decimal_places=6, null=True)
    value_text = models.CharField(max_length=300, blank=True)
    unit = models.CharField(max_length=40, blank=True)
    detail = models.JSONField(
        default=dict, help_text="small facts for display: sig, quantity, band, how it was matched"
    )
    fingerprint = models.CharField(max_length=64, help_text="hash of all the above: an unchanged entry is not written")

    PHI_FIELDS: ClassVar[tuple[str, ...]] = (
        "date",
        "end_date",
        "title",
        "code",
        "value",
        "value_text",
        "detail",
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "ordinal"], name="one_entry_per_source_and_ordinal")]
        # The practice too, although a patient has one: SQLite would else take the index of that column alone, and go
        # through all of a practice's entries for each patient.
        indexes = [models.Index(fields=["patient", "practice", "kind", "-date"], name="entries_of_patient")]
        verbose_name_plural = "entries"

    def __str__(self) -> str:
        return f"{self.kind} entry {self.pk}"
