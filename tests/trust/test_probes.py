"""Nobody is sent what is another practice's: generated probes, and faults seeded to see that they bite."""

from http.cookies import SimpleCookie

import pytest
from django.http import HttpRequest, HttpResponse

from emr.accounts import second_factor, sessions
from emr.admin.charts import ChartAdmin, ResourceAdmin
from emr.models import Enrolment, Practice, Resource
from patients import views
from tests.trust import probing, seeding
from tests.trust.probing import World
from tests.trust.rows import Rows

pytestmark = pytest.mark.django_db

SHARE = 1 / 100  # the bench asks them all


@pytest.fixture
def world(db: None) -> World:
    return World.make()


def test_probes_find_nothing(world: World) -> None:
    everything = list(probing.probes(world))
    assert len(everything) >= 20_000
    outcome = probing.run(probing.sample(everything, SHARE, seed=1))
    assert outcome.found == [], probing.told(outcome)


def test_own_rows_are_shown_to_their_people(world: World) -> None:
    """The canaries are where they would be seen: without this, the probes would prove nothing."""
    shown = 0
    for probe in probing.probes(world, ["patients/<uuid:pk>/", "sources/<uuid:pk>/", "patients/<uuid:pk>/print/"]):
        if probe.method == "get" and probe.owner == "A" and probe.actor.name == "clinician of A":
            answer = probe.actor.client.get(probe.url)
            shown += probing.CANARIES["A"].lower().encode() in answer.content.lower()
    assert shown >= 5


def test_actors_are_still_signed_in_after_signing_out(world: World) -> None:
    """A probe that signs somebody out must not make strangers of the probes that follow."""
    probing.run(probing.probes(world, ["accounts/logout/"]))
    (probe,) = (
        probe for probe in probing.probes(world, [""]) if probe.actor.name == "clinician of A" and probe.method == "get"
    )
    assert probing.faults(probe) == []
    assert probe.actor.client.get("/").headers["Location"].startswith("/practices/")


def test_seeded_faults_are_caught(world: World) -> None:
    faults = seeding.seeded()
    assert len(faults) >= 25
    assert {fault.kind for fault in faults} == {"route", "query", "picker", "admin", "scope"}
    missed = [fault.name for fault in faults if not fault.is_caught(world)]
    assert not missed, "\n".join(missed)


def test_practice_admins_are_asked_for_in_the_admin(world: World) -> None:
    """They get pages of their own rows there, and forms of theirs are taken: the scope alone refuses the others."""
    shown = written = 0
    for probe in probing.probes(world, [OF_CONNECTION, "admin/emr/invitation/add/"]):
        if probe.actor.in_admin and probe.owner == probe.actor.practice:
            answer = probing.ask(probe)
            shown += probe.method == "get" and answer.status_code == 200
            written += probe.data is not None and answer.status_code == 302
    assert shown == 2
    assert written == 2


OF_CONNECTION = "admin/emr/connection/<path:object_id>/change/"
OF_RESOURCES = "the admin's list of Resource shows fhir_id"


def _seeded(*names: str) -> list[seeding.Fault]:
    found = [fault for fault in seeding.seeded() if fault.name in names]
    assert len(found) == len(names)
    return found


def test_faults_are_caught_after_a_long_time(world: World) -> None:
    """Sensitive pages ask again who it is after ten minutes, and an idle session ends after fifteen."""
    for actor in world.actors:
        actor.client.cookies = SimpleCookie(dict(actor.cookies))
        session = actor.client.session
        for clock in {sessions.BEGAN, sessions.SEEN} & set(session.keys()):
            session[clock] -= 3600
            session.save()
    exported = "patients/<uuid:pk>/exports/ scopes nothing"
    assert all(fault.is_caught(world) for fault in _seeded(exported, OF_RESOURCES))


def test_faults_are_caught_among_many_rows_of_others(world: World) -> None:
    """What a list's first page and an autocomplete show may all be of practices that are not the probes'."""
    others = Rows(Practice.objects.create(name="Cedar Clinic", code="CCCCCC"))
    for _ in range(300):
        others.insert(Resource, {})
    labelled = "the admin's autocomplete labels each Resource by its fhir_id"
    assert all(fault.is_caught(world) for fault in _seeded(OF_RESOURCES, labelled))


def _found(world: World, routes: list[str], actor: str) -> list[str]:
    chosen = [probe for probe in probing.probes(world, routes) if probe.actor.name == actor]
    return [wrong for _, all_wrong in probing.run(chosen).found for wrong in all_wrong]


def test_a_session_without_second_factor_let_in_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(second_factor, "proven", lambda request, user: True)
    found = _found(world, ["patients/<uuid:pk>/"], "clinician of A without second factor")
    assert "the canary of A" in found


def test_an_admin_page_that_shows_bodies_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ResourceAdmin, "fields", [*ResourceAdmin.fields, "body"])
    monkeypatch.setattr(ChartAdmin, "get_queryset", super(ChartAdmin, ResourceAdmin).get_queryset)
    assert "the canary of A" in _found(world, ["admin/emr/resource/<path:object_id>/change/"], "superuser")


def test_an_admin_list_that_shows_patients_ids_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ResourceAdmin, "list_display", [*ResourceAdmin.list_display, "body"])
    assert "the canary of A" in _found(world, ["admin/emr/resource/"], "superuser")


def test_a_page_that_writes_when_looked_at_is_caught(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(request: HttpRequest, said: str) -> HttpResponse:
        Enrolment.objects.filter(pk=world.rows["A"].of(Enrolment).pk).update(due_reason="looked at")
        world.rows["A"].practice.connections.update(group_id="x")
        return HttpResponse(said)

    monkeypatch.setattr(views, "render", lambda request, name, context: careless(request, name))
    assert "GET wrote emr_connection" in _found(world, ["patients/<uuid:pk>/"], "clinician of A")
