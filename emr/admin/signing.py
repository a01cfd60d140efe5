"""Signing keys, who fetched them, and the calendar of keys, consents and refresh tokens."""

import json
from datetime import timedelta
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Model, QuerySet
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from emr import audit, fields, hints, keys
from emr.admin.bases import AuditedAdmin, MetadataAdmin, record_change
from emr.connecting import key_exports, rotation
from emr.connecting.forms import NewKeyForm
from emr.forms import is_set
from emr.models import Grant, JwksHit, SigningKey

_FORMS = {
    "public.pem": ("public key, PEM", key_exports.public_pem, "application/x-pem-file"),
    "public.jwk": ("public key, JWK", key_exports.jwk, "application/jwk+json"),
    "certificate.pem": ("certificate, X.509", key_exports.certificate, "application/x-pem-file"),
}
CALENDAR_ROWS = 200


@admin.register(SigningKey)
class SigningKeyAdmin(AuditedAdmin):
    """Generated or imported, activated, retired; never typed, never shown."""

    list_display = ["kid", "environment", "algorithm", "state", "next_step", "created_at", "proved_at", "retired_at"]
    list_filter = ["environment", "algorithm", "state"]
    search_fields = ["kid"]
    ordering = ["-created_at"]
    date_hierarchy = "created_at"
    actions = ["promote", "advance", "activate", "retire", "replace_at_once"]

    class Media:
        css = {"all": ["emr/connecting.css"]}

    def get_form(self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = NewKeyForm
        return super().get_form(request, obj, change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: SigningKey | None = None) -> Any:
        if obj is None:
            return ["environment", "algorithm", "rsa_bits", "private_key"]
        return [
            "kid", "environment", "algorithm", "size", "state", "next_step", "public_key", "own_private_key",
            "downloads", "jwks_url", "created_at", "proved_at", "tried_at", "trial_code", "activated_at",
            "retiring_at", "retired_at",
        ]  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: SigningKey | None = None) -> list[str]:
        return ["size", "next_step", "public_key", "own_private_key", "downloads", "jwks_url"]

    def has_change_permission(self, request: HttpRequest, obj: SigningKey | None = None) -> bool:
        return obj is None and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: SigningKey | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: SigningKey, form: ModelForm, change: bool) -> None:
        imported = getattr(form, "imported", None) is not None
        record_change(request, obj, "imported" if imported else "generated")  # NewKeyForm.save has stored it
        self.message_user(
            request,
            "The key is published and not signing yet. It signs by itself: within minutes where no other key does, "
            "otherwise after the waiting time, once each vendor has taken it.",
        )

    def get_urls(self) -> list[URLPattern]:
        own = [
            path("calendar/", self.admin_site.admin_view(self.calendar), name="emr_signingkey_calendar"),
            path(
                "<uuid:pk>/download/<str:form>",
                self.admin_site.admin_view(self.download),
                name="emr_signingkey_download",
            ),
        ]
        return [*own, *super().get_urls()]

    # --- what is shown ---

    @admin.display
    def size(self, key: SigningKey) -> str:
        return key_exports.size(key)

    @admin.display(description="what comes next")
    def next_step(self, key: SigningKey) -> str:
        step = rotation.next_step(key)
        return f"{step[1]:%d-%b-%Y %H:%M} UTC: {step[0]}" if step else ""

    @admin.display(description="public key (JWK)")
    def public_key(self, key: SigningKey) -> str:
        return format_html("<pre>{}</pre>", json.dumps(key.public_jwk, indent=2))

    @admin.display(description="private key")
    def own_private_key(self, key: SigningKey) -> str:
        return "set" if is_set(key, "private_pem") else "not set"

    @admin.display
    def downloads(self, key: SigningKey) -> str:
        kept = is_set(key, "private_pem")
        links = (
            (reverse("admin:emr_signingkey_download", args=[key.pk, form]), label)
            for form, (label, _, _) in _FORMS.items()
            if kept or form != "certificate.pem"
        )
        return format_html_join(SafeString(" · "), '<a href="{}">{}</a>', links)

    @admin.display(description="JWKS URL for the vendor")
    def jwks_url(self, key: SigningKey) -> str:
        return keys.jwks_url(key.environment)

    # --- actions ---

    @admin.action(description="Try at the vendors now, and sign with it if they take it", permissions=["change"])
    def promote(self, request: HttpRequest, queryset: QuerySet[SigningKey]) -> None:
        key = self._one(request, queryset, SigningKey.State.NEXT)
        if key is not None:
            record_change(request, key, "trial asked for")
            self._publish(request, f"{key} is being tried: reload in a few seconds.", str(key.pk))

    @admin.action(description="Take every key the step that is due", permissions=["change"])
    def advance(self, request: HttpRequest, queryset: QuerySet[SigningKey]) -> None:
        audit.record(audit.Action.CONFIGURATION, by=request.user, detail="SigningKey: due steps asked for")
        self._publish(request, "What is due is being done: reload in a few seconds.")

    @admin.action(description="Activate untried (sign with this key from now on)", permissions=["change"])
    def activate(self, request: HttpRequest, queryset: QuerySet[SigningKey]) -> None:
        key = queryset.first()
        if key is None or queryset.count() != 1:
            self.message_user(request, "Choose exactly one key to activate.", messages.ERROR)
        elif key.state == SigningKey.State.RETIRED:
            self.message_user(request, "A retired key has no private half any more.", messages.ERROR)
        else:
            with transaction.atomic():
                keys.activate(key)
                record_change(request, key, "activated")
            self.message_user(request, f"{key} signs from now on.")

    @admin.action(description="Retire (unpublish, forget the private half)", permissions=["change"])
    def retire(self, request: HttpRequest, queryset: QuerySet[SigningKey]) -> None:
        for key in queryset.exclude(state=SigningKey.State.RETIRED):
            was_active = key.state == SigningKey.State.ACTIVE
            with transaction.atomic():
                keys.retire(key)
                record_change(request, key, "retired")
            self.message_user(request, f"{key}: retired.")
            if was_active:
                self.message_user(
                    request,
                    f"No {key.algorithm} key signs for the {key.environment} now: activate another.",
                    messages.WARNING,
                )

    @admin.action(description="Emergency: replace this key at once", permissions=["change"])
    def replace_at_once(self, request: HttpRequest, queryset: QuerySet[SigningKey]) -> None:
        key = self._one(request, queryset, SigningKey.State.ACTIVE)
        if key is None:
            return
        with transaction.atomic():
            new = rotation.replace_at_once(key)
            record_change(request, key, "replaced at once")
            record_change(request, new, "generated")
        self.message_user(
            request,
            f"{new} signs from now on; {key.kid[:12]}… has left the JWKS. A vendor that keeps a copy of the JWKS "
            "refuses us until it fetches it again: test the connections, and write to the vendor (key rotation).",
            messages.WARNING,
        )

    def _one(self, request: HttpRequest, queryset: QuerySet[SigningKey], state: str) -> SigningKey | None:
        key = queryset.first()
        if key is None or queryset.count() != 1 or key.state != state:
            self.message_user(request, f"Choose exactly one key that is {state}.", messages.ERROR)
            return None
        return key

    def _publish(self, request: HttpRequest, told: str, *args: str) -> None:
        if hints.publish("emr.tasks.advance_keys", *args):
            self.message_user(request, told)
        else:
            self.message_user(request, "Nothing was done: no message broker. Try again shortly.", messages.ERROR)

    # --- pages ---

    def download(self, request: HttpRequest, pk: Any, form: str) -> HttpResponse:
        """The public half in one of three forms."""
        key = get_object_or_404(self.get_queryset(request), pk=pk)
        if not self.has_view_permission(request, key):
            raise PermissionDenied
        if form not in _FORMS:
            raise Http404
        _, write, content_type = _FORMS[form]
        try:
            text = write(key)
        except (key_exports.NoPrivateHalf, fields.SecretUnreadable) as error:
            raise Http404(str(error)) from None
        name = f"{key.environment}-{key.kid[:12]}-{form}"
        return HttpResponse(
            text, content_type=content_type, headers={"Content-Disposition": f'attachment; filename="{name}"'}
        )

    def calendar(self, request: HttpRequest) -> HttpResponse:
        """What ends or changes when: keys, consents, refresh tokens."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context = {
            **self.admin_site.each_context(request),
            "title": "Calendar of keys and consents",
            "opts": self.model._meta,
            "now": timezone.now(),
            "keys": _coming_keys(),
            "consents": _coming_consents(),
            "readers": JwksHit.objects.all()[:10],
        }
        return TemplateResponse(request, "admin/emr/signingkey/calendar.html", context)


def _coming_keys() -> list[dict[str, Any]]:
    """Published keys with what happens to them next, the soonest first."""
    found = []
    for key in SigningKey.objects.filter(state__in=SigningKey.PUBLISHED):
        step = rotation.next_step(key)
        found.append({"key": key, "what": step[0] if step else "", "at": step[1] if step else None})
    return sorted(found, key=lambda row: (row["at"] is None, row["at"]))


def _coming_consents() -> list[dict[str, Any]]:
    """Grants in force by the day they end: the consent, or the refresh token's life where that is shorter."""
    grants = (
        Grant.objects.filter(state=Grant.State.ACTIVE)
        .select_related("connection__practice", "connection__registration", "user")
        .order_by("consent_ends_at")[:CALENDAR_ROWS]
    )
    rows = []
    for grant in grants:
        life = timedelta(days=grant.connection.profile.connecting.refresh_days)
        refresh = grant.created_at + life if is_set(grant, "refresh_token") else None
        ends = [at for at in (grant.consent_ends_at, refresh) if at is not None]
        rows.append(
            {"grant": grant, "consent": grant.consent_ends_at, "refresh": refresh, "at": min(ends, default=None)}
        )
    return sorted(rows, key=lambda row: (row["at"] is None, row["at"]))


@admin.register(JwksHit)
class JwksHitAdmin(MetadataAdmin):
    """The best proof that the vendor's allow-listing works."""

    list_display = ["last_at", "environment", "address", "user_agent", "count", "first_at"]
    list_filter = ["environment"]
    search_fields = ["user_agent"]
    search_help_text = "Program"
    fields = ["environment", "address", "user_agent", "count", "first_at", "last_at"]
