"""Pages of the connection itself: a source record as received, our public keys, an invitation."""

import json
import logging
import re
from urllib.parse import urlencode
from uuid import UUID

from django.db import DatabaseError, transaction
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from emr import access, audit, keys, visits
from emr.accounts import invitations
from emr.models import Invitation, Resource, User

log = logging.getLogger(__name__)

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+')


@require_safe
@access.members_only
@transaction.atomic
def source(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One resource as the EMR sent it, audited with the page. Raises Http404 for another practice's."""
    resource = access.visible_or_404(Resource.objects.select_related("practice"), request.user, pk)
    audit.record(
        audit.Action.READ_SOURCE,
        by=request.user,
        practice=resource.practice,
        patient_fhir_id=resource.patient_fhir_id,
        object_id=resource.pk,
        detail=resource.resource_type,
    )
    context = {"resource": resource, "practice": resource.practice, "pretty": indented(resource.body)}
    return render(request, "emr/source.html", context)


def indented(body: str) -> str:
    """The JSON text over several lines, values as written (1.50 stays 1.50); as it is when it is no JSON."""
    try:
        json.loads(body)
    except (ValueError, RecursionError):
        return body
    depth = 0
    pieces: list[str] = []
    for text in _TOKEN.findall(body):
        closing = text in {"}", "]"}
        depth -= closing
        after = pieces[-1] if pieces else ""
        breaks = after not in {"{", "["} if closing else after in {"{", "[", ","}
        if breaks:
            pieces.append("\n" + "  " * depth)
        pieces.append(": " if text == ":" else text)
        depth += text in {"{", "["}
    return "".join(pieces)


@require_safe
def jwks(request: HttpRequest, environment: str) -> HttpResponse:
    """The JWKS (RFC 7517) a vendor checks our client assertions with. Public; never touches the session."""
    document = keys.jwks(environment)
    try:
        agent = request.headers.get("User-Agent", "").replace("\x00", "")
        keys.note_hit(environment, visits.address_of(request), agent)
    except DatabaseError:
        log.warning("a reader of the JWKS was not noted")  # who asks gets the keys all the same
    return JsonResponse(document, headers={"Cache-Control": "public, max-age=300"})


@never_cache
@sensitive_variables("token")
@require_http_methods(["GET", "HEAD", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Shows an invitation; accepting it is a POST. The same 404 for unknown, used and expired links."""
    invited = invitations.find(token)
    if invited is None:
        return _closed(request)
    if isinstance(request.user, User):
        return _invite_signed_in(request, invited, request.user)
    has_account = User.objects.filter(email__iexact=invited.email).exists()
    if request.method != "POST":
        return _show(request, invited, "sign-in" if has_account else "sign-up")
    if has_account:
        return redirect(f"{reverse('account_login')}?{urlencode({'next': request.path})}")
    request.session[invitations.SESSION_KEY] = invited.token_hash
    return redirect("account_signup")


def _invite_signed_in(request: HttpRequest, invited: Invitation, user: User) -> HttpResponse:
    if not invitations.is_for(invited, user):
        return _show(request, invited, "other-account", status=403 if request.method == "POST" else 200)
    if request.method != "POST":
        return _show(request, invited, "join")
    try:
        invitations.accept(invited, user)
    except invitations.InvitationClosed:
        return _closed(request)
    return redirect("/")


def _show(request: HttpRequest, invited: Invitation, step: str, status: int = 200) -> HttpResponse:
    # Not as `practice`: the frame would link its charts, which are not open yet.
    context = {"invitation": invited, "step": step}
    return render(request, "emr/invitation.html", context, status=status)


def _closed(request: HttpRequest) -> HttpResponse:
    return render(request, "emr/invitation_closed.html", status=404)
