"""Lists that staff bring: previewed, rows named that cannot be used, nothing half done."""

import json
from datetime import UTC, date, datetime
from typing import Any

import pytest
import time_machine
from django.db import connection as database
from django.utils import timezone

from emr import csv_lists, demographics, look_ups, profiles, roster, uploads
from emr.csv_lists import Unreadable
from emr.demographics import Directory, Person, Sought
from emr.models import ClientRegistration, Connection, Enrolment, LookUp, Practice, Resource, User
from emr.uploads import Problem

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("published")]

NOW = "2026-11-23 14:00+00:00"  # 09:00 in New York


@pytest.fixture(autouse=True)
def _on_monday() -> Any:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def connection(practice_a: Practice) -> Connection:
    registration = ClientRegistration.objects.create(name="Backend app", client_id="ours")
    made = Connection.objects.create(
        practice=practice_a, registration=registration, state=Connection.State.ACTIVE,
        base_url="https://fhir.example.org/fhir/r4/AAAAAA",
    )  # fmt: skip
    for fhir_id, family, given, born, number in (
        ("p1", "García López", ["María", "José"], "1989-03-07", "9150"),
        ("p2", "O'Brien", ["Pat"], "1970-12-01", "9151"),
        ("p3", "Twin", ["Ann"], "2000-01-01", "9152"),
        ("p4", "Twin", ["Ann"], "2000-01-01", "9153"),
    ):
        on_file(practice_a, fhir_id, family, given, born, number)
    roster.enrol(made, ["p1", "p2", "p3", "p4"], Enrolment.KnownBy.LIST)
    on_file(practice_a, "p5", "Notyet", ["Enrolled"], "1960-05-05", "9154")
    return made


def on_file(practice: Practice, fhir_id: str, family: str, given: list[str], born: str, number: str) -> None:
    body = {
        "resourceType": "Patient", "id": fhir_id, "birthDate": born, "name": [{"family": family, "given": given}],
        "identifier": [
            {"value": number}, {"system": "http://hl7.org/fhir/sid/us-ssn", "value": "123456789"},
            {"type": {"coding": [{"code": "SS"}]}, "value": "987654321"},
        ],
    }  # fmt: skip
    Resource.objects.create(
        practice=practice, resource_type="Patient", fhir_id=fhir_id, patient_fhir_id=fhir_id, body=json.dumps(body),
        content_hash=fhir_id, query="Patient/{id}", first_seen_at=timezone.now(), changed_at=timezone.now(),
    )  # fmt: skip


PEOPLE = [
    ("number", Sought(account_no="9150"), ["p1"]),
    ("number and another birth date", Sought(account_no="9150", birth_date="1990-01-01"), []),
    ("number and another name", Sought(account_no="9150", family="Brien", given="Pat"), []),
    ("name without accents", Sought(family="garcia lopez", given="maria", birth_date="1989-03-07"), ["p1"]),
    ("second given name", Sought(family="García López", given="José", birth_date="1989-03-07"), ["p1"]),
    ("both given names", Sought(family="García López", given="María José", birth_date="1989-03-07"), ["p1"]),
    ("apostrophe left out", Sought(family="OBRIEN", given="Pat", birth_date="1970-12-01"), ["p2"]),
    ("name without birth date", Sought(family="O'Brien", given="Pat"), []),
    ("another birth date", Sought(family="O'Brien", given="Pat", birth_date="1970-12-02"), []),
    ("two who fit", Sought(family="Twin", given="Ann", birth_date="2000-01-01"), ["p3", "p4"]),
    ("social security number", Sought(account_no="123456789"), []),
    ("social security number by its type", Sought(account_no="987654321"), []),
    ("FHIR id", Sought(fhir_id="p2"), ["p2"]),
    ("nothing", Sought(), []),
]


@pytest.mark.parametrize(("sought", "found"), [pytest.param(*row[1:], id=row[0]) for row in PEOPLE])
def test_people_on_file_are_found_by(connection: Connection, sought: Sought, found: list[str]) -> None:
    directory = Directory(demographics.on_file(connection.practice_id))
    assert sorted(person.fhir_id for person in directory.find(sought)) == found


@pytest.mark.parametrize(
    "patient",
    [{}, {"name": "x", "identifier": {}}, {"name": [{"family": 3, "given": "x"}, "?"], "identifier": [{"type": []}]}],
)
def test_a_patient_that_is_not_as_fhir_says_is_nobody_in_particular(patient: dict[str, Any]) -> None:
    assert demographics.read(patient) == Person("", (), "", ())
    assert demographics.read(patient).label == "no name on file"


# --- the schedule ---

SCHEDULE = """\
Account #,Last name,First name,DOB,Date,Time
9150,,,,11/23/2026,2:30 PM
,O'Brien,Pat,12/1/1970,2026-11-24,08:05
"""


def test_a_schedule_is_planned_without_writing_and_applied_whole(connection: Connection, practice_a: Practice) -> None:
    text = SCHEDULE.replace("Account #", "Account no")
    plan = uploads.plan_schedule(text, practice_a)
    assert (plan.problems, plan.first, plan.last) == ((), date(2026, 11, 23), date(2026, 11, 24))
    assert not Enrolment.objects.exclude(next_appointment_at=None).exists()
    assert uploads.apply_schedule(plan, practice_a) == 2
    held = Enrolment.objects.exclude(next_appointment_at=None)
    assert dict(held.values_list("patient_fhir_id", "next_appointment_at")) == {
        "p1": datetime(2026, 11, 23, 19, 30, tzinfo=UTC),
        "p2": datetime(2026, 11, 24, 13, 5, tzinfo=UTC),
    }  # fmt: skip


def test_no_patient_is_imported_and_no_record_written(connection: Connection, practice_a: Practice) -> None:
    before = set(Resource.objects.values_list("pk", "changed_at"))
    with database.execute_wrapper(only_enrolments_written):
        uploads.apply_schedule(uploads.plan_schedule(SCHEDULE.replace(" #", ""), practice_a), practice_a)
    assert set(Resource.objects.values_list("pk", "changed_at")) == before


def only_enrolments_written(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    writes = sql.split(" ", 1)[0] in {"INSERT", "UPDATE", "DELETE"}
    assert not writes or sql.startswith('UPDATE "emr_enrolment"'), sql
    return execute(sql, params, many, context)


def rows(*lines: str, header: str = "account_no,family,given,birth_date,date,time") -> str:
    return "\n".join([header, *lines])


UNUSABLE = [
    ("9999,,,,2026-11-24,09:00", "no enrolled patient on file fits: enrol the patient first"),
    ("9154,,,,2026-11-24,09:00", "no enrolled patient on file fits: enrol the patient first"),
    (",Twin,Ann,1/1/2000,2026-11-24,09:00", "more than one patient on file fits; give the account number"),
    (",O'Brien,Pat,,2026-11-24,09:00", "the row names nobody: give an account number, or family, given and birth date"),
    (",O'Brien,Pat,1970-13-01,2026-11-24,09:00", "the birth date is no date that can be: write 1989-03-07 or 3/7/1989"),
    (",O'Brien,Pat,12/1/70,2026-11-24,25:00", "the time cannot be read: write 14:30 or 2:30 PM"),
    ("9150,,,,24.11.2026,09:00", "the date cannot be read: write 2026-11-23 or 11/23/2026"),
    ("9150,,,,2026-11-22,09:00", "the date is past, or more than a year ahead"),
    ("9150,,,,2027-11-25,09:00", "the date is past, or more than a year ahead"),
    ("9150,,,,,", "the date cannot be read: write 2026-11-23 or 11/23/2026"),
]


@pytest.mark.parametrize(("line", "reason"), UNUSABLE)
def test_a_row_that_cannot_be_used_is_named(
    connection: Connection, practice_a: Practice, line: str, reason: str
) -> None:
    plan = uploads.plan_schedule(rows("9151,,,,2026-11-24,10:00", "", line), practice_a)
    assert plan.problems == (Problem(4, reason),)
    assert set(plan.visits) == {"p2"}


def test_the_next_appointment_of_several_counts(connection: Connection, practice_a: Practice) -> None:
    """07:00 is past; the one at 15:00 is the next. What is still to come before the list's days stays."""
    Enrolment.objects.filter(patient_fhir_id="p2").update(next_appointment_at="2026-11-23 20:00+00:00")
    text = rows("9150,,,,2026-11-23,15:00", "9150,,,,2026-11-23,07:00", "9150,,,,2026-12-01,09:00")
    plan = uploads.plan_schedule(text, practice_a)
    assert plan.visits == {"p1": datetime(2026, 11, 23, 20, tzinfo=UTC)}
    later = uploads.plan_schedule(rows("9151,,,,2026-11-30,09:00"), practice_a)
    uploads.apply_schedule(later, practice_a)
    assert Enrolment.objects.get(patient_fhir_id="p2").next_appointment_at == datetime(2026, 11, 23, 20, tzinfo=UTC)


def test_appointments_that_left_the_list_are_dropped(connection: Connection, practice_a: Practice) -> None:
    Enrolment.objects.filter(patient_fhir_id="p2").update(next_appointment_at="2026-11-24 15:00+00:00")
    Enrolment.objects.filter(patient_fhir_id="p3").update(next_appointment_at="2026-12-24 15:00+00:00")
    plan = uploads.plan_schedule(rows("9150,,,,2026-11-24,15:00"), practice_a)
    assert plan.dropped == ("p2",)
    uploads.apply_schedule(plan, practice_a)
    held = Enrolment.objects.exclude(next_appointment_at=None).values_list("patient_fhir_id", flat=True)
    assert set(held) == {"p1", "p3"}


FILES = [
    ("no such columns", "name,when\nx,y", "The first line must name the columns"),
    ("no time", "account_no,date\n9150,2026-11-24", "The first line must also name the columns time."),
    ("empty", "", "The first line must name the columns"),
    ("an open quotation", 'account_no,date,time\n"9150,2026-11-24,09:00', "cannot be read as CSV"),
    ("too long", "account_no,date,time\n" + "9,2026-11-24,09:00\n" * 5001, "more than 5000 rows"),
]


@pytest.mark.parametrize(("text", "reason"), [pytest.param(*row[1:], id=row[0]) for row in FILES])
def test_a_file_that_is_no_such_list_is_refused(
    connection: Connection, practice_a: Practice, text: str, reason: str
) -> None:
    with pytest.raises(Unreadable, match=reason):
        uploads.plan_schedule(text, practice_a)


def test_files_of_spreadsheets_are_read() -> None:
    assert csv_lists.text_of("\ufeffaccount_no".encode()) == "account_no"
    assert csv_lists.text_of("García".encode("cp1252")) == "García"
    for delimiter in ",;\t":
        found = list(csv_lists.rows_of(f"MRN{delimiter}Last Name\n1{delimiter}X", lambda columns: ""))
        assert found == [(2, {"account_no": "1", "family": "X"})]


def test_a_row_of_several_lines_is_named_by_its_first() -> None:
    text = 'MRN,First\r\n\r\n1,"Ann\r\nMarie"\r\n2,Bo\r\n'
    found = list(csv_lists.rows_of(text, lambda columns: ""))
    assert found == [(3, {"account_no": "1", "given": "Ann Marie"}), (5, {"account_no": "2", "given": "Bo"})]


# --- patients to enrol ---


def test_a_list_enrols_and_seeks_whom_it_can(connection: Connection, alice: User) -> None:
    text = rows(
        "9150,,,,,", "9154,,,,,", ",New,Person,3/7/1989,,", ",New,Person,03/07/1989,,", "4711,,,,,",
        "4712,Other,Person,1990-01-02,,",
    )  # fmt: skip
    plan = uploads.plan_roster(text, connection)
    assert (plan.enrol, plan.known) == (("p5",), 1)
    assert plan.search == (
        {"family": "New", "given": "Person", "birthdate": "1989-03-07"},
        {"family": "Other", "given": "Person", "birthdate": "1990-01-02"},
    )
    assert [problem.line for problem in plan.problems] == [6]
    assert "finds new patients by name and birth date only" in plan.problems[0].reason
    assert connection.enrolments.count() == 4
    assert uploads.apply_roster(plan, connection, alice) == 1
    assert connection.enrolments.count() == 5
    assert LookUp.objects.count() == 2


def test_fhir_ids_are_enrolled_as_they_are(connection: Connection, alice: User) -> None:
    plan = uploads.plan_roster("FHIR ID\nnew.one\nnew one\np1\nnew.one\n", connection)
    assert (plan.enrol, plan.known, plan.usable) == (("new.one",), 2, 3)
    assert plan.problems == (Problem(3, "this is no FHIR id"),)


def test_a_failure_in_the_middle_enrols_nobody(
    connection: Connection, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = uploads.plan_roster(rows("9154,,,,,", ",New,Person,3/7/1989,,"), connection)

    def fails(*args: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(uploads.look_ups, "ask", fails)
    with pytest.raises(RuntimeError):
        uploads.apply_roster(plan, connection, alice)
    assert connection.enrolments.count() == 4


def test_the_profile_says_how_people_are_sought() -> None:
    ecw = profiles.get("ecw")
    named = Sought(family="New", given="Person", birth_date="1989-03-07")
    assert look_ups.parameters(named, ecw) == {"family": "New", "given": "Person", "birthdate": "1989-03-07"}
    assert look_ups.parameters(Sought(fhir_id="p1"), ecw) == {"_id": "p1"}
    assert look_ups.parameters(Sought(account_no="9150"), ecw) is None
