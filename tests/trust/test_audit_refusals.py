"""Who asks for what is not theirs is written down (ASVS 5 16.3.2), and nobody fills the trail by asking."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client

from emr import tasks, visits
from emr.admin import scoping
from emr.models import AuditEvent, Connection, Membership, Practice, Pull, User
from patients.models import Patient
from tests.conftest import member, signed_in
from tests.pages import charts
from tests.trust.rows import Rows

pytestmark = pytest.mark.django_db
LIMIT = visits.REFUSALS_WRITTEN


@pytest.fixture(autouse=True)
def later(db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[Any, ...]]]:
    """What a worker has to do when the minute is over. It is always the same minute, in the cache that all share."""
    sent: list[tuple[Any, ...]] = []
    monkeypatch.setattr("emr.hints.publish_later", lambda *args: bool(sent.append(args)) or True)
    monkeypatch.setattr("emr.visits._this_minute", lambda: 1)
    monkeypatch.setattr("emr.visits.cache", cache)
    cache.clear()
    yield sent
    cache.clear()


@pytest.fixture
def person(practice_a: Practice) -> Patient:
    return charts.patient(practice_a, "p1")


def refused() -> list[tuple[Any, ...]]:
    rows = AuditEvent.objects.filter(action="access-refused").order_by("at", "number")
    return list(rows.values_list("practice__code", "user__email", "object_id", "detail"))


# What is asked: method, role, address ({a}: a chart of A; {practice}: A itself), status, what the row says.
ASKED = [
    ("another practice's chart", "get", "clinician", "/patients/{a}/", 404,
     "GET patients:history: not theirs, or not there"),
    ("another practice's list", "get", "staff", "/practices/{practice}/patients/", 404,
     "GET patients:list: not theirs, or not there"),
    ("a change of another practice's", "post", "clinician", "/patients/{a}/assessments/new/", 404,
     "POST patients:assessment-new: not theirs, or not there"),
    ("a chart, by a role that opens none", "get", "admin", "/patients/{a}/", 403,
     "GET patients:history: the role may not open lists, charts, sources, prints"),
    ("the trail, by a clinician", "get", "clinician", "/practices/{practice}/audit/", 403,
     "GET emr:audit-trail: the role may not read the audit trail"),
    ("the members, by the privacy officer", "post", "privacy-officer", "/practices/{practice}/members/", 403,
     "POST emr:members: the role may not invite, change and remove members"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "role", "address", "status", "said"), [row[1:] for row in ASKED], ids=[row[0] for row in ASKED]
)
def test_what_is_not_theirs_is_refused_and_written_down(
    person: Patient, practice_b: Practice, method: str, role: str, address: str, status: int, said: str
) -> None:
    stranger = member("stranger@example.org", practice_b, role)
    url = address.format(a=person.pk, practice=person.practice_id)
    answer = getattr(signed_in(stranger, Client(REMOTE_ADDR="203.0.113.9")), method)(url)
    assert answer.status_code == status
    wanted = person.pk if "{a}" in address else person.practice_id
    assert refused() == [("BBBBBB", "stranger@example.org", wanted, said)]
    assert AuditEvent.objects.get(action="access-refused").address == "203.0.113.9"


# In Django's admin, by the admin of practice B: method, address ({a}: a connection of A), status, what the row says.
IN_THE_ADMIN = [
    ("another practice's row", "get", "/admin/emr/connection/{a}/change/", 302,
     "GET admin:emr_connection_change: not theirs, or not there"),
    ("a change of it", "post", "/admin/emr/connection/{a}/change/", 302,
     "POST admin:emr_connection_change: not theirs, or not there"),
    ("a page of ours about it", "get", "/admin/emr/connection/{a}/checklist/", 404,
     "GET admin:emr_connection_checklist: not theirs, or not there"),
    ("a button of it", "post", "/admin/emr/connection/{a}/do/test/", 404,
     "POST admin:emr_connection_act: not theirs, or not there"),
    ("the operator's keys", "get", "/admin/emr/signingkey/", 403,
     "GET admin:emr_signingkey_changelist: not theirs, or not there"),
    ("a lookup", "get", "/admin/emr/resource/?body__contains=Smith", 400,
     "GET admin:emr_resource_changelist: asked what the page does not offer"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "address", "status", "said"), [row[1:] for row in IN_THE_ADMIN], ids=[row[0] for row in IN_THE_ADMIN]
)
def test_what_the_admin_refuses_is_written_down(
    practice_a: Practice, practice_b: Practice, method: str, address: str, status: int, said: str
) -> None:
    link = Rows(practice_a).of(Connection)
    person = member("admin.b@example.org", practice_b, Membership.Role.ADMIN)
    person.user_permissions.set(scoping.permissions())
    User.objects.filter(pk=person.pk).update(is_staff=True)
    answer = getattr(signed_in(User.objects.get(pk=person.pk)), method)(address.format(a=link.pk))
    assert answer.status_code == status
    assert refused() == [("BBBBBB", person.email, link.pk if "{a}" in address else None, said)]
    assert "Smith" not in str(refused())


def test_of_a_superuser_lookups_alone_are_written_down(practice_b: Practice) -> None:
    root = signed_in(User.objects.create_superuser("root@example.org", "correct horse battery"))
    assert root.get(f"/admin/emr/connection/{uuid.uuid4()}/change/").status_code == 302
    assert root.get(f"/admin/emr/connection/{uuid.uuid4()}/checklist/").status_code == 404
    assert refused() == []
    assert root.get("/admin/emr/user/?password__startswith=md5").status_code == 400
    said = "GET admin:emr_user_changelist: asked what the page does not offer"
    assert refused() == [(None, "root@example.org", None, said)]


def test_the_admins_refusals_are_limited_like_others(practice_b: Practice, later: list[Any]) -> None:
    root = User.objects.create_superuser("root@example.org", "correct horse battery")
    client = signed_in(root)
    for _ in range(LIMIT + 3):
        client.get("/admin/emr/user/?password__startswith=md5")
    assert len(refused()) == LIMIT
    assert later == [(visits.TASK, 65, str(root.pk), 1, "denied")]


def test_whoever_belongs_to_no_practice_is_in_the_chain_of_none(person: Patient) -> None:
    signed_in(User.objects.create_user("former@example.org")).get(f"/patients/{person.pk}/")
    assert refused() == [(None, "former@example.org", person.pk, "GET patients:history: a member of no practice")]


def test_a_refusal_within_a_practice_is_written_down(practice_a: Practice, bob: User) -> None:
    """The role looks at pulls; steering them is refused by the view itself."""
    pull = Rows(practice_a).of(Pull)
    assert signed_in(bob).post(f"/pulls/{pull.pk}/cancel/").status_code == 403
    said = "POST emr:steer: the role may not pause, resume and cancel pulls"
    assert refused() == [("AAAAAA", bob.email, pull.pk, said)]


def test_both_practices_of_a_person_learn_of_it(person: Patient, practice_b: Practice) -> None:
    both = member("both@example.org", practice_b, Membership.Role.CLINICIAN)
    third = Practice.objects.create(name="Cedar", code="CCCCCC")
    Membership.objects.create(user=both, practice=third, role=Membership.Role.CLINICIAN)
    signed_in(both).get(f"/patients/{person.pk}/")
    assert [row[0] for row in refused()] == ["BBBBBB", "CCCCCC"]


def test_what_is_theirs_leaves_no_refusal(person: Patient, alice: User) -> None:
    charts.enrol(person)
    assert signed_in(alice).get(f"/patients/{person.pk}/").status_code == 200
    assert refused() == []


def test_beyond_the_limit_one_row_tells_how_many(practice_b: Practice, charlie: User, later: list[Any]) -> None:
    client = signed_in(charlie)
    for _ in range(LIMIT + 5):
        assert client.get(f"/patients/{uuid.uuid4()}/").status_code == 404
    assert len(refused()) == LIMIT
    assert later == [(visits.TASK, 65, str(charlie.pk), 1, "denied")]
    for _ in range(2):  # a message that came twice
        tasks.tell_refusals(*map(str, later[0][2:]))
    assert refused()[LIMIT:] == [("BBBBBB", charlie.email, charlie.pk, "5 more in a minute")]


def test_each_person_has_a_count_of_their_own(practice_b: Practice, charlie: User) -> None:
    other = member("other@example.org", practice_b, Membership.Role.STAFF)
    for user, times in ((charlie, LIMIT + 3), (other, 2)):
        for _ in range(times):
            signed_in(user).get(f"/patients/{uuid.uuid4()}/")
    assert [row[1] for row in refused()] == [charlie.email] * LIMIT + [other.email] * 2


def test_without_a_broker_the_row_is_written_at_once(charlie: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emr.hints.publish_later", lambda *args: False)
    client = signed_in(charlie)
    for _ in range(LIMIT + 3):
        client.get(f"/patients/{uuid.uuid4()}/")
    assert [row[3] for row in refused()[LIMIT:]] == ["more than can be told"]
