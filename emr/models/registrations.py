"""How we are known at a vendor: client registrations, our signing keys, a practice's connection."""

import hashlib
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils import timezone

from emr import profiles
from emr.fields import SecretField
from emr.models.directory import DirectoryEntry
from emr.models.people import Practice
from emr.models.row import Row


class Environment(models.TextChoices):
    SANDBOX = "sandbox", "Sandbox"
    PRODUCTION = "production", "Production"


class Algorithm(models.TextChoices):
    RS384 = "RS384", "RS384 (RSA)"
    ES384 = "ES384", "ES384 (EC P-384)"
    RS256 = "RS256", "RS256 (RSA, old servers only)"


class DataUse(models.TextChoices):
    """What patients may ask of an app before they consent (topics of the ONC Model Privacy Notice, 2018)."""

    PURPOSE = "purpose", "What is the data used for?"
    SHARING = "sharing", "With whom is it shared?"
    SALE = "sale", "Is it sold, identifiable or not?"
    STORAGE = "storage", "Where is it stored, and is it encrypted?"
    ERASURE = "erasure", "How does a patient have it deleted, or end the consent?"
    BREACH = "breach", "How are patients told of a breach or of a changed policy?"
    CONTACT = "contact", "Who answers questions about it?"


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
    activation_code = models.CharField(
        max_length=64, blank=True, help_text="From the portal, once the app is published; practices enter it."
    )
    # {practice_code} in a value stands for the code of the practice that is asked.
    extra_authorize_params = models.JSONField("more parameters of authorize requests", default=dict, blank=True)
    extra_token_params = models.JSONField("more parameters of token requests", default=dict, blank=True)
    assertion_audience = models.CharField(
        "audience of client assertions",
        max_length=500,
        blank=True,
        help_text="Blank: the token endpoint as discovered, which is what SMART asks for.",
    )
    data_use = models.JSONField("data-use questionnaire", default=dict, blank=True)
    client_id_at = models.DateTimeField("client id entered", null=True, editable=False)
    confirmed_at = models.DateTimeField("compared with the portal", null=True, editable=False)
    confirmed_digest = models.CharField(max_length=64, blank=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} ({self.get_environment_display()})"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.client_id and self.client_id_at is None:
            self.client_id_at = timezone.now()
        super().save(*args, **kwargs)

    @property
    def profile(self) -> profiles.Profile:
        return profiles.get(self.vendor_profile)

    @property
    def is_backend(self) -> bool:
        return self.app_type in {self.AppType.BACKEND_SINGLE, self.AppType.BACKEND_BULK}

    @property
    def redirect_list(self) -> list[str]:
        return self.redirect_uris.split()

    @property
    def portal_digest(self) -> str:
        """A mark of all that has to read the same on the vendor's portal; it changes when one of it does."""
        told = [self.environment, self.app_type, self.client_id, *sorted(self.scopes.split()), *self.redirect_list]
        return hashlib.sha256("\n".join(told).encode()).hexdigest()

    @property
    def is_confirmed(self) -> bool:
        """Somebody compared it with the portal, and nothing of it has changed since."""
        return self.confirmed_at is not None and self.confirmed_digest == self.portal_digest

    def confirm(self, now: datetime) -> None:
        self.confirmed_at, self.confirmed_digest = now, self.portal_digest

    @property
    def data_use_statements(self) -> list[tuple[str, str]]:
        """(question, answer) of the questions answered, in the questionnaire's order."""
        return [(str(use.label), self.data_use[use.value]) for use in DataUse if self.data_use.get(use.value)]

    def clean(self) -> None:
        if self.is_backend and self.auth_method != self.AuthMethod.PRIVATE_KEY_JWT:
            raise ValidationError({"auth_method": "A backend app signs its requests: choose private_key_jwt."})
        if self.signing_algorithm not in self.profile.signing_algorithms:
            allowed = ", ".join(self.profile.signing_algorithms)
            raise ValidationError({"signing_algorithm": f"{self.profile.name} takes {allowed}."})
        self._clean_extra("extra_authorize_params", self.profile.connecting.authorize_params)
        self._clean_extra("extra_token_params", self.profile.connecting.token_params)

    def _clean_extra(self, field: str, allowed: tuple[str, ...]) -> None:
        params = getattr(self, field)
        if not isinstance(params, dict):
            raise ValidationError({field: 'Write an object, such as {"practice_code": "{practice_code}"}.'})
        unknown = sorted(set(params) - set(allowed))
        if unknown:
            names = ", ".join(allowed) or "none"
            raise ValidationError({field: f"{self.profile.name} takes {names} here, not {', '.join(unknown)}."})
        if not all(isinstance(value, str) and 0 < len(value) <= 200 for value in params.values()):
            raise ValidationError({field: "Each value is a text of up to 200 characters in quotes."})


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
    created_at = models.DateTimeField("published", auto_now_add=True)
    proved_at = models.DateTimeField(
        "proved", null=True, editable=False, help_text="a vendor gave a token for an assertion this key signed"
    )
    tried_at = models.DateTimeField("last tried", null=True, editable=False)
    trial_code = models.CharField("last trial met", max_length=40, blank=True, editable=False)
    activated_at = models.DateTimeField(null=True, editable=False)
    retiring_at = models.DateTimeField("stopped signing", null=True, editable=False)
    retired_at = models.DateTimeField(null=True, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["environment", "algorithm"], condition=models.Q(state="active"), name="one_active_signing_key"
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_environment_display()} {self.algorithm} {self.kid[:12]}… ({self.state})"


class JwksHit(Row):
    """Who fetched our JWKS: one row for each address and program, counted. The best proof that a vendor can."""

    KEPT = 500
    OWN_AGENT = "HeadacheMD"

    environment = models.CharField(max_length=12, choices=Environment.choices)
    address = models.GenericIPAddressField()
    user_agent = models.CharField(max_length=200, blank=True)
    count = models.PositiveIntegerField(default=1)
    first_at = models.DateTimeField(default=timezone.now)
    last_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name = "JWKS reader"
        ordering = ["-last_at"]
        constraints = [models.UniqueConstraint(fields=["environment", "address", "user_agent"], name="one_row_each")]
        indexes = [models.Index(fields=["environment", "-last_at"], name="latest_readers")]

    def __str__(self) -> str:
        return f"{self.address} {self.user_agent[:60]}, {self.count} times, last {self.last_at:%d-%b-%Y %H:%M} UTC"


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
    directory_entry = models.ForeignKey(
        DirectoryEntry,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name="from the vendor's directory",
    )
    base_url = models.CharField("FHIR base URL", max_length=500)
    group_id = models.CharField("bulk group id", max_length=128, blank=True)
    smart_configuration = models.JSONField(null=True, blank=True, editable=False)
    discovered_at = models.DateTimeField(null=True, editable=False)
    # Origins ("https://host") that discovery named and the vendor's profile does not know.
    pending_hosts = models.JSONField("hosts to be confirmed", default=list, blank=True, editable=False)
    confirmed_hosts = models.JSONField("hosts an admin confirmed", default=list, blank=True, editable=False)
    state = models.CharField(max_length=20, choices=State.choices, default=State.DRAFT, editable=False)
    reason_code = models.CharField(max_length=40, blank=True, editable=False)
    reason_detail = models.CharField(max_length=500, blank=True, editable=False)
    reason_at = models.DateTimeField(null=True, editable=False)
    request_id = models.CharField(max_length=128, blank=True, editable=False, help_text="the vendor's, for support")
    active_at = models.DateTimeField("last seen working", null=True, editable=False)
    practice_told_at = models.DateTimeField("practice asked to activate", null=True, editable=False)
    practice_activated_at = models.DateTimeField("activated by the practice", null=True, editable=False)
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

    def extra_params(self, wanted: dict[str, str]) -> dict[str, str]:
        """Whitelisted extra parameters of the registration, the practice's code filled in."""
        return {name: value.replace("{practice_code}", self.practice.code) for name, value in wanted.items()}

    @property
    def budget_key(self) -> str:
        """The vendor counts per practice code; its sandbox and production count apart."""
        return f"{self.registration.environment}:{self.practice.code}"
