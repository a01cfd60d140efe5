"""Enrolments, pulls and work items, to be read only. No patients' FHIR ids; no cursors, which hold links."""

from typing import Any

from django.contrib import admin
from django.db.models import Case, QuerySet, Value, When
from django.forms import BaseInlineFormSet
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import mark_safe

from emr import progress
from emr.admin.bases import MetadataAdmin, ReadOnlyInline
from emr.models import Enrolment, LookUp, Pull, Sweep, TypeOutcome, WorkItem

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
    ordering = ["-pk"]
    search_help_text = "Our id, reason, practice, registration"
    fields = [
        "id", "connection", "known_by", "due_at", "due_reason", "whole", "asked_at", "next_appointment_at", "viewed_at",
        "pulled_at", "created_at",
    ]  # fmt: skip
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
        "connection", "practice", "state", "live", "types", "started_at", "finished_at", "hold_until", "failing_code",
        "failing_calls", "probe_at", "calls", "new", "changed", "same", "gone", "quarantined", "all_items",
    ]  # fmt: skip
    readonly_fields = ["live", "types", "all_items"]
    inlines = [WorkItemInline]

    @admin.display(description="now")
    def live(self, pull: Pull) -> str:
        told = progress.of(pull)
        counted = f"{told.done} of {told.patients} patients fetched, {told.given_up} given up"
        used = f"{told.calls_used} of {told.calls_limit} calls of the practice's minute are used"
        ends = f"{told.ends_at:%d-%b-%Y %H:%M} UTC" if told.ends_at else "not known"
        return format_html("{}<br>{}; {}.<br>Expected end: {}", told.spoken, counted, used, ends)

    @admin.display(description="kinds of record")
    def types(self, pull: Pull) -> str:
        told = progress.of(pull)
        fragment = "emr/_pull_export.html" if told.export else "emr/_pull_types.html"
        return mark_safe(render_to_string(fragment, {"progress": told, "export": told.export}))  # noqa: S308

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
    linked_lookups = ["pull__id__exact"]  # from the page of a pull
    list_select_related = ["pull", "pull__connection__practice", "pull__connection__registration"]
    search_fields = ["reason", *(f"pull__{name}" for name in _CONNECTION_SEARCH)]
    ordering = ["-pk"]
    search_help_text = "Our id, reason, practice, registration"
    fields = [
        "id", "pull", "enrolment", "state", "rank", "wanted_at", "attempts", "reason", "lease_until", "not_before",
        "published_at", "finished_at",
    ]  # fmt: skip
    readonly_fields = ["id"]

    @admin.display(description="connection")
    def pull_connection(self, item: WorkItem) -> str:
        return str(item.pull.connection)


@admin.register(LookUp)
class LookUpAdmin(MetadataAdmin):
    """Who sought somebody and what became of it; not whom."""

    list_display = ["id", "practice", "asked_by", "created_at", "state", "reason"]
    list_filter = ["state", "practice"]
    list_select_related = ["practice", "asked_by"]
    search_fields = ["practice__name", "practice__code"]
    search_help_text = "Our id, practice"
    fields = ["id", "practice", "connection", "asked_by", "created_at", "state", "reason", "attempts"]
    readonly_fields = ["id"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[LookUp]:
        return super().get_queryset(request).defer(*LookUp.PHI_FIELDS)


@admin.register(Sweep)
class SweepAdmin(MetadataAdmin):
    """What can be asked for over all patients of a connection, and why the rest cannot."""

    list_display = ["connection", "resource_type", "works", "reason", "decided_at", "full_at", "next_at"]
    list_filter = ["works", "resource_type", "connection__practice"]
    list_select_related = _CONNECTION
    search_fields = ["resource_type", "code", *_CONNECTION_SEARCH]
    search_help_text = "Our id, kind of record, code, practice, registration"
    fields = [
        "id", "connection", "resource_type", "works", "reason", "code", "decided_at", "since", "full_at", "next_at",
    ]  # fmt: skip
    readonly_fields = ["id"]
