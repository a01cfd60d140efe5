"""Every way an export goes wrong, ordered at the sandbox: what is on file is whole, what is missing is said."""

from typing import Any

import pytest
from django.utils import timezone

from emr import schedule
from emr.bulk import opening, running, waiting
from emr.models import BulkItem, BulkJob, Connection, Pull, Quarantine, Resource, TypeOutcome
from emr.pulling import paths
from tests.bulk.conftest import ConnectBulk, Control, calls, export_again, on_file, tick, work

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("unlimited")]

START, POLL, FILE = "$export?", "$export-poll", "$export-file"
Outcome = TypeOutcome.Outcome


def order(control: Control, kind: str, at: str, *, times: int | None = 1, nth: int = 1, **arguments: Any) -> None:
    control.fault(kind, match={"path": at, "nth": nth}, times=times, **arguments)


def says(control: Control, at: str, status: int, body: str = "", times: int | None = None, **headers: str) -> None:
    """Another answer in place of the normal one."""
    order(control, "status", at, times=times, status=status, body=body, headers=headers,
          content_type="application/fhir+json")  # fmt: skip


def outcomes(connection: Connection) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for kind, outcome in TypeOutcome.objects.filter(enrolment__connection=connection).values_list(
        "resource_type", "outcome"
    ):
        found.setdefault(kind, set()).add(outcome)
    return found


ISSUE = '{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"%s","diagnostics":"said"}]}'
PASSING = [
    pytest.param("500", START, id="kick-off-500"),
    pytest.param("502-html", POLL, id="status-502"),
    pytest.param("reset", POLL, id="status-reset"),
    pytest.param("truncated", POLL, id="manifest-cut-short"),
    pytest.param("not-json", POLL, id="login-page-instead-of-manifest"),
    pytest.param("500", FILE, id="file-500"),
    pytest.param("short-body", FILE, id="file-shorter-than-announced"),
    pytest.param("reset", FILE, id="file-reset"),
    pytest.param("cut-file", FILE, id="file-cut-in-a-line"),
    pytest.param("not-json", FILE, id="login-page-instead-of-file"),
    pytest.param("expire-tokens", FILE, id="token-ends-early"),
]


@pytest.mark.parametrize(("kind", "at"), PASSING)
def test_a_passing_fault_loses_nothing_and_costs_little(connect_bulk: ConnectBulk, kind: str, at: str) -> None:
    connection, control = connect_bulk(patients=1, exports={"polls": 0})
    order(control, kind, at)
    job = work(connection)
    assert (job.state, job.code) == (BulkJob.State.COMPLETE, "")
    held = {(row[0], row[1]) for row in control.get("charts")["resources"] if row[0] in job.types}
    assert set(on_file(connection)) == held
    assert Quarantine.objects.count() == 0
    extra = {"expire-tokens": 2}.get(kind, 1)
    files = job.items.filter(kind="file").count()
    assert calls(control) <= 2 + 1 + 1 + files + 1 + extra


def test_a_failed_step_is_announced_for_a_second_later(connect_bulk: ConnectBulk, published: list[Any]) -> None:
    connection, control = connect_bulk(patients=1)
    order(control, "500", START)
    opening.open_due()
    (item,) = waiting.waiting_items()
    running.run(item)
    assert published[-1] == (waiting.TASK, 1.0, item)
    assert waiting.waiting_items() == []  # announced already
    row = connection.bulk_jobs.get().items.get()
    assert (row.not_before - timezone.now()).total_seconds() <= 2.0


def test_a_file_about_to_be_tried_again_keeps_its_place(connect_bulk: ConnectBulk) -> None:
    """No more files at a time than servers bear, though one of them is waiting for a second."""
    connection, control = connect_bulk(patients=1, exports={"polls": 0})
    while connection.bulk_jobs.filter(items__kind="file").count() < waiting.ABREAST + 1:
        opening.open_due()
        BulkItem.objects.update(not_before=None, published_at=None)
        running.run(waiting.waiting_items()[0])
    order(control, "500", FILE)
    first, _second = waiting.waiting_items()
    running.run(first)
    BulkItem.objects.exclude(pk=first).update(published_at=None)
    assert len(waiting.waiting_items()) == waiting.ABREAST - 1


REFUSALS = [
    pytest.param(404, ISSUE % "not-found", "BULK_GROUP", id="group-unknown"),
    pytest.param(401, ISSUE % "login", "BULK_GROUP", id="group-not-allowed"),
    pytest.param(403, ISSUE % "forbidden", "FHIR_403", id="forbidden"),
    pytest.param(400, ISSUE % "not-supported", "FHIR_REFUSED", id="not-supported"),
    pytest.param(501, "", "FHIR_REFUSED", id="not-implemented"),
    pytest.param(200, "{}", "FHIR_REFUSED", id="answered-at-once"),
]


@pytest.mark.parametrize(("status", "body", "code"), REFUSALS)
def test_a_refusal_is_remembered_and_the_plan_goes_on(
    connect_bulk: ConnectBulk, status: int, body: str, code: str
) -> None:
    connection, control = connect_bulk(patients=1)
    patient = control.patient_ids[0]
    connection.enrolments.create(patient_fhir_id=patient, known_by="list", due_at=timezone.now())
    says(control, START, status, body)
    job = work(connection)
    assert (job.state, job.code) == (BulkJob.State.REFUSED, code)
    assert job.reason.endswith(f"({code})") or f"({code}): " in job.reason
    assert connection.pulls.get().state == Pull.State.INCOMPLETE
    before = control.get("calls")["by_status"]
    assert opening.open_due() == 0
    assert paths.choose(connection).path == "patients"
    assert schedule.open_pulls() == 1
    assert [item.enrolment.patient_fhir_id for item in connection.pulls.first().items.all()] == [patient]
    assert control.get("calls")["by_status"] == before
    # Another group may be asked for at once.
    Pull.objects.update(state=Pull.State.COMPLETE)
    connection.group_id = "another"
    connection.save()
    connection.bulk_jobs.update(created_at=timezone.now() - connection.profile.freshness.shortest)
    assert opening.open_due() == 1


def test_refused_for_a_method_it_is_asked_for_by_the_other(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=1)
    says(control, START, 405)
    job = work(connection)
    assert (job.state, job.posts) == (BulkJob.State.COMPLETE, True)


IN_PROGRESS = [
    pytest.param(429, ISSUE % "throttled", {"Retry-After": "90"}, id="429-with-retry-after"),
    pytest.param(429, ISSUE % "throttled", {}, id="429-with-words"),
    pytest.param(409, "", {}, id="409"),
    pytest.param(400, ISSUE.replace("said", "already running") % "conflict", {}, id="400-already"),
]


@pytest.mark.parametrize(("status", "body", "headers"), IN_PROGRESS)
def test_another_export_in_progress_is_waited_for(
    connect_bulk: ConnectBulk, status: int, body: str, headers: dict[str, str]
) -> None:
    connection, control = connect_bulk(patients=1)
    says(control, START, status, body, times=1, **headers)
    opening.open_due()
    (item,) = waiting.waiting_items()
    running.run(item)
    job = connection.bulk_jobs.get()
    assert (job.state, job.code) == (BulkJob.State.STARTING, "BULK_IN_PROGRESS")
    left = (job.items.get().not_before - timezone.now()).total_seconds()
    assert 85 < left <= 90 if headers else 0 < left <= 300
    assert work(connection).state == BulkJob.State.COMPLETE


def test_in_progress_for_two_days_is_given_up_and_the_plan_goes_on(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=1, exports={"polls": 500, "life": 10**8})
    connection.enrolments.create(patient_fhir_id=control.patient_ids[0], known_by="list", due_at=timezone.now())
    tick()
    tick()
    connection.bulk_jobs.update(started_at=timezone.now() - timezone.timedelta(hours=49))
    job = work(connection)
    assert (job.state, job.code) == (BulkJob.State.FAILED, "BULK_IN_PROGRESS")
    assert control.get("bulk")["cancelled"] == 1
    assert connection.enrolments.get().due_at <= timezone.now()


def test_spent_minute_at_kick_off_is_no_export_in_progress(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=1)
    order(control, "429", START)
    opening.open_due()
    (item,) = waiting.waiting_items()
    running.run(item)
    job = connection.bulk_jobs.get()
    assert job.code == ""
    assert job.pull.hold_until > timezone.now()


def test_lost_export_starts_anew_once(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=1)
    order(control, "export-lost", POLL)
    job = work(connection)
    assert (job.state, job.restarts) == (BulkJob.State.COMPLETE, 1)
    assert control.get("bulk")["started"] == 2


def test_files_that_expired_start_the_export_anew(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=1, exports={"lines": 20})
    order(control, "export-lost", FILE, nth=3)
    job = work(connection)
    assert (job.state, job.restarts) == (BulkJob.State.COMPLETE, 1)
    assert Resource.objects.filter(no_longer_sent_at__isnull=False).count() == 0
    job.pull.refresh_from_db()
    assert job.pull.new == Resource.objects.count()


def test_lost_twice_is_given_up(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=1)
    order(control, "export-lost", POLL, times=None)
    job = work(connection)
    assert (job.state, job.code) == (BulkJob.State.FAILED, "BULK_JOB_LOST")
    assert control.get("bulk")["started"] == 2


def test_partial_export_says_which_type_is_missing_and_marks_it_not_gone(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=2)
    work(connection)
    order(control, "export-error", POLL, nth=2, type="Condition")
    job = export_again(connection, whole=True)
    assert (job.state, job.code) == (BulkJob.State.INCOMPLETE, "BULK_PARTIAL")
    assert job.reason.endswith(": Condition")
    assert job.remarks == {"error": 1}
    found = outcomes(connection)
    assert found.pop("Condition") == {Outcome.NOT_FETCHED}
    assert set().union(*found.values()) == {Outcome.COMPLETE}
    assert not Resource.objects.filter(no_longer_sent_at__isnull=False).exists()
    # Pulled one by one, that type only.
    assert set(connection.enrolments.values_list("due_reason", flat=True)) == {"what the export did not bring"}


def test_error_that_names_no_type_leaves_no_type_complete(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=1)
    order(control, "export-error", POLL, nth=2, type="Something")
    job = work(connection)
    assert (job.state, job.unnamed_error) == (BulkJob.State.INCOMPLETE, True)
    assert set().union(*outcomes(connection).values()) == {Outcome.NOT_FETCHED}


@pytest.mark.parametrize("severity", ["information", "warning"])
def test_remarks_alone_leave_the_export_complete(connect_bulk: ConnectBulk, severity: str) -> None:
    connection, control = connect_bulk(patients=1)
    order(control, "export-error", POLL, nth=2, severity=severity)
    job = work(connection)
    assert (job.state, job.remarks) == (BulkJob.State.COMPLETE, {severity: 1})


FOREIGN = [
    pytest.param({"base": "https://elsewhere.example/files"}, id="another-host-with-token"),
    pytest.param({"base": "https://elsewhere.example/files", "token": False}, id="another-host-without-token"),
    pytest.param({"base": "http://127.0.0.1:1/files", "token": False}, id="an-address-inside"),
    pytest.param({"base": "http://fhir4.eclinicalworks.com/fhir/r4/ZZZZZZ/files"}, id="another-practice"),
    pytest.param({"base": "file:///etc/passwd"}, id="no-http-at-all"),
]


@pytest.mark.parametrize("where", FOREIGN)
def test_file_elsewhere_is_not_fetched_and_said(connect_bulk: ConnectBulk, where: dict[str, Any]) -> None:
    connection, control = connect_bulk(patients=1)
    order(control, "foreign-file", POLL, nth=2, type="Condition", **where)
    job = work(connection)
    assert (job.state, job.code) == (BulkJob.State.INCOMPLETE, "FHIR_LINK_FOREIGN")
    assert outcomes(connection)["Condition"] == {Outcome.NOT_FETCHED}
    assert not Resource.objects.filter(resource_type="Condition").exists()


BAD_LINES = [
    pytest.param({"line": "broken"}, id="broken-json"),
    pytest.param({"line": "not-utf8"}, id="not-utf8"),
    pytest.param({"line": "no-id"}, id="no-id"),
    pytest.param({"line": "foreign"}, id="patient-of-another-server"),
    pytest.param({"line": "array"}, id="not-an-object"),
    pytest.param({"size": 21 * 1024 * 1024}, id="longer-than-any-resource"),
]


@pytest.mark.parametrize("what", BAD_LINES)
def test_bad_line_costs_that_line_alone(connect_bulk: ConnectBulk, what: dict[str, Any]) -> None:
    connection, control = connect_bulk(patients=1)
    order(control, "bad-line", FILE, **what)
    job = work(connection)
    held = {(row[0], row[1]) for row in control.get("charts")["resources"] if row[0] in job.types}
    assert set(on_file(connection)) == held
    row = Quarantine.objects.get()
    assert row.reason
    assert len(row.body) <= 400_000
    job.pull.refresh_from_db()
    assert job.pull.quarantined == 1


def test_line_without_an_id_marks_nothing_of_its_file_gone(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=1)
    work(connection)
    types = list(connection.bulk_jobs.get().items.filter(kind="file").order_by("number").values_list(
        "resource_type", flat=True))  # fmt: skip
    Resource.objects.create(
        practice=connection.practice, connection=connection, resource_type=types[0], fhir_id="not-sent",
        patient_fhir_id=control.patient_ids[0], body="{}", content_hash="x", query="", first_seen_at=timezone.now(),
        changed_at=timezone.now(),
    )  # fmt: skip
    order(control, "bad-line", FILE, line="no-id")
    export_again(connection, whole=True)
    assert Resource.objects.get(fhir_id="not-sent").no_longer_sent_at is None


ENDS_INCOMPLETE: list[Any] = [
    pytest.param("gzip-bomb", FILE, "NET_TOO_LARGE", id="gzip-bomb"),
    pytest.param("cut-file", FILE, "BULK_PARTIAL", id="always-cut-short"),
    pytest.param("500", FILE, "FHIR_5XX", id="file-always-500"),
]


@pytest.mark.parametrize(("kind", "at", "code"), ENDS_INCOMPLETE)
def test_file_that_never_comes_whole_is_said_and_the_others_kept(
    connect_bulk: ConnectBulk, kind: str, at: str, code: str
) -> None:
    connection, control = connect_bulk(patients=1)
    order(control, kind, "Condition.1", times=None)
    job = work(connection)
    assert (job.state, job.code) == (BulkJob.State.INCOMPLETE, code)
    found = outcomes(connection)
    assert found.pop("Condition") == {Outcome.NOT_FETCHED}
    assert set().union(*found.values()) == {Outcome.COMPLETE}


def test_fewer_lines_than_counted_are_not_the_whole_type(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=1)
    order(control, "wrong-count", POLL, nth=2)
    job = work(connection)
    assert (job.state, job.code) == (BulkJob.State.INCOMPLETE, "BULK_PARTIAL")


def test_deleted_file_marks_gone(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=1)
    work(connection)
    lost = Resource.objects.filter(resource_type="Condition").first()
    order(control, "export-deleted", POLL, nth=2, resource=f"Condition/{lost.fhir_id}")
    job = export_again(connection)
    lost.refresh_from_db()
    assert (job.state, lost.no_longer_sent_at is not None) == (BulkJob.State.COMPLETE, True)


def test_transient_error_of_the_status_is_waited_out(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=1)
    says(control, POLL, 503, ISSUE % "transient", times=6)
    job = work(connection)
    assert (job.state, job.restarts) == (BulkJob.State.COMPLETE, 0)


def test_status_address_on_another_host_is_refused(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=1)
    says(control, START, 202, "", **{"Content-Location": "https://elsewhere.example/status/1"})
    job = work(connection)
    assert (job.state, job.code) == (BulkJob.State.REFUSED, "FHIR_LINK_FOREIGN")
    assert "elsewhere.example/status" not in job.reason


def test_scope_that_was_not_granted_is_not_asked_for(connect_bulk: ConnectBulk) -> None:
    connection, control = connect_bulk(patients=1)
    order(control, "narrow-scope", "/token", times=None, types=["Encounter"])
    job = work(connection)
    assert "Encounter" not in job.types
    assert outcomes(connection)["Encounter"] == {Outcome.NOT_PERMITTED}
    assert job.state == BulkJob.State.COMPLETE


@pytest.mark.parametrize("token", [True, False], ids=["token-wanted", "no-token-wanted"])
def test_file_on_a_confirmed_host_is_fetched_without_our_token_only(
    connect_bulk: ConnectBulk, settings: Any, stub: Any, wire: Any, token: bool
) -> None:
    connection, control = connect_bulk(patients=1)
    patient = control.patient_ids[0]
    body = f'{{"resourceType":"Condition","id":"elsewhere","subject":{{"reference":"Patient/{patient}"}}}}\n'
    store = stub(wire(body, content_type="application/fhir+ndjson"))
    settings.INSECURE_FHIR_HOSTS |= {store.host_port}
    connection.confirmed_hosts = [f"http://{store.host_port}"]
    connection.save()
    order(control, "foreign-file", POLL, nth=2, type="Condition", base=f"http://{store.host_port}/x", token=token)
    work(connection)
    assert Resource.objects.filter(fhir_id="elsewhere").exists() is not token
    assert len(store.requests) == (0 if token else 1)
    assert all("authorization" not in request.headers for request in store.requests)
