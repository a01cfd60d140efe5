"""The privacy officer's pages: the trail, who has seen a chart, and the download; each is an event itself."""

import json

import pytest
from django.db.models import F
from fhir.resources.R4B.auditevent import AuditEvent as FhirAuditEvent

from emr import audit, walls
from emr.models import AuditEvent, AuditHead, Membership, Practice, Resource, User
from patients.models import Patient
from tests.conftest import member, signed_in
from tests.pages import charts

FAMILY = "Zyxwcanary"


@pytest.fixture
def officer(practice_a: Practice) -> User:
    return member("olga@example.org", practice_a, Membership.Role.PRIVACY_OFFICER)


@pytest.fixture
def person(practice_a: Practice) -> Patient:
    found = charts.patient(practice_a, "p1", family=FAMILY, search_text=FAMILY.lower())
    charts.enrol(found)
    return found


def seen_page(user: User, person: Patient) -> str:
    answer = signed_in(user).get(f"/patients/{person.pk}/seen/")
    assert answer.status_code == 200
    return answer.content.decode()


def test_who_has_seen_names_reader_and_act(person: Patient, alice: User, officer: User) -> None:
    assert "Nobody has opened this chart" in seen_page(officer, person)
    signed_in(alice).get(f"/patients/{person.pk}/")
    signed_in(alice).get(f"/patients/{person.pk}/print/")
    page = seen_page(officer, person)
    assert "alice@example.org" in page
    assert "Opened a history" in page
    assert "Printed a history" in page
    # The look above was an event about this patient, too.
    assert "Read or exported the audit trail" in page


def test_a_source_record_counts_as_seeing_the_chart(person: Patient, alice: User, officer: User) -> None:
    source = Resource.objects.create(
        practice=person.practice, resource_type="Condition", fhir_id="c1", patient_fhir_id="p1", body="{}",
        content_hash="0", query="x", first_seen_at=charts.NOW, changed_at=charts.NOW,
    )  # fmt: skip
    signed_in(alice).get(f"/sources/{source.pk}/")
    event = AuditEvent.objects.get(action="read-source")
    assert (event.patient_id, event.object_id) == (person.pk, source.pk)
    assert "Opened a source record" in seen_page(officer, person)


@pytest.mark.parametrize("role", ["clinician", "staff", "admin"])
def test_other_roles_do_not_read_the_trail(person: Patient, practice_a: Practice, role: str) -> None:
    client = signed_in(member("other@example.org", practice_a, role))
    for url in (f"/patients/{person.pk}/seen/", f"/practices/{practice_a.pk}/audit/"):
        answer = client.get(url)
        assert answer.status_code == 403
        assert FAMILY not in answer.content.decode()
    assert client.post(f"/practices/{practice_a.pk}/audit/export/").status_code == 403


def test_another_practices_officer_gets_404(person: Patient, practice_b: Practice) -> None:
    client = signed_in(member("otto@example.org", practice_b, "privacy-officer"))
    for url in (f"/patients/{person.pk}/seen/", f"/practices/{person.practice_id}/audit/"):
        assert client.get(url).status_code == 404
    assert client.post(f"/practices/{person.practice_id}/audit/export/").status_code == 404
    assert client.post(f"/practices/{person.practice_id}/audit/patients/", {"q": FAMILY}).status_code == 404


def test_officer_finds_a_patient_by_name(person: Patient, officer: User) -> None:
    answer = signed_in(officer).post(f"/practices/{person.practice_id}/audit/patients/", {"q": FAMILY.lower()})
    assert f"/patients/{person.pk}/seen/" in answer.content.decode()
    event = AuditEvent.objects.order_by("-number").filter(action="read-audit").first()
    assert event is not None
    assert event.detail == "sought a patient, 1 shown"


def test_trail_lists_the_practices_events_and_no_others(
    person: Patient, alice: User, charlie: User, officer: User
) -> None:
    signed_in(alice).get(f"/patients/{person.pk}/")
    audit.record(audit.Action.PRINT, by=charlie, practice=charlie.memberships.get().practice)
    page = signed_in(officer).get(f"/practices/{person.practice_id}/audit/").content.decode()
    assert "alice@example.org" in page
    assert "charlie@example.org" not in page
    assert FAMILY not in page


def test_download_is_the_practices_trail_as_fhir(person: Patient, alice: User, charlie: User, officer: User) -> None:
    signed_in(alice).get(f"/patients/{person.pk}/")
    audit.record(audit.Action.PRINT, by=charlie, practice=charlie.memberships.get().practice)
    answer = signed_in(officer).post(f"/practices/{person.practice_id}/audit/export/")
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="audit-AAAAAA-')
    lines = [json.loads(line) for line in answer.getvalue().decode().splitlines()]
    for line in lines:
        FhirAuditEvent.model_validate(line)
    assert {line["source"]["site"] for line in lines} == {"AAAAAA"}
    assert lines[-1]["subtype"][0]["code"] == "read-audit"  # the download's own event is in it
    assert signed_in(officer).get(f"/practices/{person.practice_id}/audit/export/").status_code == 405


def test_link_stands_on_every_chart_the_officer_opens(person: Patient, officer: User, alice: User) -> None:
    link = f"/patients/{person.pk}/seen/"
    client = signed_in(officer)
    client.post(f"/practices/{person.practice_id}/break-glass/", {"reason": "Complaint of the patient, 22 Nov"})
    for page in ("", "timeline/", "search/"):
        assert link in client.get(f"/patients/{person.pk}/{page}").content.decode(), page
    assert link not in signed_in(alice).get(f"/patients/{person.pk}/").content.decode()


@pytest.mark.parametrize("address", ["", "timeline/", "search/", "print/", "assessments/"])
def test_a_page_that_cannot_be_recorded_is_not_shown(person: Patient, alice: User, address: str) -> None:
    client = signed_in(alice)
    client.raise_request_exception = False
    audit.record(audit.Action.PRINT, by=None, practice=person.practice)
    walls.lift(prefixes=("guard_",))
    AuditHead.objects.filter(pk=person.practice_id).update(number=F("number") - 1)  # the next number is taken
    answer = client.get(f"/patients/{person.pk}/{address}")
    assert answer.status_code == 500
    assert FAMILY.upper().encode() not in answer.content.upper()
    walls.build()
