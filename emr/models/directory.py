"""The vendors' public lists of practices: where each one's FHIR server is."""

from django.db import models

from emr.models.row import Row


class DirectoryEntry(Row):
    """One practice of a vendor's list. The base URL tells entries apart: names change, codes repeat over portals."""

    vendor_profile = models.CharField(max_length=20)
    portal = models.CharField(max_length=40, blank=True)
    name = models.CharField(max_length=300)
    city = models.CharField(max_length=120, blank=True)
    state = models.CharField(max_length=60, blank=True)
    code = models.CharField(max_length=6)
    base_url = models.CharField("FHIR base URL", max_length=500, unique=True)
    seen_at = models.DateTimeField("last seen in a list")

    class Meta:
        verbose_name = "practice in the directory"
        verbose_name_plural = "practice directory"
        ordering = ["name", "city"]
        indexes = [models.Index(fields=["code"], name="directory_by_code")]

    def __str__(self) -> str:
        place = ", ".join(part for part in (self.city, self.state) if part)
        return f"{self.name}{f' – {place}' if place else ''} ({self.code}, {self.portal or 'unknown portal'})"
