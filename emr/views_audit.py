"""The audit trail for the privacy officer of a practice: to read, and to take along as FHIR AuditEvents."""

from typing import cast
from uuid import UUID

from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import F
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from emr import access, audit, audit_export
from emr.accounts.sign_in import ask_to_confirm
from emr.audit_filters import TrailFilter
from emr.models import AuditEvent

PAGE = 50


@require_safe
@access.may(access.Act.AUDIT)
@transaction.atomic
def trail(request: HttpRequest, practice_id: UUID) -> HttpResponse:
    """A practice's events, the latest first. No patient is named here; reading it is an event itself."""
    practice = access.practice_or_404(request.user, practice_id)
    events = access.visible(AuditEvent.objects.filter(practice=practice), request.user)
    narrow = TrailFilter(practice, request.GET)
    found = narrow.applied(events).select_related("user").order_by("-number")
    page = Paginator(found, PAGE).get_page(request.GET.get("page"))
    context = {
        "practice": practice,
        "page": page,
        "events": list(page.object_list),
        "filter": narrow,
        "query": narrow.query,
    }
    detail = f"trail, page {page.number}{', narrowed' if narrow.query else ''}"
    audit.record(audit.Action.READ_AUDIT, by=request.user, practice=practice, detail=detail)
    return render(request, "emr/audit_trail.html", context)


@require_POST
@access.may(access.Act.AUDIT)
def export(request: HttpRequest, practice_id: UUID) -> HttpResponse:
    """All of the practice's events as NDJSON of FHIR R4 AuditEvent, this download's own among them.

    For somebody who confirmed recently who they are; otherwise that first, and then the trail, which has the button.
    """
    asked = ask_to_confirm(request, back=reverse("emr:audit-trail", args=[practice_id]))
    if asked is not None:
        return asked
    with transaction.atomic():
        practice = access.practice_or_404(request.user, practice_id)
        last = audit.record(audit.Action.READ_AUDIT, by=request.user, practice=practice, detail="exported as FHIR")
    own = access.visible(AuditEvent.objects.filter(practice=practice), request.user)
    lines = audit_export.as_ndjson(own.filter(number__lte=last.number).order_by(F("number")))
    name = f"audit-{practice.code}-{timezone.now():%Y-%m-%d}.ndjson"
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    answer = StreamingHttpResponse(lines, content_type="application/fhir+ndjson", headers=headers)
    return cast(HttpResponse, answer)  # the guards pass on whatever answers a request
