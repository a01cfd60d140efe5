"""Tokens and grants: whether there is one, and until when."""

from django.contrib import admin

from emr.admin.bases import ReadOnly
from emr.forms import is_set
from emr.models import Grant, SystemToken


class TokenAdmin(ReadOnly, admin.ModelAdmin):
    """Whether there is a token and until when; never the token."""

    search_fields = [
        "connection__practice__name",
        "connection__practice__code",
        "connection__registration__name",
    ]
    list_select_related = ["connection__practice", "connection__registration"]
    ordering = ["-pk"]

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
