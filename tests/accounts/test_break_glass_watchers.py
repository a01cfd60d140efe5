"""Who is told that the glass was broken, with privacy officers and without; and looking into it."""

from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse

from emr.models import AuditEvent, BreakGlass, Membership, Practice, User
from tests.conftest import member, signed_in

Role = Membership.Role
REASON = "Patient unconscious in the emergency room, clinicians unreachable"
TOLD = "by breaking the glass"


@pytest.fixture
def people(practice_a: Practice, practice_b: Practice) -> dict[str, User]:
    """Two privacy officers, two admins, a clinician; and an officer of another practice, who is never told."""
    member("foreign@example.org", practice_b, Role.PRIVACY_OFFICER)
    roles = {
        "olga": Role.PRIVACY_OFFICER, "otto": Role.PRIVACY_OFFICER, "adam": Role.ADMIN, "anna": Role.ADMIN,
        "clara": Role.CLINICIAN,
    }  # fmt: skip
    return {name: member(f"{name}@example.org", practice_a, role) for name, role in roles.items()}


def leave(practice: Practice, *names: str) -> None:
    Membership.objects.filter(practice=practice, user__email__in=[f"{name}@example.org" for name in names]).delete()


def break_it(practice: Practice, user: User, capture: Any) -> BreakGlass:
    with capture(execute=True):
        answer = signed_in(user).post(reverse("emr:break_glass", args=[practice.pk]), {"reason": REASON})
        assert answer.status_code == 302
    return BreakGlass.objects.latest("opened_at")


WHO_IS_TOLD = [
    ("an admin breaks it, officers are told", "adam", (), {"olga", "otto"}),
    ("an officer breaks it, the other one is told", "olga", (), {"otto"}),
    ("the only officer breaks it, the admins are told", "olga", ("otto",), {"adam", "anna"}),
    ("no officer: the other admin is told", "adam", ("olga", "otto"), {"anna"}),
    ("nobody else: nobody is told", "adam", ("olga", "otto", "anna"), set()),
]


@pytest.mark.parametrize(("breaker", "gone", "told"), [row[1:] for row in WHO_IS_TOLD], ids=[r[0] for r in WHO_IS_TOLD])
def test_who_is_told(
    practice_a: Practice, people: dict[str, User], django_capture_on_commit_callbacks: Any, breaker: str,
    gone: tuple[str, ...], told: set[str],
) -> None:  # fmt: skip
    leave(practice_a, *gone)
    before = signed_in(people[breaker]).get(reverse("emr:break_glass", args=[practice_a.pk])).content.decode()
    assert ("Nobody else watches" in before) == (not told)
    for name, user in people.items():
        assert (f"<b>{user}</b>" in before) == (name in told), name
    break_it(practice_a, people[breaker], django_capture_on_commit_callbacks)
    assert {address for letter in mail.outbox for address in letter.to} == {f"{name}@example.org" for name in told}
    assert all(REASON not in letter.body + letter.subject for letter in mail.outbox)
    for name, user in people.items():
        if name in gone:
            continue
        page = signed_in(user).get(reverse("emr:practice", args=[practice_a.pk])).content.decode()
        assert ("Nobody has looked into it yet" in page) == (name in told), name
        if name != breaker and name not in ("olga", "otto"):  # officers read all of them anyway
            assert (REASON in page) == (name in told), name


def test_a_closed_account_watches_nothing(
    practice_a: Practice, people: dict[str, User], django_capture_on_commit_callbacks: Any
) -> None:
    User.objects.filter(email__in=["olga@example.org", "otto@example.org"]).update(is_active=False)
    break_it(practice_a, people["adam"], django_capture_on_commit_callbacks)
    assert [letter.to for letter in mail.outbox] == [["anna@example.org"]]


def review(client: Client, glass: BreakGlass) -> int:
    return client.post(reverse("emr:break_glass_reviewed", args=[glass.practice_id, glass.pk])).status_code


def test_one_who_watches_looks_into_it_and_the_others_are_told_no_longer(
    practice_a: Practice, people: dict[str, User], django_capture_on_commit_callbacks: Any
) -> None:
    glass = break_it(practice_a, people["adam"], django_capture_on_commit_callbacks)
    address = reverse("emr:practice", args=[practice_a.pk])
    assert TOLD in signed_in(people["olga"]).get(address).content.decode()
    assert review(signed_in(people["olga"]), glass) == 302
    glass.refresh_from_db()
    assert glass.reviewed_by == people["olga"]
    assert AuditEvent.objects.filter(action="break-glass", detail="BREAK-GLASS reviewed").count() == 1
    for name in ("olga", "otto"):
        assert "Nobody has looked into it yet" not in signed_in(people[name]).get(address).content.decode()
    assert review(signed_in(people["otto"]), glass) == 302  # the first one counts
    glass.refresh_from_db()
    assert glass.reviewed_by == people["olga"]
    assert AuditEvent.objects.filter(action="break-glass", detail="BREAK-GLASS reviewed").count() == 1


@pytest.mark.parametrize(
    ("name", "status"), [("adam", 404), ("anna", 404), ("clara", 403), ("foreign", 404)],
    ids=["oneself", "an admin where officers watch", "a clinician", "another practice's officer"],
)  # fmt: skip
def test_who_may_not_say_so(
    practice_a: Practice, people: dict[str, User], django_capture_on_commit_callbacks: Any, name: str, status: int
) -> None:
    glass = break_it(practice_a, people["adam"], django_capture_on_commit_callbacks)
    assert review(signed_in(User.objects.get(email=f"{name}@example.org")), glass) == status
    glass.refresh_from_db()
    assert glass.reviewed_at is None


def test_a_link_does_not_review(
    practice_a: Practice, people: dict[str, User], django_capture_on_commit_callbacks: Any
) -> None:
    glass = break_it(practice_a, people["adam"], django_capture_on_commit_callbacks)
    address = reverse("emr:break_glass_reviewed", args=[practice_a.pk, glass.pk])
    assert signed_in(people["olga"]).get(address).status_code == 405
