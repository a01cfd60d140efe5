"""Faults put into the program one at a time, to see that the probes find each: a route, a query or a list to choose
from that forgets whose rows are whose, or an admin page that shows what charts hold."""

import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any
from unittest import mock

from django.contrib import admin
from django.contrib.admin.options import InlineModelAdmin
from django.contrib.admin.utils import get_fields_from_path
from django.db import models
from django.urls import URLPattern

from emr import access, grants, walls
from emr.accounts import break_glass
from emr.admin import scoping
from emr.launches import consents
from emr.launches import forms as launch_forms
from emr.models import (
    ClientRegistration,
    Connection,
    FhirUser,
    Grant,
    IdentityProvider,
    Invitation,
    Letter,
    LookUp,
    Membership,
    PatientInvitation,
    Practice,
    User,
)
from patients import unknown_texts
from patients.models import Listing, Patient
from tests.test_isolation import routes
from tests.trust import addresses, probing
from tests.trust.probing import Probe, World

_running: ContextVar[bool] = ContextVar("_running", default=False)


@dataclass(frozen=True)
class Fault:
    """kind: route, query, picker or admin (what a superuser must not see), scope (what a practice's admin must not).
    made: the program with the fault, while it lasts."""

    name: str
    kind: str
    route: str
    made: Callable[[], AbstractContextManager[Any]]

    def probes(self, world: World) -> Iterator[Probe]:
        """Those that must find it: of people who have every right there but to the other practice's rows."""
        for probe in probing.probes(world, [self.route]):
            if self._may_find(probe):
                yield probe

    def _may_find(self, probe: Probe) -> bool:
        if self.kind == "admin":
            return probe.actor.name == "superuser"
        if self.kind == "scope":
            return probe.actor.in_admin and probe.actor.practice == "B" and probe.owner in {"A", ""}
        stranger = probe.actor.practice == "B" and not probe.actor.in_admin
        return stranger and (probe.owner == "A" or self.kind in {"query", "picker"})

    def is_caught(self, world: World) -> bool:
        for actor in world.actors:
            probing.awake(actor)
        with self.made():
            return any(probing.faults(probe) for probe in self.probes(world))


def seeded() -> list[Fault]:
    return [*_routes(), *_queries(), *_pickers(), *_admin_pages(), *_scopes()]


# --- routes ---


def _routes() -> Iterator[Fault]:
    """One for each staff route that names a row: the one place that decides lets everything pass there."""
    for route, pattern in routes():
        if getattr(pattern.callback, "members_only", False) and addresses.names(route):
            made = _unwatched if route == _REVIEWED else _unscoped(route)
            yield Fault(f"{route} scopes nothing", "route", route, made)


_REVIEWED = "practices/<uuid:practice_id>/break-glass/<uuid:pk>/reviewed/"


@contextmanager
def _unwatched() -> Iterator[None]:
    """This route has a second guard: who watches over the charts of that practice."""
    everybody = mock.patch.object(break_glass, "watchers", return_value=User.objects.all())
    with _unscoped(_REVIEWED)(), everybody:
        yield


def _unscoped(route: str) -> Callable[[], AbstractContextManager[Any]]:
    @contextmanager
    def made() -> Iterator[None]:
        scoped, chosen = access._allowed, access.practice_or_404

        def allowed(user: Any, *args: Any) -> Any:
            return list(Practice.objects.values_list("pk", flat=True)) if _running.get() else scoped(user, *args)

        def practice_or_404(user: Any, practice_id: uuid.UUID) -> Practice:
            return Practice.objects.get(pk=practice_id) if _running.get() else chosen(user, practice_id)

        with (
            _marking(route),
            mock.patch.object(access, "_allowed", allowed),
            mock.patch.object(access, "practice_or_404", practice_or_404),
        ):
            yield

    return made


@contextmanager
def _marking(route: str) -> Iterator[None]:
    """While the view of that route runs, and no other's, `_running` is set."""
    pattern: URLPattern = next(pattern for name, pattern in routes() if name == route)
    before = pattern.callback

    @wraps(before)
    def marked(*args: Any, **kwargs: Any) -> Any:
        token = _running.set(True)
        try:
            return before(*args, **kwargs)
        finally:
            _running.reset(token)

    pattern.callback = marked
    try:
        yield
    finally:
        pattern.callback = before


# --- queries and lists to choose from ---


def _queries() -> Iterator[Fault]:
    """A list that takes all rows of one model, its own filter forgotten with the guard."""
    practice = "practices/<uuid:practice_id>/"
    of: list[tuple[str, type[models.Model]]] = [
        (f"{practice}audit/patients/", Listing),
        (f"{practice}roster/", LookUp),
        (f"{practice}consents/", PatientInvitation),
    ]
    for route, model in of:
        yield Fault(f"{route} lists every {model.__name__}", "query", route, _all_of(route, model))
    decide = "consents/<uuid:pk>/decide/"
    yield Fault(
        "grants of every practice", "route", decide,
        lambda: mock.patch.object(consents, "visible_grants", return_value=Grant.objects.filter(user=None)),
    )  # fmt: skip
    yield Fault(
        "a calendar of every practice", "query", f"{practice}consents/",
        lambda: mock.patch.object(grants, "calendar", _calendar_of_all(grants.calendar)),
    )  # fmt: skip
    yield Fault(
        "unknown texts of every practice", "query", f"{practice}medications/",
        lambda: mock.patch.object(unknown_texts, "texts", _texts_of_all(unknown_texts.texts)),
    )  # fmt: skip


def _all_of(route: str, model: type[models.Model]) -> Callable[[], AbstractContextManager[Any]]:
    @contextmanager
    def made() -> Iterator[None]:
        scoped = access.visible

        def visible(rows: Any, user: Any) -> Any:
            forgetful = _running.get() and rows.model in {model, Patient}
            return rows.model._default_manager.all() if forgetful else scoped(rows, user)

        with _marking(route), mock.patch.object(access, "visible", visible):
            yield

    return made


def _calendar_of_all(calendar: Callable[..., Any]) -> Callable[..., Any]:
    return lambda practice: [entry for each in Practice.objects.all() for entry in calendar(each)]


def _texts_of_all(texts: Callable[..., Any]) -> Callable[..., Any]:
    def every(practice_id: uuid.UUID) -> Any:
        found = [texts(pk) for pk in Practice.objects.values_list("pk", flat=True)]
        return [row for unknown, _ in found for row in unknown], {}

    return every


def _pickers() -> Iterator[Fault]:
    def every_connection(practice: Practice) -> Any:
        patients = ClientRegistration.AppType.PATIENT
        return Connection.objects.select_related("practice").filter(registration__app_type=patients)

    yield Fault(
        "connections of every practice to choose from", "picker", "practices/<uuid:practice_id>/consents/invite/",
        lambda: mock.patch.object(launch_forms, "patient_connections", every_connection),
    )  # fmt: skip
    for target, shown in _with_charts():
        if admin.site._registry[target].search_fields and _pointing_at(target):
            name = f"the admin's autocomplete labels each {target.__name__} by its {shown}"
            yield Fault(name, "admin", "admin/autocomplete/", _labelled(target, shown))
    for source, column, target, shown in _foreign_keys():
        page = f"admin/{source._meta.app_label}/{source._meta.model_name}/<path:object_id>/change/"
        name = f"{source.__name__}'s form offers each {target.__name__} by its {shown}"
        yield Fault(name, "admin", page, _offered(source, column, target, shown))


def _pointing_at(target: type[models.Model]) -> bool:
    return any(each.related_model is target for model in admin.site._registry for each in model._meta.concrete_fields)


def _foreign_keys() -> Iterator[tuple[type[models.Model], str, type[models.Model], str]]:
    held = dict(_with_charts())
    for source in admin.site._registry:
        for each in source._meta.concrete_fields:
            if isinstance(each.related_model, type) and each.related_model in held:
                yield source, each.name, each.related_model, held[each.related_model]


def _offered(
    source: type[models.Model], column: str, target: type[models.Model], shown: str
) -> Callable[[], AbstractContextManager[Any]]:
    @contextmanager
    def made() -> Iterator[None]:
        site = type(admin.site._registry[source])
        with ExitStack() as stack:
            stack.enter_context(_labelled(target, shown)())
            stack.enter_context(mock.patch.object(site, "has_change_permission", return_value=True))
            stack.enter_context(mock.patch.object(site, "fields", [column]))
            stack.enter_context(mock.patch.object(site, "inlines", []))
            yield

    return made


# --- admin pages ---


def _with_charts() -> Iterable[tuple[type[models.Model], str]]:
    """The models of the admin that hold what charts hold, each with a column of text."""
    for model in admin.site._registry:
        for name in getattr(model, "PHI_FIELDS", ()):
            if isinstance(model._meta.get_field(name), models.CharField | models.TextField):
                yield model, name
                break


def _admin_pages() -> Iterator[Fault]:
    for model, shown in _with_charts():
        meta, site = model._meta, type(admin.site._registry[model])
        listed = f"admin/{meta.app_label}/{meta.model_name}/"
        page = f"{listed}<path:object_id>/change/"
        yield Fault(
            f"the admin's list of {model.__name__} shows {shown}", "admin", listed,
            partial(mock.patch.object, site, "list_display", [*site.list_display, shown]),
        )  # fmt: skip
        yield Fault(
            f"the admin's page of {model.__name__} shows {shown}", "admin", page,
            partial(mock.patch.object, site, "fields", [*(site.fields or ()), shown]),
        )  # fmt: skip
        yield Fault(f"{model.__name__} is called by its {shown}", "admin", page, _labelled(model, shown))


# --- the admin's scope ---


def _scopes() -> Iterator[Fault]:
    """The admin's scope taken off one model, picker, autocomplete, filter, page or button at a time."""
    for model, model_admin in admin.site._registry.items():
        scope = scoping.scope_of(model)
        if model in walls.walled() or scope.way:
            yield from _model_scopes(model, model_admin)
    for model in (FhirUser, IdentityProvider, Invitation):
        page = f"admin/emr/{model._meta.model_name}/add/"
        for each in model._meta.concrete_fields:
            if each.related_model in {Practice, Connection}:
                name = f"{model.__name__}'s form takes any {each.name}"
                yield Fault(name, "scope", page, partial(_any_choice, model, each.name))
    yield Fault(
        "a practice's page takes anybody as a member", "scope", "admin/emr/practice/<path:object_id>/change/",
        partial(_any_choice, Membership, "user"),
    )  # fmt: skip
    yield Fault("any launch signs in as anybody", "scope", "admin/emr/fhiruser/add/", _anybody)
    for route, model in _BUTTONS.items():
        yield Fault(f"{route} takes any {model.__name__}", "scope", route, partial(_unscoped_rows, model))
    yield Fault(
        "a person's page lists every membership", "scope", "admin/emr/user/<path:object_id>/change/",
        lambda: mock.patch.object(scoping.ScopedInline, "get_queryset", InlineModelAdmin.get_queryset),
    )  # fmt: skip
    yield Fault(
        "recent actions name rows of practices administered before", "scope", "admin/",
        lambda: mock.patch.object(scoping, "_own_entries", lambda entries, request: entries),
    )  # fmt: skip


_BUTTONS: dict[str, type[models.Model]] = {
    "admin/emr/connection/<uuid:pk>/checklist/": Connection,
    "admin/emr/connection/<uuid:pk>/do/<str:what>/": Connection,
    "admin/emr/letter/<uuid:pk>/letter.eml": Letter,
    "admin/emr/letter/<uuid:pk>/do/<str:what>/": Letter,
}


def _model_scopes(model: type[models.Model], model_admin: admin.ModelAdmin) -> Iterator[Fault]:
    name, listed = model.__name__, f"admin/{model._meta.app_label}/{model._meta.model_name}/"
    bare = partial(_unscoped_rows, model)
    yield Fault(f"the admin's list has every {name}", "scope", listed, bare)
    yield Fault(f"the admin's page opens any {name}", "scope", f"{listed}<path:object_id>/change/", bare)
    if not scoping.scope_of(model).way:
        return
    if not scoping.scope_of(model).shared:
        yield Fault(f"the admin's history opens of any {name}", "scope", f"{listed}<path:object_id>/history/", bare)
    if model_admin.search_fields and _pointing_at(model):
        yield Fault(f"the admin's autocomplete finds every {name}", "scope", "admin/autocomplete/", bare)
    for each in model_admin.list_filter:
        field = get_fields_from_path(model, each)[-1] if isinstance(each, str) else None
        if field is not None and field.related_model is Practice:
            yield Fault(f"{name} is filtered by any {each}", "scope", listed, partial(_any_filter, model))


@contextmanager
def _unscoped_rows(model: type[models.Model]) -> Iterator[None]:
    """All rows of this model, and whatever may be done with them."""
    scoped, may, reaches = scoping.own, scoping._may, scoping._reaches
    with (
        mock.patch.object(scoping, "own", lambda rows, request: rows if rows.model is model else scoped(rows, request)),
        mock.patch.object(scoping, "_may", lambda request, asked, act: asked is model or may(request, asked, act)),
        mock.patch.object(scoping, "_reaches", lambda request, row: isinstance(row, model) or reaches(request, row)),
    ):
        yield


@contextmanager
def _any_choice(model: type[models.Model], column: str) -> Iterator[None]:
    scoped = scoping.OwnRows.formfield_for_dbfield

    def offered(self: Any, db_field: Any, request: Any, **kwargs: Any) -> Any:
        if (db_field.model, db_field.name) == (model, column):
            return super(scoping.OwnRows, self).formfield_for_dbfield(db_field, request, **kwargs)
        return scoped(self, db_field, request, **kwargs)

    with mock.patch.object(scoping.OwnRows, "formfield_for_dbfield", offered):
        yield


@contextmanager
def _anybody() -> Iterator[None]:
    """Neither the scope nor the narrower choice of whom a launch signs in as; nor whether they are members there."""
    with (
        _any_choice(FhirUser, "user"),
        _any_choice(FhirUser, "connection"),
        mock.patch.object(access, "wholly_administered", lambda people, request: people),
    ):
        yield


@contextmanager
def _any_filter(model: type[models.Model]) -> Iterator[None]:
    scoped = scoping.OwnChoices.field_choices

    def offered(self: Any, field: Any, request: Any, model_admin: Any) -> Any:
        unscoped = super(scoping.OwnChoices, self).field_choices
        return (unscoped if model_admin.model is model else partial(scoped, self))(field, request, model_admin)

    with mock.patch.object(scoping.OwnChoices, "field_choices", offered):
        yield


def _labelled(model: type[models.Model], shown: str) -> Callable[[], AbstractContextManager[Any]]:
    return lambda: mock.patch.object(model, "__str__", lambda row: str(getattr(row, shown)))
