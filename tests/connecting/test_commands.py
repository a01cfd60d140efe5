"""connect_practice from options and from the environment; rotate_keys over every stored secret."""

from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connection as database
from django.test import override_settings
from pytest_django import Settings

from emr import fields, keys
from emr.models import ClientRegistration, Connection, Grant, Practice, SigningKey, SystemToken
from tests.connecting.conftest import PRODUCTION_BASE
from tests.connecting.test_pem import GOOD, P384, pkcs8

pytestmark = pytest.mark.django_db

VARIABLES = {
    "ECLINICALWORKS_CLIENT_ID": "id-of-ours",
    "ECLINICALWORKS_FHIR_BASE_URL": PRODUCTION_BASE,
    "ECLINICALWORKS_PRACTICE_CODE": "AAAAAA",
    "ECLINICALWORKS_PRIVATE_KEY": GOOD,
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in (*VARIABLES, "ECLINICALWORKS_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


@pytest.fixture
def founding(environment: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name, value in VARIABLES.items():
        environment.setenv(name, value)
    return environment


def run(capsys: pytest.CaptureFixture[str], **options: Any) -> str:
    call_command("connect_practice", **{"practice_name": "Alder Headache Clinic", **options})
    told = capsys.readouterr()
    return told.out + told.err


def stored() -> list[list[dict[str, Any]]]:
    """Everything but the ciphertexts, which differ each time a row is saved."""
    rows = [list(model.objects.values()) for model in (ClientRegistration, Connection, SigningKey)]
    return [[row | {"client_secret": "", "private_pem": ""} for row in found] for found in rows]


def counts() -> tuple[int, ...]:
    return tuple(model.objects.count() for model in (Practice, ClientRegistration, SigningKey, Connection))


def test_connect_practice_from_the_environment(
    founding: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = run(capsys)
    connection = Connection.objects.select_related("practice", "registration").get()
    registration, key = connection.registration, SigningKey.objects.get()
    assert (connection.practice.code, connection.base_url) == ("AAAAAA", PRODUCTION_BASE)
    assert (registration.client_id, registration.environment) == ("id-of-ours", "production")
    assert (registration.auth_method, registration.signing_algorithm) == ("private_key_jwt", "RS384")
    assert registration.scopes == registration.profile.default_scopes
    assert (key.state, key.environment, key.private_pem) == ("active", "production", GOOD)
    assert keys.jwks_url("production") in told
    assert "Next step" in told
    assert [line for line in GOOD.splitlines() if line in told] == []


def test_connect_practice_again_changes_nothing(
    founding: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys)
    before = stored()
    told = run(capsys)
    assert counts() == (1, 1, 1, 1)
    assert stored() == before
    assert told.count("as it was") == 3


def test_connect_practice_changes_what_differs(
    founding: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys)
    assert "Registration changed: portal" in run(capsys, portal="eClinicalWorks")
    assert "Connection changed" in run(capsys, group_id="g-1")
    told = run(capsys, confirm_portal=True, test=True)
    connection = Connection.objects.get()
    assert connection.group_id == "g-1"
    assert connection.registration.portal == "eClinicalWorks"
    assert connection.registration.is_confirmed
    assert connection.state == "registered"
    assert connection.reports.get().state == "queued"
    assert "Next step" in told


def test_connect_practice_moved_forgets_the_old_server(
    founding: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(capsys)
    SystemToken.objects.create(connection=Connection.objects.get(), scope="s", access_token="old")
    run(capsys, base_url="https://other.example.org/fhir/r4/AAAAAA", confirm_address=True)
    assert not SystemToken.objects.exists()
    assert Connection.objects.get().base_url == "https://other.example.org/fhir/r4/AAAAAA"


def test_connect_practice_draft_waits_for_its_client_id(
    founding: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    founding.delenv("ECLINICALWORKS_CLIENT_ID")
    assert "There is no client id yet" in run(capsys)
    founding.setenv("ECLINICALWORKS_CLIENT_ID", "k" * 512)
    run(capsys)
    assert counts() == (1, 1, 1, 1)
    assert ClientRegistration.objects.get().client_id == "k" * 512
    founding.delenv("ECLINICALWORKS_CLIENT_ID")
    assert "There is no client id yet" not in run(capsys)
    assert counts() == (1, 1, 1, 1)


def test_connect_practice_without_a_key_makes_one(
    founding: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    founding.delenv("ECLINICALWORKS_PRIVATE_KEY")
    assert "generated" in run(capsys)
    assert SigningKey.objects.get().state == "active"
    run(capsys)
    assert SigningKey.objects.count() == 1


def test_connect_practice_new_key_beside_an_active_one_is_next(
    founding: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    active = keys.generate(environment="production", bits=2048)
    keys.activate(active)
    run(capsys)
    assert set(SigningKey.objects.values_list("state", flat=True)) == {"active", "next"}


def test_connect_practice_secret_of_a_patients_app_is_stored_and_never_printed(
    founding: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    founding.setenv("ECLINICALWORKS_CLIENT_SECRET", "canary-secret")
    founding.setenv("ECLINICALWORKS_FHIR_BASE_URL", "https://fhir4.healow.com/fhir/r4/AAAAAA")
    options = {
        "app_type": "patient", "scopes": "openid fhirUser launch/patient patient/Patient.read",
        "redirect_uri": ["https://app.example.org/callback"],
    }  # fmt: skip
    told = run(capsys, **options)
    registration = ClientRegistration.objects.get()
    assert (registration.auth_method, registration.client_secret) == ("client_secret_basic", "canary-secret")
    file = tmp_path / "secret"
    file.write_text("canary-second\n")
    told += run(capsys, client_secret_file=file, **options)
    assert ClientRegistration.objects.get().client_secret == "canary-second"
    assert "canary" not in told
    assert not SigningKey.objects.exists()


def test_connect_practice_secret_of_a_backend_app_is_not_stored(
    founding: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    founding.setenv("ECLINICALWORKS_CLIENT_SECRET", "canary-secret")
    told = run(capsys)
    assert "was not stored" in told
    assert "canary" not in told
    assert ClientRegistration.objects.get().client_secret == ""


ESCAPED = GOOD.replace("\n", "\\n")
WRONG = [
    ("no base URL", {"ECLINICALWORKS_FHIR_BASE_URL": ""}, {}, "no base URL"),
    ("no practice code anywhere", {"ECLINICALWORKS_PRACTICE_CODE": "",
     "ECLINICALWORKS_FHIR_BASE_URL": "https://fhir4.eclinicalworks.com/fhir/r4"}, {}, "no practice code"),
    ("a practice nobody named", {}, {"practice_name": ""}, "--practice-name"),
    ("a practice code in small letters", {"ECLINICALWORKS_PRACTICE_CODE": "aaaaaa"}, {}, "Six capital letters"),
    ("the code of another practice", {"ECLINICALWORKS_PRACTICE_CODE": "BBBBBB"}, {}, "practice code AAAAAA"),
    ("a base URL without code", {"ECLINICALWORKS_FHIR_BASE_URL": "https://fhir4.eclinicalworks.com/fhir/r4"}, {},
     "six capital letters"),
    ("the patients' host for a backend app",
     {"ECLINICALWORKS_FHIR_BASE_URL": "https://fhir4.healow.com/fhir/r4/AAAAAA"}, {}, "--confirm-address"),
    ("staging in production", {"ECLINICALWORKS_FHIR_BASE_URL": "https://staging-fhir.ecwcloud.com/fhir/r4/AAAAAA"},
     {"confirm_address": True}, "separate registrations"),
    ("a time zone nobody knows", {}, {"time_zone": "Mars/Olympus"}, "not a time zone"),
    ("Appointment", {}, {"scopes": "system/Appointment.read"}, "no Appointment scope"),
    ("RS256 at a vendor that takes RS384", {}, {"algorithm": "RS256"}, "takes RS384"),
    ("a secret for a backend app", {}, {"auth_method": "client_secret_post"}, "choose private_key_jwt"),
    ("a plain redirect URI", {}, {"redirect_uri": ["http://app.example.org/cb"]}, "https://"),
    ("a key with escaped line ends", {"ECLINICALWORKS_PRIVATE_KEY": ESCAPED}, {}, "two characters"),
    ("a key in quotes", {"ECLINICALWORKS_PRIVATE_KEY": f'"{ESCAPED}"'}, {"unescape_key": True}, "quotes"),
    ("an EC key for RS384", {"ECLINICALWORKS_PRIVATE_KEY": pkcs8(P384)}, {}, "RS384 signs with an RSA key"),
    ("a key file that is not there", {}, {"private_key_file": Path("/nowhere/key.pem")}, "cannot be read"),
]  # fmt: skip


@pytest.mark.parametrize(("variables", "options", "told"), [row[1:] for row in WRONG], ids=[row[0] for row in WRONG])
def test_connect_practice_refuses_in_words_and_changes_nothing(
    variables: dict[str, str],
    options: dict[str, Any],
    told: str,
    founding: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in variables.items():
        founding.setenv(name, value)
    with pytest.raises(CommandError) as refused:
        run(capsys, **options)
    assert told in str(refused.value)
    assert counts() == (0, 0, 0, 0)
    said = str(refused.value) + capsys.readouterr().out
    assert [line for line in GOOD.splitlines()[1:-1] if line in said] == []


def test_connect_practice_puts_line_ends_right_when_asked(
    founding: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    founding.setenv("ECLINICALWORKS_PRIVATE_KEY", ESCAPED)
    assert "was replaced by line ends, as asked" in run(capsys, unescape_key=True)
    assert SigningKey.objects.get().private_pem == GOOD


# --- rotate_keys ---


@pytest.fixture
def secrets(connection: Connection) -> dict[str, Any]:
    """One stored secret of every kind."""
    key = keys.generate(environment="production", algorithm="ES384")
    token = SystemToken.objects.create(connection=connection, scope="s", access_token="canary-access")
    grant = Grant.objects.create(
        connection=connection, patient_fhir_id="p", access_token="canary-a", refresh_token="canary-r"
    )
    return {"key": key, "pem": key.private_pem, "token": token, "grant": grant, "registration": connection.registration}


def readable(found: dict[str, Any]) -> bool:
    return (
        SigningKey.objects.get(pk=found["key"].pk).private_pem == found["pem"]
        and SystemToken.objects.get(pk=found["token"].pk).access_token == "canary-access"
        and Grant.objects.get(pk=found["grant"].pk).refresh_token == "canary-r"
        and ClientRegistration.objects.get(pk=found["registration"].pk).client_secret == "canary-client-secret"
    )


def test_rotate_keys_lets_the_old_field_key_go(
    secrets: dict[str, Any], settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    new = Fernet.generate_key().decode()
    with override_settings(FIELD_KEYS=[new, *settings.FIELD_KEYS]):
        call_command("rotate_keys", "fields")
    told = capsys.readouterr().out
    assert "5 secrets" in told
    assert "canary" not in told
    with override_settings(FIELD_KEYS=[new]):
        assert readable(secrets)


def test_rotate_keys_leaves_what_it_cannot_read_and_says_so(secrets: dict[str, Any], settings: Settings) -> None:
    lost, new = settings.FIELD_KEYS, Fernet.generate_key().decode()
    with override_settings(FIELD_KEYS=[new]), pytest.raises(CommandError, match="5 secrets cannot be read"):
        call_command("rotate_keys", "fields")
    with override_settings(FIELD_KEYS=lost):
        assert readable(secrets)


@pytest.mark.django_db(transaction=True)
def test_rotate_keys_does_not_undo_a_token_renewed_meanwhile(
    secrets: dict[str, Any], monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    """Who renews a token while its batch is sealed waits for the batch, and is the last to write."""
    token, sealed, waited = secrets["token"], fields.seal, []

    def renew() -> None:
        renewed = SystemToken.objects.get(pk=token.pk)
        renewed.access_token = "renewed"
        renewed.save()
        database.close()

    renewing = Thread(target=renew)

    def slow(model: Any, field: str, pk: Any, text: str) -> Any:
        if pk == token.pk:
            renewing.start()
            renewing.join(0.5)
            waited.append(renewing.is_alive())
        return sealed(model, field, pk, text)

    settings.FIELD_KEYS = [Fernet.generate_key().decode(), *settings.FIELD_KEYS]
    monkeypatch.setattr("emr.resealing.seal", slow)
    call_command("rotate_keys", "fields")
    renewing.join(10)
    assert waited == [True]
    assert SystemToken.objects.get(pk=token.pk).access_token == "renewed"


def test_rotate_keys_takes_the_signing_keys_that_are_due(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("rotate_keys", "signing")
    assert "Nothing is due." in capsys.readouterr().out
    keys.generate(environment="sandbox", algorithm="ES384")
    call_command("rotate_keys", "signing")
    assert "signs: no other key did." in capsys.readouterr().out
    with pytest.raises(CommandError, match="goes with signing"):
        call_command("rotate_keys", "fields", emergency="sandbox")
