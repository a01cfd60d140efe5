"""What lets us in: the tokens of a connection and the grants of people. Both are used through emr.tokens only."""

from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.utils import timezone

from emr.fields import SecretField
from emr.models.launches import PatientInvitation
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
    """One patient's or clinician's consent (SMART App Launch), and the tokens it gave us.

    A row is one consent: when the person consents anew, the row before is revoked as replaced. While `held`, nothing
    is pulled or shown: the record's name or birth date was not the invited person's, or could not be read yet.
    """

    class State(models.TextChoices):
        HELD = "held", "Waits for a decision"
        ACTIVE = "active", "Active"
        NEEDS_CONSENT = "needs-consent", "Needs consent"
        REVOKED = "revoked", "Revoked"

    CURRENT = (State.ACTIVE, State.NEEDS_CONSENT)
    PHI_FIELDS: ClassVar[tuple[str, ...]] = ("patient_fhir_id", "returned")

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="grants")
    invitation = models.ForeignKey(
        PatientInvitation, on_delete=models.SET_NULL, null=True, blank=True, related_name="grants"
    )
    patient_fhir_id = models.CharField(max_length=128, blank=True)
    user = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, blank=True)
    # Of the id_token, when there was one.
    subject = models.CharField(max_length=255, blank=True)
    fhir_user = models.CharField(max_length=200, blank=True)
    state = models.CharField(max_length=16, choices=State.choices, default=State.ACTIVE)
    reason_code = models.CharField(max_length=40, blank=True, help_text="of the catalogue: why it is as it is")
    reason_detail = models.CharField(max_length=500, blank=True)
    # What the EMR says of the patient (emr.demographics.Person.as_json), for the decision on a held grant; then {}.
    returned = models.JSONField(default=dict, blank=True)
    requested_scope = models.TextField(blank=True)
    scope = models.TextField(blank=True)
    access_token = SecretField(blank=True, default="")
    refresh_token = SecretField(blank=True, default="")
    access_expires_at = models.DateTimeField(null=True)
    consent_ends_at = models.DateTimeField(null=True, help_text="the longest life of a refresh token at this vendor")
    idle_ends_at = models.DateTimeField(null=True, help_text="ends then unless it is used; blank: no such rule known")
    generation = models.PositiveIntegerField(default=0)
    refresh_started_at = models.DateTimeField(null=True, help_text="somebody is asking for the next generation")
    refreshed_at = models.DateTimeField(null=True)
    # A refresh was sent and its answer not seen: the next generation may exist at the server alone.
    uncertain_at = models.DateTimeField(null=True)
    lost_answers = models.PositiveSmallIntegerField(default=0, help_text="in a row")
    last_used_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(auto_now_add=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["connection", "patient_fhir_id"],
                condition=~models.Q(patient_fhir_id="") & models.Q(user=None, state__in=("active", "needs-consent")),
                name="one_grant_per_patient",
            ),
            models.UniqueConstraint(
                fields=["connection", "user", "patient_fhir_id"],
                condition=models.Q(user__isnull=False, state__in=("active", "needs-consent")),
                name="one_grant_per_user_and_patient",
            ),
            models.CheckConstraint(
                condition=~models.Q(patient_fhir_id="", user=None), name="grant_is_of_a_patient_or_a_user"
            ),
        ]
        indexes = [models.Index(fields=["state", "access_expires_at"], name="grants_by_end")]

    def __str__(self) -> str:
        return f"grant {self.pk} on {self.connection}: {self.state}"

    @property
    def is_uncertain(self) -> bool:
        return self.uncertain_at is not None
