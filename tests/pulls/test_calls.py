"""Every call counts: exact numbers at small size, and what writes nothing."""

import re
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from emr import pulls, schedule, signals, store, tokens, validate
from emr.models import Connection, Pull, Resource, TypeOutcome, WorkItem
from emr.pulling import asking, ending, references
from emr.wire import fhir
from tests.emr.conftest import Connect
from tests.pulls.conftest import calls, enrol, work, work_with_a_death

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]

TOKEN, DISCOVERY = 1, 1


def minimum(connection: Connection, patients: int) -> int:
    """Calls of the plan when every list fits one page: its queries, and each Medication once."""
    return patients * len(connection.profile.plan) + Resource.objects.filter(resource_type="Medication").count()


def test_a_first_pull_makes_the_fewest_calls_and_takes_one_token(connect: Connect) -> None:
    connection, control = connect(patients=3, page_size=1000)
    enrol(connection, control)
    pull = work(connection)
    assert pull.state == Pull.State.COMPLETE
    assert pull.calls == minimum(connection, 3)
    assert calls(control) == minimum(connection, 3) + TOKEN + DISCOVERY
    assert connection.system_tokens.get().generation == 1


def test_further_pages_are_the_only_further_calls(connect: Connect) -> None:
    connection, control = connect(patients=1, page_size=2)
    enrol(connection, control)
    pull = work(connection)
    pages = 0
    for query in connection.profile.plan:
        if query.parameters:
            told = Resource.objects.filter(query=query.describe()).count()
            pages += max(1, -(-told // 2))
        else:
            pages += 1
    medications = Resource.objects.filter(resource_type="Medication").count()
    # A resource that two categories list is on file once; the second list still fills its page.
    assert pages + medications <= pull.calls <= pages + medications + 3
    assert connection.system_tokens.get().generation == 1


def test_an_unchanged_second_pull_writes_no_record_and_validates_none(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, control = connect(patients=2, page_size=1000)
    enrol(connection, control)
    first = work(connection)
    validated: list[object] = []
    monkeypatch.setattr(validate, "problems", lambda resource: validated.append(resource) or "")
    before = Resource.objects.count()
    asking.request_pull(connection, "test")
    with CaptureQueriesContext(database) as captured:
        second = work(connection)
    wrote = re.compile(r'^\s*(INSERT INTO|UPDATE|DELETE FROM)\s+"(emr_resource|patients_entry|emr_quarantine)"', re.I)
    assert [query["sql"] for query in captured.captured_queries if wrote.match(query["sql"])] == []
    assert validated == []
    assert Resource.objects.count() == before
    assert second.pk != first.pk
    assert (second.new, second.changed, second.gone) == (0, 0, 0)
    assert second.same == first.new + first.same - Resource.objects.filter(resource_type="Medication").count()
    assert second.calls == 2 * len(connection.profile.plan)
    assert connection.system_tokens.get().generation == 1


PASSING = ["500", "502-html", "truncated", "short-body", "reset", "not-json"]


@pytest.mark.parametrize("fault", PASSING)
def test_a_fault_costs_one_call_more_and_loses_nothing(connect: Connect, fault: str) -> None:
    connection, control = connect(patients=1, page_size=1000)
    control.fault(fault, match={"type": "Observation", "nth": 3}, times=1)
    enrol(connection, control)
    pull = work(connection)
    assert pull.state == Pull.State.COMPLETE
    assert pull.calls == minimum(connection, 1) + 1
    served = {(kind, fhir_id) for kind, fhir_id, _ in control.get("ledger")["served"]}
    assert served == set(Resource.objects.values_list("resource_type", "fhir_id"))


def test_a_fault_at_the_token_costs_one_call_more_and_no_connection(connect: Connect) -> None:
    connection, control = connect(patients=1, page_size=1000)
    control.fault("500", match={"path": "/token"}, times=1)
    enrol(connection, control)
    assert work(connection).state == Pull.State.COMPLETE
    connection.refresh_from_db()
    assert connection.state == Connection.State.ACTIVE
    assert calls(control) == minimum(connection, 1) + TOKEN + DISCOVERY + 1


def rows() -> set[tuple[Any, ...]]:
    return set(Resource.objects.values_list("resource_type", "fhir_id", "content_hash", "entered_in_error"))


def outcomes() -> set[tuple[Any, ...]]:
    return set(TypeOutcome.objects.values_list("enrolment__patient_fhir_id", "resource_type", "outcome"))


POINTS = [
    (fhir, "search", "before the answer"),
    (store, "keep_of_many", "before a page is stored"),
    (pulls.Run, "_commit", "before a commit"),
    (pulls.Run, "_record", "inside the commit that ends a type"),
    (signals.patient_pulled, "send", "before the histories are told"),
    (schedule, "due_again", "inside the commit that ends an item"),
    (ending, "finish_pulls", "before the pull is closed"),
    (references, "missing", "before the references are looked for"),
]


@pytest.mark.parametrize("nth", [1, 4])
@pytest.mark.parametrize(("place", "name", "when"), POINTS, ids=[when for _, _, when in POINTS])
def test_a_worker_killed_anywhere_leaves_no_trace(
    connect: Connect, monkeypatch: pytest.MonkeyPatch, place: Any, name: str, when: str, nth: int
) -> None:
    connection, control = connect(patients=2, page_size=8)
    enrol(connection, control)
    undisturbed = work(connection)
    wanted, ended = rows(), outcomes()
    for model in (Resource, TypeOutcome, Pull):
        model.objects.all().delete()
    connection.enrolments.update(due_at=timezone.now(), pulled_at=None)
    before = calls(control)
    work_with_a_death(monkeypatch, place, name, nth)
    pull = connection.pulls.latest("started_at")
    assert (rows(), outcomes()) == (wanted, ended)
    assert pull.state == Pull.State.COMPLETE
    assert not WorkItem.objects.exclude(state=WorkItem.State.DONE).exists()
    assert calls(control) - before <= undisturbed.calls + 1  # the page the dead had asked for


# --- statements, counted ---


def test_types_not_granted_end_in_one_commit(connect: Connect) -> None:
    connection, control = connect(patients=1, page_size=1000)
    connection.registration.scopes = "system/Patient.read system/Procedure.read"
    connection.registration.save()
    enrol(connection, control)
    with CaptureQueriesContext(database) as seen:
        pull = work(connection)
    commits = [row["sql"] for row in seen if row["sql"].startswith('UPDATE "emr_workitem" SET "cursor"')]
    # Patient, Procedure, all the others at once, the references, and the end.
    assert (pull.state, pull.calls, len(commits)) == ("complete", 2, 5)
    outcomes = dict(TypeOutcome.objects.values_list("resource_type", "outcome"))
    granted = {kind for kind, outcome in outcomes.items() if outcome == "complete"}
    assert granted == {"Patient", "Procedure", "Medication"}
    assert set(outcomes) == set(connection.profile.planned_types)
    assert {outcomes[kind] for kind in set(outcomes) - granted} == {"not-permitted"}


@pytest.mark.parametrize("ended", [False, True], ids=["good all the time", "at its end after each call"])
def test_a_run_looks_its_token_up_when_it_may_have_ended(
    connect: Connect, ended: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, control = connect(patients=1, page_size=1000)
    enrol(connection, control)
    asked: list[tokens.Access] = []
    find = tokens.system_access

    def looked_up(*args: Any, **kwargs: Any) -> tokens.Access:
        found = find(*args, **kwargs)
        asked.append(replace(found, fresh_until=timezone.now()) if ended else found)
        return asked[-1]

    monkeypatch.setattr(tokens, "system_access", looked_up)
    pull = work(connection)
    assert pull.state == "complete"
    assert len(asked) == (pull.calls if ended else 1)


def test_an_incomplete_pass_leaves_the_earlier_complete_one_noted(connect: Connect) -> None:
    connection, control = connect(patients=1, page_size=1000)
    enrol(connection, control)
    work(connection)
    before = TypeOutcome.objects.get(resource_type="Condition")
    control.fault("forbid-type", match={"type": "Condition"}, times=1)
    asking.request_pull(connection, "again")
    work(connection)
    after = TypeOutcome.objects.get(resource_type="Condition")
    assert (after.pk, after.outcome, after.confirmed_at) == (before.pk, "not-permitted", before.confirmed_at)
    assert after.attempted_at > before.attempted_at
