"""Staff pages of patients' consents: invite, calendar, one patient's consent, a decision, disconnect, reconnect.

Names and birth dates are typed and shown here, never in an address. A link is shown once, on the page that made it.
"""

from dataclasses import dataclass
from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.core.paginator import Paginator
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone, translation
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from emr import access, audit, catalogue, grants, launches, qr
from emr.access import Act
from emr.demographics import Person, folded
from emr.launches import consents
from emr.launches.forms import KnownPatientForm, NewPatientForm, patient_connections
from emr.launches.links import address_of
from emr.models import Grant, PatientInvitation, Practice, Resource, User
from emr.views_launches import portal_of

INVITATIONS_SHOWN = 50
_INVITATIONS = PatientInvitation.objects.select_related("practice", "connection__registration", "created_by")


@require_safe
@access.may(Act.ROSTER)
@transaction.atomic
def calendar(request: HttpRequest, practice_id: UUID) -> HttpResponse:
    """Decisions that wait, the ends of consents, and the invitations of late."""
    practice = access.practice_or_404(request.user, practice_id)
    entries = Paginator(grants.calendar(practice), 50).get_page(request.GET.get("page"))
    shown = consents.standing((entry.grant for entry in entries), practice)
    # A consent with two ends to come is one line with both.
    rows: dict[UUID, tuple[list[grants.CalendarEntry], consents.Standing]] = {}
    for entry, row in zip(entries, shown, strict=True):
        rows.setdefault(row.grant.pk, ([], row))[0].append(entry)
    invitations = access.visible(_INVITATIONS.filter(practice=practice), request.user)[:INVITATIONS_SHOWN]
    context = {
        "practice": practice, "page": entries, "invitations": invitations, "offered": patient_connections(practice),
        "held": [row for _, row in rows.values() if row.held],
        "rows": [(ends, row) for ends, row in rows.values() if not row.held],
    }  # fmt: skip
    _seen(request, practice, None, f"listed {len(rows)} consents")
    return render(request, "emr/consent/calendar.html", context)


@require_http_methods(["GET", "HEAD", "POST"])
@access.may(Act.ROSTER)
@transaction.atomic
def invite(request: HttpRequest, practice_id: UUID) -> HttpResponse:
    """Invite somebody by name and birth date; the answer to the form shows the link, once."""
    practice = access.practice_or_404(request.user, practice_id)
    offered = patient_connections(practice).exists()
    form = NewPatientForm(request.POST or None, practice=practice)
    if not (offered and request.method == "POST" and form.is_valid()):
        return render(request, "emr/consent/invite.html", {"practice": practice, "form": form, "offered": offered})
    data = form.cleaned_data
    made = launches.invite(
        practice, data["connection"], _member(request), given=data["given"], family=data["family"],
        birth_date=data["birth_date"], language=data["language"],
    )  # fmt: skip
    return _link_page(request, *made, back=reverse("emr:consents", args=[practice.pk]))


@require_http_methods(["GET", "HEAD", "POST"])
@access.may(Act.ROSTER)
@transaction.atomic
def panel(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One patient's consents; a POST invites. pk: of the Patient record the chart is made from, which has the name."""
    record = _patient_record(request, pk)
    practice = record.practice
    person = consents.people_on_file(practice.pk, [record.fhir_id])[record.fhir_id]
    form = KnownPatientForm(request.POST or None, practice=practice)
    if request.method == "POST" and form.is_valid():
        made = _invite_known(request, practice, person, form)
        if made is not None:
            return _link_page(request, *made, back=reverse("emr:consent", args=[pk]))
    own = consents.visible_grants(request.user).filter(connection__practice=practice, patient_fhir_id=record.fhir_id)
    rows = own.exclude(state=Grant.State.HELD).order_by("ended_at", "-created_at")
    sent = access.visible(_INVITATIONS, request.user).filter(practice=practice, patient_fhir_id=record.fhir_id)
    context = {
        "practice": practice, "person": person, "born": consents.born(person.birth_date), "form": form,
        "standing": consents.standing(rows, practice), "offered": patient_connections(practice).exists(),
        "open_invitations": [each for each in sent[:20] if each.state == PatientInvitation.State.OPEN],
    }  # fmt: skip
    _seen(request, practice, record.pk, "opened a patient's consent")
    return render(request, "emr/consent/panel.html", context)


def _patient_record(request: HttpRequest, pk: UUID) -> Resource:
    rows = Resource.objects.select_related("practice").filter(resource_type="Patient")
    return access.visible_or_404(rows, request.user, pk)


def _invite_known(
    request: HttpRequest, practice: Practice, person: Person, form: KnownPatientForm
) -> tuple[PatientInvitation, str] | None:
    """None, with the reason on the form, when the record lacks what the answer is compared with."""
    family, *given = person.names[0] if person.names else ("",)
    try:
        born_on = date.fromisoformat(person.birth_date)
    except ValueError:
        born_on = None
    if not (family and given and born_on):
        form.add_error(None, "The record lacks a name or a whole birth date: invite by name and birth date instead.")
        return None
    data = form.cleaned_data
    return launches.invite(
        practice, data["connection"], _member(request), given=given[0], family=family, birth_date=born_on,
        patient_fhir_id=person.fhir_id, language=data["language"],
    )  # fmt: skip


@require_POST
@access.may(Act.ROSTER)
@transaction.atomic
def withdraw(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Take an open invitation back."""
    invitation = access.visible_or_404(_INVITATIONS, request.user, pk)
    if launches.revoke_invitation(invitation, _member(request)):
        messages.success(request, "Withdrawn: the link opens nothing any more.")
    else:
        messages.info(request, "Nothing to withdraw: that invitation is over.")
    return redirect("emr:consents", invitation.practice_id)


@dataclass(frozen=True)
class Compared:
    """One line of a decision."""

    name: str
    invited: str
    returned: str
    same: bool


@require_http_methods(["GET", "HEAD", "POST"])
@access.may(Act.ROSTER)
def decide(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A held consent: whom we invited beside whom the EMR returned, and a person's word. Nothing else is shown."""
    grant = get_object_or_404(consents.visible_grants(request.user), pk=pk)
    practice = grant.connection.practice
    if grant.state != Grant.State.HELD:
        messages.info(request, "That consent no longer waits for a decision.")
        return redirect("emr:consents", practice.pk)
    step = request.POST.get("do", "") if request.method == "POST" else ""
    rows = _differences(grant)
    # What nobody has seen, nobody accepts: the EMR has not said yet who it is.
    if step == "reject" or (step == "accept" and rows):
        launches.decide(grant, by=_member(request), accept=step == "accept")
        said = "Accepted: the record is being fetched." if step == "accept" else "Rejected: the tokens are deleted."
        messages.success(request, said)
        return redirect("emr:consents", practice.pk)
    _seen(request, practice, grant.pk, "compared an invited patient with the one returned")
    reason = catalogue.explain(grant.reason_code) if grant.reason_code else None
    context = {"practice": practice, "grant": grant, "rows": rows, "reason": reason}
    return render(request, "emr/consent/decide.html", context)


def _differences(grant: Grant) -> list[Compared]:
    """Name and birth date; no line when the EMR has not said who it is yet."""
    invited, returned = grant.invitation, grant.returned
    if invited is None or not returned:
        return []
    names = [tuple(name) for name in returned.get("names", [])]
    families = {folded(name[0]) for name in names if name}
    givens = {folded(word) for name in names for given in name[1:] for word in (given, *given.split())}
    birth_date = str(returned.get("birth_date", ""))
    family, _, given = str(returned.get("label", "")).partition(", ")
    return [
        Compared("Family name", invited.family, family or "not on file", folded(invited.family) in families),
        Compared("First name", invited.given, given or "not on file", folded(invited.given) in givens),
        Compared(
            "Birth date", f"{invited.birth_date:%d-%b-%Y}", consents.born(birth_date),
            birth_date == invited.birth_date.isoformat(),
        ),
    ]  # fmt: skip


@require_http_methods(["GET", "HEAD", "POST"])
@access.may(Act.ROSTER)
def disconnect(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Ask once more, then end the consent and say what is left to do in the EMR's portal."""
    grant = get_object_or_404(consents.visible_grants(request.user), pk=pk)
    practice = grant.connection.practice
    (row,) = consents.standing([grant], practice)
    if request.method == "POST":
        done = grants.disconnect(grant, _member(request))
        told = catalogue.explain(done.code)
        messages.success(request, f"{told.title}. {told.next_step}" if done.ended else "It had ended before.")
        return redirect("emr:consents", practice.pk)
    _seen(request, practice, grant.pk, "was about to disconnect a patient")
    found = grant.connection.smart_configuration or {}
    context = {
        "practice": practice, "row": row, "name": row.name, "portal": portal_of(grant.connection),
        "revocable": bool(found.get("revocation_endpoint")), "back": reverse("emr:consents", args=[practice.pk]),
    }  # fmt: skip
    return render(request, "emr/consent/disconnect.html", context)


@require_POST
@access.may(Act.ROSTER)
@transaction.atomic
def reconnect(request: HttpRequest, pk: UUID) -> HttpResponse:
    """A new link for somebody whose consent has ended; what was fetched stays."""
    grant = get_object_or_404(consents.visible_grants(request.user), pk=pk)
    back = reverse("emr:consents", args=[grant.connection.practice_id])
    try:
        made = grants.reconnect(grant, _member(request))
    except ValueError:
        messages.info(request, "No invitation led to that consent: invite the patient from the chart instead.")
        return redirect(back)
    return _link_page(request, *made, back=back)


def _link_page(request: HttpRequest, invitation: PatientInvitation, token: str, *, back: str) -> HttpResponse:
    link, practice = address_of(token), invitation.practice
    zone = ZoneInfo(practice.time_zone)
    with translation.override(invitation.language):
        portal = portal_of(invitation.connection)
    context = {
        "practice": practice, "invitation": invitation, "link": link, "qr": qr.code(link), "back": back,
        "portal": portal, "today": timezone.localdate(timezone=zone),
        "until": timezone.localtime(invitation.expires_at, zone).date(),
    }  # fmt: skip
    return render(request, "emr/consent/invited.html", context)


def _member(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise Http404  # the guard let nobody else in; for the type checker
    return request.user


def _seen(request: HttpRequest, practice: Practice, object_id: UUID | None, detail: str) -> None:
    audit.record(audit.Action.CONSENT, by=request.user, practice=practice, object_id=object_id, detail=detail)
