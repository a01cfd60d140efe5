"""Exports: cells no spreadsheet runs, resources byte for byte, absences told, recorded, and nobody else's."""

import csv
import io
import json

import pytest
from django.db import connection
from django.http import StreamingHttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from emr.models import AuditEvent, Practice, Resource, User
from patients import exports
from patients.models import Patient
from tests.conftest import signed_in
from tests.pages import charts


def address(patient: Patient) -> str:
    return reverse("patients:exports", args=[patient.pk])


def exported(user: User, patient: Patient, form: str) -> str:
    answer = signed_in(user).post(address(patient), {"format": form})
    assert isinstance(answer, StreamingHttpResponse)
    return b"".join(answer).decode()


def table(user: User, patient: Patient) -> list[dict[str, str]]:
    text = exported(user, patient, "csv")
    assert text.startswith("\ufeff")
    return list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline="")))


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        pytest.param("=1+1", "'=1+1", id="formula"),
        pytest.param("+1", "'+1", id="plus"),
        pytest.param("-2+3", "'-2+3", id="minus"),
        pytest.param("@SUM(A1)", "'@SUM(A1)", id="at"),
        pytest.param("\t=1", "'\t=1", id="tab"),
        pytest.param("\r=1", "'\r=1", id="carriage return"),
        pytest.param("\n=1", "'\n=1", id="line feed"),
        pytest.param("＝1+1", "'＝1+1", id="full-width equals"),
        pytest.param("\0=1", "'=1", id="null byte before"),
        pytest.param('=HYPERLINK("http://x")', '\'=HYPERLINK("http://x")', id="link"),
        pytest.param("Migraine", "Migraine", id="plain"),
        pytest.param("a=b", "a=b", id="sign inside"),
        pytest.param(None, "", id="nothing"),
        pytest.param(0, "0", id="zero"),
    ],
)
def test_cells_are_defused(cell: object, said: str) -> None:
    assert exports.defused(cell) == said


PAYLOADS = ["=cmd|'/c calc'!A0", "+1", "-1", "@x", "\t=1", "\r=1", '"=1', "a,b\n=1"]


def test_every_column_of_every_row_is_defused(alice: User, practice_a: Practice) -> None:
    person = charts.patient(practice_a)
    rows = [
        charts.diagnosis(
            payload, "2024-01-02", code=payload, status=payload, group=payload, detail={"note": payload},
            value_text=payload, unit=payload, system=payload, role=payload,
        )
        for payload in PAYLOADS
    ]  # fmt: skip
    charts.add(person, rows)
    found = table(alice, person)
    assert len([row for row in found if row["kind"] == "diagnosis"]) == len(PAYLOADS)
    for row in found:
        for cell in row.values():
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))


def test_table_holds_every_entry_with_its_source(alice: User, practice_a: Practice) -> None:
    person = charts.rich(practice_a)
    rows = [row for row in table(alice, person) if row["kind"] != "completeness"]
    assert len(rows) == person.entries.count()
    dates = [row["date"] for row in rows]
    assert dates[: len(list(filter(None, dates)))] == list(filter(None, dates))  # undated ones last
    (anxiety,) = [row for row in rows if row["code"] == "F41.1"]
    assert (anxiety["date"], anxiety["title"]) == ("2018-09-11", "Generalized anxiety disorder")
    entry = person.entries.get(code="F41.1")
    assert anxiety["source"].endswith(reverse("emr:source", args=[entry.source_id]))
    assert {row["date"] for row in rows if row["title"] == "Calculus of kidney"} == {"2021"}
    assert {row["date"] for row in rows if row["title"].startswith("Medication overuse")} == {"2024-06"}
    for row in rows:
        assert "None" not in row.values()


@pytest.fixture
def absences(practice_a: Practice) -> Patient:
    person = charts.patient(practice_a)
    outcomes = {
        "Condition": ("complete", ""),
        "Observation": ("not-permitted", ""),
        "Procedure": ("not-supported", ""),
        "MedicationRequest": ("not-fetched", "timed out"),
        "AllergyIntolerance": ("complete", ""),
        "Encounter": ("complete", "A record cannot be read"),
    }
    charts.enrol(person, outcomes)
    coding = {"system": "http://snomed.info/sct", "code": "716186003"}
    charts.add(person, [charts.allergy("No known allergies", group="no-known", detail={"codings": [coding]}, **coding)])
    return person


def test_table_tells_the_six_absences(alice: User, absences: Patient) -> None:
    told = {
        row["title"]: (row["status"], row["details"]) for row in table(alice, absences) if row["kind"] == "completeness"
    }
    assert told["Allergies"][0] == "No known allergies"
    assert told["Diagnoses (Condition)"][0] == "Nothing on file"
    assert told["Measures and results (Observation)"][0] == "Not permitted"
    assert told["Procedures (Procedure)"][0] == "Not supported here"
    assert told["Medication orders (MedicationRequest)"][0] == "Not fetched"
    assert "timed out" in told["Medication orders (MedicationRequest)"][1]
    assert told["Visits (Encounter)"][0] == "May be incomplete"
    assert "May be incomplete: A record cannot be read." in told["Visits (Encounter)"][1]
    text = exported(alice, absences, "csv")
    assert "Not included: MedicationRequest (not fetched: timed out)" in text
    assert "May be incomplete: Encounter." in text


def test_bundle_tells_the_six_absences(alice: User, absences: Patient) -> None:
    bundle = json.loads(exported(alice, absences, "fhir"))
    outcome = bundle["entry"][0]["resource"]
    assert outcome["resourceType"] == "OperationOutcome"
    said = {issue["details"]["text"]: (issue["severity"], issue["code"]) for issue in outcome["issue"]}
    of_type = {text.split(":")[0]: mark for text, mark in said.items() if ":" in text}
    assert of_type["Observation"] == ("warning", "forbidden")
    assert of_type["Procedure"] == ("warning", "not-supported")
    assert of_type["MedicationRequest"] == ("warning", "incomplete")
    assert of_type["Encounter"] == ("warning", "incomplete")
    assert said["Condition: Nothing on file: the EMR sent a complete, empty list."] == ("information", "informational")
    assert any(text.startswith("No known allergies.") for text in said)
    assert any(text.startswith("As of 21-Nov-2026 22:10 from") for text in said)


def keep(patient: Patient, kind: str, fhir_id: str, body: str, **columns: object) -> Resource:
    return Resource.objects.create(
        practice=patient.practice, resource_type=kind, fhir_id=fhir_id,
        content_hash=fhir_id, query="q", first_seen_at=charts.NOW, changed_at=charts.NOW, body=body,
        **({"patient_fhir_id": patient.fhir_id, "connection": charts.connection(patient.practice)} | columns),
    )  # fmt: skip


def test_bundle_holds_the_sources_byte_for_byte(alice: User, practice_a: Practice) -> None:
    person = charts.patient(practice_a)
    odd = '{"resourceType":"Observation" , "id":"o1","valueQuantity":{"value":1.50},"x":"\\u00e9 é </script>"}'
    keep(person, "Observation", "o1", odd)
    keep(person, "Observation", "gone", '{"resourceType":"Observation","id":"gone"}', no_longer_sent_at=charts.NOW)
    order = '{"resourceType":"MedicationRequest","id":"m1","medicationReference":{"reference":"Medication/d1"}}'
    keep(person, "MedicationRequest", "m1", order)
    for name in ("d1", "d2"):
        keep(person, "Medication", name, f'{{"resourceType":"Medication","id":"{name}"}}', patient_fhir_id="")
    keep(charts.patient(practice_a, "p2"), "Observation", "theirs", '{"resourceType":"Observation","id":"theirs"}')
    text = exported(alice, person, "fhir")
    assert odd in text
    bundle = json.loads(text)
    assert (bundle["resourceType"], bundle["type"]) == ("Bundle", "collection")
    base = charts.connection(practice_a).base_url
    assert [entry["fullUrl"] for entry in bundle["entry"][1:]] == [
        f"{base}/MedicationRequest/m1", f"{base}/Observation/o1", f"{base}/Medication/d1",
    ]  # fmt: skip
    assert any(
        "no longer sends them: 1" in issue["details"]["text"] for issue in bundle["entry"][0]["resource"]["issue"]
    )


def test_exporting_is_a_post_recorded_before_a_byte_goes_out(alice: User, practice_a: Practice) -> None:
    person = charts.rich(practice_a)
    client = signed_in(alice)
    page = client.get(address(person), {"format": "csv"})
    assert "text/html" in page.headers["Content-Type"]
    assert not AuditEvent.objects.filter(action="export").exists()
    answer = client.post(address(person), {"format": "fhir"})
    event = AuditEvent.objects.get(action="export")
    assert (event.user, event.practice, event.patient_id, event.detail) == (alice, practice_a, person.pk, "fhir")
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="headache-history-')
    assert "garcia" not in str(answer.headers).lower()
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    strict = signed_in(alice, Client(enforce_csrf_checks=True))
    assert strict.post(address(person), {"format": "csv"}).status_code == 403
    assert client.post(address(person), {"format": "pdf"}).status_code == 404
    assert AuditEvent.objects.filter(action="export").count() == 1


def test_a_stranger_exports_nothing(charlie: User, practice_a: Practice) -> None:
    person = charts.rich(practice_a)
    for form in ("csv", "fhir"):
        assert signed_in(charlie).post(address(person), {"format": form}).status_code == 404
    assert not AuditEvent.objects.filter(action="export").exists()


def test_queries_do_not_grow_with_the_chart(alice: User, practice_a: Practice) -> None:
    counts = []
    for size in (5, 300):
        person = charts.patient(practice_a, f"p{size}")
        charts.enrol(person)
        charts.add(person, charts.measures(size))
        client = signed_in(alice)
        with CaptureQueriesContext(connection) as queries:
            for form in ("csv", "fhir"):
                b"".join(client.post(address(person), {"format": form}))
        counts.append(len(queries))
    assert counts[0] == counts[1]
