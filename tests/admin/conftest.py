"""One row of every model of the connection, filled with canaries that no admin page may show."""

from html.parser import HTMLParser

import pytest
from django.db.models import Model
from django.test import Client
from django.utils import timezone

from emr import audit, keys, letters
from emr.accounts import invitations
from emr.models import (
    AuditEvent,
    BulkItem,
    BulkJob,
    ClientRegistration,
    Connection,
    DirectoryEntry,
    DoctorReport,
    Enrolment,
    FhirUser,
    Grant,
    IdentityProvider,
    Invitation,
    JwksHit,
    Launch,
    LookUp,
    PatientInvitation,
    Practice,
    Pull,
    Quarantine,
    Resource,
    Sweep,
    SystemToken,
    TypeOutcome,
    User,
    WorkItem,
)
from tests.conftest import signed_in

SECRETS = ("canary-client-secret", "canary-access", "canary-refresh", "canary-grant-access", "PRIVATE KEY")
# Names, bodies, FHIR ids, and the texts that may quote them.
CHARTS = (
    "Canarysurname", "canary-fhir-id", "canary-patient-id", "canary-validator-words", "canary-cursor",
)  # fmt: skip

Rows = dict[type[Model], Model]


@pytest.fixture
def superuser(db: None) -> User:
    return User.objects.create_superuser("office@example.org", "correct horse battery")


@pytest.fixture
def office(superuser: User) -> Client:
    return signed_in(superuser)


@pytest.fixture
def connection(practice_a: Practice) -> Connection:
    registration = ClientRegistration.objects.create(
        name="Backend app", client_id="id-of-ours", client_secret="canary-client-secret"
    )
    return Connection.objects.create(
        practice=practice_a, registration=registration, base_url="https://fhir.example.org/fhir/r4/AAAAAA"
    )


@pytest.fixture
def rows(connection: Connection, superuser: User, alice: User) -> Rows:
    practice, now = connection.practice, timezone.now()
    enrolment = Enrolment.objects.create(
        connection=connection, patient_fhir_id="canary-patient-id", known_by=Enrolment.KnownBy.LIST
    )
    TypeOutcome.objects.create(enrolment=enrolment, resource_type="Patient", outcome="complete", attempted_at=now)
    pull = Pull.objects.create(connection=connection, practice=practice)
    invitation = Invitation(email="new@example.org", practice=practice)
    invitations.issue(invitation, by=superuser)
    made: list[Model] = [
        practice,
        alice,
        invitation,
        connection.registration,
        connection,
        keys.generate(environment="sandbox", algorithm="ES384"),
        SystemToken.objects.create(connection=connection, scope="system/Patient.read", access_token="canary-access"),
        (
            asked := PatientInvitation.objects.create(
                practice=practice,
                connection=connection,
                patient_fhir_id="canary-patient-id",
                given="Canarysurname",
                family="Canarysurname",
                birth_date="1989-03-07",
                token_digest="canary-access",
                expires_at=now,
            )
        ),
        Launch.objects.create(
            connection=connection,
            practice=practice,
            kind="patient",
            invitation=asked,
            state_digest="canary-access",
            browser_digest="canary-access",
            nonce="canary-access",
            code_verifier="canary-access",
            scope="openid",
            redirect_uri="https://app.example.org/emr/callback",
            launch_context="canary-access",
            expires_at=now,
        ),
        FhirUser.objects.create(connection=connection, fhir_user="Practitioner/1", user=alice),
        Grant.objects.create(
            connection=connection,
            invitation=asked,
            returned={"label": "Canarysurname"},
            patient_fhir_id="canary-patient-id",
            access_token="canary-grant-access",
            refresh_token="canary-refresh",
        ),
        enrolment,
        pull,
        WorkItem.objects.create(pull=pull, enrolment=enrolment, cursor={"next": "canary-cursor"}),
        (job := BulkJob.objects.create(connection=connection, pull=pull, group_id="g", status_url="canary-cursor")),
        BulkItem.objects.create(job=job, kind="file", url="canary-cursor", cursor={"mark": "canary-cursor"}),
        Sweep.objects.create(connection=connection, resource_type="Patient", works=True, decided_at=now),
        Resource.objects.create(
            practice=practice,
            connection=connection,
            resource_type="Patient",
            fhir_id="canary-fhir-id",
            patient_fhir_id="canary-patient-id",
            body='{"resourceType": "Patient", "name": [{"family": "Canarysurname"}]}',
            content_hash="0" * 64,
            query="Patient/{id}",
            first_seen_at=now,
            changed_at=now,
            unparsed="canary-validator-words",
        ),
        Quarantine.objects.create(
            practice=practice,
            connection=connection,
            resource_type="Patient",
            fhir_id="canary-fhir-id",
            patient_fhir_id="canary-patient-id",
            reason="no id",
            body='{"name": [{"family": "Canarysurname"}]}',
            body_hash="0" * 64,
            query="Patient/{id}",
        ),
        LookUp.objects.create(
            practice=practice,
            connection=connection,
            sought={"family": "Canarysurname"},
            found=[{"fhir_id": "canary-fhir-id"}],
        ),
        IdentityProvider.objects.create(
            practice=practice,
            issuer="https://idp.example",
            client_id="app",
            client_secret="canary-client-secret",
            email_domains="example.org",
        ),
        letters.write(connection, "enable-backend"),
        JwksHit.objects.create(environment="sandbox", address="192.0.2.7", user_agent="vendor/1.0"),
        DirectoryEntry.objects.create(
            name="Cedar Neurology",
            city="Salem",
            state="OR",
            code="CCCCCC",
            seen_at=now,
            portal="eClinicalWorks",
            base_url="https://fhir4.eclinicalworks.com/fhir/r4/CCCCCC",
            vendor_profile="ecw",
        ),
        DoctorReport.objects.create(connection=connection, state="done", healthy=False, code="TOK_INVALID_CLIENT"),
        audit.record(AuditEvent.Action.SIGN_IN, by=alice, practice=practice),
    ]
    return {type(row): row for row in made}


class _Inline(HTMLParser):
    """Collects what a browser refuses under `script-src 'self'; style-src 'self'`."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attrs}
        data_only = ("type", "application/json") in attrs
        if tag == "style" or (tag == "script" and "src" not in names and not data_only):
            self.found.append(tag)
        # "on" alone is a word of a template's tag, no handler.
        self.found += [name for name in names if name == "style" or (name.startswith("on") and name != "on")]
        self.found += [value for _, value in attrs if value and value.strip().lower().startswith("javascript:")]


def inline_code(html: str) -> list[str]:
    """Inline scripts, styles and handlers of a page."""
    reader = _Inline()
    reader.feed(html)
    return reader.found
