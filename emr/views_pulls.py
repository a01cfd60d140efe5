"""Staff pages of the connection's work: pulls as they run, what is in quarantine, one patient's refresh.

No patient is named here. Who may look, and who may pause, resume and cancel, stands in emr.access.
"""

from datetime import date, datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db import transaction
from django.db.models import Count, Q
from django.db.models.functions import Length
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_POST, require_safe

from emr import access, audit, hints, progress
from emr.models import Connection, Enrolment, Practice, Pull, Quarantine, Resource
from emr.pulling import asking, breaker, changes, ending, paths

_STEPS = {"pause": breaker.pause, "resume": breaker.resume, "cancel": ending.cancel}
_ROWS = Pull.objects.select_related("practice", "connection__practice", "connection__registration", "bulk_job")


@require_safe
@access.may(access.Act.PULLS)
def pulls(request: HttpRequest, practice_id: UUID) -> HttpResponse:
    """A practice's pulls, the latest first."""
    practice = access.practice_or_404(request.user, practice_id)
    rows = access.visible(_ROWS.filter(practice=practice), request.user).order_by("-started_at")
    counted = rows.annotate(
        patients=Count("items", filter=Q(items__enrolment__isnull=False)),
        sweeps=Count("items", filter=Q(items__enrolment__isnull=True)),
    )
    page = Paginator(counted, 25).get_page(request.GET.get("page"))
    waiting = access.visible(Quarantine.objects.filter(practice=practice, released_at=None), request.user).count()
    own = access.visible(Connection.objects.filter(practice=practice), request.user).select_related("registration")
    chosen = [paths.choose(one) for one in own.exclude(state=Connection.State.REVOKED)]
    context = {"practice": practice, "page": page, "quarantined": waiting, "paths": chosen}
    return render(request, "emr/pulls.html", context)


@require_safe
@access.may(access.Act.PULLS)
@transaction.atomic
def changed(request: HttpRequest, practice_id: UUID) -> HttpResponse:
    """Which records came, changed or were missed since a day (?since=2026-11-20; else yesterday): no names, no bodies.

    Audited; opening one of them is audited like any source record.
    """
    practice = access.practice_or_404(request.user, practice_id)
    zone = ZoneInfo(practice.time_zone)
    today = timezone.localdate(timezone=zone)
    try:
        day = date.fromisoformat(request.GET.get("since", ""))
    except ValueError:
        day = today - timedelta(days=1)
    since = datetime.combine(min(day, today), time(), zone)
    rows = access.visible(Resource.objects.filter(practice=practice), request.user)
    found = changes.between(rows, since, timezone.now())
    said = f"listed {len(found.rows)} records changed since {since:%d-%b-%Y}"
    audit.record(audit.Action.PULL, by=request.user, practice=practice, detail=said)
    return render(request, "emr/pull_changes.html", {"practice": practice, "since": since.date(), "changes": found})


@require_safe
@access.may(access.Act.PULLS)
def pull(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One pull, live: htmx asks for the changing part every 3 s while it runs; without it, the page is reloaded."""
    row = access.visible_or_404(_ROWS, request.user, pk)
    context = {
        "practice": row.practice,
        "pull": row,
        "progress": progress.of(row),
        "may_steer": _may_steer(request, row.practice),
        "said": request.GET.get("said", ""),
        "steps": request.GET.get("steps", ""),
    }
    if request.headers.get("HX-Request") == "true":
        response = render(request, "emr/_pull.html", context)
    else:
        if not row.is_open:
            context["changes"] = changes.of_pull(row)
        response = render(request, "emr/pull.html", context)
    patch_vary_headers(response, ["HX-Request"])
    return response


@require_POST
@access.may(access.Act.STEER)
@transaction.atomic
def steer(request: HttpRequest, pk: UUID, step: str) -> HttpResponse:
    """Pause, resume or cancel; audited. Pressed twice or too late, nothing happens."""
    row = access.visible_or_404(_ROWS, request.user, pk)
    if step not in _STEPS:
        raise Http404
    if not _may_steer(request, row.practice):
        raise PermissionDenied
    if _STEPS[step](row.pk):
        audit.record(audit.Action.PULL, by=request.user, practice=row.practice, object_id=row.pk, detail=step)
        if step == "resume":
            transaction.on_commit(lambda: hints.publish("emr.tasks.tick"))
    else:
        messages.info(request, f"Nothing to {step}: the pull has moved on.")
    return redirect("emr:pull", row.pk)


@require_POST
@access.may(access.Act.PULLS)
def refresh(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Staff want this enrolment's patient now; back to the page they came from."""
    own = access.visible(Connection.objects.all(), request.user)
    rows = Enrolment.objects.select_related("connection__practice").filter(connection__in=own)
    enrolment = get_object_or_404(rows, pk=pk)
    practice = enrolment.connection.practice
    if asking.refresh(practice.pk, enrolment.patient_fhir_id, request.user):
        messages.success(request, "Asked for: this patient is fetched before all others.")
    else:
        messages.info(request, "The connection of this patient has ended; nothing is fetched.")
    back = request.POST.get("next", "")
    if not url_has_allowed_host_and_scheme(back, allowed_hosts=None):
        back = reverse("emr:pulls", args=[practice.pk])
    return redirect(back)


@require_safe
@access.may(access.Act.PULLS)
def quarantined(request: HttpRequest, practice_id: UUID) -> HttpResponse:
    """What could not be kept: reason, type and size. The bytes are behind a click, which is audited."""
    practice = access.practice_or_404(request.user, practice_id)
    rows = access.visible(Quarantine.objects.filter(practice=practice), request.user)
    sized = rows.annotate(size=Length("body")).defer(*Quarantine.PHI_FIELDS).order_by("released_at", "-created_at")
    page = Paginator(sized, 25).get_page(request.GET.get("page"))
    return render(request, "emr/pull_quarantine.html", {"practice": practice, "page": page})


@require_POST
@access.members_only
@transaction.atomic
def quarantined_bytes(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The bytes themselves, for a person who asked for them: audited like a source record."""
    row = access.visible_or_404(Quarantine.objects.select_related("practice"), request.user, pk)
    _record(request, row, "opened")
    return render(request, "emr/pull_quarantined.html", {"practice": row.practice, "row": row})


@require_POST
@access.may(access.Act.PULLS)
@transaction.atomic
def retry(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Let a worker try these bytes again."""
    row = access.visible_or_404(Quarantine.objects.select_related("practice"), request.user, pk)
    asked = Quarantine.objects.filter(pk=row.pk, released_at=None).update(retry_asked_at=timezone.now())
    if asked:
        _record(request, row, "retried")
        transaction.on_commit(lambda: hints.publish("emr.tasks.retry_quarantined", row.pk))
        messages.success(request, "Tried again in a moment; reload the page for the outcome.")
    return redirect("emr:quarantine", row.practice_id)


def _record(request: HttpRequest, row: Quarantine, what: str) -> None:
    audit.record(
        audit.Action.QUARANTINE,
        by=request.user,
        practice=row.practice,
        patient_fhir_id=row.patient_fhir_id,
        object_id=row.pk,
        detail=what,
    )


def _may_steer(request: HttpRequest, practice: Practice) -> bool:
    return access.allows(request.user, practice, access.Act.STEER)
