"""Whatever can be posted has its audit rows, the same in every case, and is not done when they cannot be written."""

import re
from collections.abc import Iterator
from dataclasses import replace
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from django.contrib import admin
from django.db import DatabaseError, models, transaction
from django.test import RequestFactory

from emr import views_people, views_pulls
from emr.admin import letters
from emr.models import AuditEvent, Connection, Letter
from patients import views_paper
from patients.models import Assessment
from tests.test_isolation import routes
from tests.trust import acts_of_accounts, acts_of_admin, acts_of_staff
from tests.trust.acting import (
    ADMIN,
    CLINICIAN,
    NOBODY,
    OFFICER,
    ROOT,
    Act,
    Filled,
    Stage,
    constants,
    everything,
    known_events,
    new_events,
    post,
    told,
    undone,
)
from tests.trust.probing import World

# The world is made once, before any test of here has a transaction of its own; the mark has the database made.
pytestmark = pytest.mark.django_db

ACTS: list[Act] = [*acts_of_staff.ACTS, *acts_of_accounts.ACTS, *acts_of_admin.ACTS]


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    """Made once: each act is taken back."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield World.make()
        transaction.set_rollback(True)


@pytest.fixture
def stage(world: World) -> Iterator[Stage]:
    with transaction.atomic():
        yield Stage(world)
        transaction.set_rollback(True)


@pytest.mark.parametrize("act", ACTS, ids=str)
def test_a_post_leaves_its_rows_and_no_other_or_is_not_done(
    stage: Stage, act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = act.filled(stage)
    client = filled.client or stage.client(act.who)
    if act.rows:
        with monkeypatch.context() as broken:
            broken.setattr("emr.audit.record", _cannot)
            answer, changed = undone(lambda: _asked(stage, act, filled), client)
        assert (answer.status_code, changed) == (500, set()), "done without its audit row"
    known = known_events()
    answer = post(stage, act, filled)
    assert answer.status_code in act.answers
    assert answer.getvalue() or answer.status_code != 200  # a stream is written out before the rows are counted
    events = new_events(known)
    assert told(stage, events) == act.rows, [(event.action, event.detail) for event in events]
    assert {event.address for event in events} <= {"203.0.113.9"}


def _cannot(*args: Any, **kwargs: Any) -> AuditEvent:
    raise DatabaseError("the trail cannot be written")


def _asked(stage: Stage, act: Act, filled: Any) -> Any:
    answer = post(stage, act, filled)
    answer.getvalue()
    return answer


# --- nothing is missing from the tables ---

# Routes that answer a POST as they answer a GET, or lead elsewhere; a post to each is shown to change nothing.
NONE = {
    "healthz": "says that the process lives",
    "readyz": "says that the database answers",
    "admin/": "the index",
    "admin/login/": "leads to the sign-in page",
    "admin/password_change/": "leads to the page of the account",
    "admin/password_change/done/": "words",
    "admin/autocomplete/": "a list to choose from",
    "admin/jsi18n/": "words",
    r"admin/r/<path:content_type_id>/<path:object_id>/": "leads to a page of the object, of which there is none",
    r"admin/\^.*": "the list of an application's models",
    r"admin/\(.*": "addresses of no page",
    r"admin/\w+/\w+/<path:object_id>/": "leads to the form",
    r"admin/\w+/\w+/<path:object_id>/history/": "what was changed in the admin, to be read",
    r"admin/\w+/\w+/": "a list; its actions are in the tables",
    r"admin/emr/directoryentry/.*": "a vendor's public list, to be read",
    "admin/emr/connection/<uuid:pk>/checklist/": "how a connection stands, to be read",
    "admin/emr/doctorreport/catalogue/": "the error catalogue",
    "admin/emr/signingkey/calendar/": "what ends when, to be read",
    "admin/emr/signingkey/<uuid:pk>/download/<str:form>": "the public half of a key",
    "admin/emr/letter/<uuid:pk>/letter.eml": "a letter as it was written",
    "accounts/second-factor/": "which factors there are",
    "accounts/second-factor/recovery-codes/": "codes, shown once to who has just confirmed",
    "accounts/second-factor/recovery-codes/download/": "codes, shown once to who has just confirmed",
    "accounts/second-factor/webauthn/": "which keys there are",
}
IN_TABLES = {act.route for act in ACTS}
EVERYBODY = (ROOT, CLINICIAN, ADMIN, OFFICER, NOBODY)
REFUSALS = {403, 404, 405}


def test_every_route_that_takes_posts_is_in_the_tables(stage: Stage) -> None:
    assert _undeclared(stage, [route for route, _ in routes()], IN_TABLES) == []


def _undeclared(stage: Stage, asked: list[str], tables: set[str]) -> list[tuple[str, set[int], set[str]]]:
    """(route, statuses, what a post changes), found by asking: whatever refuses everybody's posts is fine, and so is
    what is said to change nothing, and does not."""
    found = []
    for who in EVERYBODY:
        stage.client(who)  # signed in before anything is compared
    ids = {route: _ids(stage, route) for route in asked if route not in tables}
    before = everything()
    for route, own in ids.items():
        answers, changed = _answers(stage, route, own, before)
        known = any(re.fullmatch(each, route) or each == route for each in NONE)
        if not answers <= REFUSALS and (changed or not known):
            found.append((route, answers, changed))
    return found


def _answers(stage: Stage, route: str, ids: dict[str, Any], before: dict[str, list[Any]]) -> tuple[set[int], set[str]]:
    """(statuses, tables changed) of a bare post by everybody; a way to the sign-in page counts as 403."""
    statuses, changed = set(), set()
    act, filled = Act(route, (), because="asked whether it takes posts"), Filled(ids=ids)
    for who in EVERYBODY:
        cookies = {name: one.value for name, one in stage.client(who).cookies.items()}
        with transaction.atomic():
            answer = post(stage, replace(act, who=who), filled)
            away = str(answer.headers.get("Location", "")).startswith(("/accounts/login/", "/admin/login/"))
            status = 403 if away and not route.endswith("login/") else answer.status_code
            if status not in REFUSALS:
                after = everything()
                changed |= {table for table in before if before[table] != after[table]}
            statuses.add(status)
            transaction.set_rollback(True)
        stage.client(who).cookies = SimpleCookie(cookies)  # some posts sign out
    return statuses, changed


def _ids(stage: Stage, route: str) -> dict[str, Any]:
    found = {"assessment": stage.rows.of(Assessment).pk}
    if "admin/emr/connection/<uuid" in route:
        return found | {"pk": stage.rows.of(Connection).pk}
    if "admin/emr/letter/<uuid" in route:
        return found | {"pk": stage.rows.of(Letter).pk}
    model = next((model for model in admin.site._registry if route.startswith(acts_of_admin.at(model))), None)
    return found | ({"object_id": _some(stage, model)} if model is not None else {})


def _some(stage: Stage, model: type[models.Model]) -> Any:
    known = model._default_manager.first()
    return known.pk if known is not None else acts_of_admin.row_of(stage, model).pk


def _named(route: str) -> set[str]:
    return {act.named for act in ACTS if act.route == route}


# Where the program itself lists what can be done at a route: all of it is in the tables.
DISPATCHED: dict[str, Any] = {
    f"{acts_of_staff.PRACTICE}members/": views_people._MEMBER_STEPS,
    "pulls/<uuid:pk>/<slug:step>/": views_pulls._STEPS,
    f"{acts_of_staff.PATIENT}exports/": views_paper._FILE,
    acts_of_admin.DO: admin.site._registry[Connection]._buttons(),  # type: ignore[attr-defined]
    acts_of_admin.at(Letter, "<uuid:pk>/do/<str:what>/"): letters._MARKS,
}


@pytest.mark.parametrize("route", DISPATCHED)
def test_every_step_the_program_knows_is_in_the_tables(route: str) -> None:
    assert _named(route) == set(DISPATCHED[route])


def test_every_action_of_an_admin_list_is_in_the_tables(stage: Stage) -> None:
    request = RequestFactory().get("/")
    request.user = stage.person(ROOT)
    for model, page in admin.site._registry.items():
        assert _named(acts_of_admin.at(model)) == set(page.get_actions(request)), model


def test_every_button_of_a_page_is_in_the_tables() -> None:
    """A page that offers another act under a name of its own has it in the tables."""
    folder = Path(settings.BASE_DIR) / "templates"
    offered = constants(path.read_text("utf-8") for path in sorted(folder.rglob("*.html")))
    assert _buttons_without_act(offered, ACTS) == set()


def _buttons_without_act(offered: set[tuple[str, str]], acts: list[Act]) -> set[tuple[str, str]]:
    """A button that tells by its name (`_check`) or by its value (`do`, `format`) what it does."""
    named = {act.named for act in acts}
    return {(name, value) for name, value in offered if not {name, value} & named}


def test_the_checks_bite(stage: Stage) -> None:
    """One line taken out of the tables, and it is missed."""
    route = f"{acts_of_staff.PRACTICE}break-glass/"
    [(missed, answers, changed)] = _undeclared(stage, [route], IN_TABLES - {route})
    assert (missed, changed) == (route, set())  # a bare post gives no reason
    assert 200 in answers
    less = [act for act in ACTS if act.named != "reject"]
    assert _buttons_without_act({("do", "reject"), ("do", "accept")}, less) == {("do", "reject")}
    with pytest.raises(AssertionError):
        Act(route, ())
