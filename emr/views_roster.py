"""Staff pages of the roster: whom we fetch, and who comes when. Names are typed and shown here, never in an address."""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import ValidationError
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.template.defaultfilters import pluralize
from django.views.decorators.http import require_http_methods

from emr import access, audit, csv_lists, freshness, look_ups, uploads
from emr import roster as enrolling
from emr.demographics import Sought
from emr.models import Connection, LookUp, Practice, User

P = TypeVar("P", uploads.RosterPlan, uploads.SchedulePlan)
# In the session, by practice: a digest of the look-ups that its pages showed last.
SHOWN = "look_ups_shown"


class LookUpForm(forms.Form):
    """A person as staff know them."""

    family = forms.CharField(label="Family name", max_length=100)
    given = forms.CharField(label="First name", max_length=100)
    birth_date = forms.DateField(
        label="Birth date",
        input_formats=uploads.DATES,
        help_text="As in 03/07/1989 or 07-Mar-1989.",
        widget=forms.DateInput(format="%m/%d/%Y", attrs={"autocomplete": "off"}),
    )

    def sought(self) -> Sought:
        data = self.cleaned_data
        return Sought(family=data["family"], given=data["given"], birth_date=data["birth_date"].isoformat())


class FileForm(forms.Form):
    """A CSV file, or its text sent back by the preview."""

    list = forms.FileField(label="CSV file", required=False)
    text = forms.CharField(required=False, strip=False, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or {}
        upload = data.get("list")
        if upload is not None:
            try:
                data["text"] = csv_lists.text_of(upload.read(csv_lists.MOST_BYTES + 1))
            except csv_lists.Unreadable as error:
                raise ValidationError(str(error)) from None
        if not data.get("text", "").strip():
            raise ValidationError("Choose a CSV file with at least one row.")
        return data


@require_http_methods(["GET", "HEAD", "POST"])
@access.may(access.Act.ROSTER)
@transaction.atomic
def roster(request: HttpRequest, practice_id: UUID) -> HttpResponse:
    """Look somebody up, confirm and enrol them; or bring a list, see what it would do, and have it done."""
    practice = access.practice_or_404(request.user, practice_id)
    connection = enrolling.connection_of(practice)
    if request.method != "POST" or connection is None:
        return _roster_page(request, practice, connection)
    step = request.POST.get("do", "")
    if step == "look-up":
        return _look_up(request, practice, connection)
    if step == "enrol":
        return _enrol(request, practice)
    return _list_of_patients(request, practice, connection)


def _roster_page(request: HttpRequest, practice: Practice, connection: Connection | None, **more: Any) -> HttpResponse:
    rows = access.visible(LookUp.objects.filter(practice=practice), request.user)
    found = list(rows.exclude(state=LookUp.State.ENROLLED)[:100])
    fragment = request.headers.get("HX-Request") == "true"
    if found and (_is_news(request, practice, found) or not fragment):
        _record(request, practice, f"saw {len(found)} look-ups")
    running = any(row.state == LookUp.State.QUEUED for row in found)
    context = {
        "practice": practice, "connection": connection, "look_ups": found, "running": running,
        "enrolled": connection.enrolments.count() if connection else 0,
        "look_up_form": LookUpForm(), "file_form": FileForm(),
    }  # fmt: skip
    return render(request, "emr/_pull_look_ups.html" if fragment else "emr/pull_roster.html", context | more)


def _is_news(request: HttpRequest, practice: Practice, found: Sequence[LookUp]) -> bool:
    """Whether this session was shown something else before: the page asks every 3 s, mostly for what it shows."""
    said = repr([(row.pk, row.state, row.found) for row in found])
    digest = hashlib.sha256(said.encode()).hexdigest()
    shown: dict[str, str] = request.session.get(SHOWN, {})
    if shown.get(str(practice.pk)) == digest:
        return False
    request.session[SHOWN] = shown | {str(practice.pk): digest}
    return True


def _look_up(request: HttpRequest, practice: Practice, connection: Connection) -> HttpResponse:
    form = LookUpForm(request.POST)
    if not form.is_valid():
        return _roster_page(request, practice, connection, look_up_form=form)
    params = look_ups.parameters(form.sought(), connection.profile)
    if params is None:
        form.add_error(None, "This EMR cannot be searched by name and birth date.")
        return _roster_page(request, practice, connection, look_up_form=form)
    look_ups.ask(connection, [params], _person(request))
    _record(request, practice, "looked up 1 person")
    return redirect("emr:roster", practice.pk)


def _enrol(request: HttpRequest, practice: Practice) -> HttpResponse:
    rows = access.visible(LookUp.objects.filter(practice=practice), request.user)
    row = access.visible_or_404(rows, request.user, _uuid(request.POST.get("look_up", "")))
    if look_ups.enrol(row, request.POST.get("person", "")):
        _record(request, practice, "enrolled 1 person after a look-up")
        messages.success(request, "Enrolled, and fetched before all others.")
    else:
        messages.info(request, "That look-up is over.")
    return redirect("emr:roster", practice.pk)


def _list_of_patients(request: HttpRequest, practice: Practice, connection: Connection) -> HttpResponse:
    form, plan = _planned(request, practice, lambda text: uploads.plan_roster(text, connection))
    if plan is None or not _to_be_done(request, practice, plan):
        return _roster_page(request, practice, connection, file_form=form, **_preview(request, practice, form, plan))
    new = uploads.apply_roster(plan, connection, _person(request))
    _record(request, practice, f"enrolled {new} from a list, looking up {len(plan.search)}")
    sought = len(plan.search)
    said = f"{new} patient{pluralize(new)} enrolled; {sought} {pluralize(sought, 'is,are')} being looked up."
    messages.success(request, said)
    return redirect("emr:roster", practice.pk)


@require_http_methods(["GET", "HEAD", "POST"])
@access.may(access.Act.ROSTER)
@transaction.atomic
def schedule_list(request: HttpRequest, practice_id: UUID) -> HttpResponse:
    """Bring a schedule, see what it would do, and have it done; and who of today and tomorrow is not fresh."""
    practice = access.practice_or_404(request.user, practice_id)
    form, plan = FileForm(), None
    if request.method == "POST":
        form, plan = _planned(request, practice, lambda text: uploads.plan_schedule(text, practice))
        if plan is not None and _to_be_done(request, practice, plan):
            written = uploads.apply_schedule(plan, practice)
            _record(request, practice, f"read in a schedule: {written} appointments, {len(plan.dropped)} dropped")
            said = f"{written} appointment{pluralize(written, ' is,s are')} on file."
            messages.success(request, said)
            return redirect("emr:schedule", practice.pk)
    shown = _preview(request, practice, form, plan)
    context = {"practice": practice, "file_form": form, "standing": freshness.awaited(practice)}
    return render(request, "emr/pull_schedule.html", context | shown)


# --- lists: shown first, then done ---


def _planned(request: HttpRequest, practice: Practice, plan_of: Callable[[str], P]) -> tuple[FileForm, P | None]:
    """The list that was posted and what it would do; None when it is no such list, and the form says why."""
    if request.POST.get("do") == "apply":
        uploads.wait_for_others(practice)
    form = FileForm(request.POST, request.FILES)
    if not form.is_valid():
        return form, None
    try:
        return form, plan_of(form.cleaned_data["text"])
    except csv_lists.Unreadable as error:
        form.add_error(None, str(error))
        return form, None


def _to_be_done(request: HttpRequest, practice: Practice, plan: uploads.Plan) -> bool:
    """Whether this person was shown exactly this plan a while ago, and agreed to leave out what cannot be used."""
    if request.POST.get("do") != "apply":
        return False
    if not uploads.was_shown(plan, practice, _person(request), request.POST.get("seen", "")):
        messages.warning(
            request, "Nothing was done: what the list would do has changed since it was shown, or that was long ago. "
            "Look at it again.",
        )  # fmt: skip
        return False
    return not plan.problems or request.POST.get("leave_out") == str(len(plan.problems))


def _preview(request: HttpRequest, practice: Practice, form: FileForm, plan: uploads.Plan | None) -> dict[str, Any]:
    """What the page shows of a plan. It tells who is on file, so that it leaves its row in the audit trail."""
    if plan is None:
        return {}
    _record(request, practice, f"compared a list with who is on file: {plan.usable} rows fit")
    seen = uploads.seal(plan, practice, _person(request))
    return {"plan": plan, "text": form.cleaned_data["text"], "seen": seen}


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # noqa: S101 - members_only; for the type checker
    return request.user


def _record(request: HttpRequest, practice: Practice, detail: str) -> None:
    audit.record(audit.Action.ROSTER, by=request.user, practice=practice, detail=detail)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)  # nobody's
