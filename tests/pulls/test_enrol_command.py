"""`manage.py enrol`: says what it would do, names rows that cannot be used, and does it when told."""

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from emr.models import ClientRegistration, Connection, Practice

pytestmark = pytest.mark.django_db


@pytest.fixture
def connection(practice_a: Practice) -> Connection:
    registration = ClientRegistration.objects.create(name="Backend app", client_id="ours")
    return Connection.objects.create(
        practice=practice_a, registration=registration, base_url="https://fhir.example.org/fhir/r4/AAAAAA"
    )


def run(file: Path, *options: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("enrol", "AAAAAA", str(file), *options, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_nothing_is_done_before_it_is_told(connection: Connection, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("fhir_id\none\ntwo\n")
    assert "2 to enrol" in run(file)[0]
    assert not connection.enrolments.exists()
    assert "2 patients enrolled" in run(file, "--apply")[0]
    assert set(connection.enrolments.values_list("patient_fhir_id", flat=True)) == {"one", "two"}
    assert "0 to enrol, 0 to look up, 2 enrolled already" in run(file)[0]


def test_a_row_that_cannot_be_used_stops_it_unless_left_out(connection: Connection, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("fhir_id\none\nnot an id\n")
    with pytest.raises(CommandError, match="nothing was done"):
        run(file, "--apply")
    assert not connection.enrolments.exists()
    out, err = run(file, "--apply", "--leave-out")
    assert ("1 patients enrolled" in out, err) == (True, "Line 3: this is no FHIR id\n")


@pytest.mark.parametrize(
    ("code", "file", "reason"),
    [
        ("ZZZZZZ", "x.csv", "there is no practice ZZZZZZ"),
        ("AAAAAA", "absent.csv", "absent.csv cannot be read: No such file or directory"),
    ],
)
def test_what_is_not_there_is_named(connection: Connection, code: str, file: str, reason: str) -> None:
    with pytest.raises(CommandError, match=reason):
        call_command("enrol", code, file)


def test_a_practice_without_connection_is_named(practice_a: Practice) -> None:
    with pytest.raises(CommandError, match="no connection fetches patients"):
        call_command("enrol", "AAAAAA", "x.csv")


def test_a_file_that_is_no_list_is_refused(connection: Connection, tmp_path: Path) -> None:
    file = tmp_path / "list.csv"
    file.write_text("name\nx\n")
    with pytest.raises(CommandError, match="The first line must name the columns"):
        run(file)
