"""Rows that are only ever added: what staff enter, and its corrections.

A correction is a new row that points to the one it replaces; the old one stays, with who, when and why. A row that
nothing replaces is the head of its chain, and the current one unless it was taken back.
"""

from typing import Any, ClassVar, Self
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from emr.models import Practice, Row, User
from patients.models.records import Patient


class EnteredQuerySet(models.QuerySet[Any]):
    def heads(self) -> Self:
        """The latest version of each chain, those taken back among them."""
        return self.filter(replaced_by=None)

    def current(self) -> Self:
        """What counts now."""
        return self.heads().filter(withdrawn=False)

    def update(self, **columns: Any) -> int:
        raise TypeError("What was entered is never changed: add a correction.")

    def delete(self) -> tuple[int, dict[str, int]]:
        raise TypeError("What was entered is never deleted: take it back with a new version.")


class Entered(Row):
    """One version of a statement by staff.

    submission: id of the form it came from, so that a form sent twice is entered once; withdrawn: this version
    takes the statement back; why: the reason of a correction, withdrawal or dismissal.
    """

    practice = models.ForeignKey(Practice, on_delete=models.PROTECT, related_name="+")
    entered_by = models.ForeignKey(User, on_delete=models.PROTECT, related_name="+")
    entered_at = models.DateTimeField(default=timezone.now)
    submission = models.UUIDField(default=uuid4)
    replaces = models.OneToOneField("self", on_delete=models.PROTECT, null=True, related_name="replaced_by")
    withdrawn = models.BooleanField(default=False)
    why = models.CharField(max_length=300, blank=True)

    # What a version has in common with the one it replaces.
    SUBJECT: ClassVar[tuple[str, ...]] = ("practice_id",)
    OF_THE_VERSION: ClassVar[frozenset[str]] = frozenset(
        {"id", "entered_by", "entered_at", "submission", "replaces", "withdrawn", "why"}
    )

    objects = EnteredQuerySet.as_manager()

    class Meta:
        abstract = True
        constraints = [
            models.CheckConstraint(
                condition=Q(replaces=None) | ~Q(replaces=F("id")), name="%(class)s_never_replaces_itself"
            ),
            models.UniqueConstraint(fields=["practice", "submission"], name="%(class)s_once_per_form"),
        ]

    def __str__(self) -> str:
        return f"{self._meta.verbose_name} {self.pk}"

    def next_version(self, by: User) -> Self:
        """An unsaved version with the same content, to be changed and saved."""
        same = {
            field.attname: getattr(self, field.attname)
            for field in self._meta.concrete_fields
            if field.name not in self.OF_THE_VERSION
        }
        return type(self)(**same, entered_by=by, replaces=self)

    def clean(self) -> None:
        """Raises ValidationError when practice, patient and the replaced version do not belong together."""
        old = self.replaces
        if old is not None and any(getattr(self, name) != getattr(old, name) for name in self.SUBJECT):
            raise ValidationError("A correction is about the same thing as what it replaces.")

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("What was entered is never changed: add a correction.")
        self.clean()
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise TypeError("What was entered is never deleted: take it back with a new version.")


class AboutPatient(Entered):
    patient = models.ForeignKey(Patient, on_delete=models.PROTECT, related_name="%(class)ss")

    SUBJECT: ClassVar[tuple[str, ...]] = ("practice_id", "patient_id")

    class Meta(Entered.Meta):
        abstract = True

    def clean(self) -> None:
        super().clean()
        if self.patient.practice_id != self.practice_id:
            raise ValidationError("The patient belongs to another practice.")
