"""Pages about the people of a practice: start page, members and invitations, break-glass; and the session itself."""

from functools import partial
from typing import Any, ClassVar
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from emr import access, audit
from emr.access import Act
from emr.accounts import break_glass, invitations, second_factor, sessions
from emr.accounts.sign_in import confirmed
from emr.forms import InvitationForm
from emr.models import BreakGlass, Invitation, Membership, Practice, User

reads_and_posts = require_http_methods(["GET", "HEAD", "POST"])


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def session(request: HttpRequest) -> HttpResponse:
    """Seconds until this session ends, as JSON {"left": n}; asking does not extend it, a POST does."""
    if request.method == "POST" and isinstance(request.user, User):
        sessions.touch(request)
    return JsonResponse({"left": sessions.seconds_left(request)})


@require_safe
@access.may(Act.BELONG)
def practice_page(request: HttpRequest, practice_id: UUID) -> HttpResponse:
    """Where somebody starts whose role opens no charts: what this role may do here."""
    practice = access.practice_or_404(request.user, practice_id)
    context: dict[str, Any] = {"practice": practice}
    if access.allows(request.user, practice, Act.BREAK_GLASS):
        context["broken"] = _broken(practice, _person(request))
    return render(request, "emr/practice.html", context)


def _broken(practice: Practice, reader: User) -> list[BreakGlass] | None:
    """The latest break-glasses, for who reads the trail and for who watches where nobody does; None for others."""
    latest = BreakGlass.objects.filter(practice=practice).select_related("user", "reviewed_by")[:20]
    if access.allows(reader, practice, Act.AUDIT):
        return list(latest)
    own_to_watch = [glass for glass in latest if reader in break_glass.watchers(practice, glass.user)]
    return own_to_watch or None


@require_POST
@access.may(Act.BELONG)
def switch(request: HttpRequest, practice_id: UUID) -> HttpResponse:
    """Work in another of one's practices from now on; the choice lasts as long as the session."""
    practice = access.practice_or_404(request.user, practice_id)
    request.session[access.CHOSEN] = str(practice.pk)
    messages.success(request, f"You now work in {practice.name}.")
    return redirect("patients:home")


# --- members -----------------------------------------------------------------------------------------------


@reads_and_posts
@access.may(Act.MEMBERS)
@confirmed
@transaction.atomic
def members(request: HttpRequest, practice_id: UUID) -> HttpResponse:
    """Who works here and who is invited. A POST of `do` invites, sends again, withdraws, changes a role or removes."""
    practice = access.practice_or_404(request.user, practice_id)
    form = _invitation_form(practice)
    if request.method == "POST":
        step = _MEMBER_STEPS.get(request.POST.get("do", ""))
        if step is None:
            raise Http404
        invalid = step(request, practice)
        if invalid is None:
            return redirect("emr:members", practice.pk)
        form = invalid
    rows = practice.memberships.select_related("user").order_by("user__full_name", "user__email")
    with_factor = set(second_factor.holders(row.user_id for row in rows))
    context = {
        "practice": practice,
        "members": [(row, row.user_id in with_factor) for row in rows],
        "invitations": practice.invitation_set.filter(accepted_at=None).order_by("-created_at"),
        "roles": Membership.Role.choices,
        "form": form,
        "acts": [(act, [role for role in Membership.Role if role in roles]) for act, roles in access.MAY.items()],
    }
    return render(request, "emr/members.html", context)


def _invitation_form(practice: Practice, data: Any = None) -> InvitationForm:
    form = InvitationForm(data, instance=Invitation(practice=practice))
    form.fields["practice"].disabled = True
    form.fields["practice"].widget = forms.HiddenInput()
    return form


def _invite(request: HttpRequest, practice: Practice) -> InvitationForm | None:
    form = _invitation_form(practice, request.POST)
    if not form.is_valid():
        return form
    _issue(request, form.save(commit=False), "Invitation added")
    return None


def _issue(request: HttpRequest, invitation: Invitation, what: str) -> None:
    token = invitations.issue(invitation, by=_person(request))
    _record(request, invitation, what)
    # After commit: a slow mail server must not hold the database's write lock.
    transaction.on_commit(partial(_deliver, request, invitation, token))


def _deliver(request: HttpRequest, invitation: Invitation, token: str) -> None:
    sent, told = invitations.deliver(invitation, token)
    messages.add_message(request, messages.SUCCESS if sent else messages.WARNING, told)


def _send_again(request: HttpRequest, practice: Practice) -> None:
    _issue(request, _open_invitation(request, practice), "Invitation sent again")


def _withdraw(request: HttpRequest, practice: Practice) -> None:
    invitation = _open_invitation(request, practice)
    _record(request, invitation, "Invitation withdrawn")
    invitation.delete()


def _change_role(request: HttpRequest, practice: Practice) -> None:
    membership, role = _membership(request, practice), request.POST.get("role", "")
    if role not in Membership.Role.values:
        raise Http404
    if membership is not None and membership.role != role:
        _record(request, membership, f"Membership changed: {membership.role} to {role}")
        membership.role = role
        membership.save(update_fields=["role"])
        messages.success(request, f"{membership.user} is now {membership.get_role_display()}, and was signed out.")


def _remove(request: HttpRequest, practice: Practice) -> None:
    membership = _membership(request, practice)
    if membership is not None:
        _record(request, membership, "Membership removed")
        membership.delete()
        messages.success(request, f"{membership.user} is no longer a member, and was signed out.")


_MEMBER_STEPS = {
    "invite": _invite,
    "again": _send_again,
    "withdraw": _withdraw,
    "role": _change_role,
    "remove": _remove,
}


def _membership(request: HttpRequest, practice: Practice) -> Membership | None:
    """The member it is about; None, with a word on the page, for oneself: a practice must keep an admin."""
    row = get_object_or_404(practice.memberships.select_related("user"), pk=_uuid(request.POST.get("member", "")))
    if row.user_id == request.user.pk:
        messages.warning(request, "Your own role is for another admin to change.")
        return None
    return row


def _open_invitation(request: HttpRequest, practice: Practice) -> Invitation:
    rows = practice.invitation_set.filter(accepted_at=None)
    return get_object_or_404(rows, pk=_uuid(request.POST.get("invitation", "")))


def _record(request: HttpRequest, row: Membership | Invitation, detail: str) -> None:
    audit.record(audit.Action.MEMBERSHIP, by=request.user, practice=row.practice, object_id=row.pk, detail=detail)


# --- break-glass -------------------------------------------------------------------------------------------


class ReasonForm(forms.ModelForm):
    class Meta:
        model = BreakGlass
        fields = ["reason"]
        labels = {"reason": "Why must you open charts now?"}
        widgets = {"reason": forms.Textarea(attrs={"rows": 3})}
        help_texts = {"reason": "Whoever looks into it reads this. At least fifteen characters."}
        error_messages: ClassVar[dict[str, Any]] = {
            "reason": {"min_length": "Write a little more: at least fifteen characters."}
        }


@reads_and_posts
@access.may(Act.BREAK_GLASS)
@confirmed
def glass(request: HttpRequest, practice_id: UUID) -> HttpResponse:
    """Says what breaking the glass means, and does it for a reason; then to the practice's list."""
    practice = access.practice_or_404(request.user, practice_id)
    form = ReasonForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        break_glass.open_charts(_person(request), practice, form.cleaned_data["reason"])
        return redirect("patients:list", practice.pk)
    context = {
        "practice": practice,
        "form": form,
        "minutes": BreakGlass.LIFE.seconds // 60,
        "watchers": break_glass.watchers(practice, _person(request)),
    }
    return render(request, "emr/break_glass.html", context)


@require_POST
@access.may(Act.BREAK_GLASS)
def glass_close(request: HttpRequest, practice_id: UUID) -> HttpResponse:
    """No longer needed."""
    practice = access.practice_or_404(request.user, practice_id)
    break_glass.close(_person(request), practice)
    return redirect("emr:practice", practice.pk)


@require_POST
@access.may(Act.BREAK_GLASS)
@transaction.atomic
def glass_reviewed(request: HttpRequest, practice_id: UUID, pk: UUID) -> HttpResponse:
    """Somebody who watches has looked into it. Http404 for one's own, and where others watch."""
    practice = access.practice_or_404(request.user, practice_id)
    row = get_object_or_404(practice.break_glasses.select_related("user", "practice"), pk=pk)
    if request.user not in break_glass.watchers(practice, row.user):
        raise Http404
    break_glass.review(row, _person(request))
    return redirect("emr:practice", practice.pk)


def _person(request: HttpRequest) -> User:
    if not isinstance(request.user, User):
        raise Http404
    return request.user


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Http404 from None
