"""Every situation is named rightly; what nobody has listed is called unknown; nothing said holds a secret."""

import json

import pytest

from emr import catalogue, doctor
from emr.models import Connection, DoctorReport
from tests.doctor.situations import SITUATIONS, UNLISTED, Situation, Unlisted
from tests.doctor.stage import Stage

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited", "impatient")]


def examined(place: Stage) -> DoctorReport:
    return doctor.examine(Connection.objects.get(pk=place.connection.pk))


def finding(report: DoctorReport, step: str) -> doctor.Finding:
    return next(one for one in doctor.findings(report) if one.step == step)


def told(report: DoctorReport) -> str:
    return json.dumps(doctor.as_json(report), ensure_ascii=False)


def shows_no_secret(place: Stage, text: str) -> None:
    assert "eyJ" not in text  # the start of every JWT
    assert "PRIVATE KEY" not in text
    for token in place.state.tokens._held:
        assert token not in text
    for patient in place.state.charts.patients():
        assert patient.id not in text
        assert all(name.family not in text for name in patient.names)


@pytest.mark.parametrize("situation", [pytest.param(one, id=one.name) for one in SITUATIONS])
def test_a_situation_is_named_rightly(well: Stage, situation: Situation) -> None:
    situation.arrange(well)
    report = examined(well)
    found = finding(report, situation.step)
    assert found.code == situation.code
    assert found.verdict == ("warning" if situation.warns else "wrong")
    assert report.code == ("" if situation.warns else situation.code)
    assert report.healthy is situation.warns
    assert situation.says in found.summary + " ".join(f"{what} {value}" for what, value in found.evidence)
    shows_no_secret(well, told(report))


@pytest.mark.parametrize("unlisted", [pytest.param(one, id=one.name) for one in UNLISTED])
def test_an_unlisted_answer_is_called_unknown(well: Stage, unlisted: Unlisted) -> None:
    unlisted.arrange(well)
    report = examined(well)
    found = finding(report, unlisted.step)
    assert found.verdict == "unknown"
    assert not catalogue.explain(found.code).listed
    assert report.code == found.code
    assert report.healthy is False
    assert unlisted.says in " ".join(value for _, value in found.evidence)
    shows_no_secret(well, told(report))


def test_the_tables_are_as_long_as_promised() -> None:
    assert len(SITUATIONS) >= 30
    assert len(UNLISTED) >= 15
    names = [one.name for one in [*SITUATIONS, *UNLISTED]]
    assert len(set(names)) == len(names)


def test_every_listed_code_of_an_answer_has_a_situation() -> None:
    """What discovery, metadata, token endpoint and FHIR can answer is produced; the rest comes with its endpoint."""
    here = {"discovery", "metadata", "token", "fhir", "bulk-start", "bulk-poll"}
    signed = {entry.code for entry in catalogue.entries() if any(here & {*sign.at} for sign in entry.signs)}
    assert signed - {one.code for one in SITUATIONS} == set()
