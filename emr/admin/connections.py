"""A practice's connection: the checklist, the self-test, the roster, and what to press when something is amiss."""

import json
from collections.abc import Callable, Iterator
from typing import Any, cast
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.defaultfilters import pluralize
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html

from emr import audit, catalogue, discovery, doctor, keys, letters, roster
from emr.admin.bases import AuditedAdmin, record_change
from emr.connecting import checklist, reconnecting
from emr.connecting.forms import ConnectionForm
from emr.models import Connection, DirectoryEntry, DoctorReport, Enrolment, Letter, Practice, User
from emr.pulling import asking, paths

_NOT_CHECKED = "Not checked yet: press “Test” above."
_AT_THE_EMR = "The EMR lists this app until the practice takes it away there."
# Buttons that change what other practices connect by, or whom we send a signature to.
_OF_THE_OPERATOR = frozenset({"confirm", "confirm-host", "key"})


class TroubleFilter(admin.AllValuesFieldListFilter):
    """Reason codes; having none is a choice with a name, too."""

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        for choice in super().choices(changelist):
            yield {**choice, "display": choice["display"] or "None: no trouble"}


@admin.register(Connection)
class ConnectionAdmin(AuditedAdmin):
    form = ConnectionForm
    list_display = ["practice", "registration", "state", "trouble", "active_at", "enrolled"]
    list_filter = ["state", "registration__environment", "registration__vendor_profile", ("reason_code", TroubleFilter)]
    list_select_related = ["practice", "registration"]
    search_fields = ["practice__name", "practice__code", "registration__name", "base_url", "reason_code"]
    ordering = ["practice__name", "registration__name"]
    autocomplete_fields = ["directory_entry", "practice", "registration"]
    actions = ["check_now", "pull_now", "probe_anew"]
    _MADE = ["standing", "state", "active_at", "path", "discovered_at", "request_id", "enrolled", "jwks_url"]

    class Media:
        css = {"all": ["emr/connecting.css"]}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Connection]:
        return super().get_queryset(request).annotate(enrolled_count=Count("enrolments"))

    def get_fieldsets(self, request: HttpRequest, obj: Connection | None = None) -> Any:
        if obj is None:
            own = ["directory_entry", "practice", "registration", "base_url", "confirmed_address", "group_id"]
            return [(None, {"fields": own})]
        own = ["practice", "registration", "base_url", "confirmed_address", "group_id"]
        return [
            ("Configuration", {"fields": own}),
            ("How it stands", {"fields": self._MADE}),
            ("Roster", {"fields": ["patients_to_enrol"]}),
            ("What the server says of itself", {"fields": ["discovered"], "classes": ["collapse"]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Connection | None = None) -> list[str]:
        made = [*self._MADE, "discovered"]
        fixed = [] if request.user.is_superuser else ["base_url"]  # where our signature is sent
        return made if obj is None else ["practice", "registration", *fixed, *made]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """From the directory's list: its practice and address, ready to be looked at before saving."""
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        try:
            wanted = UUID(str(initial.pop("directory_entry", "")))
        except ValueError:
            return initial
        entry = DirectoryEntry.objects.filter(pk=wanted).first()
        if entry is None:
            return initial
        known = Practice.objects.filter(code=entry.code).first()
        found = {"directory_entry": entry.pk, "base_url": entry.base_url, "practice": known.pk if known else None}
        return initial | found

    def has_delete_permission(self, request: HttpRequest, obj: Connection | None = None) -> bool:
        """Drafts only: another takes along the record of when each patient was last confirmed."""
        draft = obj is None or obj.state == Connection.State.DRAFT
        return draft and super().has_delete_permission(request, obj)

    # --- what is shown ---

    @admin.display(description="how records come")
    def path(self, connection: Connection) -> str:
        choice = paths.choose(connection)
        return ". ".join([choice.words, *choice.because])

    @admin.display(ordering="enrolled_count", description="patients enrolled")
    def enrolled(self, connection: Any) -> int:
        count: int = connection.enrolled_count
        return count

    @admin.display(ordering="reason_code")
    def trouble(self, connection: Connection) -> str:
        return catalogue.explain(connection.reason_code).title if connection.reason_code else ""

    @admin.display(description="what to do")
    def standing(self, connection: Connection) -> str:
        if connection.state == Connection.State.REVOKED:
            return f"An admin has disconnected it: nothing is fetched. {_AT_THE_EMR} “Reconnect” above starts anew."
        if not connection.reason_code:
            return _NOT_CHECKED if connection.active_at is None else "Nothing: the last check met no trouble."
        told = catalogue.explain(connection.reason_code)
        return format_html(
            "<strong>{}</strong> ({})<br>{}<br>Next step, by {}: {}<br>"
            "Tried again by itself: {}<br>Since {}. {}",
            told.title, told.code, told.cause, told.who, told.next_step, told.retries,
            f"{connection.reason_at:%d-%b-%Y %H:%M} UTC" if connection.reason_at else "an unknown time",
            connection.reason_detail,
        )  # fmt: skip

    @admin.display(description="JWKS URL for the vendor")
    def jwks_url(self, connection: Connection) -> str:
        return format_html('<code class="to-copy">{}</code>', keys.jwks_url(connection.registration.environment))

    @admin.display(description="SMART configuration")
    def discovered(self, connection: Connection) -> str:
        if connection.smart_configuration is None:
            return "Not fetched yet."
        return format_html("<pre>{}</pre>", json.dumps(connection.smart_configuration, indent=2))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        connection = self.get_object(request, object_id)
        shown = _checklist_context(connection) if connection is not None else {}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **shown})

    # --- saving ---

    def save_model(self, request: HttpRequest, obj: Connection, form: Any, change: bool) -> None:
        if change and "base_url" in form.changed_data:
            reconnecting.forget_server(obj)
        super().save_model(request, obj, form, change)
        if form.new_practice is not None:
            record_change(request, form.new_practice, "added")
            self.message_user(request, f"{form.new_practice} was added from the directory.")
        checklist.settle(obj)
        wanted = form.cleaned_data["patients_to_enrol"]
        if wanted:
            new = roster.enrol(obj, wanted, Enrolment.KnownBy.LIST)
            self.message_user(request, f"{new} patients enrolled, {len(set(wanted)) - new} were enrolled already.")

    def response_add(self, request: HttpRequest, obj: Connection, post_url_continue: str | None = None) -> HttpResponse:
        """To the checklist of the new connection, not back to the list."""
        if "_addanother" not in request.POST and "_popup" not in request.POST:
            request.POST = request.POST | {"_continue": "1"}  # type: ignore[assignment]
        return super().response_add(request, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: Connection) -> HttpResponse:
        chosen = Connection.objects.filter(pk=obj.pk)
        if "_check" in request.POST:
            self.check_now(request, chosen)
        elif "_pull" in request.POST:
            self.pull_now(request, chosen)
        else:
            return super().response_change(request, obj)
        request.POST = request.POST | {"_continue": "1"}  # type: ignore[assignment]  # stay on this page
        return super().response_change(request, obj)

    # --- actions of the list ---

    @admin.action(description="Test connection now", permissions=["change"])
    def check_now(self, request: HttpRequest, queryset: QuerySet[Connection]) -> None:
        for connection in queryset.select_related("practice", "registration"):
            with transaction.atomic():
                self._ask_for_test(request, connection)
                record_change(request, connection, "self-test asked for")

    def _ask_for_test(self, request: HttpRequest, connection: Connection) -> None:
        doctor.request(connection)
        self.message_user(request, f"The self-test of {connection} was asked for; its steps appear on its page.")

    @admin.action(description="Pull all enrolled patients now", permissions=["change"])
    def pull_now(self, request: HttpRequest, queryset: QuerySet[Connection]) -> None:
        for connection in queryset.select_related("practice", "registration"):
            with transaction.atomic():
                due = asking.request_pull(connection, "asked for by an admin")
                _record_pull(request, connection, due)
            self.message_user(request, f"{connection}: {due} patients are due now.")
            if connection.state != Connection.State.ACTIVE:
                self.message_user(
                    request,
                    f"{connection} is {connection.get_state_display().lower()}: no pull before it is active.",
                    messages.WARNING,
                )

    @admin.action(description="Find out anew how records can be fetched", permissions=["change"])
    def probe_anew(self, request: HttpRequest, queryset: QuerySet[Connection]) -> None:
        for connection in queryset.select_related("practice", "registration"):
            with transaction.atomic():
                paths.forget(connection)
                record_change(request, connection, "had the path of pulls found out anew")
            self.message_user(request, f"{connection}: the next pull finds out whether it can ask for all at once.")

    # --- buttons of the checklist ---

    def get_urls(self) -> list[URLPattern]:
        own = [
            path("<uuid:pk>/do/<str:what>/", self.admin_site.admin_view(self.act), name="emr_connection_act"),
            path("<uuid:pk>/checklist/", self.admin_site.admin_view(self.fragment), name="emr_connection_checklist"),
        ]
        return [*own, *super().get_urls()]

    def fragment(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """The checklist alone: fetched again and again while a self-test runs."""
        connection = self._own_or_404(request, pk)
        if not self.has_view_permission(request, connection):
            raise PermissionDenied
        context = _checklist_context(connection) | {
            "original": connection,
            "has_change_permission": self.has_change_permission(request, connection),
        }
        return TemplateResponse(request, "admin/emr/connection/_checklist.html", context)

    def _own_or_404(self, request: HttpRequest, pk: UUID) -> Connection:
        rows: QuerySet[Connection] = self.get_queryset(request).select_related("practice", "registration")
        return get_object_or_404(rows, pk=pk)

    def act(self, request: HttpRequest, pk: UUID, what: str) -> HttpResponse:
        """One button: a POST, audited, back to the page. Raises Http404 for a button there is not."""
        connection = self._own_or_404(request, pk)
        if not self.has_change_permission(request, connection):
            raise PermissionDenied
        if what in _OF_THE_OPERATOR and not request.user.is_superuser:
            raise PermissionDenied
        page = redirect("admin:emr_connection_change", connection.pk)
        if request.method != "POST":
            return page
        button = self._buttons().get(what)
        if button is None:
            raise Http404
        with transaction.atomic():
            answer = button(request, connection)
            record_change(request, connection, what.replace("-", " "))
        return answer or page

    def _buttons(self) -> dict[str, Callable[[HttpRequest, Connection], HttpResponse | None]]:
        return {
            "test": self._test,
            "retry": self._retry,
            "reconnect": self._reconnect,
            "disconnect": self._disconnect,
            "confirm": self._confirm,
            "confirm-host": self._confirm_host,
            "activated": self._activated,
            "key": self._key,
            "letter": self._letter,
        }

    def _test(self, request: HttpRequest, connection: Connection) -> None:
        self._ask_for_test(request, connection)

    def _retry(self, request: HttpRequest, connection: Connection) -> None:
        due = reconnecting.fetch_missing(connection)
        self.message_user(request, f"Due again: {due} patients of whom something is missing.")
        self._test(request, connection)

    def _reconnect(self, request: HttpRequest, connection: Connection) -> None:
        reconnecting.reopen(connection)
        self.message_user(request, "Token and discovery are forgotten; the connection starts anew.")
        self._test(request, connection)

    def _disconnect(self, request: HttpRequest, connection: Connection) -> None:
        ended = reconnecting.disconnect(connection, cast(User, request.user))
        consents = f" {ended} patient consent{pluralize(ended)} ended with it." if ended else ""
        self.message_user(request, f"Disconnected: nothing is fetched any more.{consents} {_AT_THE_EMR}")

    def _confirm(self, request: HttpRequest, connection: Connection) -> None:
        registration = connection.registration
        registration.confirm(timezone.now())
        registration.save(update_fields=["confirmed_at", "confirmed_digest"])
        for other in registration.connections.select_related("practice", "registration"):
            checklist.settle(other)
        self.message_user(request, "Noted: scopes and redirect URIs read the same on the portal.")

    def _confirm_host(self, request: HttpRequest, connection: Connection) -> None:
        try:
            discovery.confirm_host(connection, request.POST.get("origin", ""))
        except discovery.NotPending:
            self.message_user(request, "Nobody asks about that host any more.", messages.WARNING)
            return
        self.message_user(request, f"Confirmed: {request.POST['origin']}. Test the connection again.")

    def _activated(self, request: HttpRequest, connection: Connection) -> None:
        connection.practice_activated_at = timezone.now()
        connection.save(update_fields=["practice_activated_at"])
        checklist.settle(connection)
        self.message_user(request, "Noted: the practice has activated the app. Test the connection now.")

    def _key(self, request: HttpRequest, connection: Connection) -> None:
        registration = connection.registration
        key = keys.generate(environment=registration.environment, algorithm=registration.signing_algorithm)
        record_change(request, key, "generated")
        try:
            keys.signing_key(registration.environment, registration.signing_algorithm)
        except keys.NoSigningKey:
            keys.activate(key)  # nothing else signs, so nothing is protected by waiting
        checklist.settle(connection)
        self.message_user(request, f"{key} is in the JWKS.")

    def _letter(self, request: HttpRequest, connection: Connection) -> HttpResponse:
        kind = request.POST.get("kind", "")
        if kind not in Letter.Kind.values:
            raise Http404
        letter = letters.write(connection, kind)
        return redirect(reverse("admin:emr_letter_change", args=[letter.pk]))


def _record_pull(request: HttpRequest, connection: Connection, due: int) -> None:
    audit.record(
        audit.Action.PULL,
        by=request.user,
        practice=connection.practice,
        object_id=connection.pk,
        detail=f"asked for {due} patients in the admin",
    )


def _checklist_context(connection: Connection) -> dict[str, Any]:
    latest = doctor.latest(connection)
    shown = latest if latest is None or latest.findings else connection.reports.exclude(pk=latest.pk).first()
    return {
        "checklist": checklist.of(connection),
        "report": shown,
        "findings": [finding.told() for finding in doctor.findings(shown)] if shown else [],
        "running": latest is not None and latest.state in DoctorReport.OPEN,
        "letters": connection.letters.all()[:20],
        "letter_kinds": Letter.Kind.choices,
        "jwks_url_of": keys.jwks_url(connection.registration.environment),
    }
