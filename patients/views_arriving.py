"""Where a launch from the EMR lands: that patient's history, or the wait for it while the first pull runs."""

from dataclasses import dataclass
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from emr import access
from emr.models import Connection, Enrolment, TypeOutcome, WorkItem
from patients.absence import outcome_word
from patients.models import Patient


@dataclass(frozen=True)
class Arrival:
    """How far the first pull is. types: (FHIR type, state in words) in the order of the plan. ended: nothing runs.

    why: the reason nothing came, "" while it may still come.
    """

    types: tuple[tuple[str, str], ...]
    done: int
    ended: bool
    why: str


@require_safe
@access.members_only
def arrive(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The history of an enrolment's patient. Names nobody itself; the history writes the audit row.

    htmx asks every 3 s while the first pull runs; without it, the page has a link. Raises Http404 for another
    practice's enrolment.
    """
    connections = access.visible(Connection.objects.all(), request.user)
    rows = Enrolment.objects.select_related("connection__practice", "connection__registration")
    enrolment = get_object_or_404(rows.filter(connection__in=connections), pk=pk)
    practice = enrolment.connection.practice
    patient = Patient.objects.filter(practice=practice, fhir_id=enrolment.patient_fhir_id).first()
    by_htmx = request.headers.get("HX-Request") == "true"
    if patient is not None:
        address = reverse("patients:history", args=[patient.pk])
        return HttpResponse(status=204, headers={"HX-Redirect": address}) if by_htmx else redirect(address)
    context = {"practice": practice, "enrolment": enrolment, "arrival": _arrival(enrolment)}
    return render(request, "patients/_arriving.html" if by_htmx else "patients/arriving.html", context)


def _arrival(enrolment: Enrolment) -> Arrival:
    """Two queries."""
    known = {row.resource_type: row for row in enrolment.outcomes.all()}
    item = enrolment.items.order_by("-pull__started_at").first()
    working = item is None or item.state == WorkItem.State.QUEUED
    waiting = "being fetched" if working else "not fetched"
    planned = enrolment.connection.profile.planned_types
    types = tuple((kind, _words(known.get(kind), waiting)) for kind in planned)
    return Arrival(
        types=types,
        done=sum(kind in known for kind in planned),
        ended=not working,
        why="" if working else _why(item, known),
    )


def _words(outcome: TypeOutcome | None, waiting: str) -> str:
    return outcome_word(outcome.outcome, outcome.reason) if outcome is not None else waiting


def _why(item: WorkItem | None, known: dict[str, TypeOutcome]) -> str:
    """The item's own reason, else that of the Patient itself."""
    said = item.reason if item is not None else ""
    person = known.get("Patient")
    return said or (person.reason if person is not None else "") or "The EMR sent no record of this patient."
