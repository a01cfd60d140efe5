"""Enrolments, pulls and work items, to be read only. No patients' FHIR ids; no cursors, which hold links."""

from typing import Any

from django.contrib import admin
from django.db.models import Case, QuerySet, Value, When
from django.forms import BaseInlineFormSet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from emr.admin.bases import MetadataAdmin, ReadOnlyInline
from emr.models import Enrolment, Pull, TypeOutcome, WorkItem

_CONNECTION = ["connection__practice", "connection__registration"]
_CONNECTION_SEARCH = [
    "connection__practice__name",
    "connection__practice__code",
    "connection__registration__name",
]


class TypeOutcomeInline(ReadOnlyInline):
    model = TypeOutcome
    fields = ["resource_type", "outcome", "reason", "confirmed_at", "attempted_at"]
    ordering = ["resource_type"]


@admin.register(Enrolment)
class EnrolmentAdmin(MetadataAdmin):
    list_display = ["id", "connection", "known_by", "due_at", "due_reason", "created_at"]
    list_filter = ["known_by", ("due_at", admin.EmptyFieldListFilter), "connection__practice"]
    list_select_related = _CONNECTION
    search_fields = ["due_reason", *_CONNECTION_SEARCH]
    search_help_text = "Our id, reason, practice, registration"
    fields = ["id", "connection", "known_by", "due_at", "due_reason", "created_at"]
    readonly_fields = ["id"]
    inlines = [TypeOutcomeInline]


class FirstRows(BaseInlineFormSet):
    """A pull has one item for each patient, thousands at times; the page shows the first of them."""

    LIMIT = 100

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset()[: self.LIMIT]


class WorkItemInline(ReadOnlyInline):
    model = WorkItem
    formset = FirstRows
    fields = ["state", "attempts", "reason", "not_before", "finished_at"]
    show_change_link = True
    verbose_name_plural = f"Work items (the first {FirstRows.LIMIT}, those given up before the others)"

    def get_queryset(self, request: HttpRequest) -> QuerySet[WorkItem]:
        rank = Case(When(state=WorkItem.State.FAILED, then=Value(0)), default=Value(1))
        return super().get_queryset(request).order_by(rank, "pk")


@admin.register(Pull)
class PullAdmin(MetadataAdmin):
    list_display = [
        "started_at", "connection", "state", "finished_at", "calls", "new", "changed", "same", "quarantined",
    ]  # fmt: skip
    list_filter = ["state", "practice"]
    list_select_related = _CONNECTION
    search_fields = [*_CONNECTION_SEARCH]
    search_help_text = "Our id, practice, registration"
    date_hierarchy = "started_at"
    fields = [
        "connection", "practice", "state", "started_at", "finished_at", "calls", "new", "changed", "same",
        "quarantined", "all_items",
    ]  # fmt: skip
    readonly_fields = ["all_items"]
    inlines = [WorkItemInline]

    @admin.display(description="work items")
    def all_items(self, pull: Pull) -> str:
        url = reverse("admin:emr_workitem_changelist")
        return format_html('<a href="{}?pull__id__exact={}">{} items</a>', url, pull.pk, pull.items.count())


@admin.register(WorkItem)
class WorkItemAdmin(MetadataAdmin):
    list_display = [
        "id",
        "pull_connection",
        "pull",
        "state",
        "attempts",
        "reason",
        "not_before",
        "finished_at",
    ]
    list_filter = ["state", "pull__practice"]
    list_select_related = ["pull", "pull__connection__practice", "pull__connection__registration"]
    search_fields = ["reason", *(f"pull__{name}" for name in _CONNECTION_SEARCH)]
    search_help_text = "Our id, reason, practice, registration"
    fields = [
        "id", "pull", "enrolment", "state", "attempts", "reason", "lease_until", "not_before", "published_at",
        "finished_at",
    ]  # fmt: skip
    readonly_fields = ["id"]

    @admin.display(description="connection")
    def pull_connection(self, item: WorkItem) -> str:
        return str(item.pull.connection)

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        return lookup == "pull__id__exact" or super().lookup_allowed(lookup, value, request)
