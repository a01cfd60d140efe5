"""The pages that look through one patient's whole record: the timeline, and the search within it."""

from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from emr import access, audit
from patients import histories, record_search, timeline
from patients.models import Patient


@require_safe
@access.members_only
@transaction.atomic
def patient_timeline(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Everything on file by visit. ?kind=… &headache=1 &from=YYYY &to=YYYY &page=N: words of ours and years only."""
    patient = _patient(request, pk)
    today = _today(patient)
    choice = timeline.Choice.read(request.GET)
    asked = request.GET.get("page", "")
    number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 6 else 1
    shown = timeline.timeline(patient, choice, number=number, today=today)
    audit.record(
        audit.Action.READ_HISTORY,
        by=request.user,
        practice=patient.practice,
        patient_id=patient.pk,
        detail=f"timeline{f' ({choice.query})' if choice.query else ''}, page {shown.number}",
    )
    context = {
        "practice": patient.practice,
        "patient": patient,
        "heading": histories.heading(patient, today),
        "timeline": shown,
        "choice": choice,
        "kinds": [(kind, words, kind in choice.kinds) for kind, words in timeline.KINDS.items()],
        "years": timeline.years(patient),
    }
    return render(request, "patients/timeline.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@access.members_only
@transaction.atomic
def search_record(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A search within one record. What is typed arrives by POST and is neither in an address nor in the audit."""
    patient = _patient(request, pk)
    typed = request.POST.get("q", "").replace("\0", "")[: record_search.LONGEST].strip()
    found = record_search.search(patient, typed, today=_today(patient)) if typed else None
    audit.record(
        audit.Action.SEARCH_RECORD,
        by=request.user,
        practice=patient.practice,
        patient_id=patient.pk,
        detail=f"{len(found.hits)} found" if found else "opened",
    )
    context = {
        "practice": patient.practice,
        "patient": patient,
        "heading": histories.heading(patient, _today(patient)),
        "typed": typed,
        "found": found,
    }
    return render(request, "patients/record_search.html", context)


def _patient(request: HttpRequest, pk: UUID) -> Patient:
    return access.visible_or_404(Patient.objects.select_related("practice"), request.user, pk)


def _today(patient: Patient) -> date:
    return timezone.localdate(timezone=ZoneInfo(patient.practice.time_zone))
