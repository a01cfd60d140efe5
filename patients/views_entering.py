"""The pages where staff enter what no EMR sends: assessments, statements on trials, prompts put aside, bound texts."""

from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.contrib import messages
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from emr import access, audit
from emr.models import Membership, Practice, User
from patients import bindings, entering, histories, listing, unknown_texts
from patients.codes import table
from patients.models import Assessment, Attestation, DrugBinding, Patient, PromptDismissal
from patients.models.entered import Origin
from patients.models.versions import AboutPatient, Entered
from patients.projection import rebuild

Action = audit.Action
AT_ONCE = 50  # patients whose histories are rebuilt while the person waits


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of statement about a patient: its forms, its page, and how it is called."""

    name: str
    form: type[Any]
    withdrawal: type[Any]
    template: str
    action: audit.Action


_ASSESSMENT = _Kind(
    "Assessment",
    entering.AssessmentForm,
    entering.AssessmentWithdrawal,
    "patients/assessment.html",
    Action.ASSESSMENT,
)
_ATTESTATION = _Kind(
    "Statement",
    entering.AttestationForm,
    entering.AttestationWithdrawal,
    "patients/attestation.html",
    Action.ATTESTATION,
)

reads_and_posts = require_http_methods(["GET", "HEAD", "POST"])


@require_safe
@access.members_only
@transaction.atomic
def assessments(request: HttpRequest, pk: UUID) -> HttpResponse:
    """All versions of all assessments of a patient, latest first."""
    patient = _patient(request, pk)
    return _page(request, "patients/assessments.html", patient, rows=_versions(Assessment, patient, "-date"))


@reads_and_posts
@access.may(access.Act.ENTER)
@transaction.atomic
def assessment_new(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The numbers of one visit."""
    patient, by = _patient(request, pk), _person(request)
    draft = Assessment(
        practice=patient.practice,
        patient=patient,
        entered_by=by,
        date=_today(patient.practice),
        origin=_usual_origin(by, patient),
    )
    return _statement(request, _ASSESSMENT, draft)


@reads_and_posts
@access.may(access.Act.ENTER)
@transaction.atomic
def assessment_correct(request: HttpRequest, pk: UUID, assessment: UUID) -> HttpResponse:
    """A new version of an assessment, or its withdrawal. Only the latest version can be corrected."""
    patient = _patient(request, pk)
    old = access.visible_or_404(Assessment.objects.filter(patient=patient), request.user, assessment)
    if request.method != "POST" and Assessment.objects.filter(replaces=old).exists():
        messages.info(request, "That version has been corrected already. The list shows what replaced it.")
        return redirect("patients:assessments", patient.pk)
    draft = old.next_version(_person(request))
    draft.patient, draft.practice = patient, patient.practice
    return _statement(request, _ASSESSMENT, draft, rows=_versions(Assessment, patient, "-date"))


@reads_and_posts
@access.may(access.Act.ENTER)
@transaction.atomic
def attest(request: HttpRequest, pk: UUID, about: str) -> HttpResponse:
    """A statement on the trial of one ingredient or class; a later one replaces the earlier."""
    patient, by = _patient(request, pk), _person(request)
    subject = entering.subject_of(about)
    if subject is None:
        raise Http404
    known = {"patient": patient, "ingredient": subject.ingredient, "drug_class": subject.drug_class}
    head = Attestation.objects.heads().filter(**known).first()
    draft = head.next_version(by) if head else Attestation(**known, entered_by=by, origin=_usual_origin(by, patient))
    draft.patient, draft.practice = patient, patient.practice
    rows = _versions(Attestation, patient, "-entered_at").filter(**known)
    return _statement(request, _ATTESTATION, draft, rows=rows, subject=subject)


def _statement(request: HttpRequest, kind: _Kind, draft: AboutPatient, **context: Any) -> HttpResponse:
    """The form for a draft, and one to take back what it replaces; what was posted is entered."""
    patient, old = draft.patient, draft.replaces
    sent = request.POST if request.method == "POST" else None
    back = None
    if old is not None and not old.withdrawn:
        withdraws = "withdraw-submission" in request.POST
        back = kind.withdrawal(sent if withdraws else None, instance=old.next_version(draft.entered_by))
        sent = None if withdraws else sent
    form = kind.form(sent, instance=draft, today=_today(patient.practice))
    for each, done in ((form, "saved"), (back, "taken back")):
        if each is not None and each.is_bound and _entered(request, each, kind.action, done):
            messages.success(request, f"{kind.name} {done}.")
            return redirect("patients:history", patient.pk)
    return _page(request, kind.template, patient, form=form, back=back, old=old, **context)


@reads_and_posts
@access.may(access.Act.ENTER)
@transaction.atomic
def prompts(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The prompts put aside for a patient. A post puts one aside, or (`again`: a dismissal) back on the page."""
    patient, by = _patient(request, pk), _person(request)
    if request.POST.get("again"):
        return _shown_again(request, patient, by)
    draft = PromptDismissal(practice=patient.practice, patient=patient, entered_by=by)
    form = entering.DismissalForm(request.POST if request.method == "POST" else None, instance=draft)
    if form.is_bound and form.is_valid():
        _put_aside(request, form)
        messages.success(request, "Prompt put aside. It comes back when the facts behind it change.")
        return redirect("patients:history", patient.pk)
    sentences = {row["id"]: row["sentence"] for row in table("prompts")}
    rows = [(row, sentences.get(row.prompt, "")) for row in _versions(PromptDismissal, patient, "-entered_at")]
    return _page(request, "patients/dismissals.html", patient, form=form, rows=rows)


def _put_aside(request: HttpRequest, form: entering.DismissalForm) -> None:
    row = form.instance
    same = {name: getattr(row, name) for name in PromptDismissal.SUBJECT}
    row.replaces = PromptDismissal.objects.heads().filter(**same).first()
    if row.replaces is not None and not row.replaces.withdrawn:
        return
    if _saved(row):
        _record(request, Action.DISMISSAL, row, "put aside")


def _shown_again(request: HttpRequest, patient: Patient, by: User) -> HttpResponse:
    try:
        pk = UUID(request.POST["again"])
    except ValueError as error:
        raise Http404 from error
    old = access.visible_or_404(PromptDismissal.objects.filter(patient=patient, withdrawn=False), request.user, pk)
    row = old.next_version(by)
    row.withdrawn = True
    if _saved(row):
        _record(request, Action.DISMISSAL, row, "shown again")
    messages.success(request, "The prompt is shown again while the facts behind it hold.")
    return redirect("patients:history", patient.pk)


@require_safe
@access.members_only
@transaction.atomic
def bound_texts(request: HttpRequest, practice_id: UUID) -> HttpResponse:
    """The practice's medication texts that no rule knows, and what staff have said about such texts."""
    practice = access.practice_or_404(request.user, practice_id)
    unknown, orders = unknown_texts.texts(practice.pk)
    rows = DrugBinding.objects.current().filter(practice=practice).select_related("entered_by").order_by("text")
    bound = [(row, orders.get(row.text)) for row in rows]
    audit.record(Action.BINDING, by=request.user, practice=practice, detail="listed")
    return _rendered(request, "patients/bindings.html", practice, {"unknown": unknown, "bound": bound})


@reads_and_posts
@access.may(access.Act.ENTER)
def bind(request: HttpRequest, practice_id: UUID, pk: UUID) -> HttpResponse:
    """What the text of one order means, for the whole practice. pk: the order's Resource.

    Histories are rebuilt after the binding is committed, each in its own transaction: a rebuild that breaks off
    leaves the binding marked as waiting.
    """
    with transaction.atomic():
        practice = access.practice_or_404(request.user, practice_id)
        entry = unknown_texts.order(practice.pk, pk)
        if entry is None:
            raise Http404
        form = entering.BindingForm(
            request.POST if request.method == "POST" else None, instance=_binding(request, practice, entry.title)
        )
        if not form.is_bound or not _entered(request, form, Action.BINDING, "bound"):
            audit.record(Action.BINDING, by=request.user, practice=practice, object_id=pk, detail="opened")
            return _rendered(request, "patients/binding.html", practice, {"form": form, "entry": entry})
    messages.success(request, _rebuilt(form.instance))
    return redirect("patients:history", entry.patient_id)


def _binding(request: HttpRequest, practice: Practice, written: str) -> DrugBinding:
    known = {"practice": practice, "text": bindings.normalised(written)}
    head = DrugBinding.objects.heads().filter(**known).first()
    draft = head.next_version(_person(request)) if head else DrugBinding(**known, entered_by=_person(request))
    draft.written = written
    return draft


def _rebuilt(binding: DrugBinding) -> str:
    """Rebuild the histories that hold the text, unless they are too many to wait for; what to tell the person."""
    since = timezone.now()
    waiting = list(unknown_texts.holders(binding.practice_id, binding.text)[: AT_ONCE + 1])
    if len(waiting) > AT_ONCE:
        return f"Saved. More than {AT_ONCE} histories hold this text; they follow with the next rebuild."
    for patient in waiting:
        rebuild(patient.practice_id, patient.fhir_id)
        listing.refresh(patient)
    bindings.mark_rebuilt(binding.practice_id, text=binding.text, entered_before=since)
    return f"Saved. Histories brought up to date: {len(waiting)}."


def _entered(request: HttpRequest, form: Any, action: audit.Action, done: str) -> bool:
    """Save what a form holds and record it; a form sent twice counts once. False: errors are on the form."""
    fine, row = form.is_valid(), form.instance
    sent = {"practice_id": row.practice_id, "submission": form.cleaned_data.get("submission")}
    if type(row).objects.filter(**sent).exists():
        return True
    if not fine:
        return False
    if not _saved(row):
        form.add_error(None, entering.NEWER)
        return False
    _record(request, action, row, done)
    return True


def _saved(row: Entered) -> bool:
    """Save; False when somebody has replaced the same version, or begun the same chain, a moment earlier."""
    try:
        with transaction.atomic():
            row.save()
    except IntegrityError:
        same = {name: getattr(row, name) for name in row.SUBJECT}
        if type(row).objects.filter(**same, replaces=row.replaces).exists():
            return False
        raise
    return True


def _record(request: HttpRequest, action: audit.Action, row: Entered, done: str) -> None:
    audit.record(
        action,
        by=request.user,
        practice=row.practice,
        patient_id=getattr(row, "patient_id", None),
        object_id=row.pk,
        detail=done,
    )


def _page(request: HttpRequest, template: str, patient: Patient, **context: Any) -> HttpResponse:
    """A page of a patient: banner and completeness on top, the read recorded."""
    shown = histories.history(patient, today=_today(patient.practice))
    audit.record(
        Action.READ_HISTORY,
        by=request.user,
        practice=patient.practice,
        patient_id=patient.pk,
        detail=template.removeprefix("patients/").removesuffix(".html"),
    )
    return _rendered(request, template, patient.practice, {"patient": patient, "shown": shown, **context})


def _rendered(request: HttpRequest, template: str, practice: Practice, context: dict[str, Any]) -> HttpResponse:
    """The page, its times on the practice's clock."""
    with timezone.override(ZoneInfo(practice.time_zone)):
        return render(request, template, {"practice": practice, **context})


def _versions(model: type[AboutPatient], patient: Patient, order: str) -> QuerySet[Any]:
    """All versions about a patient, each with who entered it and what replaced it. One query."""
    rows: QuerySet[Any] = model._default_manager.filter(patient=patient, practice=patient.practice)
    return rows.select_related("entered_by", "patient", "replaced_by__entered_by").order_by(order, "-entered_at")


def _patient(request: HttpRequest, pk: UUID) -> Patient:
    return access.visible_or_404(Patient.objects.select_related("practice"), request.user, pk)


def _person(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise Http404
    return request.user


def _usual_origin(by: User, patient: Patient) -> Origin:
    clinician = Membership.objects.filter(user=by, practice=patient.practice, role=Membership.Role.CLINICIAN)
    return Origin.CLINICIAN if clinician.exists() else Origin.ROOMING


def _today(practice: Practice) -> date:
    return timezone.localdate(timezone=ZoneInfo(practice.time_zone))
