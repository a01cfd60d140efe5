"""Sign-in by a practice's own identity provider (OpenID Connect), as an option."""

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from django.utils import timezone

from emr.fields import SecretField
from emr.models.people import Practice, User
from emr.models.row import Row

_DOMAIN = RegexValidator(r"^[a-z0-9-]+(\.[a-z0-9-]+)+\Z")


def check_domains(text: str) -> None:
    """One domain a line. Raises ValidationError for anything else, and for none."""
    lines = text.split()
    if not lines:
        raise ValidationError("At least one domain, such as clinic.example.")
    for line in lines:
        try:
            _DOMAIN(line)
        except ValidationError:
            raise ValidationError(f"“{line}” is not a domain in lower case, such as clinic.example.") from None


class IdentityProvider(Row):
    """A practice's OpenID Connect provider: signs existing members in, to that practice only; makes no accounts."""

    practice = models.OneToOneField(Practice, on_delete=models.PROTECT, related_name="identity_provider")
    issuer = models.CharField(
        max_length=300, help_text="Exactly as the provider spells it; below it lies .well-known/openid-configuration."
    )
    client_id = models.CharField(max_length=200)
    client_secret = SecretField(blank=True)
    email_domains = models.TextField(
        validators=[check_domains],
        help_text="Domains of the addresses it may speak for, one a line. Where it does not say that an address is "
        "verified (Entra ID does not), a code is mailed there at the person's first sign-in.",
    )
    other_hosts = models.TextField(
        blank=True,
        help_text="Hosts beside the issuer's own that may have its token endpoint and keys, one a line. Usually none.",
    )
    does_mfa = models.BooleanField(
        "asks for a second factor itself",
        default=False,
        help_text="Then a sign-in whose token says so (amr, RFC 8176) needs no code of ours; any other still does.",
    )
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    def __str__(self) -> str:
        return f"{self.issuer} for {self.practice}"

    @property
    def host(self) -> str:
        """What its sign-in pages are known by."""
        return self.issuer.partition("://")[2].partition("/")[0]

    def speaks_for(self, email: str) -> bool:
        return email.rpartition("@")[2].casefold() in self.email_domains.split()


class ExternalIdentity(Row):
    """Who somebody is at a provider: issuer and subject, linked at the first sign-in by the proven address."""

    provider = models.ForeignKey(IdentityProvider, on_delete=models.CASCADE, related_name="identities")
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="external_identities")
    issuer = models.CharField(max_length=300)
    subject = models.CharField(max_length=255)
    linked_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["provider", "issuer", "subject"], name="one_identity_per_subject"),
            models.UniqueConstraint(fields=["provider", "issuer", "user"], name="one_identity_per_user"),
        ]

    def __str__(self) -> str:
        return f"{self.user} at {self.issuer}"
