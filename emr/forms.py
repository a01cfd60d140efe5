"""Forms about people, and what the forms of the admin share; those of connecting are in connecting_forms."""

from typing import Any, ClassVar

from allauth.account.forms import SignupForm
from allauth.core import context
from django import forms
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.utils import timezone

from emr import invitations
from emr.models import Invitation, Membership


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
