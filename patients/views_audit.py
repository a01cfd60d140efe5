"""Who has seen a chart: for the privacy officer, who finds the patient here without opening a chart."""

from uuid import UUID
from zoneinfo import ZoneInfo

from django.core.paginator import Paginator
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from emr import access, audit
from emr.models import AuditEvent
from patients import search, wording
from patients.models import Listing, Patient, ScheduledVisit

MOST = 50  # patients of one search; whoever seeks one patient types more of the name
PAGE = 100


@require_safe
@access.may(access.Act.AUDIT)
@transaction.atomic
def seen(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Every event about one patient, the latest first, times on the practice's clock."""
    patient = access.visible_or_404(Patient.objects.select_related("practice"), request.user, pk)
    practice = patient.practice
    own = access.visible(AuditEvent.objects.filter(practice=practice, patient_id=patient.pk), request.user)
    page = Paginator(own.select_related("user").order_by("-number"), PAGE).get_page(request.GET.get("page"))
    context = {
        "practice": practice,
        "zone": ZoneInfo(practice.time_zone),
        "name": wording.name_words(patient.family, patient.given, patient.title),
        "born": wording.date_words(patient.birth_date, patient.birth_precision) or wording.NOT_KNOWN,
        "page": page,
        "events": list(page.object_list),
        "people": own.exclude(user=None).order_by().values("user").distinct().count(),
    }
    audit.record(
        audit.Action.READ_AUDIT,
        by=request.user,
        practice=practice,
        patient_id=patient.pk,
        detail=f"who has seen, page {page.number}",
    )
    return render(request, "patients/audit_seen.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@access.may(access.Act.AUDIT)
@transaction.atomic
def find(request: HttpRequest, practice_id: UUID) -> HttpResponse:
    """Names and birth dates of the patients a search finds, each with a link to who has seen the chart."""
    practice = access.practice_or_404(request.user, practice_id)
    typed = request.POST.get("q", "").replace("\0", "")[: search.LONGEST].strip()
    found: list[Patient] = []
    if typed:
        listed = access.visible(Listing.objects.filter(practice=practice), request.user)
        visits = access.visible(ScheduledVisit.objects.filter(practice=practice), request.user)
        today = timezone.localdate(timezone=ZoneInfo(practice.time_zone))
        keys = list(search.patients(listed, visits, typed, search.Choice.read({}), today)[:MOST])
        rows = access.visible(Patient.objects.filter(practice=practice), request.user).in_bulk(keys)
        found = [rows[key] for key in keys if key in rows]
    audit.record(
        audit.Action.READ_AUDIT, by=request.user, practice=practice, detail=f"sought a patient, {len(found)} shown"
    )
    lines = [
        {
            "pk": each.pk,
            "name": wording.name_words(each.family, each.given, each.title),
            "born": wording.date_words(each.birth_date, each.birth_precision) or wording.NOT_KNOWN,
            "account_no": each.account_no or wording.NOT_KNOWN,
        }
        for each in found
    ]
    context = {"practice": practice, "typed": typed, "found": lines, "most": MOST}
    return render(request, "patients/audit_find.html", context)
