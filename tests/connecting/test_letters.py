"""Letters: what they say, what they never say, and when to ask again."""

import email
import email.policy
from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from emr import keys, letters
from emr.connecting import key_exports
from emr.models import (
    ClientRegistration,
    Connection,
    DoctorReport,
    Enrolment,
    Grant,
    JwksHit,
    Letter,
    SigningKey,
    SystemToken,
)

pytestmark = pytest.mark.django_db

KINDS = Letter.Kind.values
SECRETS = ("canary", "PRIVATE KEY")


@pytest.fixture
def filled(connection: Connection) -> Connection:
    """A connection in trouble, with a canary in every place a letter must not look into."""
    key = keys.generate(environment="production", algorithm="RS384", bits=2048)
    keys.activate(key)
    keys.generate(environment="production", algorithm="RS384", bits=2048)
    JwksHit.objects.create(environment="production", address="192.0.2.7", user_agent="vendor/1.0")
    SystemToken.objects.create(connection=connection, scope="s", access_token="canary-access")
    Grant.objects.create(
        connection=connection, patient_fhir_id="canary-patient", access_token="canary-a", refresh_token="canary-r"
    )
    Enrolment.objects.create(connection=connection, patient_fhir_id="canary-patient", known_by="list")
    DoctorReport.objects.create(
        connection=connection,
        state="done",
        code="TOK_INVALID_CLIENT",
        findings=[{"step": "token", "request_id": "req-2"}],
    )
    connection.state, connection.reason_code = Connection.State.DEGRADED, "TOK_INVALID_CLIENT"
    connection.reason_detail, connection.request_id = "TOK_INVALID_CLIENT: invalid_client", "req-1"
    connection.reason_at = timezone.now()
    connection.save()
    return connection


def active() -> SigningKey:
    return SigningKey.objects.get(state="active")


@pytest.mark.parametrize("kind", KINDS)
def test_letter_holds_no_secret_and_no_patient(kind: str, filled: Connection) -> None:
    letter = letters.write(filled, kind)
    told = letter.subject + letter.body + letters.eml(letter).decode()
    assert [word for word in SECRETS if word in told] == []
    own = [line for line in active().private_pem.splitlines() if len(line) > 20]
    assert [line for line in own if line in told] == []


@pytest.mark.parametrize("kind", KINDS)
def test_letter_keeps_out_an_answer_that_names_a_patient(kind: str, filled: Connection) -> None:
    filled.reason_detail = "FHIR_403: no access to canary-patient."
    filled.save()
    assert "canary" not in letters.write(filled, kind).body


@pytest.mark.parametrize("kind", KINDS)
def test_letter_of_an_empty_connection_has_no_holes(kind: str, connection: Connection) -> None:
    ClientRegistration.objects.update(client_id="", scopes="", activation_code="", portal="")
    connection.registration.refresh_from_db()
    letter = letters.write(connection, kind)
    for hole in ("None", "{{", "{%", "&#", "&amp;"):
        assert hole not in letter.subject + letter.body
    assert letter.body.startswith("Hello,")
    assert letter.body.endswith("Thank you.\n")
    assert not any(line != line.rstrip() for line in letter.body.splitlines() if not set(":=") & set(line))


def holds(body: str, *wanted: str) -> None:
    assert [text for text in wanted if text not in body] == []


def test_letter_to_enable_backend_services(filled: Connection) -> None:
    letter = letters.write(filled, "enable-backend")
    key = active()
    assert letter.to == "fhirfighters@eclinicalworks.com"
    holds(letter.subject, "id-of-ours", "AAAAAA")
    holds(
        letter.body, "id-of-ours", "eClinicalWorks", "Production", filled.base_url, "code AAAAAA", "client_credentials",
        keys.jwks_url("production"), key.kid, "RSA 2048", key_exports.public_pem(key), "TOK_INVALID_CLIENT",
        "req-1, req-2", "192.0.2.7 (vendor/1.0)", *filled.registration.scopes.split(),
    )  # fmt: skip


def test_letter_about_a_refused_backend_app_shows_its_token_request(filled: Connection) -> None:
    body = letters.write(filled, "authorization-refused").body
    holds(body, "grant_type = client_credentials", "client_assertion = (a JWT signed for this request alone)", "POST")
    assert "code_challenge" not in body


def test_letter_about_a_refused_launch_shows_its_authorize_request(filled: Connection) -> None:
    ClientRegistration.objects.update(
        app_type="patient", auth_method="none", redirect_uris="https://app.example.org/callback",
        scopes="openid fhirUser launch/patient patient/Appointment.read",
        extra_authorize_params={"practice_code": "{practice_code}"},
    )  # fmt: skip
    filled.registration.refresh_from_db()
    filled.smart_configuration = {"authorization_endpoint": "https://oauth.example.org/authorize"}
    body = letters.write(filled, "authorization-refused").body
    holds(
        body, "GET https://oauth.example.org/authorize", "response_type = code", f"aud = {filled.base_url}\n",
        "redirect_uri = https://app.example.org/callback", "code_challenge_method = S256", "practice_code = AAAAAA",
        "no Appointment scope", "byte for byte",
    )  # fmt: skip


def test_letter_to_the_practice_gives_the_way_and_the_code(filled: Connection) -> None:
    ClientRegistration.objects.update(data_use={"sale": "It is never sold."})
    filled.registration.refresh_from_db()
    letter = letters.write(filled, "activate")
    assert letter.to == ""
    holds(
        letter.body, "code AAAAAA", "1. EMR Admin", "2. Production (On-Demand) Activation",
        "enter the activation code: ACT-42", "Is it sold, identifiable or not?\nIt is never sold.",
    )  # fmt: skip
    assert "TOK_" not in letter.body


def test_letter_about_a_new_key_names_both(filled: Connection) -> None:
    coming = SigningKey.objects.get(state="next")
    body = letters.write(filled, "key-rotation").body
    signs = timezone.now() + timedelta(days=1)
    holds(body, coming.kid, active().kid, key_exports.public_pem(coming), f"{signs:%d-%b-%Y}")
    assert key_exports.public_pem(active()) not in body


def test_letter_as_a_file_for_a_mail_program(filled: Connection, office: Client) -> None:
    letter = letters.write(filled, "enable-backend")
    answer = office.get(reverse("admin:emr_letter_eml", args=[letter.pk]))
    assert answer.headers["Content-Type"] == "message/rfc822"
    message = email.message_from_bytes(answer.content, policy=email.policy.default)
    assert (message["To"], message["Subject"], message["X-Unsent"]) == (letter.to, letter.subject, "1")
    part: Any = message.get_body()
    assert part.get_content().split() == letter.body.split()


@pytest.mark.parametrize(
    "name", ["Clinic\r\nBcc: everyone@example.org", "Clínica “Ñandú”"], ids=["a line end", "accents"]
)
def test_letter_subject_is_one_line_of_any_text(name: str, connection: Connection) -> None:
    ClientRegistration.objects.update(name=name)
    connection.registration.refresh_from_db()
    message = email.message_from_bytes(letters.eml(letters.write(connection, "activate")), policy=email.policy.default)
    assert message["Bcc"] is None
    assert message["Subject"].startswith("Please activate Cl")


SENT = timezone.now()
AGAIN = [
    # what, reminders, answered, days after sending, due, next in days
    ("sent today", 0, False, 0, False, 1),
    ("sent yesterday", 0, False, 1, True, 1),
    ("asked again once, day 2", 1, False, 2, False, 3),
    ("asked again once, day 3", 1, False, 3, True, 3),
    ("asked again twice, day 5", 2, False, 5, True, 5),
    ("all reminders spent", 3, False, 30, False, None),
    ("answered", 0, True, 30, False, None),
]


@pytest.mark.parametrize(
    ("reminders", "answered", "days", "due", "then"), [row[1:] for row in AGAIN], ids=[row[0] for row in AGAIN]
)
def test_letter_is_due_again_on_days_1_3_and_5(
    reminders: int, answered: bool, days: int, due: bool, then: int | None, connection: Connection
) -> None:
    letter = letters.write(connection, "activate")
    letter.sent_at, letter.reminders = SENT, reminders
    letter.answered_at = SENT if answered else None
    letter.save()
    now = SENT + timedelta(days=days)
    assert letter.is_due(now) is due
    assert letters.due(connection, now) == ([letter] if due else [])
    assert letter.ask_again_at == (SENT + timedelta(days=then) if then else None)


def test_letter_not_sent_is_never_due(connection: Connection) -> None:
    letter = letters.write(connection, "activate")
    assert not letter.is_due(timezone.now() + timedelta(days=99))


def follow_up(office: Client, letter: Letter, what: str) -> int:
    status: int = office.post(reverse("admin:emr_letter_act", args=[letter.pk, what])).status_code
    letter.refresh_from_db()
    return status


def test_letter_followed_up_by_its_buttons(connection: Connection, office: Client) -> None:
    office.post(reverse("admin:emr_connection_act", args=[connection.pk, "letter"]), {"kind": "activate"})
    letter = Letter.objects.get()
    assert follow_up(office, letter, "asked-again") == 302
    assert letter.reminders == 0  # it was never sent
    follow_up(office, letter, "sent")
    connection.refresh_from_db()
    assert letter.sent_at is not None
    assert connection.practice_told_at is not None
    sent = letter.sent_at
    follow_up(office, letter, "sent")
    assert letter.sent_at == sent
    follow_up(office, letter, "asked-again")
    assert letter.reminders == 1
    follow_up(office, letter, "answered")
    assert letter.answered_at is not None
    follow_up(office, letter, "asked-again")
    assert letter.reminders == 1
    assert follow_up(office, letter, "burned") == 404
    office.get(reverse("admin:emr_letter_act", args=[letter.pk, "sent"]))
    assert (
        office.post(reverse("admin:emr_connection_act", args=[connection.pk, "letter"]), {"kind": "x"}).status_code
        == 404
    )
