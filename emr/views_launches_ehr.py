"""EHR launch (SMART App Launch 2.2): a clinician opens us inside the EMR and lands on that patient's history.

Who sits there is known by our own session, or by the EMR's sign-in (`fhirUser`) where an admin has entered beforehand
whom it stands for. Either way the person needs a membership, and our second factor where the session has not shown one.
"""

from urllib.parse import urlencode

from allauth.account.utils import perform_login
from django.conf import settings
from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render, resolve_url
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from emr import catalogue, launches, visits
from emr.launches import browser as launch_browser
from emr.launches import scope_words
from emr.launches.browser import unlisted
from emr.models import Connection, Enrolment, Launch, User


@require_safe
@unlisted
def launch(request: HttpRequest) -> HttpResponse:
    """The EMR opens this address with `iss` and `launch`. Only a base that a connection of ours has is ever asked.

    A GET that writes, as SMART has it; all it can begin is one sign-in at an EMR we know.
    """
    address = visits.address_of(request)
    try:
        connection = launches.connection_of_server(request.GET.get("iss", ""), address)
        user = request.user if isinstance(request.user, User) else None
        if user is None and not _signs_in(connection):
            return redirect(f"{resolve_url(settings.LOGIN_URL)}?{urlencode({'next': request.get_full_path()})}")
        if not visits.may_begin(address):
            raise launches.LaunchRefused("LAUNCH_TOO_MANY")
        key = launch_browser.key_for(request)
        onward = launches.begin_ehr(connection, request.GET.get("launch", ""), user=user, browser_key=key)
    except launches.LaunchRefused as problem:
        return refused(request, problem.code, problem.launch)
    return launch_browser.remember(HttpResponse(status=302, headers={"Location": onward}), key)


def arrived(request: HttpRequest, finished: launches.Finished) -> HttpResponse:
    """On to the patient, or to our sign-in's next step. The page there asks for the membership again."""
    begun = finished.launch
    address = _landing(begun.connection, finished.grant.patient_fhir_id)
    if begun.user is not None or finished.user is None:
        return redirect(address)
    answer: HttpResponse = perform_login(request, finished.user, redirect_url=address)
    return answer


def refused(request: HttpRequest, code: str, begun: Launch | None) -> HttpResponse:
    """The page of an EHR launch that was refused, for a clinician: what the catalogue says of it."""
    context = {"explanation": catalogue.explain(code), "at": timezone.now(), "reference": begun.pk if begun else ""}
    return render(request, "emr/launch/refused.html", context, status=403)


def _signs_in(connection: Connection) -> bool:
    """Whether the EMR's own sign-in can tell who sits there: it says so, and an admin has entered somebody."""
    return scope_words.names_person(connection.registration.scopes) and connection.fhir_users.exists()


def _landing(connection: Connection, patient_fhir_id: str) -> str:
    """The page of this patient, a route of whoever shows charts, named by a setting; without a patient, the list."""
    rows = Enrolment.objects.filter(connection__practice=connection.practice_id, patient_fhir_id=patient_fhir_id)
    # Of two connections that pull this patient, the one that is waited for.
    found = rows.order_by(F("asked_at").desc(nulls_last=True), "-created_at").first() if patient_fhir_id else None
    return reverse(settings.LAUNCH_LANDING, args=[found.pk]) if found is not None else resolve_url("/")
