"""Somebody is sought in the EMR, staff say who it is, and only then are they enrolled."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from emr import look_ups
from emr.models import Connection, LookUp, User, WorkItem
from emr.pulling import waiting
from tests.emr.conftest import Connect, Control
from tests.pulls.conftest import calls, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]


def somebody(control: Control) -> tuple[dict[str, str], str]:
    person = control.get("patients")["patients"][0]
    name = person["names"][0]
    search = {"family": name["family"].upper(), "given": name["given"][0], "birthdate": person["birth_date"]}
    return search, person["id"]


def ask(connection: Connection, search: dict[str, str], by: User) -> LookUp:
    return look_ups.ask(connection, [search], by)[0]


def looked_up(row: LookUp) -> LookUp:
    for pk in waiting.look_ups_waiting():
        look_ups.run(pk)
    row.refresh_from_db()
    return row


def test_a_person_is_found_shown_and_enrolled_by_staff_only(connect: Connect, alice: User) -> None:
    connection, control = connect(patients=3)
    search, fhir_id = somebody(control)
    row = looked_up(ask(connection, search, alice))
    assert (row.state, len(row.found), row.found[0]["fhir_id"]) == ("done", 1, fhir_id)
    assert row.found[0]["label"].startswith(search["family"])
    assert row.found[0]["birth_date"] == search["birthdate"]
    assert not connection.enrolments.exists()
    assert calls(control) == 3  # discovery, token, search
    assert not look_ups.enrol(row, "somebody-else")
    assert look_ups.enrol(row, fhir_id)
    assert not look_ups.enrol(row, fhir_id)
    enrolment = connection.enrolments.get()
    assert (enrolment.patient_fhir_id, enrolment.known_by) == (fhir_id, "look-up")
    assert work(connection).items.get().rank == WorkItem.Rank.ASKED


def test_nobody_is_found(connect: Connect, alice: User) -> None:
    connection, control = connect(patients=1)
    search, _ = somebody(control)
    row = looked_up(ask(connection, search | {"birthdate": "1900-01-01"}, alice))
    assert (row.state, row.found) == ("done", [])


def test_a_search_the_server_does_not_know_fails_in_words(connect: Connect, alice: User) -> None:
    connection, _ = connect(patients=1)
    row = looked_up(ask(connection, {"name": "Somebody"}, alice))
    assert (row.state, row.reason) == ("failed", "This server does not offer that search (FHIR_UNSUPPORTED_SEARCH)")


def test_a_scope_that_was_not_granted_fails_in_words(connect: Connect, alice: User) -> None:
    connection, control = connect(patients=1)
    connection.registration.scopes = "system/Condition.read"
    connection.registration.save()
    row = looked_up(ask(connection, somebody(control)[0], alice))
    assert (row.state, row.reason) == ("failed", look_ups.NOT_GRANTED)


@pytest.mark.parametrize(("times", "state"), [(2, "done"), (3, "failed")])
def test_a_passing_fault_is_tried_again_and_not_for_ever(connect: Connect, alice: User, times: int, state: str) -> None:
    connection, control = connect(patients=1)
    control.fault("500", match={"type": "Patient"}, times=times)
    row = ask(connection, somebody(control)[0], alice)
    for _ in range(4):
        LookUp.objects.update(not_before=None, published_at=None)
        looked_up(row)
    assert row.state == state
    assert (row.reason == "") == (state == "done")


def test_a_401_costs_one_new_token(connect: Connect, alice: User) -> None:
    connection, control = connect(patients=1)
    control.fault("expire-tokens", match={"type": "Patient"}, times=1)
    row = looked_up(ask(connection, somebody(control)[0], alice))
    assert row.state == "done"
    assert connection.system_tokens.get().generation == 2


def test_a_401_after_another_failure_costs_one_new_token_too(connect: Connect, alice: User) -> None:
    connection, control = connect(patients=1)
    control.fault("500", match={"type": "Patient"}, times=1)
    row = looked_up(ask(connection, somebody(control)[0], alice))
    control.fault("expire-tokens", match={"type": "Patient"}, times=1)
    LookUp.objects.update(not_before=None, published_at=None)
    assert looked_up(row).state == "done"
    connection.refresh_from_db()
    assert connection.state == Connection.State.ACTIVE


def test_a_401_with_a_new_token_ends_the_search(connect: Connect, alice: User) -> None:
    connection, control = connect(patients=1)
    control.fault("status", status=401, match={"type": "Patient"}, times=5)
    row = looked_up(ask(connection, somebody(control)[0], alice))
    assert row.state == "failed"
    assert "FHIR_401" in row.reason
    assert connection.system_tokens.get().generation == 2


def test_waiting_for_calls_is_no_attempt(connect: Connect, alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    connection, control = connect(patients=1)
    taken: list[Any] = []
    monkeypatch.setattr("emr.budget.DatabaseBudget.take", lambda self, key, **kwargs: taken.append(kwargs) or 20.0)
    row = looked_up(ask(connection, somebody(control)[0], alice))
    assert (row.state, row.attempts, row.lease_until) == ("queued", 0, None)
    assert row.not_before is not None
    assert row.not_before > timezone.now() + timedelta(seconds=15)
    assert waiting.look_ups_waiting() == []


def test_the_search_and_what_it_needs_are_interactive(
    connect: Connect, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, control = connect(patients=1)
    taken: list[Any] = []
    monkeypatch.setattr("emr.budget.DatabaseBudget.take", lambda self, key, **kw: taken.append(kw["interactive"]) or 0)
    looked_up(ask(connection, somebody(control)[0], alice))
    assert taken == [True, True, True]  # discovery, token, search


def test_one_worker_searches_and_old_look_ups_go(connect: Connect, alice: User) -> None:
    connection, control = connect(patients=1)
    row = ask(connection, somebody(control)[0], alice)
    LookUp.objects.update(lease_until=timezone.now() + timedelta(seconds=30))
    look_ups.run(row.pk)
    assert calls(control) == 0
    LookUp.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert waiting.look_ups_waiting() == []
    assert not LookUp.objects.exists()
