"""Patients and their histories, and what the clinic itself enters about them."""

from patients.models.digests import Digest
from patients.models.entered import Assessment, Attestation, DrugBinding, PromptDismissal
from patients.models.listing import Listing, ScheduledVisit
from patients.models.records import Entry, Patient, Precision

__all__ = [
    "Assessment",
    "Attestation",
    "Digest",
    "DrugBinding",
    "Entry",
    "Listing",
    "Patient",
    "Precision",
    "PromptDismissal",
    "ScheduledVisit",
]
