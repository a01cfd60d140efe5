"""manage.py rebuild_histories"""

from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command

from emr.models import Practice
from patients.models import Entry, Patient
from tests.projection.bodies import everything, pressure, put

pytestmark = pytest.mark.django_db


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def charts(practice_a: Practice, practice_b: Practice) -> list[Practice]:
    for body in everything():
        put(practice_a, body)
    put(practice_b, pressure())
    return [practice_a, practice_b]


def run(*arguments: str, out: StringIO | None = None) -> str:
    out = out or StringIO()
    call_command("rebuild_histories", *arguments, stdout=out)
    return out.getvalue()


def test_all_histories(charts: list[Practice]) -> None:
    assert run() == "Patients: 2. Entries: 6 new, 0 changed, 0 gone, 0 unchanged.\n"
    Entry.objects.all().delete()
    assert run() == "Patients: 2. Entries: 6 new, 0 changed, 0 gone, 0 unchanged.\n"
    assert run() == "Patients: 2. Entries: 0 new, 0 changed, 0 gone, 6 unchanged.\n"


def test_one_practice(charts: list[Practice]) -> None:
    assert run("--practice", "BBBBBB").startswith("Patients: 1. Entries: 1 new")
    assert set(Entry.objects.values_list("practice__code", flat=True)) == {"BBBBBB"}


def test_one_patient(charts: list[Practice]) -> None:
    run()
    Entry.objects.all().delete()
    row = Patient.objects.get(practice=charts[0])
    assert run("--patient", str(row.pk)).startswith("Patients: 1. Entries: 5 new")


def test_progress_on_a_terminal(charts: list[Practice]) -> None:
    assert "1 of 2 patients" in run(out=Terminal())


def test_no_patients(db: None) -> None:
    assert run(out=Terminal()).startswith("Patients: 0.")


def test_unknown_practice(charts: list[Practice]) -> None:
    with pytest.raises(CommandError, match="No practice has the code ZZZZZZ"):
        run("--practice", "ZZZZZZ")


def test_unknown_patient(charts: list[Practice]) -> None:
    with pytest.raises(CommandError, match="No patient"):
        run("--patient", str(uuid4()))


def test_patient_of_another_practice(charts: list[Practice]) -> None:
    run()
    row = Patient.objects.get(practice=charts[0])
    with pytest.raises(CommandError, match="in practice BBBBBB"):
        run("--practice", "BBBBBB", "--patient", str(row.pk))
