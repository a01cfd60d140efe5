"""What leaves the screen: the printed sheet, its PDF, and exports. Each is recorded before a byte of it goes out."""

from collections.abc import Callable, Iterator
from datetime import date, datetime
from typing import cast
from uuid import UUID
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from emr import access, audit
from emr.accounts.sign_in import confirmed
from patients import exports, histories, pdf, printing
from patients.models import Patient

PAPERS = {"letter": "US letter", "a4": "A4"}
_FILE = {"csv": ("text/csv; charset=utf-8", "csv"), "fhir": ("application/fhir+json; charset=utf-8", "json")}


@require_safe
@access.members_only
@transaction.atomic
def print_view(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The sheet as a page for the browser's own print command, or (?as=pdf) as PDF where this installation can make
    one. ?paper=a4 for A4."""
    patient = _patient(request, pk)
    asked = request.GET.get("paper", "")
    paper = asked if asked in PAPERS else "letter"
    as_pdf = request.GET.get("as") == "pdf"
    now = timezone.now()
    context = {
        "sheet": printing.sheet(patient, now=now),
        "patient": patient,
        "paper": paper,
        "papers": PAPERS,
        "pdf": pdf.available(),
        "no_pdf": as_pdf and not pdf.available(),
    }
    if not as_pdf or not pdf.available():
        _record(request, patient, audit.Action.PRINT, f"print view, {paper}")
        return render(request, "patients/print.html", context)
    content = pdf.rendered(render_to_string("patients/print.html", context | {"bare": True}))
    _record(request, patient, audit.Action.PRINT, f"PDF, {paper}")
    headers = {"Content-Disposition": f'inline; filename="{_file_name(patient, now, "pdf")}"'}
    return HttpResponse(content, content_type="application/pdf", headers=headers)


@require_http_methods(["GET", "HEAD", "POST"])
@access.may(access.Act.EXPORT)
@confirmed
def exports_page(request: HttpRequest, pk: UUID) -> HttpResponse:
    """What can be exported; a POST of `format` (csv or fhir) streams the file. Raises Http404 for another format."""
    now = timezone.now()
    with transaction.atomic():
        patient = _patient(request, pk)
        if request.method != "POST":
            _record(request, patient, audit.Action.READ_HISTORY, "exports")
            top = histories.heading(patient, _today(patient, now))
            context = {"practice": patient.practice, "patient": patient, "heading": top}
            return render(request, "patients/exports.html", context)
        asked = request.POST.get("format", "")
        if asked not in _FILE:
            raise Http404
        top = histories.heading(patient, _today(patient, now))
        _record(request, patient, audit.Action.EXPORT, asked)
    streams: dict[str, Callable[[], Iterator[str]]] = {
        "csv": lambda: exports.as_csv(patient, top, settings.PUBLIC_URL),
        "fhir": lambda: exports.as_bundle(patient, top, now),
    }
    content_type, suffix = _FILE[asked]
    name = _file_name(patient, now, suffix)
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"}
    # The guards pass on whatever answers a request; they are typed for the usual kind.
    return cast(HttpResponse, StreamingHttpResponse(streams[asked](), content_type=content_type, headers=headers))


def _file_name(patient: Patient, now: datetime, suffix: str) -> str:
    """No name: files lie in download folders."""
    return f"headache-history-{str(patient.pk)[:8]}-{_today(patient, now):%Y-%m-%d}.{suffix}"


def _today(patient: Patient, now: datetime) -> date:
    return now.astimezone(ZoneInfo(patient.practice.time_zone)).date()


def _record(request: HttpRequest, patient: Patient, action: audit.Action, detail: str) -> None:
    audit.record(action, by=request.user, practice=patient.practice, patient_id=patient.pk, detail=detail)


def _patient(request: HttpRequest, pk: UUID) -> Patient:
    return access.visible_or_404(Patient.objects.select_related("practice"), request.user, pk)
