"""How we are known at a vendor: client registrations, and the vendors' lists of practices."""

from typing import Any

from django.contrib import admin, messages
from django.forms import ModelForm
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from emr import keys
from emr.admin.bases import AuditedAdmin, MetadataAdmin
from emr.connecting import checklist, scopes_advice
from emr.connecting.forms import RegistrationForm
from emr.models import ClientRegistration, DirectoryEntry


@admin.register(ClientRegistration)
class ClientRegistrationAdmin(AuditedAdmin):
    form = RegistrationForm
    list_display = ["name", "vendor_profile", "portal", "environment", "app_type", "signing_algorithm"]
    list_filter = ["vendor_profile", "environment", "app_type"]
    search_fields = ["name", "portal", "client_id"]
    _MADE = ["jwks_url", "redirects_to_copy", "scopes_said", "confirmed", "client_id_at", "created_at"]

    class Media:
        css = {"all": ["emr/connecting.css"]}

    # What somebody sees of it who may not change it.
    _TOLD = [
        "name", "vendor_profile", "portal", "environment", "app_type", "client_id", "activation_code", "scopes",
        "jwks_url", "redirects_to_copy", "scopes_said", "confirmed",
    ]  # fmt: skip

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        if not self._may_edit(request, obj):
            kwargs["form"] = ModelForm  # ours holds fields of its own, to be filled in
        return super().get_form(request, obj, change, **kwargs)

    def _may_edit(self, request: HttpRequest, obj: ClientRegistration | None) -> bool:
        return obj is None or self.has_change_permission(request, obj)

    def get_readonly_fields(self, request: HttpRequest, obj: ClientRegistration | None = None) -> list[str]:
        return self._MADE

    def get_fieldsets(self, request: HttpRequest, obj: ClientRegistration | None = None) -> Any:
        if not self._may_edit(request, obj):
            return [(None, {"fields": self._TOLD})]
        picker = ["picked_scopes"] if obj else []
        told = ["redirects_to_copy"] if obj else []
        said = ["scopes_said", "confirmed"] if obj else []
        return [
            (None, {"fields": ["name", "vendor_profile", "portal", "environment", "app_type"]}),
            ("As the vendor knows us", {"fields": ["client_id", "activation_code", "redirect_uris", *told]}),
            ("Scopes", {"fields": [*picker, "scopes", *said]}),
            (
                "How we prove who we are",
                {
                    "fields": [
                        "auth_method",
                        "signing_algorithm",
                        "new_client_secret",
                        "clear_client_secret",
                        "jwks_url",
                    ]
                },
            ),
            (
                "Data-use questionnaire",
                {
                    "fields": list(RegistrationForm.NAMES),
                    "description": "What the vendor's portal asks, and what patients read before they consent.",
                    "classes": ["collapse"],
                },
            ),
            (
                "Only where a vendor asks for it",
                {
                    "fields": ["extra_authorize_params", "extra_token_params", "assertion_audience"],
                    "classes": ["collapse"],
                },
            ),
            ("Dates", {"fields": ["client_id_at", "created_at"] if obj else ["created_at"]}),
        ]

    def save_model(self, request: HttpRequest, obj: ClientRegistration, form: ModelForm, change: bool) -> None:
        super().save_model(request, obj, form, change)
        for connection in obj.connections.all():
            checklist.settle(connection)
        for advice in scopes_advice.advise(obj.scopes.split(), obj.profile, obj.app_type):
            self.message_user(request, advice.text, messages.WARNING)

    @admin.display(description="JWKS URL for the vendor")
    def jwks_url(self, registration: ClientRegistration) -> str:
        return format_html('<code class="to-copy">{}</code>', keys.jwks_url(registration.environment))

    @admin.display(description="redirect URIs, to copy")
    def redirects_to_copy(self, registration: ClientRegistration) -> str:
        if not registration.redirect_list:
            return "None. Backend apps need none."
        return _lines('<code class="to-copy">{}</code> <span class="help">{} characters</span>', registration)

    @admin.display(description="what to know about them")
    def scopes_said(self, registration: ClientRegistration) -> str:
        said = scopes_advice.advise(registration.scopes.split(), registration.profile, registration.app_type)
        if not said:
            return f"All of them are among those {registration.profile.name} advertises."
        return format_html_join(SafeString("<br>"), "{}", ((advice.text,) for advice in said))

    @admin.display(description="compared with the portal")
    def confirmed(self, registration: ClientRegistration) -> str:
        if registration.confirmed_at is None:
            return "Not yet: say so on the connection's page."
        when = f"{registration.confirmed_at:%d-%b-%Y %H:%M} UTC"
        return when if registration.is_confirmed else f"{when}, but something has changed since."


def _lines(pattern: str, registration: ClientRegistration) -> SafeString:
    return format_html_join(SafeString("<br>"), pattern, ((uri, len(uri)) for uri in registration.redirect_list))


@admin.register(DirectoryEntry)
class DirectoryEntryAdmin(MetadataAdmin):
    """Filled by `manage.py import_directory`; from here a practice is connected."""

    list_display = ["name", "city", "state", "code", "portal", "base_url", "seen_at", "connect"]
    list_filter = ["portal", "state"]
    search_fields = ["name", "city", "code"]
    search_help_text = "Name, city or code of the practice"
    ordering = ["name", "city"]
    fields = ["name", "city", "state", "code", "base_url", "portal", "vendor_profile", "seen_at", "connect"]
    readonly_fields = ["connect"]

    @admin.display(description="")
    def connect(self, entry: DirectoryEntry) -> str:
        url = reverse("admin:emr_connection_add")
        return format_html('<a href="{}?directory_entry={}">Connect this practice</a>', url, entry.pk)
