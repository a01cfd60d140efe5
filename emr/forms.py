"""Forms of the admin and of the sign-up, checked with sentences that say what to do."""

import re
from typing import Any, ClassVar

from allauth.account.forms import SignupForm
from allauth.core import context
from django import forms
from django.conf import settings
from django.contrib.admin.widgets import AdminTextareaWidget, AdminTextInputWidget
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.utils import timezone

from emr import invitations, keys
from emr.models import ClientRegistration, Connection, Invitation, Membership, Practice, SigningKey
from emr.profiles import Profile
from emr.wire import origins
from emr.wire.errors import NeverAgain

# FHIR ids are [A-Za-z0-9.-]{1,64} (R4, datatypes); longer ones are met too, and underscores.
_FHIR_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_PRACTICE_CODE = re.compile(r"[A-Z]{6}")


class InvitedSignup(SignupForm):
    """Name and password of the invited person. The address is fixed; InvitationOnly.save_user enforces it."""

    full_name = forms.CharField(
        label="Your name", max_length=150, widget=forms.TextInput(attrs={"autocomplete": "name"})
    )
    field_order: ClassVar[list[str]] = ["full_name", "email", "password1", "password2"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        invitation = invitations.pending(context.request)
        self.fields["email"].disabled = True
        self.initial["email"] = invitation.email if invitation else ""


class InvitationForm(forms.ModelForm):
    class Meta:
        model = Invitation
        fields = ["email", "practice", "role"]

    def clean_email(self) -> str:
        email: str = self.cleaned_data["email"].lower()
        return email

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        email, practice = data.get("email"), data.get("practice")
        if email is None or practice is None:
            return data
        if Membership.objects.filter(user__email__iexact=email, practice=practice).exists():
            raise ValidationError("This person is a member of the practice already.")
        waiting = Invitation.objects.filter(
            email__iexact=email, practice=practice, accepted_at=None, expires_at__gt=timezone.now()
        )
        if waiting.exists():
            raise ValidationError("An invitation to this address is open: use its action “Send again”.")
        return data


class MembershipForm(forms.ModelForm):
    """Who and where are fixed once saved: a moved row would leave no trace at the practice it left."""

    class Meta:
        model = Membership
        fields = ["user", "practice", "role"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not self.instance._state.adding:
            for name in {"user", "practice"} & self.fields.keys():
                self.fields[name].disabled = True


def is_set(row: Model, secret: str) -> bool:
    """Whether a SecretField holds anything, without decrypting it: a lost key must not close the admin."""
    return bool(row.__dict__.get(secret))


def _wide_input() -> AdminTextInputWidget:
    return AdminTextInputWidget(attrs={"class": "vLargeTextField", "spellcheck": "false"})


class RegistrationForm(forms.ModelForm):
    """The client secret is write-only: blank keeps the stored one, the box clears it."""

    new_client_secret = forms.CharField(
        label="Client secret",
        required=False,
        widget=forms.PasswordInput(render_value=False, attrs={"autocomplete": "new-password", "size": 60}),
    )
    clear_client_secret = forms.BooleanField(label="Forget the stored client secret", required=False)

    class Meta:
        model = ClientRegistration
        fields = [
            "name", "vendor_profile", "portal", "environment", "app_type", "client_id", "auth_method",
            "signing_algorithm", "scopes", "redirect_uris",
        ]  # fmt: skip
        widgets = {
            "client_id": AdminTextInputWidget(attrs={"class": "vLargeTextField", "size": 100, "spellcheck": "false"}),
            "scopes": AdminTextareaWidget(attrs={"rows": 10, "spellcheck": "false"}),
            "redirect_uris": AdminTextareaWidget(attrs={"rows": 3, "spellcheck": "false"}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stored = is_set(self.instance, "client_secret")
        self.fields["new_client_secret"].help_text = (
            "Set. Leave blank to keep it; it is never shown." if stored else "Not set."
        )
        self.fields["scopes"].help_text += " Backend apps: blank takes the scopes of the vendor profile."

    def clean_client_id(self) -> str:
        # Pasted from a portal: a blank or line end around it is answered with invalid_client.
        client_id: str = self.cleaned_data["client_id"].strip()
        return client_id

    def clean_redirect_uris(self) -> str:
        return "\n".join(self.cleaned_data["redirect_uris"].split())

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        if data.get("new_client_secret") and data.get("clear_client_secret"):
            self.add_error("new_client_secret", "Enter a new secret or forget the stored one, not both.")
        scopes = " ".join(data.get("scopes", "").split())
        backend = data.get("app_type") in {
            ClientRegistration.AppType.BACKEND_SINGLE,
            ClientRegistration.AppType.BACKEND_BULK,
        }
        if not scopes and backend and "vendor_profile" in data:
            scopes = ClientRegistration(vendor_profile=data["vendor_profile"]).profile.default_scopes
        data["scopes"] = scopes
        return data

    def save(self, commit: bool = True) -> ClientRegistration:
        if self.cleaned_data["clear_client_secret"]:
            self.instance.client_secret = ""
        elif self.cleaned_data["new_client_secret"]:
            self.instance.client_secret = self.cleaned_data["new_client_secret"]
        registration: ClientRegistration = super().save(commit)
        return registration


class NewKeyForm(forms.ModelForm):
    """Saving generates the key pair; nothing else of a key is ever typed."""

    class Meta:
        model = SigningKey
        fields = ["environment", "algorithm"]

    def save(self, commit: bool = True) -> SigningKey:
        self.instance = keys.generate(
            environment=self.cleaned_data["environment"], algorithm=self.cleaned_data["algorithm"]
        )
        return self.instance

    def save_m2m(self) -> None:
        """Nothing to save: the admin calls this after save(commit=False)."""


class ConnectionForm(forms.ModelForm):
    patients_to_enrol = forms.CharField(
        label="Patients to enrol",
        required=False,
        widget=AdminTextareaWidget(attrs={"rows": 8, "spellcheck": "false", "autocomplete": "off"}),
        help_text="FHIR ids of patients, one a line. Patients already enrolled stay as they are.",
    )

    class Meta:
        model = Connection
        fields = ["practice", "registration", "base_url", "group_id"]
        widgets = {"base_url": _wide_input()}

    def clean_patients_to_enrol(self) -> list[str]:
        """The ids, in the order given. Raises ValidationError with line numbers, never the ids themselves."""
        lines = [line.strip() for line in self.cleaned_data["patients_to_enrol"].splitlines()]
        wrong = [str(number) for number, line in enumerate(lines, 1) if line and not _FHIR_ID.fullmatch(line)]
        if wrong:
            raise ValidationError(f"Not a FHIR id: line {', '.join(wrong[:20])}. Nobody was enrolled.")
        return [line for line in lines if line]

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        practice = data.get("practice") or getattr(self.instance, "practice", None)
        registration = data.get("registration") or getattr(self.instance, "registration", None)
        if practice and registration and data.get("base_url"):
            try:
                data["base_url"] = checked_base_url(data["base_url"], registration.profile, practice)
            except ValidationError as error:
                self.add_error("base_url", error)
        return data


def checked_base_url(text: str, profile: Profile, practice: Practice) -> str:
    """The base URL without its trailing slash. Raises ValidationError unless origin, path and code fit."""
    try:
        base = origins.parse_base(text.strip())
    except NeverAgain as error:
        raise ValidationError(f"This is not a FHIR base URL: {error.detail}. {profile.base_path_hint}") from None
    if base.scheme != "https" and base.host_port not in settings.INSECURE_FHIR_HOSTS:
        raise ValidationError(
            "The address must start with https://. Plain http is for addresses listed in INSECURE_FHIR_HOSTS "
            f"only; {base.host_port} is not."
        )
    if not re.fullmatch(profile.base_path_pattern, base.path):
        raise ValidationError(f"This is not the base URL of a practice at {profile.name}. {profile.base_path_hint}")
    code = base.path.rpartition("/")[2]
    if _PRACTICE_CODE.fullmatch(code) and code != practice.code:
        raise ValidationError(
            f"The address ends with the practice code {code}, but {practice.name} has {practice.code}."
        )
    return base.url
