"""A patient's invitation, a launch in flight, and whom an EMR's sign-in stands for. No usable token in any of them."""

from datetime import timedelta
from typing import ClassVar

from django.db import models
from django.utils import timezone

from emr.fields import SecretField
from emr.models.people import Practice, User
from emr.models.registrations import Connection
from emr.models.row import Row


class PatientInvitation(Row):
    """Staff ask one person to let the practice read their record: a link, used once. Its token is never stored."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        USED = "used", "Used"
        EXPIRED = "expired", "Expired"
        REVOKED = "revoked", "Withdrawn"

    class Language(models.TextChoices):
        ENGLISH = "en", "English"
        SPANISH = "es", "Español"

    LIFE = timedelta(days=7)
    PHI_FIELDS: ClassVar[tuple[str, ...]] = ("patient_fhir_id", "given", "family", "birth_date")

    practice = models.ForeignKey(Practice, on_delete=models.CASCADE, related_name="patient_invitations")
    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="patient_invitations")
    patient_fhir_id = models.CharField(max_length=128, blank=True)
    given = models.CharField(max_length=100)
    family = models.CharField(max_length=100)
    birth_date = models.DateField()
    language = models.CharField(max_length=2, choices=Language.choices, default=Language.ENGLISH)
    token_digest = models.CharField(max_length=64, unique=True, editable=False, help_text="SHA-256, hex")
    created_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, editable=False, related_name="+")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, editable=False)
    revoked_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["practice", "-created_at"], name="invitations_of_practice")]

    def __str__(self) -> str:
        return f"patient invitation {self.pk}: {self.state}"

    @property
    def state(self) -> str:
        """One of State. What ended it first counts: one that was used does not expire."""
        if self.used_at is not None:
            return self.State.USED
        if self.revoked_at is not None:
            return self.State.REVOKED
        return self.State.OPEN if self.expires_at > timezone.now() else self.State.EXPIRED


class Launch(Row):
    """One authorization request and all that its answer must fit (RFC 9700 section 2.1). Answered once, within minutes.

    `state_digest`, `browser_digest`: SHA-256, hex, of the state parameter and of a random value only that browser has.
    """

    class Kind(models.TextChoices):
        PATIENT = "patient", "Patient, standalone"
        EHR = "ehr", "From the EMR"

    LIFE = timedelta(minutes=10)
    KEPT = timedelta(days=30)
    GRANTED = "GRANTED"

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="launches")
    practice = models.ForeignKey(Practice, on_delete=models.CASCADE, related_name="+")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    invitation = models.ForeignKey(PatientInvitation, on_delete=models.CASCADE, null=True, related_name="launches")
    user = models.ForeignKey(User, on_delete=models.CASCADE, null=True, related_name="+")
    state_digest = models.CharField(max_length=64, unique=True)
    browser_digest = models.CharField(max_length=64)
    nonce = models.CharField(max_length=64, blank=True)
    code_verifier = SecretField(blank=True, default="")
    redirect_uri = models.CharField(max_length=500)
    scope = models.TextField()
    launch_context = SecretField(blank=True, default="", help_text="the EMR's launch parameter")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    consumed_at = models.DateTimeField(null=True)
    outcome_code = models.CharField(max_length=40, blank=True, help_text="of the catalogue, or GRANTED; blank: open")

    class Meta:
        verbose_name_plural = "launches"
        ordering = ["-created_at"]
        indexes = [models.Index(fields=["expires_at"], name="launches_by_end")]

    def __str__(self) -> str:
        return f"launch {self.pk} ({self.kind})"


class FhirUser(Row):
    """Whom a connection's `fhirUser` stands for here: entered by an admin, before that person's first EHR launch."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="fhir_users")
    fhir_user = models.CharField(max_length=200, help_text="As the EMR's sign-in names the person: Practitioner/123")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="fhir_users")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name = "EMR sign-in"
        ordering = ["connection", "fhir_user"]
        constraints = [models.UniqueConstraint(fields=["connection", "fhir_user"], name="one_user_per_fhir_user")]

    def __str__(self) -> str:
        return f"{self.fhir_user} is {self.user}"
