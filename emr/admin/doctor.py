"""Self-tests, kept and readable; and the error catalogue they refer to."""

from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.html import format_html
from django.utils.safestring import SafeString

from emr import catalogue, doctor
from emr.admin.bases import MetadataAdmin
from emr.models import DoctorReport


@admin.register(DoctorReport)
class DoctorReportAdmin(MetadataAdmin):
    list_display = ["created_at", "connection", "state", "healthy", "code", "calls", "seconds"]
    list_filter = ["state", "healthy", "code"]
    list_select_related = ["connection__practice", "connection__registration"]
    search_fields = ["connection__practice__name", "connection__practice__code", "code"]
    search_help_text = "Our id, practice, code of the error catalogue"
    date_hierarchy = "created_at"
    fields = [
        "connection", "state", "healthy", "code", "calls", "seconds", "created_at", "started_at", "finished_at",
        "steps",
    ]  # fmt: skip
    readonly_fields = ["steps"]

    class Media:
        css = {"all": ["emr/connecting.css"]}

    @admin.display(description="findings")
    def steps(self, report: DoctorReport) -> SafeString:
        told = [finding.told() for finding in doctor.findings(report)]
        table = render_to_string("admin/emr/connection/_findings.html", {"report": report, "findings": told})
        return format_html('<div class="connecting">{}</div>', table)

    def get_urls(self) -> list[URLPattern]:
        page = self.admin_site.admin_view(self.catalogue)
        return [path("catalogue/", page, name="emr_doctorreport_catalogue"), *super().get_urls()]

    def catalogue(self, request: HttpRequest) -> HttpResponse:
        """The whole error catalogue, an anchor for each code."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        context: dict[str, Any] = self.admin_site.each_context(request)
        context |= {"title": "Error catalogue", "entries": catalogue.entries(), "opts": self.opts, "media": self.media}
        return TemplateResponse(request, "admin/emr/doctorreport/catalogue.html", context)
