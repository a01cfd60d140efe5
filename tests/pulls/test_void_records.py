"""Records that are void, foreign or deleted: what is on file says so, from a complete list alone."""

import json
from typing import Any

import pytest

from emr.models import Quarantine, Resource, TypeOutcome
from emr.pulling import asking
from tests.pulls.conftest import work
from tests.pulls.odd_server import Asked, Said, bundle
from tests.pulls.test_paging import TYPE, Odd, entry, odd, of_path  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]

VOID = [
    ("a verification status", {"verificationStatus": {"coding": [{"code": "entered-in-error"}]}}),
    ("a status", {"status": "entered-in-error"}),
]


def changed(number: int, **members: Any) -> dict[str, Any]:
    made: dict[str, Any] = entry(number)
    return {"resource": made["resource"] | members}


def again(odd: Odd, entries: list[dict[str, Any]], **members: Any) -> Any:  # noqa: F811
    connection, server = odd
    server.answer = lambda asked: Said(bundle(entries, **members)) if asked.path == TYPE else None
    asking.request_pull(connection, "test")
    return work(connection)


@pytest.mark.parametrize("path", ["patients", "population"])
@pytest.mark.parametrize("void", [row[1] for row in VOID], ids=[row[0] for row in VOID])
def test_entered_in_error_is_kept_and_marked_and_may_be_taken_back(
    odd: Odd, void: dict[str, Any], path: str  # noqa: F811
) -> None:  # fmt: skip
    connection, _ = odd
    of_path(connection, path)
    again(odd, [entry(1), entry(2)])
    pull = again(odd, [entry(1), changed(2, **void)])
    assert (pull.changed, pull.gone) == (1, 0)
    rows = Resource.objects.filter(resource_type=TYPE)
    assert dict(rows.values_list("fhir_id", "entered_in_error")) == {"c1": False, "c2": True}
    assert json.loads(rows.get(fhir_id="c2").body) == changed(2, **void)["resource"]
    again(odd, [entry(1), entry(2)])
    assert not rows.filter(entered_in_error=True).exists()


INCOMPLETE = [
    ("a further page lies elsewhere", {"link": [{"relation": "next", "url": "https://elsewhere.example/r4?p=2"}]}),
    ("a further page is another practice's", {"link": [{"relation": "next", "url": "http://127.0.0.1/other?p=2"}]}),
]


@pytest.mark.parametrize("path", ["patients", "population"])
@pytest.mark.parametrize("members", [row[1] for row in INCOMPLETE], ids=[row[0] for row in INCOMPLETE])
def test_what_an_incomplete_list_lacks_is_not_gone(odd: Odd, members: dict[str, Any], path: str) -> None:  # noqa: F811
    connection, _ = odd
    of_path(connection, path)
    again(odd, [entry(1), entry(2)])
    assert again(odd, [entry(1)], **members).gone == 0
    assert TypeOutcome.objects.get(resource_type=TYPE).outcome == "not-fetched"
    assert again(odd, [entry(1)]).gone == 1
    assert Resource.objects.get(fhir_id="c2").no_longer_sent_at is not None
    # It is never deleted, and may come back.
    assert again(odd, [entry(1), entry(2)]).changed == 1
    assert Resource.objects.get(fhir_id="c2").no_longer_sent_at is None


def test_another_patients_record_on_a_patients_page_is_quarantined(odd: Odd) -> None:  # noqa: F811
    connection, _ = odd
    of_path(connection, "patients")
    pull = again(odd, [entry(1), changed(2, subject={"reference": "Patient/somebody-else"})])
    assert (pull.new, pull.quarantined) == (2, 1)  # the patient's own record beside it
    row = Quarantine.objects.get()
    assert (row.fhir_id, row.reason) == ("c2", "about another patient than the one asked for")
    assert not Resource.objects.filter(fhir_id="c2").exists()
    assert not connection.enrolments.filter(patient_fhir_id="somebody-else").exists()
    assert TypeOutcome.objects.get(resource_type=TYPE).outcome == "complete"


def test_a_record_of_another_servers_patient_is_quarantined_over_all_patients(odd: Odd) -> None:  # noqa: F811
    connection, server = odd
    of_path(connection, "population")
    elsewhere = changed(2, subject={"reference": "https://elsewhere.example/r4/Patient/p1"})

    def answer(asked: Asked) -> Said | None:
        return Said(bundle([entry(1), elsewhere])) if asked.path == TYPE else None

    server.answer = answer
    work(connection)
    assert Quarantine.objects.get().reason == "about a patient of another server"
    assert set(Resource.objects.filter(resource_type=TYPE).values_list("fhir_id", flat=True)) == {"c1"}
