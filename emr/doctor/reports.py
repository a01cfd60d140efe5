"""Self-tests asked for, run once, kept and compared. Two who ask at the same time get the same run."""

import time
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction
from django.utils import timezone

from emr import hints
from emr.doctor import examination, state
from emr.doctor.case import Case
from emr.doctor.findings import Finding
from emr.models import Connection, DoctorReport

TASK = "emr.tasks.examine_connection"
# A step takes seconds; a run that showed no sign of life for so long has lost its worker.
DEAD = timedelta(seconds=120)
KEPT = 30
State = DoctorReport.State


def request(connection: Connection) -> DoctorReport:
    """Ask a worker for a self-test; the one already asked for or running, if there is one."""
    report = _open_report(connection)
    transaction.on_commit(partial(hints.publish, TASK, connection.pk))
    return report


def run_requested(connection_id: UUID | str) -> DoctorReport | None:
    """Run the self-test that was asked for, unless somebody else has begun it. None: nothing to do."""
    report = (
        DoctorReport.objects.filter(connection_id=connection_id, state=State.QUEUED)
        .select_related("connection__practice", "connection__registration")
        .first()
    )
    return _run(report) if report is not None and _claim(report) else None


def examine(connection: Connection, *, seconds: float = 180.0) -> DoctorReport:
    """A self-test now, in this process, or the end of the one that another process is running.

    Raises TimeoutError when that one does not end within `seconds`.
    """
    report = _open_report(connection)
    if _claim(report):
        return _run(report)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        report.refresh_from_db()
        if report.state not in DoctorReport.OPEN:
            return report
        time.sleep(0.2)
    raise TimeoutError("another self-test of this connection does not come to its end")


def latest(connection: Connection) -> DoctorReport | None:
    """The latest self-test of the connection, queued and running ones included."""
    return connection.reports.first()


def last_healthy(connection: Connection) -> DoctorReport | None:
    return connection.reports.filter(healthy=True).first()


def _open_report(connection: Connection) -> DoctorReport:
    bury_dead()
    for _ in range(2):
        found = connection.reports.filter(state__in=DoctorReport.OPEN).first()
        if found is not None:
            return found
        try:
            with transaction.atomic():
                return DoctorReport.objects.create(connection=connection)
        except IntegrityError:
            continue  # somebody asked at the same moment: one open test is the database's rule
    return connection.reports.filter(state__in=DoctorReport.OPEN).first() or _open_report(connection)


def bury_dead() -> None:
    """Give up the runs that have lost their worker. Beat does so, and whoever asks for a new one."""
    now = timezone.now()
    dead = DoctorReport.objects.filter(state=State.RUNNING, alive_at__lt=now - DEAD)
    dead.update(state=State.INTERRUPTED, finished_at=now)


def _claim(report: DoctorReport) -> bool:
    now = timezone.now()
    return bool(
        DoctorReport.objects.filter(pk=report.pk, state=State.QUEUED).update(
            state=State.RUNNING, started_at=now, alive_at=now
        )
    )


def _run(report: DoctorReport) -> DoctorReport:
    """Make the steps, saving each for whoever is watching; then the verdict, the comparison, the connection's state."""
    connection = Connection.objects.select_related("practice", "registration").get(pk=report.connection_id)
    case, began = Case(connection), time.monotonic()
    for _ in examination.run(case):
        _save(report, case, alive_at=timezone.now())
    bad = examination.first_bad(case)
    healthy = examination.is_healthy(case)
    _save(
        report,
        case,
        state=State.DONE,
        healthy=healthy,
        code=bad.code if bad else "",
        facts=case.facts,
        changes=changes(_facts_before(connection, report), case.facts),
        seconds=round(time.monotonic() - began, 2),
        finished_at=timezone.now(),
    )
    state.conclude(case)
    _prune(connection)
    report.refresh_from_db()
    return report


def _save(report: DoctorReport, case: Case, **values: Any) -> None:
    """Under our claim only: a run that was given up for dead does not come back."""
    DoctorReport.objects.filter(pk=report.pk, state=State.RUNNING).update(
        findings=[finding.as_json() for finding in case.findings.values()],
        calls=case.door.made if case.door is not None else 0,
        **values,
    )


def _facts_before(connection: Connection, report: DoctorReport) -> dict[str, list[str]]:
    good = connection.reports.filter(healthy=True).exclude(pk=report.pk).first()
    return good.facts if good is not None else {}


def changes(before: dict[str, list[str]], now: dict[str, list[str]]) -> list[dict[str, Any]]:
    """What differs from the last good report, for facts both have: {"what", "gone": […], "new": […]} each."""
    found = []
    for what in now:
        gone, new = sorted({*before.get(what, ())} - {*now[what]}), sorted({*now[what]} - {*before.get(what, ())})
        if what in before and (gone or new):
            found.append({"what": what, "gone": gone, "new": new})
    return found


def _prune(connection: Connection) -> None:
    """The latest thirty, and the last good one however old."""
    kept = list(connection.reports.values_list("pk", flat=True)[:KEPT])
    good = last_healthy(connection)
    connection.reports.exclude(pk__in=[*kept, *([good.pk] if good else [])]).delete()


def findings(report: DoctorReport) -> list[Finding]:
    """The steps of a report, in their order."""
    return [Finding.from_json(stored) for stored in report.findings]


def as_json(report: DoctorReport) -> dict[str, Any]:
    """A report with the catalogue's words, for scripts. Holds no secret."""
    return {
        "connection": str(report.connection_id),
        "state": report.state,
        "healthy": report.healthy,
        "code": report.code,
        "calls": report.calls,
        "seconds": report.seconds,
        "finished_at": report.finished_at.isoformat() if report.finished_at else None,
        "steps": [finding.told() for finding in findings(report)],
        "changes": report.changes,
        "facts": report.facts,
    }
