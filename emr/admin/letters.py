"""Letters: to be copied or downloaded, sent by a person, and followed up."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html

from emr import letters
from emr.admin.bases import MetadataAdmin, record_change
from emr.connecting import checklist
from emr.models import Letter


@admin.register(Letter)
class LetterAdmin(MetadataAdmin):
    """Written on a connection's page; kept as written. A newer state of affairs is a new letter."""

    list_display = ["written_at", "kind", "connection", "to", "sent_at", "answered_at", "ask_again"]
    list_filter = ["kind", ("sent_at", admin.EmptyFieldListFilter), ("answered_at", admin.EmptyFieldListFilter)]
    list_select_related = ["connection__practice", "connection__registration"]
    search_fields = ["subject", "connection__practice__name", "connection__practice__code"]
    search_help_text = "Our id, subject, practice"
    date_hierarchy = "written_at"
    fields = ["connection", "kind", "written_at", "sent_at", "answered_at", "ask_again", "to", "subject", "text"]
    readonly_fields = ["ask_again", "text"]

    class Media:
        css = {"all": ["emr/connecting.css"]}

    @admin.display(description="ask again")
    def ask_again(self, letter: Letter) -> str:
        at = letter.ask_again_at
        if at is None:
            return ""
        return f"{at:%d-%b-%Y}" + (" – due" if letter.is_due(timezone.now()) else "")

    @admin.display
    def text(self, letter: Letter) -> str:
        return format_html('<pre class="letter to-copy">{}</pre>', letter.body)

    def may_follow_up(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("emr.change_letter"))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        own = {"may_follow_up": self.may_follow_up(request), "due": self._is_due(request, object_id)}
        return super().change_view(request, object_id, form_url, {**(extra_context or {}), **own})

    def _is_due(self, request: HttpRequest, object_id: str) -> bool:
        letter: Letter | None = self.get_object(request, object_id)
        return letter is not None and letter.is_due(timezone.now())

    def get_urls(self) -> list[URLPattern]:
        own = [
            path("<uuid:pk>/letter.eml", self.admin_site.admin_view(self.download), name="emr_letter_eml"),
            path("<uuid:pk>/do/<str:what>/", self.admin_site.admin_view(self.act), name="emr_letter_act"),
        ]
        return [*own, *super().get_urls()]

    def download(self, request: HttpRequest, pk: UUID) -> HttpResponse:
        """The letter for a mail program."""
        letter = get_object_or_404(self.get_queryset(request), pk=pk)
        if not self.has_view_permission(request, letter):
            raise PermissionDenied
        name = f"{letter.kind}-{letter.connection.practice.code}.eml"
        return HttpResponse(
            letters.eml(letter),
            content_type="message/rfc822",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def act(self, request: HttpRequest, pk: UUID, what: str) -> HttpResponse:
        """Sent, asked again or answered: a POST, audited, back to the letter."""
        letter = get_object_or_404(self.get_queryset(request).select_related("connection__practice"), pk=pk)
        if not self.may_follow_up(request):
            raise PermissionDenied
        page = redirect("admin:emr_letter_change", letter.pk)
        if request.method != "POST":
            return page
        mark = _MARKS.get(what)
        if mark is None:
            raise Http404
        mark(letter)
        record_change(request, letter, what.replace("-", " "))
        _tell_connection(letter)
        self.message_user(request, f"Noted: {what.replace('-', ' ')}.")
        return page


_MARKS: dict[str, Callable[[Letter], None]] = {
    "sent": letters.mark_sent,
    "asked-again": letters.mark_asked_again,
    "answered": letters.mark_answered,
}


def _tell_connection(letter: Letter) -> None:
    """Asking the practice to activate is a step of the connection."""
    connection = letter.connection
    if letter.kind == Letter.Kind.ACTIVATE and connection.practice_told_at is None:
        connection.practice_told_at = timezone.now()
        connection.save(update_fields=["practice_told_at"])
        checklist.settle(connection)
