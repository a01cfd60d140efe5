"""Consents as metadata: grants, launches and patients' invitations without a name, an id at the EMR or a token.

And the one thing of them an admin enters: whose sign-in at the EMR stands for which account here.
"""

from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.http import HttpRequest

from emr import access
from emr.admin.bases import AuditedAdmin, MetadataAdmin
from emr.admin.tokens import TokenAdmin
from emr.models import ClientRegistration, FhirUser, Grant, Launch, Membership, PatientInvitation, User

_PLACE = ["connection__practice", "connection__registration"]


@admin.register(Grant)
class GrantAdmin(TokenAdmin):
    list_display = [
        "id",
        "connection",
        "whose",
        "state",
        "reason_code",
        "consent_ends_at",
        "idle_ends_at",
        "created_at",
    ]
    list_filter = ["state", "reason_code", "connection__registration__environment"]
    list_select_related = [*TokenAdmin.list_select_related, "user"]
    date_hierarchy = "created_at"
    fields = [
        "connection", "whose", "state", "reason_code", "requested_scope", "scope", "access", "access_expires_at",
        "refresh", "consent_ends_at", "idle_ends_at", "generation", "refresh_started_at", "refreshed_at",
        "uncertain_at", "lost_answers", "last_used_at", "created_at", "ended_at",
    ]  # fmt: skip
    readonly_fields = ["whose", "access", "refresh"]

    @admin.display
    def whose(self, grant: Grant) -> str:
        return "a patient's" if grant.user is None else str(grant.user)


@admin.register(Launch)
class LaunchAdmin(MetadataAdmin):
    """How each authorization request ended; never what it could be answered with."""

    list_display = ["id", "kind", "connection", "user", "created_at", "consumed_at", "outcome_code"]
    list_filter = ["kind", "outcome_code", "connection__registration__environment"]
    list_select_related = [*_PLACE, "user"]
    search_fields = ["connection__practice__name", "connection__practice__code", "outcome_code"]
    date_hierarchy = "created_at"
    fields = [
        "kind", "connection", "practice", "user", "redirect_uri", "scope", "created_at", "expires_at", "consumed_at",
        "outcome_code",
    ]  # fmt: skip


@admin.register(PatientInvitation)
class PatientInvitationAdmin(MetadataAdmin):
    """Whom it invites is for the practice's own pages."""

    list_display = ["id", "practice", "stands", "language", "created_at", "expires_at", "used_at", "revoked_at"]
    list_filter = ["language", ("used_at", admin.EmptyFieldListFilter), ("revoked_at", admin.EmptyFieldListFilter)]
    list_select_related = ["practice"]
    search_fields = ["practice__name", "practice__code"]
    date_hierarchy = "created_at"
    fields = [
        "practice", "connection", "stands", "language", "created_by", "created_at", "expires_at", "used_at",
        "revoked_at",
    ]  # fmt: skip
    readonly_fields = ["stands"]

    @admin.display(description="state")
    def stands(self, invitation: PatientInvitation) -> str:
        return str(PatientInvitation.State(invitation.state).label)


class FhirUserForm(forms.ModelForm):
    """Whoever launches from the EMR as `fhir_user` is signed in here as `user`."""

    class Meta:
        model = FhirUser
        fields = ["connection", "fhir_user", "user"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields.get("connection")
        if isinstance(field, forms.ModelChoiceField) and field.queryset is not None:
            provider = ClientRegistration.AppType.PROVIDER
            rows = field.queryset.select_related("practice", "registration")  # of what the admin allows
            field.queryset = rows.filter(registration__app_type=provider)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        connection, user = data.get("connection"), data.get("user")
        if connection and user and not Membership.objects.filter(practice=connection.practice_id, user=user).exists():
            self.add_error("user", ValidationError("This person is no member of the connection's practice."))
        return data


@admin.register(FhirUser)
class FhirUserAdmin(AuditedAdmin):
    form = FhirUserForm
    list_display = ["fhir_user", "user", "connection", "created_at"]
    list_select_related = [*_PLACE, "user"]
    search_fields = ["fhir_user", "user__email", "user__full_name", "connection__practice__name"]
    autocomplete_fields = ["user"]

    def get_field_queryset(self, db: str | None, db_field: Any, request: HttpRequest) -> Any:
        rows = super().get_field_queryset(db, db_field, request)
        if db_field.name != "user":
            return rows
        # Whoever launches as this person is signed in as they are: everywhere they are a member.
        return access.wholly_administered(User.objects.all() if rows is None else rows, request)
