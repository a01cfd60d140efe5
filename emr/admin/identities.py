"""Practices' own identity providers."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.urls import reverse

from emr.admin.bases import AuditedAdmin, ReadOnlyInline
from emr.forms import is_set
from emr.models import ExternalIdentity, IdentityProvider
from emr.wire import origins
from emr.wire.errors import NeverAgain


class IdentityProviderForm(forms.ModelForm):
    """The client secret is write-only: blank keeps the stored one."""

    new_client_secret = forms.CharField(
        required=False, label="Client secret", widget=forms.PasswordInput(attrs={"autocomplete": "off"})
    )

    class Meta:
        model = IdentityProvider
        fields = ["practice", "issuer", "client_id", "email_domains", "other_hosts", "does_mfa", "enabled"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        stored = is_set(self.instance, "client_secret")
        self.fields["new_client_secret"].help_text = (
            "Set. Leave blank to keep it; it is never shown." if stored else "Not set."
        )

    def clean_issuer(self) -> str:
        issuer: str = self.cleaned_data["issuer"]
        try:
            target = origins.parse_base(issuer)
        except NeverAgain as error:
            raise ValidationError(f"Not an issuer: {error.detail}.") from None
        if target.scheme != "https" and target.host_port not in settings.INSECURE_FHIR_HOSTS:
            raise ValidationError("An issuer starts with https://.")
        return issuer

    def save(self, commit: bool = True) -> IdentityProvider:
        if self.cleaned_data["new_client_secret"]:
            self.instance.client_secret = self.cleaned_data["new_client_secret"]
        provider: IdentityProvider = super().save(commit)
        return provider


class ExternalIdentityInline(ReadOnlyInline):
    model = ExternalIdentity
    verbose_name_plural = "people linked to it"
    fields = ["user", "linked_at"]


@admin.register(IdentityProvider)
class IdentityProviderAdmin(AuditedAdmin):
    form = IdentityProviderForm
    list_display = ["practice", "issuer", "does_mfa", "enabled"]
    list_select_related = ["practice"]
    autocomplete_fields = ["practice"]
    inlines = [ExternalIdentityInline]
    readonly_fields = ["sign_in_page", "callback", "created_at"]
    fieldsets = [
        (None, {"fields": ["practice", "enabled", "sign_in_page"]}),
        ("At the provider", {"fields": ["issuer", "client_id", "new_client_secret", "callback", "other_hosts"]}),
        ("Whom it speaks for", {"fields": ["email_domains", "does_mfa"]}),
        ("Dates", {"fields": ["created_at"]}),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: IdentityProvider | None = None) -> list[str]:
        # People are linked to it as this practice's.
        return [*self.readonly_fields, "practice"] if obj else [*self.readonly_fields]

    @admin.display(description="Page for the members")
    def sign_in_page(self, provider: IdentityProvider) -> str:
        return _address("emr:openid", provider)

    @admin.display(description="Redirect URI to register there")
    def callback(self, provider: IdentityProvider) -> str:
        return _address("emr:openid_callback", provider)


def _address(page: str, provider: IdentityProvider) -> str:
    return settings.PUBLIC_URL + reverse(page, args=[provider.pk]) if provider.pk else "Shown once it is saved."
