"""What the admin pages share: read-only pages, and the audit row of every change."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db import transaction
from django.db.models import Model, QuerySet
from django.forms import BaseModelFormSet, ModelForm
from django.http import HttpRequest

from emr import audit
from emr.accounts import people_audit
from emr.models import Invitation, Membership, Practice, User


class ReadOnly:
    """Mixed into an admin or inline: may be looked at, never changed."""

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ReadOnlyInline(ReadOnly, admin.TabularInline):
    extra = 0
    can_delete = False


class MetadataAdmin(ReadOnly, admin.ModelAdmin):
    """Read-only rows of big tables. Searching for one of our ids, in any of its spellings, finds that row."""

    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER  # each would count the table

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        try:
            return queryset.filter(pk=UUID(search_term.strip())), False
        except ValueError:
            return super().get_search_results(request, queryset, search_term)


class AuditedAdmin(admin.ModelAdmin):
    """Every add, change and delete leaves an audit row: model and names of the changed fields, no values."""

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        record_change(request, obj, "changed" if change else "added", form.changed_data)

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        record_change(request, obj, "deleted")
        super().delete_model(request, obj)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        with transaction.atomic():
            for obj in queryset:
                record_change(request, obj, "deleted")
            super().delete_queryset(request, queryset)

    def save_formset(self, request: HttpRequest, form: ModelForm, formset: BaseModelFormSet, change: bool) -> None:
        keys = {id(row.instance): row.instance.pk for row in formset.forms}  # deleting a row unsets its key
        super().save_formset(request, form, formset, change)
        for obj in formset.new_objects:
            record_change(request, obj, "added")
        for obj, fields in formset.changed_objects:
            record_change(request, obj, "changed", fields)
        for obj in formset.deleted_objects:
            record_change(request, obj, "deleted", key=keys[id(obj)])


def record_change(request: HttpRequest, obj: Any, what: str, fields: Iterable[str] = (), *, key: Any = None) -> None:
    """One audit row: "Connection changed: base_url, group_id"."""
    about_people = isinstance(obj, Membership | Invitation | User)
    names = ", ".join(fields)
    detail = f"{type(obj).__name__} {what}" + (f": {names}" if names else "")
    if isinstance(obj, User) and isinstance(request.user, User):  # known by name in the trails of all their practices
        people_audit.record(audit.Action.MEMBERSHIP, obj, by=request.user, detail=detail)
        return
    key = key or obj.pk
    audit.record(
        audit.Action.MEMBERSHIP if about_people else audit.Action.CONFIGURATION,
        by=request.user,
        practice=_practice_of(obj),
        object_id=key if isinstance(key, UUID) else None,  # Django's own rows are numbered
        detail=detail,
    )


def _practice_of(obj: Any) -> Practice | None:
    """Whose privacy officer is to see it: by its own column or by its connection's; None for what serves all."""
    link = getattr(obj, "connection", None)
    found: Practice | None = getattr(obj, "practice", None) or (link.practice if link is not None else None)
    return obj if isinstance(obj, Practice) else found
