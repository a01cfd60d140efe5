"""What the EMR said, verbatim, and what it said that could not be kept as a resource."""

from collections.abc import Mapping
from typing import ClassVar

from django.db import models

from emr.models.people import Practice
from emr.models.registrations import Connection
from emr.models.row import Row


class Resource(Row):
    """One FHIR resource as received. An unchanged resource is not written again; see Enrolment for freshness."""

    practice = models.ForeignKey(Practice, on_delete=models.CASCADE)
    resource_type = models.CharField(max_length=40)
    # FHIR allows 64; one server was seen to send longer. Compared case-sensitively, as FHIR asks.
    fhir_id = models.CharField(max_length=128)
    patient_fhir_id = models.CharField(max_length=128, blank=True, help_text="blank: not about one patient")
    body = models.TextField(help_text="the JSON text, byte for byte")
    content_hash = models.CharField(max_length=64)
    query = models.CharField(max_length=200, help_text="the search or read that brought it, without the patient's id")
    connection = models.ForeignKey(Connection, on_delete=models.SET_NULL, null=True)
    first_seen_at = models.DateTimeField()
    changed_at = models.DateTimeField()
    no_longer_sent_at = models.DateTimeField(null=True)
    entered_in_error = models.BooleanField(default=False)
    unparsed = models.CharField(max_length=500, blank=True, help_text="what FHIR R4 (R4B models) has against it")

    PHI_FIELDS: ClassVar[tuple[str, ...]] = ("fhir_id", "patient_fhir_id", "body")
    # People and places, and the elements in which a page shows their names: read where a reference has no display.
    NAMED: ClassVar[tuple[str, ...]] = ("Practitioner", "Organization", "Location")
    NAMES_SHOWN: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "MedicationRequest": ("requester",),
        "Encounter": ("participant", "location"),
        "Procedure": ("performer", "location"),
        "DiagnosticReport": ("resultsInterpreter", "performer"),
        "DocumentReference": ("author", "authenticator", "custodian"),
        "Appointment": ("participant",),
        "QuestionnaireResponse": ("author",),
    }

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["practice", "resource_type", "fhir_id"], name="one_row_per_resource")
        ]
        indexes = [
            models.Index(fields=["practice", "patient_fhir_id", "resource_type"], name="resource_of_patient"),
            # What a pull changed is read from here: no list of it is written.
            models.Index(fields=["connection", "changed_at"], name="resource_changed"),
        ]

    def __str__(self) -> str:
        return f"{self.resource_type} {self.pk}"


class Quarantine(Row):
    """Bytes without usable JSON, type or id, or about a foreign patient: kept with the reason, retryable."""

    practice = models.ForeignKey(Practice, on_delete=models.CASCADE)
    connection = models.ForeignKey(Connection, on_delete=models.SET_NULL, null=True)
    patient_fhir_id = models.CharField(max_length=128, blank=True, help_text="whose pull brought it")
    resource_type = models.CharField(max_length=40, blank=True)
    fhir_id = models.CharField(max_length=128, blank=True)
    reason = models.CharField(max_length=200)
    body = models.TextField()
    body_hash = models.CharField(max_length=64)
    query = models.CharField(max_length=200)
    created_at = models.DateTimeField(auto_now_add=True)
    released_at = models.DateTimeField(null=True)
    retry_asked_at = models.DateTimeField(null=True, help_text="a worker is to try once more; blank: nobody asked")

    PHI_FIELDS: ClassVar[tuple[str, ...]] = ("patient_fhir_id", "fhir_id", "body")

    class Meta:
        constraints = [
            # A page done again must not fill the quarantine twice.
            models.UniqueConstraint(fields=["practice", "patient_fhir_id", "body_hash"], name="quarantined_once")
        ]

    def __str__(self) -> str:
        return f"{self.resource_type or 'unknown type'} {self.pk}: {self.reason}"
