"""The checklist: how far a connection is, who acts, what the buttons do in every state."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.html import escape

from emr import catalogue, doctor, keys, letters
from emr.connecting import checklist
from emr.models import (
    AuditEvent,
    ClientRegistration,
    Connection,
    DoctorReport,
    Enrolment,
    JwksHit,
    SigningKey,
    SystemToken,
    TypeOutcome,
    User,
)
from tests.conftest import signed_in

pytestmark = pytest.mark.django_db

KEYS = ["drafted", "client-id", "jwks", "as-registered", "activated", "token", "data", "active"]


def standing(connection: Connection) -> dict[str, str]:
    connection.refresh_from_db()
    connection.registration.refresh_from_db()
    return {step.key: step.standing for step in checklist.of(connection).steps}


def entered(connection: Connection) -> None:
    ClientRegistration.objects.update(client_id="id-of-ours")


def key_made(connection: Connection) -> None:
    keys.activate(keys.generate(environment="production", algorithm="RS384", bits=2048))


def fetched(connection: Connection) -> None:
    JwksHit.objects.create(environment="production", address="192.0.2.7", user_agent="vendor/1.0")


def confirmed(connection: Connection) -> None:
    connection.registration.refresh_from_db()
    connection.registration.confirm(timezone.now())
    connection.registration.save()


def activated(connection: Connection) -> None:
    Connection.objects.update(practice_activated_at=timezone.now())


def report(connection: Connection, verdict: doctor.Verdict) -> None:
    finding = doctor.Finding(step="token", title="Token", verdict=verdict).as_json()
    DoctorReport.objects.create(connection=connection, state="done", findings=[finding], finished_at=timezone.now())


def token(connection: Connection) -> None:
    report(connection, doctor.Verdict.OK)


def data(connection: Connection) -> None:
    enrolment = Enrolment.objects.create(connection=connection, patient_fhir_id="p", known_by="list")
    now = timezone.now()
    TypeOutcome.objects.create(
        enrolment=enrolment, resource_type="Patient", outcome="complete", attempted_at=now, confirmed_at=now
    )


def working(connection: Connection) -> None:
    Connection.objects.update(state="active", active_at=timezone.now())


STEPS: list[tuple[str, list[Callable[[Connection], None]], int]] = [
    # what happened, in addition to the line before; how many steps are done then
    ("a draft", [], 1),
    ("client id entered", [entered], 2),
    ("a key made, nobody fetched it", [key_made], 2),
    ("the vendor fetched it", [fetched], 3),
    ("compared with the portal", [confirmed], 4),
    ("activated by the practice", [activated], 5),
    ("a token given", [token], 6),
    ("a patient pulled", [data], 7),
    ("active", [working], 8),
]


@pytest.mark.parametrize("upto", range(len(STEPS)), ids=[row[0] for row in STEPS])
def test_checklist_from_nothing_to_connected(upto: int, connection: Connection) -> None:
    ClientRegistration.objects.update(client_id="", client_id_at=None)
    for _, happenings, _ in STEPS[: upto + 1]:
        for happen in happenings:
            happen(connection)
    done = STEPS[upto][2]
    wanted = ["done"] * done + ["now"] * (done < len(KEYS)) + ["later"] * (len(KEYS) - done - 1)
    assert standing(connection) == dict(zip(KEYS, wanted, strict=True))
    listed = checklist.of(connection)
    assert listed.connected is (done == len(KEYS))
    assert (listed.current is None) is listed.connected


WHO = ["we", "we", "vendor", "we", "practice", "vendor", "we", "we"]


def test_checklist_names_who_acts(connection: Connection) -> None:
    key_made(connection)
    assert [step.who for step in checklist.of(connection).steps] == WHO


def test_checklist_of_a_sandbox_needs_no_activation(connection: Connection) -> None:
    ClientRegistration.objects.update(environment="sandbox")
    assert standing(connection)["activated"] == "done"


def test_our_own_fetch_of_the_jwks_proves_nothing(connection: Connection) -> None:
    key_made(connection)
    JwksHit.objects.create(environment="production", address="192.0.2.1", user_agent=JwksHit.OWN_AGENT)
    JwksHit.objects.create(environment="sandbox", address="192.0.2.7", user_agent="vendor/1.0")
    JwksHit.objects.create(
        environment="production", address="192.0.2.7", user_agent="vendor/1.0",
        last_at=timezone.now() - timedelta(days=1),
    )  # fmt: skip
    assert standing(connection)["jwks"] == "now"
    SigningKey.objects.update(proved_at=timezone.now())
    assert standing(connection)["jwks"] == "done"


@pytest.mark.parametrize("field", ["scopes", "redirect_uris", "client_id", "environment"])
def test_what_was_compared_with_the_portal_must_be_compared_again_when_it_changes(
    field: str, connection: Connection
) -> None:
    confirmed(connection)
    assert connection.registration.is_confirmed
    setattr(connection.registration, field, "sandbox")
    connection.registration.save()
    step = next(step for step in checklist.of(connection).steps if step.key == "as-registered")
    assert not step.done
    assert "has changed since" in step.todo
    assert step.action == "confirm"


def test_scopes_in_another_order_are_the_same(connection: Connection) -> None:
    confirmed(connection)
    connection.registration.scopes = "  ".join(reversed(connection.registration.scopes.split()))
    assert connection.registration.is_confirmed


def test_a_token_refused_later_is_not_told_as_done(connection: Connection) -> None:
    token(connection)
    assert standing(connection)["token"] == "done"
    report(connection, doctor.Verdict.WRONG)
    assert standing(connection)["token"] != "done"


CODES = [
    ("CFG_CLIENT_ID", "client-id"),
    ("KEY_MISSING", "jwks"),
    ("CFG_SIGNING_KEY", "jwks"),
    ("TOK_JWKS_UNREACHABLE", "jwks"),
    ("TOK_KID_AMBIGUOUS", "jwks"),
    ("TOK_SCOPE_BACKEND", "as-registered"),
    ("AUTHZ_APP_NOT_ACTIVATED", "activated"),
    ("TOK_INVALID_CLIENT", "token"),
    ("DISC_NOT_JSON", "token"),
    ("NET_TIMEOUT", "token"),
    ("SECRET_UNREADABLE", "token"),
    ("SOMETHING_NEW", "token"),
    ("FHIR_401", "data"),
    ("FHIR_429", "data"),
]


@pytest.mark.parametrize(("code", "key"), CODES, ids=[row[0] for row in CODES])
def test_trouble_shows_at_the_step_it_is_about(code: str, key: str, connection: Connection, office: Client) -> None:
    for happen in (key_made, fetched, confirmed, activated, token, data):
        happen(connection)
    Connection.objects.update(state="degraded", reason_code=code, reason_at=timezone.now(), reason_detail="<i>it said")
    assert standing(connection)[key] == "trouble"
    assert [step for step, how in standing(connection).items() if how == "trouble"] == [key]
    html = page(office, connection)
    told = catalogue.explain(code)
    for text in (told.title, told.next_step, told.who_acts, *told.causes, "<i>it said"):
        assert escape(text) in html


def page(office: Client, connection: Connection) -> str:
    return office.get(reverse("admin:emr_connection_change", args=[connection.pk])).content.decode()


@pytest.mark.parametrize("state", Connection.State.values)
def test_every_state_offers_test_retry_and_reconnect(state: str, connection: Connection, office: Client) -> None:
    Connection.objects.update(state=state, reason_code="TOK_INVALID_CLIENT" if state == "degraded" else "")
    html = page(office, connection)
    for what, label in (("test", "Test"), ("retry", "Retry"), ("reconnect", "Reconnect")):
        assert f'action="{reverse("admin:emr_connection_act", args=[connection.pk, what])}"' in html
        assert f">{label}</button>" in html


def press(office: Client, connection: Connection, what: str, **form: str) -> int:
    address = reverse("admin:emr_connection_act", args=[connection.pk, what])
    status: int = office.post(address, form).status_code
    connection.refresh_from_db()
    return status


@pytest.mark.parametrize("state", Connection.State.values)
def test_test_asks_for_one_self_test_and_changes_nothing_else(
    state: str, connection: Connection, office: Client
) -> None:
    Connection.objects.update(state=state)
    for _ in range(2):
        assert press(office, connection, "test") == 302
    assert connection.reports.get().state == "queued"
    assert connection.state == state
    assert "hx-get" in page(office, connection)


def test_retry_makes_due_what_is_missing_and_no_more(connection: Connection, office: Client) -> None:
    data(connection)
    now = timezone.now()
    for name, outcome in (("missed", "not-fetched"), ("refused", "not-permitted")):
        enrolment = Enrolment.objects.create(connection=connection, patient_fhir_id=name, known_by="list")
        TypeOutcome.objects.create(enrolment=enrolment, resource_type="Condition", outcome=outcome, attempted_at=now)
    Enrolment.objects.create(connection=connection, patient_fhir_id="never", known_by="list")
    press(office, connection, "retry")
    due = connection.enrolments.filter(due_at__lte=timezone.now()).values_list("patient_fhir_id", flat=True)
    assert set(due) == {"missed", "never"}
    assert connection.reports.count() == 1


@pytest.mark.parametrize("state", ["degraded", "revoked", "active"])
def test_reconnect_starts_anew(state: str, connection: Connection, office: Client) -> None:
    SystemToken.objects.create(connection=connection, scope="s", expires_at=timezone.now() + timedelta(hours=1))
    Connection.objects.update(
        state=state, reason_code="TOK_INVALID_CLIENT", smart_configuration={"token_endpoint": "x"}, request_id="r"
    )
    press(office, connection, "reconnect")
    assert (connection.state, connection.reason_code, connection.request_id) == ("draft", "", "")
    assert connection.smart_configuration is None
    assert connection.system_tokens.get().expires_at is None
    assert connection.reports.count() == 1


def test_buttons_of_steps_bring_the_state_on(connection: Connection, office: Client) -> None:
    assert connection.state == "draft"
    press(office, connection, "confirm")
    assert connection.state == "draft"  # there is no key yet
    press(office, connection, "key")
    assert connection.state == "registered"
    assert SigningKey.objects.get().state == "active"
    press(office, connection, "key")
    assert sorted(SigningKey.objects.values_list("state", flat=True)) == ["active", "next"]
    letter = letters.write(connection, "activate")
    office.post(reverse("admin:emr_letter_act", args=[letter.pk, "sent"]))
    connection.refresh_from_db()
    assert connection.state == "awaiting-practice"
    press(office, connection, "activated")
    assert connection.state == "registered"
    details = list(AuditEvent.objects.filter(object_id=connection.pk).values_list("detail", flat=True))
    assert {"Connection confirm", "Connection key", "Connection activated"} <= set(details)


def test_confirming_a_host_is_the_admins_word(connection: Connection, office: Client) -> None:
    Connection.objects.update(pending_hosts=["https://oauth.example.org"])
    assert "https://oauth.example.org" in page(office, connection)
    press(office, connection, "confirm-host", origin="https://evil.example.org")
    assert connection.confirmed_hosts == []
    press(office, connection, "confirm-host", origin="https://oauth.example.org")
    assert (connection.confirmed_hosts, connection.pending_hosts) == (["https://oauth.example.org"], [])


def test_letters_due_show_on_the_checklist(connection: Connection, office: Client) -> None:
    letter = letters.write(connection, "enable-backend")
    assert "Ask again:" not in page(office, connection)
    type(letter).objects.update(sent_at=timezone.now() - timedelta(days=2))
    html = page(office, connection)
    assert "Ask again:" in html
    assert reverse("admin:emr_letter_change", args=[letter.pk]) in html


def test_checklist_fragment_polls_only_while_a_self_test_runs(connection: Connection, office: Client) -> None:
    address = reverse("admin:emr_connection_checklist", args=[connection.pk])
    assert b"hx-get" not in office.get(address).content
    report = DoctorReport.objects.create(connection=connection, state="running", alive_at=timezone.now())
    assert b"hx-get" in office.get(address).content
    DoctorReport.objects.filter(pk=report.pk).update(state="done")
    assert b"hx-get" not in office.get(address).content


def test_buttons_want_a_post_permission_and_a_known_name(connection: Connection, office: Client, alice: User) -> None:
    address = reverse("admin:emr_connection_act", args=[connection.pk, "test"])
    assert office.get(address).status_code == 302
    assert press(office, connection, "explode") == 404
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    for url in (address, reverse("admin:emr_connection_checklist", args=[connection.pk])):
        assert signed_in(alice).post(url).status_code == 404  # no practice of hers: there is no such row
    assert Client().post(address).headers["Location"].startswith("/admin/login/")
    assert connection.reports.count() == 0
