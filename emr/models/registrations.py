"""How we are known at a vendor: client registrations, our signing keys, a practice's connection."""

from django.core.exceptions import ValidationError
from django.db import models

from emr import profiles
from emr.fields import SecretField
from emr.models.people import Practice
from emr.models.row import Row


class Environment(models.TextChoices):
    SANDBOX = "sandbox", "Sandbox"
    PRODUCTION = "production", "Production"


class Algorithm(models.TextChoices):
    RS384 = "RS384", "RS384 (RSA)"
    ES384 = "ES384", "ES384 (EC P-384)"
    RS256 = "RS256", "RS256 (RSA, old servers only)"


class ClientRegistration(Row):
    """Our app at the vendor. Client ids belong to one portal, environment and app type."""

    class AppType(models.TextChoices):
        BACKEND_SINGLE = "backend-single", "Backend, one patient at a time"
        BACKEND_BULK = "backend-bulk", "Backend, bulk"
        PATIENT = "patient", "Patient, standalone launch"
        PROVIDER = "provider", "Provider, EHR launch"

    class AuthMethod(models.TextChoices):
        PRIVATE_KEY_JWT = "private_key_jwt", "private_key_jwt"
        SECRET_BASIC = "client_secret_basic", "client_secret_basic"
        SECRET_POST = "client_secret_post", "client_secret_post"
        NONE = "none", "none (public client with PKCE)"

    name = models.CharField(max_length=200)
    vendor_profile = models.CharField(max_length=20, choices=profiles.choices, default="ecw")
    portal = models.CharField(max_length=40, blank=True, help_text="The vendor portal this app was registered on.")
    environment = models.CharField(max_length=12, choices=Environment.choices, default=Environment.SANDBOX)
    app_type = models.CharField(max_length=20, choices=AppType.choices, default=AppType.BACKEND_SINGLE)
    client_id = models.CharField(max_length=512, blank=True)
    client_secret = SecretField(blank=True, default="")
    auth_method = models.CharField(max_length=24, choices=AuthMethod.choices, default=AuthMethod.PRIVATE_KEY_JWT)
    signing_algorithm = models.CharField(max_length=8, choices=Algorithm.choices, default=Algorithm.RS384)
    scopes = models.TextField(blank=True, help_text="Separated by blanks, as registered at the vendor.")
    redirect_uris = models.TextField(blank=True, help_text="One a line, byte for byte as registered.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} ({self.get_environment_display()})"

    @property
    def profile(self) -> profiles.Profile:
        return profiles.get(self.vendor_profile)

    def clean(self) -> None:
        backend = self.app_type in {self.AppType.BACKEND_SINGLE, self.AppType.BACKEND_BULK}
        if backend and self.auth_method != self.AuthMethod.PRIVATE_KEY_JWT:
            raise ValidationError({"auth_method": "A backend app signs its requests: choose private_key_jwt."})
        if self.signing_algorithm not in self.profile.signing_algorithms:
            allowed = ", ".join(self.profile.signing_algorithms)
            raise ValidationError({"signing_algorithm": f"{self.profile.name} takes {allowed}."})


class SigningKey(Row):
    """A key pair of one environment. The public half is in that environment's JWKS until it is retired."""

    class State(models.TextChoices):
        NEXT = "next", "Next (published, not yet signing)"
        ACTIVE = "active", "Active (signing)"
        RETIRING = "retiring", "Retiring (published, no longer signing)"
        RETIRED = "retired", "Retired"

    PUBLISHED = (State.NEXT, State.ACTIVE, State.RETIRING)

    environment = models.CharField(max_length=12, choices=Environment.choices)
    algorithm = models.CharField(max_length=8, choices=Algorithm.choices, default=Algorithm.RS384)
    state = models.CharField(max_length=10, choices=State.choices, default=State.NEXT)
    kid = models.CharField(max_length=64, unique=True, editable=False, help_text="RFC 7638 thumbprint")
    public_jwk = models.JSONField(editable=False)
    private_pem = SecretField(editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    activated_at = models.DateTimeField(null=True, editable=False)
    retired_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["environment", "algorithm"], condition=models.Q(state="active"), name="one_active_signing_key"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_environment_display()} {self.algorithm} {self.kid[:12]}… ({self.state})"


class Connection(Row):
    """A practice opted in to a registration: where its FHIR server is, and how the connection stands."""

    class State(models.TextChoices):
        DRAFT = "draft", "Draft"
        REGISTERED = "registered", "Registered"
        AWAITING_PRACTICE = "awaiting-practice", "Awaiting practice"
        ACTIVE = "active", "Active"
        DEGRADED = "degraded", "Degraded"
        REVOKED = "revoked", "Revoked"

    practice = models.ForeignKey(Practice, on_delete=models.CASCADE, related_name="connections")
    registration = models.ForeignKey(ClientRegistration, on_delete=models.PROTECT, related_name="connections")
    base_url = models.CharField("FHIR base URL", max_length=500)
    group_id = models.CharField("bulk group id", max_length=128, blank=True)
    smart_configuration = models.JSONField(null=True, blank=True, editable=False)
    discovered_at = models.DateTimeField(null=True, editable=False)
    state = models.CharField(max_length=20, choices=State.choices, default=State.DRAFT, editable=False)
    reason_code = models.CharField(max_length=40, blank=True, editable=False)
    reason_detail = models.CharField(max_length=500, blank=True, editable=False)
    reason_at = models.DateTimeField(null=True, editable=False)
    request_id = models.CharField(max_length=128, blank=True, editable=False, help_text="the vendor's, for support")
    active_at = models.DateTimeField("last seen working", null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["practice", "registration"], name="one_connection_each")]

    def __str__(self) -> str:
        return f"{self.practice} over {self.registration}"

    def save(self, *args: object, **kwargs: object) -> None:
        # The authorize request's aud and the path check both need the base without its slash (fasten-onprem#403).
        self.base_url = self.base_url.strip().rstrip("/")
        super().save(*args, **kwargs)  # type: ignore[arg-type]

    @property
    def profile(self) -> profiles.Profile:
        return self.registration.profile

    @property
    def budget_key(self) -> str:
        """The vendor counts per practice code; its sandbox and production count apart."""
        return f"{self.registration.environment}:{self.practice.code}"
