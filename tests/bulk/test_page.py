"""What staff see of a pull that is a group's export, from the wish to the end."""

import re
from typing import Any

import pytest
from django.urls import reverse

from emr.models import BulkJob, Membership, User
from tests.bulk.conftest import ConnectBulk, tick, work
from tests.conftest import member, signed_in

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]


@pytest.fixture
def staff(practice_a: Any) -> User:
    return member("dana@example.org", practice_a, Membership.Role.CLINICIAN)


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def line(html: str, kind: str) -> str:
    """The cells of one kind of record, from its FHIR type on."""
    row = next(row for row in html.split("<tr>") if f"<small>{kind}</small>" in row)
    said = words(row.split("</tr>")[0])
    return said[said.index(kind) :]


def test_export_reads_sensibly_from_stage_to_stage(connect_bulk: ConnectBulk, staff: User) -> None:
    connection, _ = connect_bulk(patients=1, exports={"polls": 1})
    browser = signed_in(staff)
    tick()
    address = reverse("emr:pull", args=[connection.pulls.get().pk])
    tick()
    html = browser.get(address).content.decode()
    assert "The EMR is exporting the group: 50% complete." in words(html)
    assert line(html, "Condition") == "Condition queued 0 0 0 –"
    tick()
    html = browser.get(address).content.decode()
    assert re.search(r"Export of the group: 0 of \d+ files are fetched", words(html))
    assert line(html, "Condition").startswith("Condition queued 0 1 0 ")
    job = work(connection)
    html = browser.get(address).content.decode()
    assert "Complete. Export of the group: complete." in words(html)
    file = job.items.get(kind="file", resource_type="Condition")
    assert line(html, "Condition") == f"Condition complete 1 1 {file.lines} {file.count}"
    assert "of everything" in words(html)
    assert " of the patients are fetched" not in words(html)
    for patient in connection.enrolments.values_list("patient_fhir_id", flat=True):
        assert patient not in html
    for secret in ("job_id", "$export-file"):
        assert secret not in html
    assert html.count("style=") == 0


def test_partial_and_refused_exports_say_why(connect_bulk: ConnectBulk, staff: User) -> None:
    connection, control = connect_bulk(patients=1)
    control.fault("export-error", match={"path": "$export-poll", "nth": 2}, type="Condition")
    work(connection)
    browser = signed_in(staff)
    html = browser.get(reverse("emr:pull", args=[connection.pulls.get().pk])).content.decode()
    assert "Part of the export went wrong (BULK_PARTIAL): Condition" in words(html)
    assert line(html, "Condition").startswith("Condition Part of the export went wrong (BULK_PARTIAL) not fetched")
    assert "1 error" in words(html)


def test_other_pulls_show_no_export(connect_bulk: ConnectBulk, staff: User) -> None:
    connection, _ = connect_bulk(patients=1)
    pull = connection.pulls.create(practice=connection.practice)
    html = signed_in(staff).get(reverse("emr:pull", args=[pull.pk])).content.decode()
    assert "Export" not in words(html).replace("Export of", "")
    assert not BulkJob.objects.exists()
