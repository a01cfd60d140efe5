"""Resource and Quarantine as metadata: what came, when, through which query. No patients' ids, no bodies."""

from typing import Any

from django.contrib import admin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from emr import profiles
from emr.admin.bases import MetadataAdmin
from emr.models import Quarantine, Resource


class TypeFilter(admin.SimpleListFilter):
    """The types we ask for, from the profiles: the table itself is too big to be asked which it holds."""

    title = "type"
    parameter_name = "resource_type"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        types = {name for key, _ in profiles.choices() for name in profiles.get(key).planned_types}
        return [(name, name) for name in sorted(types)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(resource_type=self.value()) if self.value() else queryset


class ChartAdmin(MetadataAdmin):
    ordering = ["-pk"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Model]:
        rows = super().get_queryset(request)
        return rows.defer(*rows.model.PHI_FIELDS)  # not even loaded


@admin.register(Resource)
class ResourceAdmin(ChartAdmin):
    list_display = [
        "id",
        "resource_type",
        "practice",
        "changed_at",
        "no_longer_sent_at",
        "entered_in_error",
        "valid",
    ]
    list_filter = [
        TypeFilter,
        "practice",
        "entered_in_error",
        ("no_longer_sent_at", admin.EmptyFieldListFilter),
        ("unparsed", admin.EmptyFieldListFilter),
    ]
    list_select_related = ["practice"]
    search_fields = ["resource_type", "practice__name", "practice__code"]
    search_help_text = "Our id, type, practice"
    sortable_by = ()  # no index serves these orders on a table of this size
    fields = [
        "id", "practice", "connection", "resource_type", "query", "content_hash", "first_seen_at",
        "changed_at", "no_longer_sent_at", "entered_in_error", "valid",
    ]  # fmt: skip
    readonly_fields = ["id", "valid"]

    @admin.display(boolean=True, description="valid R4")
    def valid(self, resource: Resource) -> bool:
        # The validator's own words quote the record, so they stay with it.
        return not resource.unparsed


@admin.register(Quarantine)
class QuarantineAdmin(ChartAdmin):
    list_display = ["id", "resource_type", "practice", "reason", "created_at", "released_at"]
    list_filter = [TypeFilter, "practice", ("released_at", admin.EmptyFieldListFilter)]
    list_select_related = ["practice"]
    search_fields = ["resource_type", "reason", "practice__name", "practice__code"]
    search_help_text = "Our id, type, reason, practice"
    date_hierarchy = "created_at"
    fields = [
        "id", "practice", "connection", "resource_type", "reason", "query", "body_hash", "created_at",
        "released_at",
    ]  # fmt: skip
    readonly_fields = ["id"]
