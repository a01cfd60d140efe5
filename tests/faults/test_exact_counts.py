"""Exact counts of a pull with faults on the way: nothing lost, nothing twice, one call more for each fault."""

import hashlib
from typing import Any

import pytest
from django.db import connection as database
from django.test.utils import CaptureQueriesContext

from emr import validate
from emr.models import Resource, TypeOutcome
from emr.pulling import asking
from patients.models import Entry
from tests.emr.conftest import Connect, Control
from tests.pulls.conftest import calls, enrol, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]

FAULTS = {
    "500": {"kind": "500"},
    "truncated JSON": {"kind": "truncated"},
    "short body": {"kind": "short-body"},
    "connection reset": {"kind": "reset"},
    "page over the cap": {
        "kind": "status", "status": 200, "body": " " * (21 * 1024 * 1024), "content_type": "application/fhir+json",
    },
    "429 with Retry-After": {"kind": "status", "status": 429, "headers": {"Retry-After": "1"}},
}  # fmt: skip


def on_file() -> dict[tuple[str, str], str]:
    """What the sandbox's ledger would call it: type, id and hash of the text."""
    rows = Resource.objects.values_list("resource_type", "fhir_id", "body")
    return {(kind, fhir_id): hashlib.sha256(body.encode()).hexdigest() for kind, fhir_id, body in rows}


def served(control: Control) -> dict[tuple[str, str], str]:
    return {(kind, fhir_id): digest for kind, fhir_id, digest in control.get("ledger")["served"]}


def least(connection: Any) -> int:
    """Calls of one patient whose every list fits a page, with token, discovery and what is read by reference."""
    shared = Resource.objects.filter(resource_type__in=connection.profile.read_by_reference).count()
    return len(connection.profile.plan) + shared + 2


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_costs_one_call_and_no_resource(connect: Connect, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("emr.budget.DatabaseBudget.block", lambda self, key, seconds: None)
    connection, control = connect(patients=1, page_size=1000)
    enrol(connection, control)
    order = dict(FAULTS[fault])
    control.fault(order.pop("kind"), match={"type": "Condition"}, **order)
    pull = work(connection)
    assert pull.state == "complete"
    assert calls(control) == least(connection) + 1
    assert on_file() == served(control) != {}
    assert not TypeOutcome.objects.filter(outcome="not-fetched").exists()


def test_an_undisturbed_pull_makes_the_fewest_calls_and_asks_for_one_token(connect: Connect) -> None:
    connection, control = connect(patients=1, page_size=1000)
    enrol(connection, control)
    assert work(connection).state == "complete"
    assert calls(control) == least(connection)
    assert control.get("calls")["tokens_minted"] == 1


def test_an_oversized_page_that_stays_is_asked_for_twice_and_named(connect: Connect) -> None:
    connection, control = connect(patients=1, page_size=1000)
    enrol(connection, control)
    order = dict(FAULTS["page over the cap"])
    control.fault(order.pop("kind"), match={"type": "Condition"}, times=None, **order)
    work(connection)
    assert calls(control) == least(connection) + 1
    assert TypeOutcome.objects.get(resource_type="Condition").code == "NET_TOO_LARGE"


def test_a_second_pull_with_nothing_changed_writes_no_resource_and_no_entry_and_validates_nothing(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, control = connect(patients=1, page_size=1000)
    enrol(connection, control)
    work(connection)
    before = on_file()
    validated: list[str] = []
    monkeypatch.setattr(validate, "problems", lambda body: validated.append(body["id"]) or "")
    asking.request_pull(connection, "test")
    tables = [f'"{model._meta.db_table}"' for model in (Resource, Entry)]
    with CaptureQueriesContext(database) as queries:
        again = work(connection)
    writes = [
        one["sql"] for one in queries if one["sql"].split(" ")[0] in {"INSERT", "UPDATE", "DELETE"}
        and any(table in one["sql"].partition("SET")[0].partition("WHERE")[0] for table in tables)
    ]  # fmt: skip
    assert (again.state, again.new, again.changed, again.gone) == ("complete", 0, 0, 0)
    assert again.same > 50
    assert (writes, validated) == ([], [])
    assert on_file() == before
