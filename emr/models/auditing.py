"""Who has seen or changed what. Rows are only ever added."""

from typing import Any

from django.db import models
from django.utils import timezone

from emr.models.people import Practice, User
from emr.models.row import Row


class AuditEvent(Row):
    """One read, print, search or change, written in the transaction of the page it is about."""

    class Action(models.TextChoices):
        READ_HISTORY = "read-history", "Opened a history"
        READ_SOURCE = "read-source", "Opened a source record"
        LIST_PATIENTS = "list-patients", "Listed or searched patients"
        SEARCH_RECORD = "search-record", "Searched within a record"
        PRINT = "print", "Printed a history"
        EXPORT = "export", "Exported a history"
        ASSESSMENT = "assessment", "Entered an assessment"
        ATTESTATION = "attestation", "Entered a statement on a trial"
        DISMISSAL = "dismissal", "Put a prompt aside or back"
        BINDING = "binding", "Read or bound medication texts"
        QUARANTINE = "quarantine", "Opened or retried quarantined bytes"
        PULL = "pull", "Steered a pull or asked for one"
        ROSTER = "roster", "Looked up or enrolled patients, or read in a schedule"
        SIGN_IN = "sign-in", "Signed in"
        SIGN_OUT = "sign-out", "Signed out"
        MEMBERSHIP = "membership", "Changed a membership"
        CONFIGURATION = "configuration", "Changed a connection, registration or key"

    at = models.DateTimeField(default=timezone.now)
    action = models.CharField(max_length=20, choices=Action.choices)
    user = models.ForeignKey(User, on_delete=models.PROTECT, null=True)
    practice = models.ForeignKey(Practice, on_delete=models.PROTECT, null=True)
    # Ids, not foreign keys: the event outlives what it is about.
    patient_id = models.UUIDField(null=True)
    object_id = models.UUIDField(null=True)
    detail = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-at"]
        indexes = [models.Index(fields=["practice", "patient_id", "-at"], name="audit_of_patient")]

    def __str__(self) -> str:
        return f"{self.at:%d-%b-%Y %H:%M} {self.action}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("Audit events are never changed.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise TypeError("Audit events are never deleted.")
