"""The audit trail, to be read only."""

from django.contrib import admin

from emr.admin.bases import MetadataAdmin
from emr.models import AuditEvent


@admin.register(AuditEvent)
class AuditEventAdmin(MetadataAdmin):
    list_display = ["at", "action", "user", "address", "practice", "detail"]
    list_filter = ["action", "practice"]
    list_select_related = ["user", "practice"]
    search_fields = ["user__email", "user__full_name", "practice__name", "practice__code", "detail", "address"]
    search_help_text = "Name or e-mail of the person, practice, detail, address"
    date_hierarchy = "at"
    fields = ["at", "action", "user", "address", "practice", "patient_id", "object_id", "detail"]
