"""Practices, users, memberships, invitations."""

from functools import partial
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Count, QuerySet
from django.forms import BaseInlineFormSet
from django.http import HttpRequest

from emr import access
from emr.accounts import invitations, second_factor, sessions
from emr.admin import scoping
from emr.admin.bases import AuditedAdmin, record_change
from emr.forms import InvitationForm, MembershipForm
from emr.models import Invitation, Membership, Practice, User


class OthersRoles(BaseInlineFormSet):
    """As on the members' page: nobody opens charts to themself, or leaves a practice without an admin."""

    person: UUID | None = None  # whose own row stays as it is

    def clean(self) -> None:
        super().clean()
        if any(form.instance.user_id == self.person and form.has_changed() for form in self.initial_forms):
            raise ValidationError("Your own role is for another admin to change.")


class MembershipInline(admin.TabularInline):
    model = Membership
    form = MembershipForm
    formset = OthersRoles
    extra = 0
    autocomplete_fields = ["user", "practice"]

    def get_formset(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> Any:
        made: Any = super().get_formset(request, obj, **kwargs)  # a class of this request's own
        made.person = None if request.user.is_superuser else request.user.pk
        return made


@admin.register(Practice)
class PracticeAdmin(AuditedAdmin):
    """Never deleted: charts and audit hang on it."""

    list_display = ["name", "code", "time_zone", "members"]
    search_fields = ["name", "code"]
    ordering = ["name"]  # the count above drops the model's
    fields = ["name", "code", "time_zone", "created_at"]
    inlines = [MembershipInline]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Practice]:
        return super().get_queryset(request).annotate(member_count=Count("memberships"))

    @admin.display(ordering="member_count")
    def members(self, practice: Any) -> int:
        count: int = practice.member_count
        return count

    def get_readonly_fields(self, request: HttpRequest, obj: Practice | None = None) -> list[str]:
        # Base URLs were checked against the code, and calls are counted under it.
        fixed = not request.user.is_superuser or (obj is not None and obj.connections.exists())
        return ["created_at", "code"] if fixed else ["created_at"]

    def has_delete_permission(self, request: HttpRequest, obj: Practice | None = None) -> bool:
        return False


ENTERS = (
    "The practices whose admin they are, and nothing of others. Gives all permissions that this needs, or takes them "
    "away, and signs the person out everywhere."
)


def _is_wholly_own(request: HttpRequest, user: User) -> bool:
    return access.wholly_administered(User.objects.filter(pk=user.pk), request).exists()


@admin.register(User)
class UserAdmin(AuditedAdmin):
    """By invitation, never deleted (the audit trail names them): take “may sign in” away instead."""

    list_display = ["email", "full_name", "is_active", "is_staff", "is_superuser", "last_login"]
    list_filter = ["is_active", "is_staff", "is_superuser", "memberships__practice"]
    search_fields = ["email", "full_name"]
    ordering = ["email"]
    date_hierarchy = "date_joined"
    inlines = [MembershipInline]
    actions = ["reset_second_factor"]
    fieldsets = [
        (None, {"fields": ["email", "full_name", "is_active", "last_login", "date_joined"]}),
        ("Admin", {"fields": ["is_staff", "is_superuser"]}),
    ]

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        fixed = ["email", "last_login", "date_joined"]
        if not request.user.is_superuser:  # otherwise whoever may edit users could make themselves one
            fixed += ["is_active", "is_staff", "is_superuser"]
        if obj is not None and not _is_wholly_own(request, obj):
            fixed.append("full_name")
        return fixed

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        if obj is not None and obj.is_superuser and not request.user.is_superuser:
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return False

    @admin.action(description="Lost phone: remove second factor, sign out everywhere", permissions=["change"])
    def reset_second_factor(self, request: HttpRequest, queryset: QuerySet[User]) -> None:
        """Whoever may not change a superuser may not let one in with a password alone either; nor may the admin of one
        practice let somebody in who is a member of another."""
        for user in queryset:
            if not isinstance(request.user, User) or not _is_wholly_own(request, user):
                self.message_user(request, f"{user} is not this practice's alone: not reset.", messages.WARNING)
                continue
            with transaction.atomic():
                second_factor.reset(user, by=request.user)
            self.message_user(request, f"{user} sets up a new second factor at the next sign-in.", messages.SUCCESS)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "is_staff":
            kwargs["help_text"] = ENTERS
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Django's permissions go with entering the admin: nobody picks them by hand; whose rows, the scope says."""
        super().save_model(request, obj, form, change)
        if not request.user.is_superuser:
            return
        obj.user_permissions.set(scoping.permissions() if obj.is_staff and not obj.is_superuser else [])
        if "is_staff" in form.changed_data and isinstance(request.user, User):
            why = "may enter the admin" if obj.is_staff else "may enter the admin no more"
            sessions.end_all(obj, why, by=request.user)


@admin.register(Invitation)
class InvitationAdmin(AuditedAdmin):
    """Written once; a wrong one is deleted and made anew. Its maker sees the link once; it is not stored."""

    form = InvitationForm
    list_display = ["email", "practice", "role", "open", "expires_at", "accepted_at", "invited_by"]
    list_filter = ["role", "practice", ("accepted_at", admin.EmptyFieldListFilter)]
    list_select_related = ["practice", "invited_by"]
    search_fields = ["email", "practice__name", "practice__code"]
    date_hierarchy = "created_at"
    ordering = ["-created_at"]
    autocomplete_fields = ["practice"]
    actions = ["send_again"]

    @admin.display(boolean=True)
    def open(self, invitation: Invitation) -> bool:
        return invitation.is_open()

    def get_fields(self, request: HttpRequest, obj: Invitation | None = None) -> Any:
        made = ["created_at", "expires_at", "accepted_at", "invited_by"]
        return ["email", "practice", "role", *(made if obj else [])]

    def has_change_permission(self, request: HttpRequest, obj: Invitation | None = None) -> bool:
        return obj is None and super().has_change_permission(request, obj)

    def save_model(self, request: HttpRequest, obj: Invitation, form: Any, change: bool) -> None:
        self._issue(request, obj)
        record_change(request, obj, "added", form.changed_data)

    @admin.action(description="Send again (makes a new link)", permissions=["add"])
    def send_again(self, request: HttpRequest, queryset: QuerySet[Invitation]) -> None:
        for invitation in queryset.select_related("practice"):
            if invitation.accepted_at is not None:
                self.message_user(request, f"{invitation} was accepted already; not sent.", messages.WARNING)
                continue
            with transaction.atomic():
                self._issue(request, invitation)
                record_change(request, invitation, "sent again")

    def _issue(self, request: HttpRequest, invitation: Invitation) -> None:
        if not isinstance(request.user, User):
            raise TypeError("only a signed-in admin invites")
        token = invitations.issue(invitation, by=request.user)
        # After commit: a slow mail server must not hold the database's write lock.
        transaction.on_commit(partial(self._mail, request, invitation, token))

    def _mail(self, request: HttpRequest, invitation: Invitation, token: str) -> None:
        sent, told = invitations.deliver(invitation, token)
        self.message_user(request, told, messages.SUCCESS if sent else messages.WARNING)


# Whoever may enter the admin has the same permissions there: nothing is left for groups to hold.
admin.site.unregister(Group)
