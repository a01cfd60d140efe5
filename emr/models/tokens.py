"""What lets us in: the tokens of a connection and the grants of people. Both are used through emr.tokens only."""

from datetime import timedelta

from django.db import models
from django.utils import timezone

from emr.fields import SecretField
from emr.models.people import User
from emr.models.registrations import Connection
from emr.models.row import Row


class SystemToken(Row):
    """The short-lived access token of a connection and scope set (SMART Backend Services; no refresh token)."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="system_tokens")
    scope = models.TextField(help_text="requested, sorted")
    granted_scope = models.TextField(blank=True)
    access_token = SecretField(blank=True, default="")
    expires_at = models.DateTimeField(null=True)
    generation = models.PositiveIntegerField(default=0)
    claimed_at = models.DateTimeField(null=True, help_text="somebody is asking for the next generation since then")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["connection", "scope"], name="one_token_per_scope_set")]

    def __str__(self) -> str:
        return f"token of {self.connection}, generation {self.generation}"

    def is_fresh(self, margin: timedelta) -> bool:
        return self.expires_at is not None and self.expires_at - margin > timezone.now()


class Grant(Row):
    """One patient's or clinician's consent (SMART App Launch), and the tokens it gave us."""

    class State(models.TextChoices):
        ACTIVE = "active", "Active"
        NEEDS_CONSENT = "needs-consent", "Needs consent"
        REVOKED = "revoked", "Revoked"

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="grants")
    patient_fhir_id = models.CharField(max_length=128, blank=True)
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.ACTIVE)
    scope = models.TextField(blank=True)
    access_token = SecretField(blank=True, default="")
    refresh_token = SecretField(blank=True, default="")
    access_expires_at = models.DateTimeField(null=True)
    consent_ends_at = models.DateTimeField(null=True)
    generation = models.PositiveIntegerField(default=0)
    refresh_started_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "patient_fhir_id"],
                condition=~models.Q(patient_fhir_id=""),
                name="one_grant_per_patient",
            ),
            models.CheckConstraint(
                condition=~models.Q(patient_fhir_id="", user=None), name="grant_is_of_a_patient_or_a_user"
            ),
        ]

    def __str__(self) -> str:
        return f"grant {self.pk} on {self.connection}: {self.state}"
