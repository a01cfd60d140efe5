"""Every page of the admin, from its registry: it opens, shows no secret and no chart, obeys the CSP."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib import admin
from django.db.models import Model
from django.test import Client
from django.urls import reverse

from emr import models
from emr.models import BreakGlass, Enrolment, ExternalIdentity, Membership, Practice, Resource, Row, TypeOutcome, User
from tests.admin.conftest import CHARTS, SECRETS, Rows, inline_code
from tests.conftest import signed_in

OURS = [model for model in admin.site._registry if model._meta.app_label == "emr"]
OTHERS = [model for model in admin.site._registry if model._meta.app_label != "emr"]
TEMPLATES = Path(__file__).parents[2] / "templates"


def url(model: type[Model], page: str, *args: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def pages(row: Model) -> Iterator[str]:
    model = type(row)
    yield url(model, "changelist")
    yield url(model, "change", row.pk)
    yield url(model, "history", row.pk)
    yield url(model, "delete", row.pk)
    yield url(model, "add")


def check_page(client: Client, address: str) -> None:
    response = client.get(address)
    # 403 where a row may not be added, changed or deleted even by a superuser.
    assert response.status_code in {200, 403}, address
    html = response.content.decode()
    assert [canary for canary in SECRETS + CHARTS if canary in html] == [], address
    assert inline_code(html) == [], address


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_admin_pages_open_without_secrets_charts_or_inline_code(model: type[Model], rows: Rows, office: Client) -> None:
    for address in pages(rows[model]):
        check_page(office, address)
    for page in ("changelist", "change"):
        args = [rows[model].pk] if page == "change" else []
        assert office.get(url(model, page, *args)).status_code == 200


@pytest.mark.parametrize("model", OTHERS, ids=lambda model: model.__name__)
def test_admin_lists_of_other_apps_open(model: type[Model], rows: Rows, office: Client) -> None:
    assert office.get(url(model, "changelist")).status_code == 200


def test_admin_knows_every_model_of_the_connection() -> None:
    inline = {Membership, ExternalIdentity, BreakGlass, TypeOutcome}
    known = {getattr(models, name) for name in models.__all__}
    rows = {model for model in known if isinstance(model, type) and issubclass(model, Row) and model is not Row}
    assert rows - set(OURS) == inline


@pytest.mark.parametrize("address", ["/admin/", "/admin/emr/", "/admin/logout/", "/admin/jsi18n/"])
def test_admin_frame_obeys_the_csp(address: str, office: Client) -> None:
    response = office.get(address)
    assert "script-src 'self'" in response.headers["Content-Security-Policy"]
    assert inline_code(response.content.decode()) == []


def test_admin_cannot_add_addresses_to_accounts(office: Client) -> None:
    assert office.get("/admin/account/emailaddress/").status_code == 404


def test_admin_recent_actions_name_no_chart(rows: Rows, office: Client) -> None:
    resource = rows[Resource]
    assert "Canarysurname" not in str(resource)
    check_page(office, reverse("admin:index"))


READ_ONLY = [
    "AuditEvent", "Enrolment", "Grant", "Launch", "PatientInvitation", "Pull", "Quarantine",
    "Resource", "SystemToken", "WorkItem",
]  # fmt: skip


@pytest.mark.parametrize("name", READ_ONLY)
def test_admin_read_only_rows_refuse_every_change(name: str, rows: Rows, office: Client) -> None:
    model = getattr(models, name)
    row = rows[model]
    assert office.get(url(model, "add")).status_code == 403
    assert office.post(url(model, "change", row.pk), {}).status_code == 403
    assert office.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    bulk = {"action": "delete_selected", "_selected_action": [str(row.pk)], "post": "yes"}
    office.post(url(model, "changelist"), bulk)
    assert model.objects.filter(pk=row.pk).exists()


@pytest.mark.parametrize("name", ["Practice", "User", "SigningKey"])
def test_admin_rows_that_history_hangs_on_are_never_deleted(name: str, rows: Rows, office: Client) -> None:
    model = getattr(models, name)
    assert office.post(url(model, "delete", rows[model].pk), {"post": "yes"}).status_code == 403
    assert model.objects.filter(pk=rows[model].pk).exists()


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_admin_stranger_and_member_are_refused(model: type[Model], rows: Rows, alice: User) -> None:
    for client, wanted in ((Client(), 302), (signed_in(alice), 302)):
        for address in pages(rows[model]):
            response = client.get(address)
            assert response.status_code == wanted
            assert response.headers["Location"].startswith("/admin/login/")


def test_admin_staff_without_permissions_see_nothing(rows: Rows, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    client = signed_in(alice)
    for model in OURS:
        assert client.get(url(model, "changelist")).status_code == 403


SEARCHES = [
    ("finds a practice by name", "Practice", "alder", 1),
    ("finds a practice by code", "Practice", "AAAAAA", 1),
    ("finds a person by e-mail", "User", "alice@", 1),
    ("finds an invitation by address", "Invitation", "new@example.org", 1),
    ("finds a registration by name", "ClientRegistration", "backend", 1),
    ("finds a connection by practice", "Connection", "alder", 1),
    ("finds an audit event by person", "AuditEvent", "alice@example.org", 1),
    ("finds a work item by practice", "WorkItem", "AAAAAA", 1),
    ("finds a resource by type", "Resource", "Patient", 1),
    ("does not find a resource by FHIR id", "Resource", "canary-fhir-id", 0),
    ("does not find a resource by patient", "Resource", "canary-patient-id", 0),
    ("does not find a resource by its body", "Resource", "Canarysurname", 0),
    ("does not find a quarantined body", "Quarantine", "Canarysurname", 0),
    ("does not find an enrolment by FHIR id", "Enrolment", "canary-patient-id", 0),
    ("does not find a registration by its secret", "ClientRegistration", "canary-client-secret", 0),
    ("takes a word where an id is expected", "Pull", "not-an-id", 0),
]


@pytest.mark.parametrize(("name", "words", "found"), [row[1:] for row in SEARCHES], ids=[row[0] for row in SEARCHES])
def test_admin_search(name: str, words: str, found: int, rows: Rows, office: Client) -> None:
    response = office.get(url(getattr(models, name), "changelist"), {"q": words})
    assert response.status_code == 200
    assert response.context["cl"].result_count == found


@pytest.mark.parametrize("name", ["Resource", "Quarantine", "Enrolment", "Pull", "WorkItem"])
def test_admin_search_by_our_id(name: str, rows: Rows, office: Client) -> None:
    model = getattr(models, name)
    for text in (str(rows[model].pk), rows[model].pk.hex):
        response = office.get(url(model, "changelist"), {"q": text})
        assert response.context["cl"].result_count == 1, text


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_admin_filters_open(model: type[Model], rows: Rows, office: Client) -> None:
    response = office.get(url(model, "changelist"))
    for chosen in response.context["cl"].filter_specs:
        for choice in list(chosen.choices(response.context["cl"]))[:3]:
            answer = office.get(url(model, "changelist") + choice["query_string"])
            assert answer.status_code == 200, choice


@pytest.mark.parametrize("model", [Enrolment, models.Pull, models.WorkItem, Practice], ids=lambda m: m.__name__)
def test_admin_list_takes_the_same_queries_for_more_rows(
    model: type[Model], rows: Rows, office: Client, django_assert_max_num_queries: object
) -> None:
    connection = models.Connection.objects.get()
    for number in range(12):
        practice = Practice.objects.create(name=f"Practice {number}", code="B" + "ABCDEFGHIJKLM"[number] * 5)
        own = models.Connection.objects.create(
            practice=practice, registration=connection.registration, base_url="https://fhir.example.org"
        )
        enrolment = Enrolment.objects.create(connection=own, patient_fhir_id="p", known_by="list")
        pull = models.Pull.objects.create(connection=own, practice=practice)
        models.WorkItem.objects.create(pull=pull, enrolment=enrolment)
    assert callable(django_assert_max_num_queries)
    with django_assert_max_num_queries(14):
        assert office.get(url(model, "changelist")).context["cl"].result_count == 13


def test_pull_page_shows_the_first_items_only(rows: Rows, office: Client) -> None:
    pull = rows[models.Pull]
    assert isinstance(pull, models.Pull)
    for number in range(120):
        enrolment = Enrolment.objects.create(connection=pull.connection, patient_fhir_id=f"p{number}", known_by="list")
        state = "failed" if number == 119 else "done"
        models.WorkItem.objects.create(pull=pull, enrolment=enrolment, state=state, reason=f"reason {number}.")
    html = office.get(url(models.Pull, "change", pull.pk)).content.decode()
    assert "reason 119." in html
    assert html.count("reason 1") <= 100
    assert "121 items" in html


INLINE = [
    ("script element", "<script>alert(1)</script>", ["script"]),
    ("style element", "<style>p {}</style>", ["style"]),
    ("style attribute", '<p style="color: red">', ["style"]),
    ("event handler", '<p onclick="go()">', ["onclick"]),
    ("javascript: link", '<a href=" JavaScript:go()">', [" JavaScript:go()"]),
    ("script of ours", '<script src="/static/a.js"></script>', []),
    ("data island", '<script type="application/json">{}</script>', []),
]


@pytest.mark.parametrize(("html", "found"), [row[1:] for row in INLINE], ids=[row[0] for row in INLINE])
def test_inline_code_is_recognised(html: str, found: list[str]) -> None:
    assert inline_code(html) == found


def test_templates_of_ours_hold_no_inline_code() -> None:
    files = list(TEMPLATES.rglob("*.html"))
    assert len(files) >= 4
    found = {str(file.relative_to(TEMPLATES)): inline_code(file.read_text("utf-8")) for file in files}
    assert {name: code for name, code in found.items() if code} == {}
