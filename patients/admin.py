"""Patients as metadata: that a row exists and when it was projected. Charts open in the staff pages only."""

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from patients.models import Patient


@admin.register(Patient)
class PatientAdmin(admin.ModelAdmin):
    list_display = ["id", "practice", "created_at", "projected_at"]
    list_filter = ["practice"]
    list_select_related = ["practice"]
    fields = ["id", "practice", "created_at", "projected_at"]
    show_full_result_count = False
    ordering = ["-projected_at"]
    sortable_by = ()

    def get_queryset(self, request: HttpRequest) -> QuerySet[Patient]:
        return super().get_queryset(request).defer(*Patient.PHI_FIELDS)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
