"""Forms about people, and what the forms of the admin share; those of connecting are in connecting_forms."""

from typing import Any, ClassVar

from allauth.account.forms import LoginForm, SignupForm
from allauth.core import context
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.forms import ActivateTOTPForm
from allauth.mfa.webauthn.forms import AddWebAuthnForm
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.utils import timezone

from emr.accounts import invitations, second_factor
from emr.models import Invitation, Membership, User


class SignIn(LoginForm):
    """Password managers, and people who use the keyboard, find their way at once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["login"].widget.attrs |= {"autocomplete": "username", "autofocus": True}


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
        self.fields["email"].widget.attrs["autocomplete"] = "username"
        self.initial["email"] = invitation.email if invitation else ""


_CODE = {"autocomplete": "one-time-code", "inputmode": "numeric", "spellcheck": "false"}


class _OnceOnly:
    """Mixed into allauth's forms: a code of the authenticator app is right once."""

    def clean_code(self) -> str:
        code: str = super().clean_code()  # type: ignore[misc]
        if self.authenticator.type == Authenticator.Type.TOTP:  # type: ignore[attr-defined]
            _claim(self.user, code)  # type: ignore[attr-defined]
        return code


def _claim(user: User, code: str) -> None:
    if not second_factor.claim_code(user, code):
        raise get_adapter().validation_error("incorrect_code")


class SignInCode(_OnceOnly, AuthenticateForm):
    """The second step of signing in."""

    code = forms.CharField(label="Code", widget=forms.TextInput(attrs=_CODE | {"autofocus": True}))


class ConfirmingCode(_OnceOnly, ReauthenticateForm):
    """Confirming who sits there."""

    code = forms.CharField(label="Code", widget=forms.TextInput(attrs=_CODE | {"autofocus": True}))


class FirstCode(ActivateTOTPForm):
    """Enrolment of an authenticator app. Its secret waits sealed; allauth's form would keep it in the open."""

    code = forms.CharField(label="Code from the app", widget=forms.TextInput(attrs=_CODE))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.user = kwargs.pop("user")
        forms.Form.__init__(self, *args, **kwargs)
        self.secret = second_factor.pending_secret(context.request, renew=not self.is_bound)

    def clean_code(self) -> str:
        code: str = super().clean_code()
        _claim(self.user, code)
        return code


class NewPasskey(AddWebAuthnForm):
    """Enrolment of a passkey."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial["name"] = ""
        self.fields["name"].label = "Name, such as “Office laptop”"
        self.fields["name"].widget.attrs["autocomplete"] = "off"
        self.fields["passwordless"].label = "Sign in with it alone (passwordless)"
        self.fields["passwordless"].help_text = "It then takes the place of email, password and code."


class AddressCode(forms.Form):
    """A code mailed to the account's address (emr.accounts.address_codes)."""

    code = forms.CharField(
        label="Code from the mail", max_length=20, widget=forms.TextInput(attrs=_CODE | {"autofocus": True})
    )


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
            raise ValidationError("An invitation to this address is open: press “Send again” there instead.")
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
