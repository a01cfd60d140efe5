"""Records that became one: followed within the connection, once, without end or practice being crossed."""

import json
from typing import Any

import pytest

from emr import roster
from emr.models import ClientRegistration, Connection, Enrolment, Practice, Resource
from emr.pulling.merges import LONGEST, follow, replaced_by
from emr.wire.fhir import Entry
from tests.emr.conftest import Connect, Control
from tests.pulls.conftest import enrol, work

pytestmark = pytest.mark.django_db(transaction=True)

BASE = "https://fhir4.healow.com/fhir/r4/AAAAAA"


@pytest.fixture
def connection(practice_a: Practice) -> Connection:
    registration = ClientRegistration.objects.create(name="Backend app", client_id="ours")
    return Connection.objects.create(practice=practice_a, registration=registration, base_url=BASE)


def link(reference: Any, kind: str = "replaced-by") -> dict[str, Any]:
    return {"type": kind, "other": {"reference": reference}}


LINKS = [
    ("relative", [link("Patient/b")], "b"),
    ("versioned", [link("Patient/b/_history/3")], "b"),
    ("absolute below the base", [link(f"{BASE}/Patient/b")], "b"),
    ("absolute under an alias, over http", [link("http://fhir4.eclinicalworks.com/fhir/r4/AAAAAA/Patient/b")], "b"),
    ("the second link", [link("Patient/x", "seealso"), link("Patient/b")], "b"),
    ("this record replaces another", [link("Patient/b", "replaces")], ""),
    ("another practice's code", [link("https://fhir4.healow.com/fhir/r4/BBBBBB/Patient/b")], ""),
    ("another host", [link("https://evil.example/fhir/r4/AAAAAA/Patient/b")], ""),
    ("a path of several steps", [link("BBBBBB/Patient/b")], ""),
    ("a way out of the base", [link("../BBBBBB/Patient/b")], ""),
    ("another type", [link("RelatedPerson/b")], ""),
    ("itself", [link("Patient/a")], ""),
    ("no reference", [{"type": "replaced-by"}, link(3), "?", link(None)], ""),
    ("no list", {"type": "replaced-by"}, ""),
    ("none", None, ""),
]


@pytest.mark.parametrize(("links", "target"), [pytest.param(*row[1:], id=row[0]) for row in LINKS])
def test_a_record_was_replaced_by(connection: Connection, links: Any, target: str) -> None:
    assert replaced_by({"resourceType": "Patient", "id": "a", "link": links}, connection) == target


def merged(control: Control, patient: str, target: str | None) -> None:
    """The EMR says of `patient` that it became `target`."""
    with_link = json.loads(Resource.objects.get(resource_type="Patient", fhir_id=patient).body)
    with_link["link"] = [link(f"Patient/{target}")] if target else []
    control.post("charts", [with_link])


@pytest.mark.usefixtures("unlimited")
def test_the_record_a_patient_became_is_enrolled_once_and_fetched(connect: Connect, practice_b: Practice) -> None:
    connection, control = connect(patients=2)
    elsewhere = Connection.objects.create(
        practice=practice_b, registration=connection.registration, base_url=connection.base_url
    )
    old, new = control.patient_ids
    roster.enrol(connection, [old], Enrolment.KnownBy.LIST)
    work(connection)
    merged(control, old, new)
    for _ in range(2):
        connection.enrolments.update(due_at="2026-01-01T00:00Z", whole=True)
        work(connection)
    rows = connection.enrolments.order_by("created_at").values_list("patient_fhir_id", "known_by", "replaced_by")
    assert list(rows) == [(old, "list", new), (new, "merge", "")]
    assert Resource.objects.filter(patient_fhir_id=new).count() > 10
    assert not elsewhere.enrolments.exists()


@pytest.mark.usefixtures("unlimited")
def test_two_records_that_became_each_other_end(connect: Connect) -> None:
    connection, control = connect(patients=2)
    enrol(connection, control)
    work(connection)
    one, other = control.patient_ids
    merged(control, one, other)
    merged(control, other, one)
    connection.enrolments.update(due_at="2026-01-01T00:00Z", whole=True)
    work(connection)
    assert dict(connection.enrolments.values_list("patient_fhir_id", "replaced_by")) == {one: other, other: one}
    merged(control, one, None)
    connection.enrolments.update(due_at="2026-01-01T00:00Z", whole=True)
    work(connection)
    assert connection.enrolments.get(patient_fhir_id=one).replaced_by == ""


def test_a_chain_without_end_is_followed_so_far_and_no_further(connection: Connection) -> None:
    roster.enrol(connection, ["p0"], Enrolment.KnownBy.LIST)
    for number in range(LONGEST + 5):
        enrolment = connection.enrolments.filter(patient_fhir_id=f"p{number}").first()
        if enrolment is None:
            break
        body = {"resourceType": "Patient", "id": f"p{number}", "link": [link(f"Patient/p{number + 1}")]}
        follow(connection, enrolment, (Entry(json.dumps(body), body, "Patient", f"p{number}"),))
    assert connection.enrolments.count() == LONGEST + 1


def test_somebody_elses_record_says_nothing_of_this_patient(connection: Connection) -> None:
    roster.enrol(connection, ["a"], Enrolment.KnownBy.LIST)
    body = {"resourceType": "Patient", "id": "x", "link": [link("Patient/b")]}
    follow(connection, connection.enrolments.get(), (Entry("", body, "Patient", "x"), Entry("", None, "Patient", "a")))
    assert connection.enrolments.get().replaced_by == ""
