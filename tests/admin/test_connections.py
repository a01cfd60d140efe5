"""The connection page: base URLs checked, patients enrolled, checks and pulls asked for."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import current_app
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape
from pytest_django import Settings

from emr import catalogue, keys
from emr.models import AuditEvent, ClientRegistration, Connection, Enrolment, Grant, Practice, SystemToken

BASE = "https://staging-fhir.ecwcloud.com/fhir/r4/AAAAAA"


@pytest.fixture
def queue(settings: Settings) -> Iterator[Path]:
    """The folder of the embedded broker, empty before and after."""
    folder: Path = Path(settings.VAR_DIR) / "queue" / "messages"
    folder.mkdir(parents=True, exist_ok=True)
    for message in folder.iterdir():
        message.unlink()
    yield folder
    for message in folder.iterdir():
        message.unlink()


def queued(folder: Path) -> list[tuple[str, list[str]]]:
    """(task name, arguments) of every message in the queue folder."""
    found = []
    for file in sorted(folder.iterdir()):
        message: dict[str, Any] = json.loads(file.read_text("utf-8"))
        arguments, _, _ = json.loads(base64.b64decode(message["body"]))
        found.append((message["headers"]["task"], arguments))
    return found


def change(office: Client, connection: Connection, **data: str) -> Any:
    address = reverse("admin:emr_connection_change", args=[connection.pk])
    form = {"base_url": connection.base_url, "group_id": "", "patients_to_enrol": ""}
    return office.post(address, form | data, follow=True)


def words(response: Any) -> str:
    return " ".join(str(message) for message in response.context["messages"])


def add(office: Client, practice: Practice, base_url: str) -> Any:
    registration, _ = ClientRegistration.objects.get_or_create(name="Backend app")
    data = {"practice": practice.pk, "registration": registration.pk, "base_url": base_url, "group_id": ""}
    return office.post(reverse("admin:emr_connection_add"), data)


ACCEPTED = [
    ("as the portal shows it", BASE, BASE),
    ("with a trailing slash", BASE + "/", BASE),
    ("with blanks around it", f"  {BASE}  ", BASE),
    ("with the host in capitals", "https://Staging-FHIR.ecwcloud.com/fhir/r4/AAAAAA", BASE),
    ("with the default port", "https://staging-fhir.ecwcloud.com:443/fhir/r4/AAAAAA", BASE),
    (
        "plain http to the sandbox",
        "http://127.0.0.1:8700/fhir/r4/AAAAAA",
        "http://127.0.0.1:8700/fhir/r4/AAAAAA",
    ),
]


@pytest.mark.parametrize(("typed", "stored"), [row[1:] for row in ACCEPTED], ids=[row[0] for row in ACCEPTED])
def test_base_url_accepted(typed: str, stored: str, office: Client, practice_a: Practice, settings: Settings) -> None:
    settings.INSECURE_FHIR_HOSTS = frozenset({"127.0.0.1:8700"})
    assert add(office, practice_a, typed).status_code == 302
    assert Connection.objects.get().base_url == stored
    assert AuditEvent.objects.get(action="configuration").detail == (
        "Connection added: practice, registration, base_url"
    )


REFUSED = [
    ("plain http", "http://fhir.example.org/fhir/r4/AAAAAA", "must start with https"),
    (
        "plain http to another port of the sandbox",
        "http://127.0.0.1:8701/fhir/r4/AAAAAA",
        "must start with https",
    ),
    ("no practice code", "https://fhir.example.org/fhir/r4", "six capital letters"),
    ("a practice code in small letters", "https://fhir.example.org/fhir/r4/aaaaaa", "six capital letters"),
    ("a step further", BASE + "/Patient", "six capital letters"),
    (
        "another practice's code",
        "https://fhir.example.org/fhir/r4/BBBBBB",
        "Alder Headache Clinic has AAAAAA",
    ),
    ("a query", BASE + "?x=1", "no query"),
    ("a password inside", "https://us:er@fhir.example.org/fhir/r4/AAAAAA", "not a FHIR base URL"),
    ("no scheme", "fhir.example.org/fhir/r4/AAAAAA", "not a FHIR base URL"),
    ("a step back", "https://fhir.example.org/fhir/r4/../r4/AAAAAA", "not a FHIR base URL"),
]


@pytest.mark.parametrize(("typed", "told"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED])
def test_base_url_refused(typed: str, told: str, office: Client, practice_a: Practice, settings: Settings) -> None:
    settings.INSECURE_FHIR_HOSTS = frozenset({"127.0.0.1:8700"})
    response = add(office, practice_a, typed)
    assert told in " ".join(response.context["adminform"].form.errors["base_url"])
    assert not Connection.objects.exists()


def test_base_url_changed_forgets_what_the_old_server_gave(office: Client, connection: Connection) -> None:
    connection.smart_configuration, connection.discovered_at = {"token_endpoint": "x"}, timezone.now()
    connection.save()
    SystemToken.objects.create(connection=connection, scope="s", access_token="old")
    grant = Grant.objects.create(connection=connection, patient_fhir_id="p", access_token="a", refresh_token="r")
    other = "https://other.example.org/fhir/r4/AAAAAA"
    assert "not a host we know" in str(change(office, connection, base_url=other).context["adminform"].form.errors)
    assert connection.system_tokens.exists()
    change(office, connection, base_url=other, confirmed_address=other)
    connection.refresh_from_db()
    grant.refresh_from_db()
    assert connection.base_url == "https://other.example.org/fhir/r4/AAAAAA"
    assert connection.smart_configuration is None
    assert connection.discovered_at is None
    assert not connection.system_tokens.exists()
    assert (grant.state, grant.access_token, grant.refresh_token) == ("needs-consent", "", "")


def test_connection_saved_unchanged_keeps_its_tokens(office: Client, connection: Connection) -> None:
    SystemToken.objects.create(connection=connection, scope="s", access_token="kept")
    change(office, connection, group_id="g1")
    assert connection.system_tokens.get().access_token == "kept"
    assert AuditEvent.objects.get(action="configuration").detail == "Connection changed: group_id"


def test_connection_stays_with_its_practice(office: Client, connection: Connection, practice_b: Practice) -> None:
    change(office, connection, practice=str(practice_b.pk), group_id="g1")
    connection.refresh_from_db()
    assert (connection.practice.code, connection.group_id) == ("AAAAAA", "g1")


def test_connection_page_explains_its_trouble(office: Client, connection: Connection) -> None:
    told = catalogue.explain("CFG_CLIENT_ID")
    connection.state, connection.reason_code = Connection.State.DEGRADED, "CFG_CLIENT_ID"
    connection.reason_detail, connection.reason_at = "<b>its words</b>", timezone.now()
    connection.save()
    html = office.get(reverse("admin:emr_connection_change", args=[connection.pk])).content.decode()
    for text in (told.title, told.cause, told.next_step, "CFG_CLIENT_ID", keys.jwks_url("sandbox")):
        assert escape(text) in html
    assert "&lt;b&gt;its words&lt;/b&gt;" in html
    assert escape(told.title) in office.get(reverse("admin:emr_connection_changelist")).content.decode()


def test_connection_page_before_the_first_check_says_what_to_do(office: Client, connection: Connection) -> None:
    html = office.get(reverse("admin:emr_connection_change", args=[connection.pk])).content.decode()
    assert "Not checked yet" in html


def test_patients_enrolled_from_lines(office: Client, connection: Connection) -> None:
    response = change(office, connection, patients_to_enrol="first-id\r\n\r\n  second.id \r\nfirst-id\r\n")
    assert set(connection.enrolments.values_list("patient_fhir_id", "known_by")) == {
        ("first-id", "list"),
        ("second.id", "list"),
    }
    assert connection.enrolments.filter(due_at__lte=timezone.now()).count() == 2
    assert "2 patients enrolled" in words(response)
    again = change(office, connection, patients_to_enrol="first-id\nthird-id")
    assert "1 patients enrolled, 1 were enrolled already" in words(again)
    assert "first-id" not in again.content.decode()
    assert AuditEvent.objects.filter(detail="Connection changed: patients_to_enrol").count() == 2


def test_patients_with_a_wrong_line_enrol_nobody(office: Client, connection: Connection) -> None:
    response = change(office, connection, patients_to_enrol="good-id\nJane Doe\ngood-too\n1980/01/02")
    told = response.context["adminform"].form.errors["patients_to_enrol"][0]
    assert "line 2, 4" in told
    assert "Jane" not in told
    assert not Enrolment.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_check_button_saves_then_publishes(office: Client, connection: Connection, queue: Path) -> None:
    response = change(office, connection, group_id="g1", _check="1")
    connection.refresh_from_db()
    assert connection.group_id == "g1"
    assert queued(queue) == [("emr.tasks.examine_connection", [str(connection.pk)])]
    assert "was asked for" in words(response)
    assert response.redirect_chain[-1][0] == reverse("admin:emr_connection_change", args=[connection.pk])


@pytest.mark.django_db(transaction=True)
def test_check_action_publishes_one_task_each(office: Client, connection: Connection, queue: Path) -> None:
    data = {"action": "check_now", "_selected_action": [str(connection.pk)]}
    office.post(reverse("admin:emr_connection_changelist"), data)
    assert queued(queue) == [("emr.tasks.examine_connection", [str(connection.pk)])]


@pytest.mark.django_db(transaction=True)
def test_check_without_a_broker_waits_for_one(
    office: Client, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr(current_app, "send_task", refuse)
    assert "was asked for" in words(change(office, connection, _check="1"))
    assert connection.reports.get().state == "queued"


@pytest.mark.django_db(transaction=True)
def test_pull_button_makes_every_patient_due(office: Client, connection: Connection, queue: Path) -> None:
    for number in range(3):
        Enrolment.objects.create(connection=connection, patient_fhir_id=f"p{number}", known_by="list")
    Connection.objects.filter(pk=connection.pk).update(state="active")
    response = change(office, connection, _pull="1")
    assert connection.enrolments.filter(due_at__lte=timezone.now()).count() == 3
    assert "3 patients are due now" in words(response)
    assert "no pull before" not in words(response)


def test_pull_action_on_a_draft_says_that_nothing_is_pulled_yet(office: Client, connection: Connection) -> None:
    data = {"action": "pull_now", "_selected_action": [str(connection.pk)]}
    response = office.post(reverse("admin:emr_connection_changelist"), data, follow=True)
    assert "no pull before it is active" in words(response)


@pytest.mark.parametrize(("state", "gone"), [("draft", True), ("active", False), ("revoked", False)])
def test_connection_is_deleted_as_a_draft_only(state: str, gone: bool, office: Client, connection: Connection) -> None:
    Connection.objects.filter(pk=connection.pk).update(state=state)
    office.post(reverse("admin:emr_connection_delete", args=[connection.pk]), {"post": "yes"})
    assert Connection.objects.exists() is not gone
    assert AuditEvent.objects.filter(detail="Connection deleted").exists() is gone
