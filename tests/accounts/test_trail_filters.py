"""Narrowing the audit trail, and paging through what is left."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.urls import reverse

from emr import audit
from emr.models import AuditEvent, Membership, Practice, User
from tests.conftest import member, signed_in

NOON = datetime(2026, 11, 10, 17, 0, tzinfo=UTC)  # in New York; its 10 November ends at 05:00 UTC on the 11th


@pytest.fixture
def officer(practice_a: Practice) -> User:
    return member("olga@example.org", practice_a, Membership.Role.PRIVACY_OFFICER)


def event(practice: Practice, by: User | None, action: str, at: datetime, detail: str = "") -> None:
    AuditEvent.objects.create(practice=practice, user=by, action=action, at=at, detail=detail)


@pytest.fixture
def trail(practice_a: Practice, practice_b: Practice, alice: User, bob: User, charlie: User) -> None:
    for number in range(60):
        event(practice_a, alice, "read-history", NOON, f"first {number}")
    event(practice_a, bob, "print", NOON + timedelta(hours=11, minutes=59), "late on the tenth")
    event(practice_a, bob, "print", NOON + timedelta(hours=12), "early on the eleventh")
    event(practice_a, bob, "break-glass", NOON, "BREAK-GLASS opened for 30 minutes")
    event(practice_a, bob, "read-history", NOON, "BREAK-GLASS list")
    event(practice_b, charlie, "print", NOON, "elsewhere")


def details(client: Any, practice: Practice, **query: Any) -> list[str]:
    page = client.get(reverse("emr:audit-trail", args=[practice.pk]), query).content.decode()
    return [found for found in re.findall(r'data-label="Details">([^<]*)<', page) if "trail, page" not in found]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"what": "print"}, ["late on the tenth", "early on the eleventh"]),
        ({"what": "glass"}, ["BREAK-GLASS opened for 30 minutes", "BREAK-GLASS list"]),
        ({"what": "print", "until": "2026-11-10"}, ["late on the tenth"]),
        ({"what": "print", "since": "2026-11-11", "until": "2026-11-11"}, ["early on the eleventh"]),
        ({"what": "print", "since": "2026-11-12"}, []),
        ({"who": "bob", "what": "read-history"}, ["BREAK-GLASS list"]),
        ({"who": "charlie"}, None), ({"what": "x"}, None), ({"since": "31-02"}, None), ({"who": "7"}, None),
    ],
    ids=str,
)  # fmt: skip
def test_filters(
    trail: None, practice_a: Practice, officer: User, query: dict[str, str], expected: list[str] | None
) -> None:
    """None: not valid here, so that nothing is narrowed and the page says so."""
    client = signed_in(officer)
    if query.get("who", "").isalpha():
        query = query | {"who": str(User.objects.get(email=f"{query['who']}@example.org").pk)}
    found = details(client, practice_a, **query)
    if expected is not None:
        assert sorted(found) == sorted(expected)
        return
    assert len(found) > 40
    page = client.get(reverse("emr:audit-trail", args=[practice_a.pk]), query).content.decode()
    assert "There is a problem" in page
    assert "charlie" not in page


def test_days_the_wrong_way_round_are_said_to_be(trail: None, practice_a: Practice, officer: User) -> None:
    address, days = reverse("emr:audit-trail", args=[practice_a.pk]), {"since": "2026-11-11", "until": "2026-11-10"}
    page = signed_in(officer).get(address, {"what": "print", **days}).content.decode()
    assert "This day is before the one under From." in page
    assert "1 event of this kind" in page  # by what is valid
    assert "What: Printed a history; From: 11-Nov-2026." in page  # as it is printed


def test_paging_keeps_the_filters_and_names_nobody(
    trail: None, practice_a: Practice, officer: User, alice: User
) -> None:
    client = signed_in(officer)
    address = reverse("emr:audit-trail", args=[practice_a.pk])
    page = client.get(address, {"who": str(alice.pk), "what": "read-history"}).content.decode()
    assert "60 events of this kind" in page
    following = re.search(r'href="(\?[^"]+)">Next', page)
    assert following
    assert following[1] == f"?what=read-history&amp;who={alice.pk}&amp;page=2"
    second = client.get(address + following[1].replace("&amp;", "&")).content.decode()
    assert "Page 2 of 2" in second
    assert second.count('data-label="Details"') == 10
    read = AuditEvent.objects.filter(action=audit.Action.READ_AUDIT).order_by("number").last()
    assert read is not None
    assert read.detail == "trail, page 2, narrowed"


def test_who_left_can_still_be_asked_about(trail: None, practice_a: Practice, officer: User, bob: User) -> None:
    bob.memberships.all().delete()
    assert "late on the tenth" in details(signed_in(officer), practice_a, who=str(bob.pk), what="print")


def test_what_was_done_behind_the_glass_is_loud(trail: None, practice_a: Practice, officer: User) -> None:
    page = signed_in(officer).get(reverse("emr:audit-trail", args=[practice_a.pk]), {"what": "glass"}).content.decode()
    assert page.count('<tr class="loud">') == 2
