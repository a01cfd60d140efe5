"""What the admin shows to somebody who is no superuser: rows of the practices this person administers, and no other.

Laid over every ModelAdmin when it is registered, and over its inlines, so that none of them can forget it: lists,
pages, pickers, autocompletes, filters, actions, delete pages, history. `SCOPES` says for each model how a row leads to
its practice and what a practice's admin may do with it; a model that is not in the table is hidden from all of them.
Superusers keep what they had, but nobody may ask by query string for what the page does not offer.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

from django.apps import apps
from django.contrib import admin
from django.contrib.admin.filters import ListFilter
from django.contrib.admin.models import LogEntry
from django.contrib.admin.options import BaseModelAdmin, InlineModelAdmin
from django.contrib.admin.utils import NestedObjects, get_fields_from_path
from django.contrib.auth import get_permission_codename
from django.contrib.auth.models import Permission
from django.core.exceptions import PermissionDenied
from django.db import router
from django.db.models import Model, Q, QuerySet
from django.forms import ModelChoiceField
from django.http import HttpRequest, HttpResponse

from emr import access

M = TypeVar("M", bound=Model)

VIEW, ADD, CHANGE, DELETE = "view", "add", "change", "delete"


@dataclass(frozen=True)
class Scope:
    """How rows of one model are a practice's, for its admins.

    way: the lookup from a row to its practice; "" hides the model from all but superusers. why: the reason of what is
    hidden or narrowed. may: what a practice's admin may do, where the ModelAdmin and Django's permissions allow it too.
    shared: a row may belong to several practices, and tells of the others in its history.
    """

    way: str
    why: str
    may: frozenset[str] = frozenset({VIEW})
    shared: bool = False


def _hidden(why: str) -> Scope:
    return Scope("", why, frozenset())


def _kept(way: str, why: str, *acts: str) -> Scope:
    return Scope(way, why, frozenset({VIEW, *acts}))


_OURS = "the operator's own, for all practices"
_FETCHED = "written by the program; metadata only"

SCOPES: dict[str, Scope] = {
    # of no practice
    "emr.DirectoryEntry": _hidden("a vendor's list of all practices; from it the operator connects a new one"),
    "emr.SigningKey": _hidden(f"{_OURS}: whoever retires a key stops everybody"),
    "emr.JwksHit": _hidden(f"{_OURS}: who fetches the keys"),
    "emr.ClientRegistration": Scope(
        "connections__practice", f"{_OURS}; its admin reads those the practice is connected by", shared=True
    ),
    # of a practice, but not its admin's
    "emr.AuditEvent": _hidden("the trail is the privacy officer's, in pages where reading it is an event itself"),
    # people
    "emr.Practice": _kept("pk", "founded and coded by the operator", CHANGE),
    "emr.User": Scope(
        "memberships__practice",
        "members; flags and permissions are the operator's, an account its person's, unless a member here alone",
        frozenset({VIEW, CHANGE}),
        shared=True,
    ),
    "emr.Membership": _kept("practice", "the practice's own", ADD, CHANGE, DELETE),
    "emr.Invitation": _kept("practice", "the practice's own", ADD, CHANGE, DELETE),
    "emr.IdentityProvider": _kept("practice", "the practice's own", ADD, CHANGE, DELETE),
    "emr.ExternalIdentity": _kept("provider__practice", "made by signing in"),
    "emr.FhirUser": _kept("connection__practice", "the practice's own", ADD, CHANGE, DELETE),
    # connections
    "emr.Connection": _kept("practice", "made by the operator, who answers for where our signature is sent", CHANGE),
    "emr.Letter": _kept("connection__practice", "followed up by the practice", CHANGE),
    "emr.DoctorReport": _kept("connection__practice", _FETCHED),
    "emr.SystemToken": _kept("connection__practice", _FETCHED),
    "emr.Grant": _kept("connection__practice", _FETCHED),
    "emr.Launch": _kept("practice", _FETCHED),
    "emr.PatientInvitation": _kept("practice", _FETCHED),
    # what was fetched
    "emr.Enrolment": _kept("connection__practice", _FETCHED),
    "emr.TypeOutcome": _kept("enrolment__connection__practice", _FETCHED),
    "emr.Pull": _kept("practice", _FETCHED),
    "emr.WorkItem": _kept("pull__practice", _FETCHED),
    "emr.LookUp": _kept("practice", _FETCHED),
    "emr.Sweep": _kept("connection__practice", _FETCHED),
    "emr.BulkJob": _kept("connection__practice", _FETCHED),
    "emr.BulkItem": _kept("job__connection__practice", _FETCHED),
    "emr.Resource": _kept("practice", _FETCHED),
    "emr.Quarantine": _kept("practice", _FETCHED),
    "patients.Patient": _kept("practice", _FETCHED),
}
_UNDECLARED = _hidden("not declared")

# What the filters of Django's admin put into a query string after the name of a column, and the dates above a list.
_OF_FILTERS = ("", "__exact", "__isnull", "__isempty", "__gte", "__lt")
_OF_DATES = ("__year", "__month", "__day", "__gte", "__lt")
RECENT = 50


def scope_of(model: type[Model]) -> Scope:
    return SCOPES.get(model._meta.label, _UNDECLARED)


def permissions() -> QuerySet[Permission]:
    """Django's permissions for all that the table lets a practice's admin do."""
    wanted = Q()
    for label, scope in SCOPES.items():
        meta = apps.get_model(label)._meta
        codes = [get_permission_codename(act, meta) for act in scope.may]
        wanted |= Q(content_type__app_label=meta.app_label, codename__in=codes)
    return Permission.objects.filter(wanted)


def own(rows: QuerySet[M], request: HttpRequest) -> QuerySet[M]:
    """Those of the rows that this request may touch."""
    practices = access.administered(request)
    if practices is None:
        return rows
    scope = scope_of(rows.model)
    if not scope.way:
        return rows.none()
    wanted = {f"{scope.way}__in": practices}
    if scope.shared:  # by a query of its own: joined, a row of two practices would come twice
        return rows.filter(pk__in=rows.model._base_manager.filter(**wanted).values("pk"))
    return rows.filter(**wanted)


def _reaches(request: HttpRequest, row: Model | None) -> bool:
    if row is None or row._state.adding or access.administered(request) is None:
        return True
    return own(type(row)._base_manager.filter(pk=row.pk), request).exists()


def _may(request: HttpRequest, model: type[Model], act: str) -> bool:
    return access.administered(request) is None or act in scope_of(model).may


class OwnRows(BaseModelAdmin):
    """What admins and inlines have in common: their rows and what their forms offer to choose from."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return own(super().get_queryset(request), request)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if isinstance(field, ModelChoiceField) and field.queryset is not None:
            field.queryset = own(field.queryset, request)
        return field


class ScopedInline(OwnRows, InlineModelAdmin):
    """Rows of the page's object; whether that may be seen is for its own admin to say."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may(request, self.model, VIEW) and super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may(request, self.model, ADD) and super().has_add_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may(request, self.model, CHANGE) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may(request, self.model, DELETE) and super().has_delete_permission(request, obj)


class Scoped(OwnRows, admin.ModelAdmin):
    """Comes before the ModelAdmin it is laid over."""

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        own_row = _may(request, self.model, VIEW) and _reaches(request, obj)
        return own_row and super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return _may(request, self.model, ADD) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        own_row = _may(request, self.model, CHANGE) and _reaches(request, obj)
        return own_row and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        own_row = _may(request, self.model, DELETE) and _reaches(request, obj)
        return own_row and super().has_delete_permission(request, obj)

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        """Django sends whoever asks for a row that is not theirs, or not there, to the index."""
        if access.administered(request) is not None:
            access.note_refused(request, object_id=object_id)
        answer: HttpResponse = super()._get_obj_does_not_exist_redirect(request, opts, object_id)  # type: ignore[misc]
        return answer

    def get_inlines(self, request: HttpRequest, obj: Any) -> list[type[InlineModelAdmin]]:
        return [_inline(inline) for inline in super().get_inlines(request, obj)]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        """What the page's own filters and links ask, and nothing else, whoever asks: Django would let
        `?body__contains=` and `?password__startswith=` be asked letter by letter, of columns that no page shows."""
        if any("\x00" in each for each in value):  # PostgreSQL compares no text with it
            return False
        return lookup in set(self._offered(request)) and super().lookup_allowed(lookup, value, request)

    def _offered(self, request: HttpRequest) -> Iterator[str]:
        yield from getattr(self, "linked_lookups", ())
        items: list[Any] = [*self.get_list_filter(request)]
        for item in items:
            if isinstance(item, type) and issubclass(item, ListFilter):
                yield str(item.parameter_name)  # type: ignore[attr-defined]
                continue
            name = str(item if isinstance(item, str) else item[0])
            field: Any = get_fields_from_path(self.model, name)[-1]
            related = field.remote_field is not None
            ends = (f"__{field.target_field.name}__exact", "__isnull") if related else _OF_FILTERS
            yield from (name + end for end in ends)
        if self.date_hierarchy:
            yield from (self.date_hierarchy + end for end in _OF_DATES)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """What hangs on the rows is named only where all of it is this request's to see; else nothing is deleted."""
        if self._all_own(objs, request):
            return super().get_deleted_objects(objs, request)
        return [], {}, set(), ["Rows of others hang on it: ask the operator."]

    def _all_own(self, objs: Iterable[Model], request: HttpRequest) -> bool:
        if access.administered(request) is None:
            return True
        collector = NestedObjects(using=router.db_for_write(self.model), origin=objs)
        collector.collect([*objs])
        rows = [*(row for found in collector.data.values() for row in found), *collector.protected]
        return all(_reaches(request, row) for row in rows)

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        if scope_of(self.model).shared and access.administered(request) is not None:
            raise PermissionDenied  # its entries name rows of every practice it belongs to
        return super().history_view(request, object_id, extra_context)


class OwnChoices(admin.RelatedFieldListFilter):
    """A list's filter by a related row: of one's own."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[Any]:
        allowed = own(field.related_model._default_manager.all(), request)
        ordering = self.field_admin_ordering(field, request, model_admin)
        found: list[Any] = field.get_choices(
            include_blank=False, ordering=ordering, limit_choices_to={"pk__in": allowed.order_by().values("pk")}
        )
        return found

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> Any:
        """Asked for another's, it finds nothing: who of our members is one elsewhere too would be an answer."""
        offered = {str(key) for key, _ in self.lookup_choices}
        strange = access.administered(request) is not None and not set(self.lookup_val or ()) <= offered
        return queryset.none() if strange else super().queryset(request, queryset)


admin.FieldListFilter.register(lambda field: bool(field.remote_field), OwnChoices, take_priority=True)


# --- laying it over ----------------------------------------------------------------------------------------


@cache
def _inline(inline: type[InlineModelAdmin]) -> type[InlineModelAdmin]:
    return type(inline.__name__, (ScopedInline, inline), {"__module__": inline.__module__})


def _over(admin_class: type[admin.ModelAdmin]) -> type[admin.ModelAdmin]:
    return type(admin_class.__name__, (Scoped, admin_class), {"__module__": admin_class.__module__})


def lay_over(site: admin.AdminSite) -> None:
    """From now on every ModelAdmin of the site is a Scoped one, those it has already among them."""
    register, entries = site.register, site.get_log_entries

    def scoped(model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        register(model_or_iterable, _over(admin_class or admin.ModelAdmin), **options)

    def own_entries(request: HttpRequest) -> QuerySet[LogEntry]:
        return _own_entries(entries(request), request)

    before = dict(site._registry)
    site.unregister(list(before))
    for model, model_admin in before.items():
        scoped(model, type(model_admin))
    site.register = scoped  # type: ignore[method-assign]
    site.get_log_entries = own_entries  # type: ignore[method-assign]


def _own_entries(entries: QuerySet[LogEntry], request: HttpRequest) -> QuerySet[LogEntry]:
    """The person's latest acts on rows that are theirs to see today: they may have administered others before."""
    if access.administered(request) is None:
        return entries
    latest = entries.filter(user__pk=str(request.user.pk))[:RECENT]
    return entries.filter(pk__in=[entry.pk for entry in latest if _is_own(entry, request)])


def _is_own(entry: LogEntry, request: HttpRequest) -> bool:
    model = entry.content_type.model_class() if entry.content_type else None
    if model is None:
        return False
    return own(model._base_manager.filter(pk=entry.object_id), request).exists()
