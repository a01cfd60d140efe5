"""Exports of groups and their steps, to be read only. No addresses of files, no patients."""

from django.contrib import admin

from emr.admin.bases import MetadataAdmin, ReadOnlyInline
from emr.models import BulkItem, BulkJob


class BulkItemInline(ReadOnlyInline):
    model = BulkItem
    fields = ["kind", "number", "file_kind", "resource_type", "state", "lines", "count", "reason"]
    show_change_link = True


@admin.register(BulkJob)
class BulkJobAdmin(MetadataAdmin):
    list_display = ["created_at", "connection", "state", "since", "code", "ended_at"]
    list_filter = ["state", "connection__practice"]
    list_select_related = ["connection__practice", "connection__registration"]
    search_fields = ["code", "connection__practice__name", "connection__practice__code"]
    search_help_text = "Our id, code, practice"
    fields = [
        "connection", "pull", "state", "group_id", "types", "since", "transaction_time", "requires_token", "progress",
        "restarts", "remarks", "missed_types", "code", "reason", "created_at", "started_at", "ended_at",
    ]  # fmt: skip
    inlines = [BulkItemInline]


@admin.register(BulkItem)
class BulkItemAdmin(MetadataAdmin):
    list_display = ["id", "job", "kind", "resource_type", "state", "lines", "attempts", "not_before"]
    list_filter = ["state", "kind"]
    list_select_related = ["job"]
    search_fields = ["code", "resource_type"]
    search_help_text = "Our id, code, kind of record"
    fields = [
        "id", "job", "kind", "number", "file_kind", "resource_type", "state", "lines", "count", "attempts",
        "lease_until", "not_before", "published_at", "code", "reason", "finished_at",
    ]  # fmt: skip
    readonly_fields = ["id"]
