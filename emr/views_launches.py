"""The pages of a launch that anybody can open: a patient's invitation, the way to the EMR, and the way back.

No account, no script. An address holds the invitation's token and nothing else; pages are neither kept nor indexed.
"""

from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone, translation
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from emr import launches, views_launches_ehr, visits
from emr.launches import browser as launch_browser
from emr.launches import scope_words
from emr.launches import words as launch_words
from emr.launches.browser import unlisted
from emr.launches.words import LANGUAGES, Ending
from emr.models import ClientRegistration, Connection, Launch, PatientInvitation


@require_safe
@unlisted
@sensitive_variables("token")
def invited(request: HttpRequest, token: str) -> HttpResponse:
    """What will be read, by whom and for how long, before anything is asked of the EMR. Changes nothing."""
    try:
        invitation = launches.open_invitation(token)
    except launches.InvitationClosed as closed:
        return _closed(request, closed.reason)
    with translation.override(language_of(request, invitation.language)):
        context = {**_facts(invitation), "token": token, "languages": LANGUAGES.items()}
        return render(request, "emr/launch/invitation.html", context)


@require_POST
@unlisted
@sensitive_post_parameters("token")
def begin(request: HttpRequest) -> HttpResponse:
    """The patient goes on: one authorization request, tied to this browser.

    Answered by a page that leaves by itself and not by a redirect: the CSP's form-action, which browsers apply to
    each redirect after a form, would have to name every host the EMR's sign-in passes through.
    """
    try:
        invitation = launches.open_invitation(request.POST.get("token", "")[:100])
    except launches.InvitationClosed as closed:
        return _closed(request, closed.reason)
    language = language_of(request, invitation.language)
    key = launch_browser.key_for(request)
    if not visits.may_begin(visits.address_of(request)):
        return refusal(request, launches.LaunchRefused("LAUNCH_TOO_MANY"))
    try:
        address = launches.begin(invitation, browser_key=key)
    except launches.LaunchRefused as refused:
        return refusal(request, refused)
    with translation.override(language):
        context = {"address": address, "portal": portal_of(invitation.connection)}
        response = render(request, "emr/launch/leaving.html", context)
    return launch_browser.remember(response, key, language)


@require_safe
@unlisted
def callback(request: HttpRequest) -> HttpResponse:
    """Where the EMR sends people back (the registered redirect URI), patients and clinicians alike.

    A GET that writes, as OAuth has it: the state parameter and the browser's own value stand in for a form's token.
    """
    try:
        finished = launches.finish(
            request.GET,
            browser_key=launch_browser.key_of(request),
            redirect_uri=settings.PUBLIC_URL + request.path,
            visitor=visits.address_of(request),
        )
    except launches.LaunchRefused as refused:
        response = refusal(request, refused)
    else:
        if finished.launch.kind == Launch.Kind.EHR:
            response = views_launches_ehr.arrived(request, finished)
        else:
            told = launch_words.HELD if finished.held else launch_words.THANKS
            response = _ending(request, told, finished.launch.invitation)
            launch_browser.forget(response)
    # The code stands in this page's address.
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def refusal(request: HttpRequest, refused: launches.LaunchRefused) -> HttpResponse:
    """The plain page of a refused launch, in words for whoever stands before it."""
    launch = refused.launch
    if launch is not None and launch.kind == Launch.Kind.EHR:
        return views_launches_ehr.refused(request, refused.code, launch)
    invitation = launch.invitation if launch is not None else None
    return _ending(request, launch_words.of_code(refused.code), invitation, code=refused.code)


def language_of(request: HttpRequest, fallback: str = "") -> str:
    """As chosen on the page, as chosen before, as staff invited, as the browser is set: the first that says."""
    chosen = request.POST.get("lang") or request.GET.get("lang")
    for language in (chosen, request.COOKIES.get(launch_browser.LANGUAGE_COOKIE), fallback):
        if language in LANGUAGES:
            return str(language)
    return translation.get_language_from_request(request).partition("-")[0]


def portal_of(connection: Connection) -> str:
    """What patients call the place where they sign in, in the language that is on."""
    return connection.profile.connecting.patient_portal or translation.gettext("your patient portal")


def _facts(invitation: PatientInvitation) -> dict[str, Any]:
    connection = invitation.connection
    registration = connection.registration
    zone = ZoneInfo(invitation.practice.time_zone)
    return {
        "practice": invitation.practice.name,
        "portal": portal_of(connection),
        "lines": scope_words.lines(registration.scopes),
        "writes": scope_words.may_write(registration.scopes),
        "names_person": scope_words.names_person(registration.scopes),
        "lasts": scope_words.lasts(registration.scopes),
        "days": connection.profile.connecting.refresh_days,
        "statements": _statements(registration),
        "until": timezone.localtime(invitation.expires_at, zone).date(),
    }


def _statements(registration: ClientRegistration) -> list[tuple[str, str]]:
    """The data-use questions as patients read them, with the answers as they were given."""
    return [(translation.gettext(question), answer) for question, answer in registration.data_use_statements]


def _closed(request: HttpRequest, reason: str) -> HttpResponse:
    return _ending(request, launch_words.CLOSED.get(reason, launch_words.CLOSED["unknown"]), None)


def _ending(
    request: HttpRequest, ending: Ending, invitation: PatientInvitation | None, *, code: str = ""
) -> HttpResponse:
    language = language_of(request, invitation.language if invitation else "")
    other = next(pair for pair in LANGUAGES.items() if pair[0] != language)
    with translation.override(language):
        practice = invitation.practice.name if invitation else ""
        portal = portal_of(invitation.connection) if invitation else ""
        context = {
            "ending": ending.about(practice, portal), "other": other, "at": timezone.now(),
            "code": "" if ending.good else code,
        }  # fmt: skip
        return render(request, "emr/launch/ending.html", context, status=ending.status)
