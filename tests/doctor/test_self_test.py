"""The ordered self-test: its steps, what it costs, what it keeps, what it does to the connection."""

import json
import threading
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from django.core.management import CommandError, call_command
from django.db import connections
from django.utils import timezone

from emr import calls, discovery, doctor, hints, tasks, tokens
from emr.doctor import reports
from emr.models import Connection, DoctorReport, JwksHit, Practice
from emr.pulling import waiting
from tests.doctor.situations import TOKEN, WELL_KNOWN, answer, oauth, outcome
from tests.doctor.situations import discovery as discovered
from tests.doctor.stage import Stage, private_key, stage

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited", "impatient")]

STEPS = ["configuration", "network", "discovery", "jwks", "clock", "assertion", "token", "scopes", "metadata"]


@pytest.fixture(autouse=True)
def published(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    sent: list[tuple[object, ...]] = []
    monkeypatch.setattr("emr.hints.publish", lambda *args: sent.append(args) or True)
    return sent


def examined(place: Stage) -> DoctorReport:
    return doctor.examine(fresh(place))


def fresh(place: Stage) -> Connection:
    return Connection.objects.select_related("practice", "registration").get(pk=place.connection.pk)


def verdicts(report: DoctorReport) -> dict[str, str]:
    return {one.step: str(one.verdict) for one in doctor.findings(report)}


# --- a healthy connection ---


def test_a_healthy_connection_is_found_well_in_order_and_within_its_calls(well: Stage) -> None:
    Connection.objects.update(state=Connection.State.REGISTERED, reason_code="NET_CONNECT", active_at=None)
    report = examined(well)
    types = well.registration.profile.planned_types
    assert list(verdicts(report)) == [*STEPS, *(f"read {kind}" for kind in types)]
    assert set(verdicts(report).values()) == {"ok"}
    assert (report.state, report.healthy, report.code) == ("done", True, "")
    assert report.calls == well.calls() <= 4 + len(types)
    assert report.seconds is not None
    assert report.seconds <= 5
    connection = fresh(well)
    assert (connection.state, connection.reason_code) == ("active", "")
    assert connection.active_at is not None


def test_the_token_of_a_self_test_is_interactive(well: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    mint = tokens._mint

    def minted(*args: Any, interactive: bool) -> Any:
        asked.append(interactive)
        return mint(*args, interactive=interactive)

    monkeypatch.setattr(tokens, "_mint", minted)
    assert examined(well).healthy
    assert asked == [True]


def test_the_quick_check_spends_two_calls_and_keeps_no_report(well: Stage) -> None:
    assert doctor.check(fresh(well)) is True
    assert well.calls() == 2
    assert not DoctorReport.objects.exists()


def test_reads_of_patients_are_not_testable_before_somebody_is_enrolled() -> None:
    with stage(enrolled=False) as place:
        report = examined(place)
        reads = {step: verdict for step, verdict in verdicts(report).items() if step.startswith("read ")}
        assert set(reads.values()) == {"not testable yet"}
        assert report.healthy is True
        assert place.calls() == 3


def test_an_app_that_people_launch_has_no_token_to_test(well: Stage) -> None:
    back = f"{well.site.url}/emr/callback"
    well.register(app_type="patient", scopes="launch/patient openid fhirUser patient/Patient.read", redirect_uris=back)
    well.client(redirect_uris=[back])
    report = examined(well)
    assert verdicts(report)["token"] == "not testable yet"
    assert verdicts(report)["authorize"] == "ok"
    assert report.healthy is True
    assert doctor.check(fresh(well)) is True


def test_a_certificate_nobody_vouches_for_is_named(tmp_path: Path) -> None:
    with stage(certificate=certificate(tmp_path)) as place:
        report = examined(place)
        assert (report.code, verdicts(report)["network"]) == ("TLS_VERIFY", "wrong")
        assert verdicts(report)["discovery"] == "skipped"


def certificate(folder: Path) -> Path:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = timezone.now()
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private_key().public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(private_key(), hashes.SHA256())
    )
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    path = folder / "sandbox.pem"
    secret = private_key().private_bytes(encoding, form, serialization.NoEncryption())
    path.write_bytes(made.public_bytes(encoding) + secret)
    return path


# --- what a finding does to the connection ---


def test_what_is_essential_stops_the_connection_with_its_reason(well: Stage) -> None:
    well.client(active=False)
    report = examined(well)
    connection = fresh(well)
    assert (connection.state, connection.reason_code) == ("degraded", "TOK_INVALID_CLIENT")
    assert connection.reason_detail.startswith("TOK_INVALID_CLIENT: 127.0.0.1")
    assert connection.request_id
    assert doctor.verdict(connection) is not None
    assert doctor.last_healthy(connection) is None
    assert doctor.latest(connection) == report


def test_a_type_that_is_refused_does_not_stop_the_connection(well: Stage) -> None:
    well.fault("forbid-type", match={"type": "Condition"})
    assert examined(well).healthy is False
    assert fresh(well).state == "active"


def test_a_token_that_opens_no_data_stops_the_connection(well: Stage) -> None:
    well.fault("expire-tokens", match={"type": "Patient"})
    report = examined(well)
    assert verdicts(report)["token"] == "ok"
    assert verdicts(report)["read Condition"] == "skipped"
    assert fresh(well).reason_code == "FHIR_401"


def test_a_spent_minute_says_nothing_about_the_connection(well: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(connection: Connection, **_: bool) -> None:
        raise calls.OverBudget(12)

    monkeypatch.setattr("emr.calls.spend", refuse)
    report = examined(well)
    assert verdicts(report)["network"] == "not testable yet"
    assert report.healthy is False
    assert well.calls() == 0
    assert fresh(well).state == "active"


def test_a_revoked_connection_stays_revoked(well: Stage) -> None:
    Connection.objects.update(state=Connection.State.REVOKED)
    assert examined(well).healthy is True
    assert fresh(well).state == "revoked"


def test_a_jwks_that_only_we_cannot_read_is_a_warning(well: Stage) -> None:
    well.site.status = 503
    JwksHit.objects.create(environment="sandbox", address="192.0.2.7", user_agent="vendor/1.0")
    assert verdicts(examined(well))["jwks"] == "warning"


def test_a_jwks_out_of_reach_is_a_warning_when_the_vendor_took_our_key_all_the_same(well: Stage) -> None:
    assert examined(well).healthy is True  # the sandbox keeps our keys for a minute
    well.site.status = 503
    report = examined(well)
    assert (verdicts(report)["jwks"], verdicts(report)["token"], report.healthy) == ("warning", "ok", True)


def test_the_scope_probe_makes_one_call_for_each_scope_and_none_without_need(well: Stage) -> None:
    well.register(scopes=f"{well.registration.scopes} system/Appointment.read")
    report = examined(well)
    token = next(one for one in doctor.findings(report) if one.step == "token")
    configured = doctor.findings(report)[0]
    assert (configured.verdict, configured.code) == ("warning", "CFG_SCOPES")
    assert "no Appointment scope" in str(configured.evidence)
    refused = [value for what, value in token.evidence if what == "scope probe: refused"]
    assert refused == ["system/Appointment.read, and not among those the server lists"]
    # discovery, two tokens refused, eleven probed, metadata
    assert report.calls == well.calls() == 1 + 2 + 11 + 1


def test_a_jwks_without_our_key_is_wrong_though_the_vendor_still_remembers_it(well: Stage) -> None:
    assert examined(well).healthy is True
    well.site.publish()
    report = examined(well)
    assert (verdicts(report)["jwks"], verdicts(report)["token"], report.healthy) == ("wrong", "ok", False)
    assert fresh(well).state == "active"


# --- hosts ---


def test_a_foreign_host_waits_for_an_admin_and_gets_nothing_before(well: Stage) -> None:
    elsewhere = f"http://localhost:{well.sandbox.port}"
    discovered(token_endpoint=f"{elsewhere}/oauth/oauth2/token")(well)
    assert doctor.check(fresh(well)) is False
    connection = fresh(well)
    assert (connection.reason_code, connection.pending_hosts) == ("DISC_FOREIGN_HOST", [elsewhere])
    assert well.calls() == 1
    with pytest.raises(discovery.NotPending):
        discovery.confirm_host(connection, "https://another.example")
    discovery.confirm_host(connection, elsewhere)
    connection = fresh(well)
    assert (connection.pending_hosts, connection.confirmed_hosts) == ([], [elsewhere])
    # It names another audience than the sandbox expects: refused, but asked, and at that host.
    assert doctor.check(connection) is False
    assert fresh(well).reason_code == "TOK_INVALID_CLIENT"
    assert well.calls() == 3


def test_a_host_that_is_not_named_any_more_is_not_asked_about(well: Stage) -> None:
    Connection.objects.update(pending_hosts=["https://elsewhere.example"])
    doctor.check(fresh(well))
    assert fresh(well).pending_hosts == []


# --- reports ---


def test_changes_are_told_against_the_last_good_report(well: Stage) -> None:
    examined(well)
    well.client(active=False)
    examined(well)
    well.client()
    well.register(scopes=" ".join(word for word in well.registration.scopes.split() if "Encounter" not in word))
    discovered(capabilities=["client-confidential-asymmetric", "permission-v9"])(well)
    report = examined(well)
    told = {change["what"]: change for change in report.changes}
    assert told["granted scopes"] == {"what": "granted scopes", "gone": ["system/Encounter.read"], "new": []}
    assert told["capabilities"]["new"] == ["permission-v9"]
    assert "signing key" not in told


def test_the_first_report_has_nothing_to_compare_with(well: Stage) -> None:
    assert examined(well).changes == []


def test_old_reports_go_and_the_last_good_one_stays(well: Stage) -> None:
    good = examined(well)
    well.client(active=False)
    DoctorReport.objects.bulk_create(DoctorReport(connection=well.connection, state="done") for _ in range(40))
    examined(well)
    kept = well.connection.reports
    assert kept.count() == 31
    assert kept.filter(pk=good.pk).exists()


def test_two_requests_are_one_and_a_worker_runs_it_once(well: Stage, published: list[tuple[object, ...]]) -> None:
    first, second = doctor.request(fresh(well)), doctor.request(fresh(well))
    assert first == second
    assert published == [("emr.tasks.examine_connection", well.connection.pk)] * 2
    tasks.examine_connection(str(well.connection.pk))
    spent = well.calls()
    tasks.examine_connection(str(well.connection.pk))
    assert well.calls() == spent > 0
    assert DoctorReport.objects.get().state == "done"


def test_a_request_whose_message_was_lost_is_sent_again(well: Stage) -> None:
    doctor.request(fresh(well))
    assert waiting.self_tests_waiting() == []
    DoctorReport.objects.update(created_at=timezone.now() - hints.REPUBLISH * 2)
    assert waiting.self_tests_waiting() == [well.connection.pk]
    assert waiting.self_tests_waiting() == []


def test_a_run_whose_worker_died_makes_room_for_another(well: Stage) -> None:
    long_ago = timezone.now() - timedelta(minutes=5)
    dead = DoctorReport.objects.create(connection=well.connection, state="running", alive_at=long_ago)
    report = examined(well)
    dead.refresh_from_db()
    assert (dead.state, report.state) == ("interrupted", "done")


def test_beat_gives_up_a_run_whose_worker_died_and_no_other(well: Stage) -> None:
    alive = DoctorReport.objects.create(connection=well.connection, state="running", alive_at=timezone.now())
    tasks.tick()
    alive.refresh_from_db()
    assert alive.state == "running"
    DoctorReport.objects.update(alive_at=timezone.now() - timedelta(minutes=5))
    tasks.tick()
    alive.refresh_from_db()
    assert alive.state == "interrupted"


def test_who_asks_during_a_run_gets_that_run(well: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    met: list[object] = []
    save = reports._save

    def saving(report: DoctorReport, *args: object, **values: object) -> None:
        save(report, *args, **values)
        if not met:
            met.extend([doctor.run_requested(well.connection.pk), doctor.request(fresh(well)), report])
            with pytest.raises(TimeoutError):
                doctor.examine(fresh(well), seconds=0)

    monkeypatch.setattr(reports, "_save", saving)
    report = examined(well)
    assert met == [None, report, report]
    assert DoctorReport.objects.count() == 1
    assert report.calls == well.calls()


def test_concurrent_runs_are_one_run() -> None:
    with stage(latency_ms=30) as place:
        found: list[DoctorReport] = []

        def run() -> None:
            found.append(doctor.examine(fresh(place)))
            connections.close_all()

        threads = [threading.Thread(target=run) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert len({report.pk for report in found}) == 1
        assert [report.healthy for report in found] == [True] * 4
        assert place.calls() == found[0].calls


# --- nothing secret ---

CANARIES = ["canary-client-secret", "eyJhbGciOiJSUzM4NCJ9", "c4n4ry-bearer-0123456789abcdef", "canary@example.org"]


def test_what_a_server_echoes_is_cleaned(well: Stage) -> None:
    well.register(client_secret="canary-client-secret")
    said = (
        "Rejected: Bearer c4n4ry-bearer-0123456789abcdef assertion "
        "eyJhbGciOiJSUzM4NCJ9.eyJpc3MiOiJjYW5hcnkifQ.c2lnbmF0dXJl mail canary@example.org born 1985-12-30"
    )
    answer(TOKEN, 400, oauth("slow_down", said))(well)
    text = json.dumps(doctor.as_json(examined(well)))
    assert "slow_down" in text
    connection = fresh(well)
    for place in (text, connection.reason_detail):
        assert [canary for canary in [*CANARIES, "1985-12-30"] if canary in place] == []


def test_a_patients_name_and_id_in_a_refusal_are_not_shown(well: Stage) -> None:
    patient = well.state.charts.patients()[0]
    family = patient.names[0].family
    outcome(409, f"{family} ({patient.id}) is being merged")(well)
    text = json.dumps(doctor.as_json(examined(well)), ensure_ascii=False)
    assert "is being merged" in text
    assert family not in text
    assert patient.id not in text


# --- on the terminal ---


def told(*arguments: str) -> tuple[int, str]:
    out, status = StringIO(), 0
    try:
        call_command("doctor", *arguments, stdout=out)
    except SystemExit as left:
        status = int(str(left.code))
    return status, out.getvalue()


def test_command_says_healthy_with_status_zero(well: Stage) -> None:
    status, text = told("AAAAAA")
    assert status == 0
    assert "✓ Token: ok." in text
    assert text.rstrip().splitlines()[-1].startswith("Healthy: 13 calls")


def test_command_says_what_is_wrong_with_status_one(well: Stage) -> None:
    well.client(active=False)
    status, text = told(str(well.connection.pk))
    assert status == 1
    assert "TOK_INVALID_CLIENT; docs/errors.md#tok_invalid_client" in text
    assert "Next step, by this site's admin:" in text
    assert "Not healthy" in text


def test_command_json_is_the_report_with_the_catalogues_words(well: Stage) -> None:
    answer(WELL_KNOWN, 503)(well)
    status, text = told("AAAAAA", "--json")
    report = json.loads(text)
    assert (status, report["healthy"], report["code"]) == (1, False, "FHIR_5XX")
    step = next(step for step in report["steps"] if step["step"] == "discovery")
    assert step["catalogue"]["retries"] == "backs off"
    assert step["catalogue"]["causes"][0] == "An outage."


@pytest.mark.parametrize("wanted", ["ZZZZZZ", "", "6f5902ac-237b-4c5e-9c3d-d3a3d4a5c1b7"])
def test_command_refuses_a_connection_there_is_not(well: Stage, wanted: str) -> None:
    with pytest.raises(CommandError, match="No connection"):
        call_command("doctor", wanted)


def test_command_asks_which_of_two_connections(well: Stage) -> None:
    well.registration.pk = None
    well.registration._state.adding = True
    other = type(well.registration)(name="Another app")
    other.save()
    Connection.objects.create(practice=Practice.objects.get(), registration=other, base_url="https://a.example/fhir")
    with pytest.raises(CommandError, match="2 connections"):
        call_command("doctor", "AAAAAA")
