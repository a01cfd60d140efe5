"""The pages staff work with: choice of practice, list of patients, history of one patient."""

from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.views.decorators.http import require_http_methods, require_safe

from emr import access, audit
from emr.models import Practice
from emr.signals import history_opened
from patients import histories, listing, schedule_list, search
from patients.models import Listing, Patient, ScheduledVisit


@require_safe
@access.may(access.Act.BELONG)
def home(request: HttpRequest) -> HttpResponse:
    """The list of the practice chosen last, or of the only one; a choice where there are several.

    Who opens no charts there starts at the practice's own page.
    """
    practices = list(access.practices_of(request.user))
    chosen = [one for one in practices if str(one.pk) == request.session.get(access.CHOSEN)] or practices
    if len(chosen) != 1:
        return render(request, "patients/practices.html", {"practices": practices})
    opens = access.allows(request.user, chosen[0], access.Act.CHARTS)
    return redirect("patients:list" if opens else "emr:practice", practice_id=chosen[0].pk)


@require_http_methods(["GET", "HEAD", "POST"])
@access.members_only
@transaction.atomic
def patient_list(request: HttpRequest, practice_id: UUID) -> HttpResponse:
    """A practice's patients, today's and tomorrow's first.

    A search arrives by POST, so that no name is ever part of a URL; filters, sort and page stand in the query string,
    which can be passed on.
    """
    practice = access.practice_or_404(request.user, practice_id)
    typed = request.POST.get("q", "").replace("\0", "")[: search.LONGEST].strip()
    choice = search.Choice.read(request.GET)
    today = _today(practice)
    listed = access.visible(Listing.objects.filter(practice=practice), request.user)
    visits = access.visible(ScheduledVisit.objects.filter(practice=practice), request.user)
    number = _page_number(request.POST.get("page") or request.GET.get("page", ""))
    page = search.page(search.patients(listed, visits, typed, choice, today), practice, number, today)
    context = {"practice": practice, "typed": typed, "page": page, "choice": choice, "choices": _choices(choice)}
    if not typed and page.number == 1 and not choice.query:
        context["schedule"] = schedule_list.schedule(visits, listed, practice, today)
    audit.record(
        audit.Action.LIST_PATIENTS,
        by=request.user,
        practice=practice,
        # Never what was typed: it names patients.
        detail=f"{_said(typed, choice)}, page {page.number}, {len(page.patients)} shown",
    )
    response = render(request, "patients/_found.html" if _by_htmx(request) else "patients/list.html", context)
    patch_vary_headers(response, ["HX-Request"])
    return response


def _choices(choice: search.Choice) -> dict[str, list[tuple[str, str, bool]]]:
    """What can be chosen, as (value, words, chosen)."""
    return {
        "families": [(each, words, each == choice.family) for each, words in listing.FAMILIES.items()],
        "switches": [(each, words, each in choice.switches) for each, words in search.SWITCHES.items()],
        "sorts": [(each, words, each == choice.sort) for each, words in search.SORTS.items()],
    }


def _said(typed: str, choice: search.Choice) -> str:
    return f"{'search' if typed else 'list'}{f' ({choice.query})' if choice.query else ''}"


@require_safe
@access.members_only
@transaction.atomic
def history(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A patient's headache history. ?all=diagnosis, treatment or measure shows that kind without limits."""
    patients = Patient.objects.select_related("practice").defer("search_text", "created_at", "projected_at")
    patient = access.visible_or_404(patients, request.user, pk)
    asked = request.GET.get("all", "")
    shown = histories.history(
        patient, today=_today(patient.practice), all_of=asked if asked in histories.SHOW_ALL else ""
    )
    audit.record(audit.Action.READ_HISTORY, by=request.user, practice=patient.practice, patient_id=patient.pk)
    where = shown.completeness.fetching
    if where is not None and not where.noted:
        # The connection fetches before others whom staff look at.
        history_opened.send(sender=history, practice_id=patient.practice_id, patient_fhir_id=patient.fhir_id)
    context = {"practice": patient.practice, "patient": patient, "history": shown}
    return render(request, "patients/history.html", context)


def _by_htmx(request: HttpRequest) -> bool:
    return request.headers.get("HX-Request") == "true"


def _today(practice: Practice) -> date:
    return timezone.localdate(timezone=ZoneInfo(practice.time_zone))


def _page_number(text: str) -> int:
    return min(max(int(text), 1), search.LAST_PAGE) if text.isascii() and text.isdigit() and len(text) < 6 else 1
