"""Who works where: users, practices, memberships, invitations, and charts opened by breaking the glass."""

import hashlib
import secrets
import uuid
import zoneinfo
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import PermissionsMixin
from django.core.exceptions import ValidationError
from django.core.validators import MinLengthValidator, RegexValidator
from django.db import models
from django.utils import timezone

from emr.models.row import Row


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **extra: Any) -> "User":
        user = self.model(email=self.normalize_email(email).lower(), **extra)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **extra: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **extra)

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email__iexact=username)


class User(Row, AbstractBaseUser, PermissionsMixin):
    """A person who signs in with an e-mail address. What they may see is a matter of Membership alone."""

    email = models.EmailField(unique=True)
    full_name = models.CharField(max_length=150, blank=True)
    is_staff = models.BooleanField("may enter the admin", default=False)
    is_active = models.BooleanField("may sign in", default=True)
    date_joined = models.DateTimeField(default=timezone.now)
    # Part of what each session is signed with: one more ends them all.
    session_generation = models.PositiveIntegerField(default=0, editable=False)

    # Not a column: the practice a session is limited to, set for the request by emr.accounts.sessions.
    only_practice: uuid.UUID | None = None
    # Likewise, set by emr.access: the practices whose charts are open to this person by breaking the glass alone.
    behind_glass: frozenset[uuid.UUID] = frozenset()

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []
    objects: ClassVar[UserManager] = UserManager()

    def __str__(self) -> str:
        return self.full_name or self.email

    def get_session_auth_hash(self) -> str:
        """What a session must agree with: another password, or one more generation, ends it.

        Without SECRET_KEY, which the session's own row is signed with: Django gives sessions another id when a keyed
        hash changes its key, and allauth's list of sessions then ends all that have not been moved yet.
        """
        return hashlib.sha256(f"emr.User.session|{self.session_generation}|{self.password}".encode()).hexdigest()

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        return iter(())


def check_time_zone(name: str) -> None:
    if name not in zoneinfo.available_timezones():
        raise ValidationError(f"“{name}” is not a time zone; write it as America/New_York.")


class Practice(Row):
    """A clinic and its chart: the tenant boundary."""

    name = models.CharField(max_length=200)
    code = models.CharField(
        max_length=6,
        unique=True,
        validators=[RegexValidator(r"^[A-Z]{6}\Z", "Six capital letters, as in the practice's FHIR address.")],
        help_text="Six capital letters, the end of the practice's FHIR base URL.",
    )
    time_zone = models.CharField(max_length=64, default="America/New_York", validators=[check_time_zone])
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return f"{self.name} ({self.code})"


class Membership(Row):
    """A staff user in a practice. Read on every request, never kept in a session."""

    class Role(models.TextChoices):
        CLINICIAN = "clinician", "Clinician"
        STAFF = "staff", "Staff"
        PRIVACY_OFFICER = "privacy-officer", "Privacy officer"
        ADMIN = "admin", "Practice admin"

    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="memberships")
    practice = models.ForeignKey(Practice, on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=20, choices=Role.choices, default=Role.STAFF)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["user", "practice"], name="one_membership_per_practice")]

    def __str__(self) -> str:
        return f"{self.user} at {self.practice}: {self.get_role_display()}"


class Invitation(Row):
    """The only way to an account: a link for one address, one practice, one role, used once, seven days long."""

    LIFE = timedelta(days=7)

    email = models.EmailField()
    practice = models.ForeignKey(Practice, on_delete=models.CASCADE)
    role = models.CharField(max_length=20, choices=Membership.Role.choices, default=Membership.Role.STAFF)
    token_hash = models.CharField(max_length=64, unique=True, editable=False)
    invited_by = models.ForeignKey(User, on_delete=models.SET_NULL, null=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField(editable=False)
    accepted_at = models.DateTimeField(null=True, editable=False)

    def __str__(self) -> str:
        return f"{self.email} to {self.practice}"

    @staticmethod
    def new_token() -> str:
        return secrets.token_urlsafe(32)

    def is_open(self) -> bool:
        return self.accepted_at is None and self.expires_at > timezone.now()


class BreakGlass(Row):
    """Charts opened for a while, for a stated reason, to a member whose role does not open them."""

    LIFE = timedelta(minutes=30)
    SHORTEST_REASON = 15

    practice = models.ForeignKey(Practice, on_delete=models.PROTECT, related_name="break_glasses")
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="break_glasses")
    reason = models.CharField(max_length=500, validators=[MinLengthValidator(SHORTEST_REASON)])
    opened_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    # Somebody who watches over charts here has read the reason; until then every page of theirs says so.
    reviewed_at = models.DateTimeField(null=True)
    reviewed_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["-opened_at"]

    def __str__(self) -> str:
        return f"{self.user} at {self.practice}, {self.opened_at:%d-%b-%Y %H:%M}"
