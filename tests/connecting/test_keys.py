"""The life of signing keys: waits, proofs, emergencies; and a rotation under a running pull."""

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from emr import keys, pulls, roster, schedule
from emr.connecting import key_exports, rotation
from emr.models import Connection, Enrolment, Environment, Grant, JwksHit, SigningKey, WorkItem
from emr.pulling import ending, queue
from tests.connecting.test_pem import GOOD
from tests.emr.conftest import Connect, JwksServer

pytestmark = pytest.mark.django_db

State = SigningKey.State
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


def made(state: str = State.NEXT, **times: Any) -> SigningKey:
    key = keys.generate(environment="production", algorithm="ES384")
    if state != State.NEXT:
        keys.activate(key)
    SigningKey.objects.filter(pk=key.pk).update(state=state, **times)
    key.refresh_from_db()
    return key


def state(key: SigningKey) -> str:
    key.refresh_from_db()
    return key.state


@pytest.mark.parametrize("bits", [2048, 3072])
def test_key_sizes(bits: int) -> None:
    assert key_exports.size(keys.generate(environment="sandbox", bits=bits)) == f"RSA {bits}"


@pytest.mark.parametrize("bits", [0, 1024, 2047, 8192])
def test_key_size_refused(bits: int) -> None:
    with pytest.raises(ValueError, match="2048, 3072, 4096"):
        keys.generate(environment="sandbox", bits=bits)


def test_key_has_one_life_in_one_environment(office: Client) -> None:
    data = {"environment": "sandbox", "algorithm": "RS384", "rsa_bits": "2048", "private_key": GOOD}
    address = reverse("admin:emr_signingkey_add")
    assert office.post(address, data).status_code == 302
    again = office.post(address, data | {"environment": "production"})
    assert "here already" in str(again.context["adminform"].form.errors)
    assert SigningKey.objects.count() == 1


def test_key_pasted_wrongly_is_refused_and_not_sent_back(office: Client) -> None:
    data = {"environment": "sandbox", "algorithm": "RS384", "rsa_bits": "2048", "private_key": f'"{GOOD}"'}
    answer = office.post(reverse("admin:emr_signingkey_add"), data)
    assert "quotes" in str(answer.context["adminform"].form.errors["private_key"])
    assert GOOD.splitlines()[3] not in answer.content.decode()
    assert not SigningKey.objects.exists()


def test_first_key_signs_at_once() -> None:
    key = made()
    assert "no other key did" in rotation.advance()[0]
    assert state(key) == State.ACTIVE
    assert rotation.advance() == []


WAITS = [
    # what, age of the next key, becomes
    ("just made", timedelta(0), State.NEXT),
    ("a minute short of a day", DAY - MINUTE, State.NEXT),
    ("a day old", DAY + MINUTE, State.ACTIVE),
]


@pytest.mark.parametrize(("age", "becomes"), [row[1:] for row in WAITS], ids=[row[0] for row in WAITS])
def test_next_key_waits_until_every_cache_must_have_seen_it(age: timedelta, becomes: str) -> None:
    old, now = made(State.ACTIVE), timezone.now()
    key = made()
    SigningKey.objects.filter(pk=key.pk).update(created_at=now - age)
    rotation.advance(now)
    assert state(key) == becomes
    assert state(old) == (State.RETIRING if becomes == State.ACTIVE else State.ACTIVE)


LEAVES = [
    # what, since when it does not sign, is its successor proved, becomes
    ("an hour ago, successor proved", timedelta(hours=1), True, State.RETIRING),
    ("a day ago, successor proved", DAY + MINUTE, True, State.RETIRED),
    ("a day ago, successor unproved", DAY + MINUTE, False, State.RETIRING),
    ("a month ago, successor unproved", 30 * DAY, False, State.RETIRING),
]


@pytest.mark.parametrize(("since", "proved", "becomes"), [row[1:] for row in LEAVES], ids=[row[0] for row in LEAVES])
def test_old_key_leaves_after_its_time_and_its_successors_proof(since: timedelta, proved: bool, becomes: str) -> None:
    now = timezone.now()
    old = made(State.ACTIVE)
    new = made()
    keys.activate(new)
    SigningKey.objects.filter(pk=old.pk).update(retiring_at=now - since)
    SigningKey.objects.filter(pk=new.pk).update(proved_at=now if proved else None, tried_at=now)
    rotation.advance(now)
    assert state(old) == becomes
    assert (old.private_pem == "") is (becomes == State.RETIRED)
    assert state(new) == State.ACTIVE


def test_waits_are_the_longest_of_the_vendors(settings: Settings) -> None:
    assert rotation.publish_wait("production") == rotation.DEFAULT_WAIT == DAY


def test_emergency_replaces_a_key_at_once_and_in_kind(office: Client) -> None:
    old = keys.generate(environment="production", bits=2048)
    keys.activate(old)
    data = {"action": "replace_at_once", "_selected_action": [str(old.pk)]}
    office.post(reverse("admin:emr_signingkey_changelist"), data)
    new = SigningKey.objects.get(state=State.ACTIVE)
    assert (state(old), old.private_pem) == (State.RETIRED, "")
    assert key_exports.size(new) == "RSA 2048"
    assert [key["kid"] for key in keys.jwks("production")["keys"]] == [new.kid]


def test_emergency_by_command(capsys: pytest.CaptureFixture[str]) -> None:
    old = made(State.ACTIVE)
    call_command("rotate_keys", "signing", emergency="production")
    assert state(old) == State.RETIRED
    assert "signs from now on" in capsys.readouterr().out
    with pytest.raises(CommandError, match="No key signs for the sandbox"):
        call_command("rotate_keys", "signing", emergency="sandbox")


# --- at a vendor ---


@pytest.fixture
def vendor(connect: Connect, jwks_server: JwksServer, unlimited: None) -> Connection:
    """A working connection whose sandbox fetches our real JWKS document."""
    connection, _ = connect(patients=1)
    publish(jwks_server)
    return connection


def publish(jwks_server: JwksServer) -> None:
    jwks_server.document = keys.jwks(Environment.SANDBOX)


def successor() -> SigningKey:
    key = keys.generate(environment=Environment.SANDBOX, bits=2048)
    SigningKey.objects.filter(pk=key.pk).update(created_at=timezone.now() - 2 * DAY)
    return key


def test_rotation_proves_the_new_key_at_the_vendor_first(vendor: Connection, jwks_server: JwksServer) -> None:
    old, new = SigningKey.objects.get(), successor()
    publish(jwks_server)
    told = rotation.advance()
    assert "proved on 1 connections" in told[0]
    assert (state(new), state(old)) == (State.ACTIVE, State.RETIRING)
    assert new.proved_at is not None


def test_rotation_waits_for_a_vendor_that_does_not_take_the_key(vendor: Connection, jwks_server: JwksServer) -> None:
    old, new = SigningKey.objects.get(), successor()  # published here, but not in what the vendor fetches
    told = rotation.advance()
    assert "TOK_" in told[0]
    assert "The old key goes on" in told[0]
    assert (state(new), state(old)) == (State.NEXT, State.ACTIVE)
    assert new.trial_code.startswith("TOK_")
    publish(jwks_server)
    assert rotation.advance() == []  # tried within the hour
    rotation.advance(timezone.now() + timedelta(minutes=61))
    assert (state(new), state(old)) == (State.ACTIVE, State.RETIRING)
    assert new.trial_code == ""
    vendor.refresh_from_db()
    assert vendor.state == "active"


def test_rotation_asked_for_does_not_wait_but_proves(vendor: Connection, jwks_server: JwksServer) -> None:
    new = keys.generate(environment=Environment.SANDBOX, bits=2048)
    assert "does not sign" in rotation.promote(new.pk)
    publish(jwks_server)
    assert "is proved" in rotation.promote(new.pk)
    assert state(new) == State.ACTIVE
    assert "no such next key" in rotation.promote(new.pk)


@pytest.mark.django_db(transaction=True)
def test_rotation_under_a_running_pull_fails_no_token_request(
    connect: Connect, jwks_server: JwksServer, unlimited: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The token ends before each patient: the pull asks for new ones before, during and after the change of keys.

    Beat's steps come between two calls of the pull, in the middle of its token requests: there is one process here,
    because SQLite in memory knows no second writer.
    """
    monkeypatch.setattr("emr.hints.publish", lambda *args: True)
    connection, control = connect(patients=6)
    publish(jwks_server)
    roster.enrol(connection, control.patient_ids, Enrolment.KnownBy.LIST)
    old = SigningKey.objects.get()
    signed: list[str] = []
    real = keys.signing_key

    def signing(environment: str, algorithm: str) -> SigningKey:
        """The pull is about to ask for its nth token: the rotation goes a step further before it may."""
        if len(signed) == 1:
            successor()
            publish(jwks_server)
            rotation.advance()
        if len(signed) == 3:
            SigningKey.objects.filter(pk=old.pk).update(retiring_at=timezone.now() - 2 * DAY)
            rotation.advance()
            publish(jwks_server)
        key = real(environment, algorithm)
        signed.append(key.kid)
        return key

    monkeypatch.setattr("emr.keys.signing_key", signing)
    schedule.open_pulls()
    while WorkItem.objects.filter(state="queued").exists():
        WorkItem.objects.filter(state="queued").update(not_before=None, published_at=None)
        for item in queue.waiting_items():
            connection.system_tokens.update(expires_at=None)
            pulls.run(item)
    new = SigningKey.objects.exclude(pk=old.pk).get()
    assert (state(new), state(old)) == (State.ACTIVE, State.RETIRED)
    assert signed[0] == old.kid
    assert set(signed[1:]) == {new.kid}
    assert len(signed) >= 6
    assert control.get("calls")["token_refusals"] == []
    ending.finish_pulls()
    assert connection.pulls.get().state == "complete"


# --- what is published and noted ---


def fetch(**headers: str) -> Any:
    return Client().get("/.well-known/jwks.json", headers=headers)


def test_jwks_reader_is_noted_once_and_counted() -> None:
    made()
    for _ in range(3):
        answer = fetch(user_agent="vendor/1.0")
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    hit = JwksHit.objects.get()
    assert (hit.environment, hit.address, hit.user_agent, hit.count) == ("production", "127.0.0.1", "vendor/1.0", 3)


READERS = [
    ("a browser", {"user_agent": "Mozilla/5.0"}, 0, "127.0.0.1", "Mozilla/5.0"),
    ("nobody in particular", {}, 0, "127.0.0.1", ""),
    ("a very long name", {"user_agent": "x" * 5000}, 0, "127.0.0.1", "x" * 200),
    ("a forged forwarding", {"x_forwarded_for": "192.0.2.1"}, 0, "127.0.0.1", ""),
    ("behind our proxy", {"x_forwarded_for": "6.6.6.6, 192.0.2.1"}, 1, "192.0.2.1", ""),
    ("nonsense from the proxy", {"x_forwarded_for": "<script>"}, 1, "0.0.0.0", ""),
]


@pytest.mark.parametrize(
    ("headers", "proxies", "address", "agent"), [row[1:] for row in READERS], ids=[row[0] for row in READERS]
)
def test_jwks_reader_address(
    headers: dict[str, str], proxies: int, address: str, agent: str, settings: Settings
) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = proxies
    assert fetch(**headers).status_code == 200
    hit = JwksHit.objects.get()
    assert (hit.address, hit.user_agent) == (address, agent)


def test_jwks_readers_are_bounded_and_our_own_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(JwksHit, "KEPT", 20)
    for number in range(60):
        keys.note_hit("production", "192.0.2.9", f"flood/{number}")
    keys.note_hit("production", "192.0.2.1", JwksHit.OWN_AGENT)
    assert JwksHit.objects.count() == 20
    assert JwksHit.objects.filter(user_agent="flood/59").exists()
    assert not keys.vendor_hits("production").filter(user_agent=JwksHit.OWN_AGENT).exists()


def test_jwks_is_served_even_if_the_reader_cannot_be_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(*args: object) -> None:
        raise keys.IntegrityError("database is locked")

    monkeypatch.setattr("emr.keys.note_hit", locked)
    key = made()
    assert fetch().json()["keys"][0]["kid"] == key.kid


@pytest.mark.parametrize("algorithm", ["RS384", "ES384"])
def test_public_key_downloads(algorithm: str, office: Client) -> None:
    key = keys.generate(environment="production", algorithm=algorithm, bits=2048)
    found = {}
    for form in ("public.pem", "public.jwk", "certificate.pem"):
        answer = office.get(reverse("admin:emr_signingkey_download", args=[key.pk, form]))
        assert "attachment" in answer.headers["Content-Disposition"]
        found[form] = answer.content
        assert b"PRIVATE" not in answer.content
    public = load_pem_public_key(found["public.pem"])
    assert isinstance(public, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
    assert keys.thumbprint(keys.public_jwk(public)) == key.kid
    certificate = x509.load_pem_x509_certificate(found["certificate.pem"])
    assert certificate.public_key().public_numbers() == public.public_numbers()  # type: ignore[union-attr]
    certificate.verify_directly_issued_by(certificate)
    assert certificate.not_valid_before_utc < timezone.now() < certificate.not_valid_after_utc


def test_certificate_of_a_retired_key_is_not_to_be_had(office: Client) -> None:
    key = made()
    keys.retire(key)
    assert office.get(reverse("admin:emr_signingkey_download", args=[key.pk, "certificate.pem"])).status_code == 404
    assert office.get(reverse("admin:emr_signingkey_download", args=[key.pk, "public.pem"])).status_code == 200
    assert office.get(reverse("admin:emr_signingkey_download", args=[key.pk, "private.pem"])).status_code == 404


def test_calendar_shows_what_ends_when_and_names_no_patient(
    office: Client, connection: Connection, django_assert_max_num_queries: Any
) -> None:
    made(State.ACTIVE), made()
    now = timezone.now()
    for number in range(12):
        Grant.objects.create(
            connection=connection, patient_fhir_id=f"canary-patient-{number}", refresh_token="canary-refresh",
            consent_ends_at=now + number * 30 * DAY,
        )  # fmt: skip
    with django_assert_max_num_queries(15):
        html = office.get(reverse("admin:emr_signingkey_calendar")).content.decode()
    assert f"{now + DAY:%d-%b-%Y}" in html  # the next key may sign
    assert f"{now + 365 * DAY:%d-%b-%Y}" in html  # the active one is a year old
    assert f"{now + 90 * DAY:%d-%b-%Y}" in html  # refresh tokens end
    assert "canary" not in html


def test_actions_of_the_key_page_ask_a_worker(office: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[object, ...]] = []
    monkeypatch.setattr("emr.hints.publish", lambda *args: sent.append(args) or True)
    key = made()
    for action in ("promote", "advance"):
        data = {"action": action, "_selected_action": [str(key.pk)]}
        office.post(reverse("admin:emr_signingkey_changelist"), data)
    assert sent == [("emr.tasks.advance_keys", str(key.pk)), ("emr.tasks.advance_keys",)]
