"""The self-test on the connection's page, its kept reports, and the catalogue in the admin."""

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from emr import catalogue, doctor
from emr.models import DoctorReport, User
from tests.admin.conftest import inline_code
from tests.conftest import signed_in
from tests.doctor.situations import TOKEN, answer, oauth
from tests.doctor.stage import Stage
from tests.doctor.test_situations import shows_no_secret

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited", "impatient")]


@pytest.fixture
def office(db: None) -> Client:
    return signed_in(User.objects.create_superuser("office@example.org", "correct horse battery"))


def page(office: Client, name: str, *args: object) -> str:
    response = office.get(reverse(f"admin:{name}", args=args))
    assert response.status_code == 200
    html: str = response.content.decode()
    assert inline_code(html) == []
    return html


def test_connection_page_shows_each_step_with_advice_and_evidence(well: Stage, office: Client) -> None:
    well.client(active=False)
    report = doctor.examine(well.connection)
    html = page(office, "emr_connection_change", well.connection.pk)
    for finding in doctor.findings(report):
        assert escape(finding.title) in html
        assert f"verdict-{finding.verdict.replace(' ', '-')}" in html
    told = catalogue.explain("TOK_INVALID_CLIENT")
    for text in (told.title, told.next_step, *told.causes, "allow-listed"):
        assert escape(text) in html
    assert f'{reverse("admin:emr_doctorreport_catalogue")}#tok_invalid_client"' in html


def test_pages_show_no_secret_of_what_a_server_echoes(well: Stage, office: Client) -> None:
    well.register(client_secret="canary-client-secret")
    answer(TOKEN, 400, oauth("slow_down", "eyJhbGciOiJSUzM4NCJ9.eyJpc3MiOiJjYW5hcnkifQ.c2lnbmF0dXJl"))(well)
    report = doctor.examine(well.connection)
    for html in (
        page(office, "emr_connection_change", well.connection.pk),
        page(office, "emr_doctorreport_change", report.pk),
        page(office, "emr_doctorreport_changelist"),
    ):
        assert "canary-client-secret" not in html
        shows_no_secret(well, html)
    assert "slow_down" in page(office, "emr_doctorreport_change", report.pk)


def test_connection_page_asks_again_while_a_test_runs_and_stops_after_it(well: Stage, office: Client) -> None:
    doctor.request(well.connection)
    assert "hx-trigger" in page(office, "emr_connection_change", well.connection.pk)
    fragment = page(office, "emr_connection_checklist", well.connection.pk)
    assert "hx-trigger" in fragment
    assert "<html" not in fragment
    doctor.run_requested(well.connection.pk)
    assert "hx-trigger" not in page(office, "emr_connection_checklist", well.connection.pk)


def test_a_running_test_shows_the_steps_made_so_far(well: Stage, office: Client) -> None:
    report = doctor.examine(well.connection)
    DoctorReport.objects.filter(pk=report.pk).update(state="running", findings=report.findings[:3], healthy=None)
    html = page(office, "emr_connection_checklist", well.connection.pk)
    assert "Discovery" in html
    assert "Client assertion, signed" not in html


def test_report_page_reads_as_the_connection_page_does(well: Stage, office: Client) -> None:
    well.site.publish()
    report = doctor.examine(well.connection)
    html = page(office, "emr_doctorreport_change", report.pk)
    assert "Our key id is in it 0 times." in html
    assert escape(catalogue.explain("TOK_KID_AMBIGUOUS").next_step) in html


def test_catalogue_page_has_an_anchor_for_each_code(office: Client) -> None:
    html = page(office, "emr_doctorreport_catalogue")
    assert all(f'id="{entry.code.lower()}"' in html for entry in catalogue.entries())


def test_catalogue_page_is_for_those_who_may_see_reports(alice: User) -> None:
    address = reverse("admin:emr_doctorreport_catalogue")
    assert signed_in(alice).get(address).status_code == 302
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    assert signed_in(alice).get(address).status_code == 403
