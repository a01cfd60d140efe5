"""A patient's history page as last made, so that opening a long chart does not read all of it again."""

from typing import ClassVar

from django.db import models

from patients.models.records import Patient


class Digest(models.Model):
    """A projection like Entry: patients.histories fills it, and it may be dropped at any time."""

    patient = models.OneToOneField(Patient, on_delete=models.CASCADE, primary_key=True, related_name="digest")
    stamp = models.CharField(max_length=64, help_text="hash of everything the page was made of, the day included")
    sheet = models.TextField(help_text="the page, signed: only what this program rendered is ever shown")
    made_at = models.DateTimeField()

    PHI_FIELDS: ClassVar[tuple[str, ...]] = ("sheet",)

    def __str__(self) -> str:
        return f"digest of patient {self.patient_id}"
