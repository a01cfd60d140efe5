"""Patients and their histories, and what the clinic itself enters about them."""

from patients.models.records import Entry, Patient, Precision

__all__ = ["Entry", "Patient", "Precision"]
