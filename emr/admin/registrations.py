"""How we are known at a vendor: registrations, signing keys, connections, and the tokens they got."""

import json
from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.db import transaction
from django.db.models import Count, F, Model, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html

from emr import catalogue, keys, roster, schedule
from emr.admin.bases import AuditedAdmin, ReadOnly, record_change
from emr.forms import ConnectionForm, NewKeyForm, RegistrationForm, is_set
from emr.models import ClientRegistration, Connection, Enrolment, Grant, SigningKey, SystemToken

_NOT_CHECKED = "Not checked yet: save, then press “Save and check now”."


@admin.register(ClientRegistration)
class ClientRegistrationAdmin(AuditedAdmin):
    form = RegistrationForm
    list_display = ["name", "vendor_profile", "portal", "environment", "app_type", "signing_algorithm"]
    list_filter = ["vendor_profile", "environment", "app_type"]
    search_fields = ["name", "portal", "client_id"]
    readonly_fields = ["jwks_url", "created_at"]
    fieldsets = [
        (None, {"fields": ["name", "vendor_profile", "portal", "environment", "app_type"]}),
        ("As the vendor knows us", {"fields": ["client_id", "scopes", "redirect_uris"]}),
        (
            "How we prove who we are",
            {
                "fields": [
                    "auth_method", "signing_algorithm", "new_client_secret", "clear_client_secret",
                    "jwks_url", "created_at",
                ]
            },
        ),
    ]  # fmt: skip

    @admin.display(description="JWKS URL for the vendor")
    def jwks_url(self, registration: ClientRegistration) -> str:
        return keys.jwks_url(registration.environment)


@admin.register(SigningKey)
class SigningKeyAdmin(AuditedAdmin):
    """Generated, activated, retired; never typed, never shown."""

    list_display = ["kid", "environment", "algorithm", "state", "created_at", "activated_at", "retired_at"]
    list_filter = ["environment", "algorithm", "state"]
    search_fields = ["kid"]
    date_hierarchy = "created_at"
    actions = ["activate", "retire"]

    def get_form(self, request: HttpRequest, obj: Model | None = None, change: bool = False, **kwargs: Any) -> Any:
        if obj is None:
            kwargs["form"] = NewKeyForm
        return super().get_form(request, obj, change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: SigningKey | None = None) -> Any:
        if obj is None:
            return ["environment", "algorithm"]
        return [
            "kid", "environment", "algorithm", "state", "public_key", "private_key", "jwks_url", "created_at",
            "activated_at", "retired_at",
        ]  # fmt: skip

    def get_readonly_fields(self, request: HttpRequest, obj: SigningKey | None = None) -> list[str]:
        return ["public_key", "private_key", "jwks_url"]

    def has_change_permission(self, request: HttpRequest, obj: SigningKey | None = None) -> bool:
        return obj is None and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: SigningKey | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: SigningKey, form: ModelForm, change: bool) -> None:
        record_change(request, obj, "generated")  # NewKeyForm.save has stored it
        self.message_user(
            request, "The key is published and not signing yet. Once the vendor has fetched it, activate it."
        )

    @admin.display(description="public key (JWK)")
    def public_key(self, key: SigningKey) -> str:
        return format_html("<pre>{}</pre>", json.dumps(key.public_jwk, indent=2))

    @admin.display
    def private_key(self, key: SigningKey) -> str:
        return "set" if is_set(key, "private_pem") else "not set"

    @admin.display(description="JWKS URL for the vendor")
    def jwks_url(self, key: SigningKey) -> str:
        return keys.jwks_url(key.environment)

    @admin.action(description="Activate (sign with this key from now on)", permissions=["change"])
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


@admin.register(Connection)
class ConnectionAdmin(AuditedAdmin):
    form = ConnectionForm
    list_display = ["practice", "registration", "state", "trouble", "active_at", "enrolled"]
    list_filter = ["state", "registration__environment", "registration__vendor_profile", "reason_code"]
    list_select_related = ["practice", "registration"]
    search_fields = ["practice__name", "practice__code", "registration__name", "base_url", "reason_code"]
    ordering = ["practice__name", "registration__name"]
    autocomplete_fields = ["practice", "registration"]
    actions = ["check_now", "pull_now"]
    _MADE = ["standing", "state", "active_at", "discovered_at", "request_id", "enrolled", "jwks_url"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
        return super().get_queryset(request).annotate(enrolled_count=Count("enrolments"))

    def get_fieldsets(self, request: HttpRequest, obj: Connection | None = None) -> Any:
        own = (None, {"fields": ["practice", "registration", "base_url", "group_id"]})
        if obj is None:
            return [own]
        return [
            own,
            ("How it stands", {"fields": self._MADE}),
            ("Roster", {"fields": ["patients_to_enrol"]}),
            ("What the server says of itself", {"fields": ["discovered"], "classes": ["collapse"]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Connection | None = None) -> list[str]:
        made = [*self._MADE, "discovered"]
        return made if obj is None else ["practice", "registration", *made]

    def has_delete_permission(self, request: HttpRequest, obj: Connection | None = None) -> bool:
        """Drafts only: another takes along the record of when each patient was last confirmed."""
        draft = obj is None or obj.state == Connection.State.DRAFT
        return draft and super().has_delete_permission(request, obj)

    @admin.display(ordering="enrolled_count", description="patients enrolled")
    def enrolled(self, connection: Any) -> int:
        count: int = connection.enrolled_count
        return count

    @admin.display(ordering="reason_code")
    def trouble(self, connection: Connection) -> str:
        return catalogue.explain(connection.reason_code).title if connection.reason_code else ""

    @admin.display(description="what to do")
    def standing(self, connection: Connection) -> str:
        if not connection.reason_code:
            return _NOT_CHECKED if connection.active_at is None else "Nothing: the last check met no trouble."
        told = catalogue.explain(connection.reason_code)
        return format_html(
            "<strong>{}</strong> ({})<br>{}<br>Next step, by {}: {}<br>"
            "Tried again by itself: {}<br>Since {}. {}",
            told.title, told.code, told.cause, told.who, told.next_step, told.retries,
            f"{connection.reason_at:%d-%b-%Y %H:%M} UTC" if connection.reason_at else "an unknown time",
            connection.reason_detail,
        )  # fmt: skip

    @admin.display(description="JWKS URL for the vendor")
    def jwks_url(self, connection: Connection) -> str:
        return keys.jwks_url(connection.registration.environment)

    @admin.display(description="SMART configuration")
    def discovered(self, connection: Connection) -> str:
        if connection.smart_configuration is None:
            return "Not fetched yet."
        return format_html("<pre>{}</pre>", json.dumps(connection.smart_configuration, indent=2))

    def save_model(self, request: HttpRequest, obj: Connection, form: ModelForm, change: bool) -> None:
        if change and "base_url" in form.changed_data:
            _forget_server(obj)
        super().save_model(request, obj, form, change)
        wanted = form.cleaned_data["patients_to_enrol"]
        if wanted:
            new = roster.enrol(obj, wanted, Enrolment.KnownBy.LIST)
            self.message_user(request, f"{new} patients enrolled, {len(set(wanted)) - new} were enrolled already.")

    def response_change(self, request: HttpRequest, obj: Connection) -> HttpResponse:
        chosen = Connection.objects.filter(pk=obj.pk)
        if "_check" in request.POST:
            self.check_now(request, chosen)
        elif "_pull" in request.POST:
            self.pull_now(request, chosen)
        else:
            return super().response_change(request, obj)
        request.POST = request.POST | {"_continue": "1"}  # type: ignore[assignment]  # stay on this page
        return super().response_change(request, obj)

    @admin.action(description="Check connection now", permissions=["change"])
    def check_now(self, request: HttpRequest, queryset: QuerySet[Connection]) -> None:
        for connection in queryset.select_related("practice", "registration"):
            # After commit: the worker must see the address just saved.
            transaction.on_commit(partial(self._publish_check, request, connection))

    def _publish_check(self, request: HttpRequest, connection: Connection) -> None:
        if schedule.publish("emr.tasks.check_connection", connection.pk):
            self.message_user(request, f"The check of {connection} is queued: reload in a few seconds.")
        else:
            self.message_user(
                request,
                f"{connection} was not checked: no message broker. Try again shortly.",
                messages.ERROR,
            )

    @admin.action(description="Pull all enrolled patients now", permissions=["change"])
    def pull_now(self, request: HttpRequest, queryset: QuerySet[Connection]) -> None:
        for connection in queryset.select_related("practice", "registration"):
            due = schedule.request_pull(connection, "asked for by an admin")
            self.message_user(request, f"{connection}: {due} patients are due now.")
            if connection.state != Connection.State.ACTIVE:
                self.message_user(
                    request,
                    f"{connection} is {connection.get_state_display().lower()}: no pull before it is active.",
                    messages.WARNING,
                )


def _forget_server(connection: Connection) -> None:
    """What was issued at the old address must not travel to the new one: no bearer changes hosts."""
    connection.smart_configuration = connection.discovered_at = None
    connection.system_tokens.all().delete()
    connection.grants.exclude(state=Grant.State.REVOKED).update(
        state=Grant.State.NEEDS_CONSENT,
        access_token="",
        refresh_token="",
        access_expires_at=None,
        generation=F("generation") + 1,
    )


class TokenAdmin(ReadOnly, admin.ModelAdmin):
    """Whether there is a token and until when; never the token."""

    search_fields = [
        "connection__practice__name",
        "connection__practice__code",
        "connection__registration__name",
    ]
    list_select_related = ["connection__practice", "connection__registration"]

    @admin.display
    def access(self, row: SystemToken | Grant) -> str:
        return "set" if is_set(row, "access_token") else "not set"

    @admin.display
    def refresh(self, row: Grant) -> str:
        return "set" if is_set(row, "refresh_token") else "not set"


@admin.register(SystemToken)
class SystemTokenAdmin(TokenAdmin):
    list_display = ["connection", "access", "expires_at", "generation"]
    list_filter = ["connection__registration__environment"]
    fields = ["connection", "scope", "granted_scope", "access", "expires_at", "generation", "claimed_at"]
    readonly_fields = ["access"]


@admin.register(Grant)
class GrantAdmin(TokenAdmin):
    list_display = ["id", "connection", "whose", "state", "consent_ends_at", "created_at"]
    list_filter = ["state", "connection__registration__environment"]
    list_select_related = [*TokenAdmin.list_select_related, "user"]
    date_hierarchy = "created_at"
    fields = [
        "connection", "whose", "state", "scope", "access", "access_expires_at", "refresh", "consent_ends_at",
        "generation", "refresh_started_at", "created_at",
    ]  # fmt: skip
    readonly_fields = ["whose", "access", "refresh"]

    @admin.display
    def whose(self, grant: Grant) -> str:
        return "a patient's" if grant.patient_fhir_id else str(grant.user)
