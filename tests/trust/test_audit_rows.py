"""Exactly one audit row for each page of staff that is asked for; what is posted is in test_audit_posts."""

from dataclasses import dataclass
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.core.management import call_command
from django.urls import reverse

from emr.models import (
    AuditEvent,
    Enrolment,
    Grant,
    Practice,
    Pull,
    Resource,
    SigningKey,
    User,
)
from patients.models import Assessment, Patient
from tests.conftest import signed_in
from tests.test_isolation import CONSENTS, MEMBER, OFFICER, POLICY, UNNAMED
from tests.trust import acts_of_staff, addresses
from tests.trust.probing import World
from tests.trust.rows import Rows

pytestmark = pytest.mark.django_db
CLINICIAN, OFFICER_OF_B, ADMIN = "clinician of B", "privacy-officer of B", "admin of B"
PRACTICE, PATIENT = "practices/<uuid:practice_id>/", "patients/<uuid:pk>/"


@dataclass(frozen=True)
class Act:
    """A page asked for. rows: the actions of its events, in order. about: the model of `pk`, or a state of a grant."""

    route: str
    rows: tuple[str, ...] = ()
    about: Any = Patient
    who: str = CLINICIAN

    def __str__(self) -> str:
        return self.route


ACTS = [
    Act(f"{PRACTICE}patients/", ("list-patients",)),
    Act(PATIENT, ("read-history",)),
    Act(f"{PATIENT}timeline/", ("read-history",)),
    Act(f"{PATIENT}search/", ("search-record",)),
    Act(f"{PATIENT}print/", ("print",)),
    Act(f"{PATIENT}exports/", ("read-history",)),
    Act("sources/<uuid:pk>/", ("read-source",), Resource),
    Act(f"{PATIENT}assessments/", ("read-history",)),
    Act(f"{PATIENT}assessments/new/", ("read-history",)),
    Act(f"{PATIENT}assessments/<uuid:assessment>/correct/", ("read-history",), Assessment),
    Act(f"{PATIENT}trials/<slug:about>/attest/", ("read-history",)),
    Act(f"{PATIENT}prompts/", ("read-history",)),
    Act(f"{PRACTICE}medications/", ("binding",)),
    Act(f"{PRACTICE}medications/<uuid:pk>/", ("binding",), "order"),
    Act("enrolments/<uuid:pk>/history/", (), Enrolment),
    Act(f"{PRACTICE}pulls/"),
    Act(f"{PRACTICE}changes/", ("pull",)),
    Act("pulls/<uuid:pk>/", (), Pull),
    Act(f"{PRACTICE}quarantine/"),
    Act(f"{PRACTICE}roster/", ("roster",)),  # there are look-ups with names
    Act(f"{PRACTICE}schedule/"),
    Act(PRACTICE, who=OFFICER_OF_B),
    Act(f"{PRACTICE}members/", who=ADMIN),
    Act(f"{PRACTICE}break-glass/", who=ADMIN),
    Act(f"{PRACTICE}audit/", ("read-audit",), who=OFFICER_OF_B),
    Act(f"{PATIENT}seen/", ("read-audit",), who=OFFICER_OF_B),
    Act(f"{PRACTICE}consents/", ("consent",)),
    Act(f"{PRACTICE}consents/invite/"),
    Act("sources/<uuid:pk>/consent/", ("consent",), "record"),
    Act("consents/<uuid:pk>/decide/", ("consent",), Grant.State.HELD),
    Act("consents/<uuid:pk>/disconnect/", ("consent",), Grant.State.NEEDS_CONSENT),
]  # fmt: skip


@pytest.fixture
def world(db: None) -> World:
    return World.make()


def test_every_staff_route_has_its_line() -> None:
    staff = {route for route, who in POLICY.items() if who in {MEMBER, UNNAMED, OFFICER, CONSENTS} and "<" in route}
    posted = {act.route for act in acts_of_staff.ACTS}  # tests/trust/test_audit_posts.py
    assert {act.route for act in ACTS} | posted & staff == staff


@pytest.mark.parametrize("act", ACTS, ids=str)
def test_an_act_leaves_its_row_and_no_other(world: World, act: Act) -> None:
    rows = world.rows["B"]
    actor = next(actor for actor in world.actors if actor.name == act.who)
    ids = {"pk": _about(world, rows, act), "practice_id": rows.practice.pk}
    if act.about is Assessment:
        ids = {"pk": rows.of(Assessment).patient_id, "assessment": rows.of(Assessment).pk}
    url = addresses.made_up(act.route, ids)
    known = set(AuditEvent.objects.values_list("pk", flat=True))
    client = actor.client
    answer = client.get(url)
    assert answer.status_code in {200, 302}, answer.content.decode()[:2000]
    assert answer.getvalue() or answer.status_code == 302  # a stream is written out before the rows are counted
    new = AuditEvent.objects.exclude(pk__in=known).order_by("number")
    assert tuple(new.values_list("action", flat=True)) == act.rows, list(new.values_list("action", "detail"))
    assert {row.practice_id for row in new} <= {rows.practice.pk}
    assert {str(row.user) for row in new} <= {str(User.objects.get(email=f"{act.who.split()[0]}.b@example.org"))}


def _about(world: World, rows: Rows, act: Act) -> Any:
    if act.about is Patient:
        return world.patients["B"].pk
    if act.about in Grant.State.values:
        return Grant.objects.get(connection__practice=rows.practice, user=None, state=act.about).pk
    if act.about == "record":
        return Resource.objects.get(practice=rows.practice, resource_type="Patient", fhir_id="c-Qbcanary").pk
    if act.about == "order":
        return world.patients["B"].entries.get().source_id
    return rows.of(act.about).pk if isinstance(act.about, type) else None


# --- the admin and commands ---


@pytest.mark.parametrize(
    ("action", "rows"),
    [("check_now", ["configuration"]), ("pull_now", ["pull"]), ("probe_anew", ["configuration"])],
)
def test_what_an_admin_asks_of_connections_is_recorded(world: World, action: str, rows: list[str]) -> None:
    links = [world.rows[key].connection for key in ("A", "B")]
    client = signed_in(User.objects.get(email="root@example.org"))
    known = set(AuditEvent.objects.values_list("pk", flat=True))
    form = {"action": action, "_selected_action": [str(link.pk) for link in links]}
    assert client.post(reverse("admin:emr_connection_changelist"), form).status_code == 302
    new = AuditEvent.objects.exclude(pk__in=known)
    assert sorted(new.values_list("action", "practice", "object_id")) == sorted(
        (action, link.practice_id, link.pk) for action in rows for link in links
    )


def test_keys_steps_asked_for_are_recorded(world: World) -> None:
    client = signed_in(User.objects.get(email="root@example.org"))
    key = SigningKey.objects.first() or Rows(world.rows["A"].practice).insert(SigningKey, {})
    form = {"action": "advance", "_selected_action": [str(key.pk)]}
    assert client.post(reverse("admin:emr_signingkey_changelist"), form).status_code == 302
    assert AuditEvent.objects.filter(action="configuration", detail="SigningKey: due steps asked for").count() == 1


def test_an_export_of_everything_is_in_every_chain(practice_a: Practice, practice_b: Practice) -> None:
    call_command("export_audit", stdout=StringIO())
    rows = AuditEvent.objects.filter(action="read-audit").values_list("practice", flat=True)
    assert sorted(map(str, rows)) == sorted(map(str, [None, practice_a.pk, practice_b.pk]))


def test_an_export_of_one_practice_is_in_its_chain_alone(practice_a: Practice, practice_b: Practice) -> None:
    call_command("export_audit", practice="AAAAAA", stdout=StringIO())
    assert [row.practice for row in AuditEvent.objects.filter(action="read-audit")] == [practice_a]


# --- who asks is asked again ---


@pytest.mark.parametrize("method", ["get", "post"])
def test_exports_ask_again_who_it_is(world: World, method: str) -> None:
    url = reverse("patients:exports", args=[world.patients["B"].pk])
    with time_machine.travel(1_800_000_000, tick=False) as now:
        client = signed_in(User.objects.get(email="clinician.b@example.org"))
        now.shift(601)
        answer = getattr(client, method)(url, {"format": "csv"})
        assert answer.headers["Location"].startswith(reverse("account_reauthenticate"))
        assert not AuditEvent.objects.filter(action="export").exists()


def test_the_trails_download_asks_again_and_leads_to_the_trail(world: World) -> None:
    practice = world.rows["B"].practice
    with time_machine.travel(1_800_000_000, tick=False) as now:
        client = signed_in(User.objects.get(email="privacy-officer.b@example.org"))
        now.shift(601)
        answer = client.post(reverse("emr:audit-export", args=[practice.pk]))
        assert answer.headers["Location"].startswith(reverse("account_reauthenticate"))
        assert "audit%2F" in answer.headers["Location"]
        assert "export" not in answer.headers["Location"]


def test_downloads_of_keys_ask_again_who_it_is(world: World) -> None:
    key = SigningKey.objects.first() or Rows(world.rows["A"].practice).insert(SigningKey, {})
    with time_machine.travel(1_800_000_000, tick=False) as now:
        client = signed_in(User.objects.get(email="root@example.org"))
        now.shift(601)
        answer = client.get(reverse("admin:emr_signingkey_download", args=[key.pk, "public.pem"]))
        assert answer.headers["Location"].startswith(reverse("account_reauthenticate"))
