"""Connecting a practice: situations the sandbox makes and the doctor names, what a self-test costs, the directory."""

from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

from bench import directory
from bench.figure import Figure
from emr import catalogue, doctor
from emr.models import CallWindow, Connection, DoctorReport
from emr.wire.http import Timeouts
from tests.doctor.situations import SITUATIONS, UNLISTED
from tests.doctor.stage import Stage, forget, stage

# Situations of servers that hang are made quickly: the doctor's patience is its own setting, not what is measured.
SHORT = Timeouts(connect=1.0, read=0.6, wall=1.0)
HEALTHY_RUNS = 5


def figures() -> Iterator[Figure]:
    named = [one.name for one in SITUATIONS if not _is_named(one)]
    yield Figure("situations the sandbox makes", len(SITUATIONS), "", 30, at_least=True)
    yield Figure(f"of them not named rightly{_which(named)}", len(named), "", 0)
    guessed = [one.name for one in UNLISTED if not _is_unknown(one)]
    yield Figure("unlisted answers called unknown", len(UNLISTED) - len(guessed), "", len(UNLISTED), at_least=True)
    yield from _healthy()
    yield from directory.figures()


def _which(names: list[str]) -> str:
    return f" ({'; '.join(names)})" if names else ""


def _examined(arrange: Any) -> DoctorReport:
    CallWindow.objects.all().delete()
    try:
        with stage() as place, patch("emr.doctor.watch.PATIENCE", SHORT), patch("emr.doctor.ourselves.PATIENCE", SHORT):
            arrange(place)
            return doctor.examine(Connection.objects.get(pk=place.connection.pk))
    finally:
        forget()


def _finding(report: DoctorReport, step: str) -> doctor.Finding:
    return next(one for one in doctor.findings(report) if one.step == step)


def _is_named(situation: Any) -> bool:
    report = _examined(situation.arrange)
    first = "" if situation.warns else situation.code
    return (_finding(report, situation.step).code, report.code) == (situation.code, first)


def _is_unknown(unlisted: Any) -> bool:
    finding = _finding(_examined(unlisted.arrange), unlisted.step)
    return finding.verdict == doctor.Verdict.UNKNOWN and not catalogue.explain(finding.code).listed


def _healthy() -> Iterator[Figure]:
    reports = [_examined(_leave_well) for _ in range(HEALTHY_RUNS)]
    types = sum(one.step.startswith("read ") for one in doctor.findings(reports[0]))
    fine = sum(report.healthy is True for report in reports)
    yield Figure(f"healthy connections found healthy, of {HEALTHY_RUNS}", fine, "", HEALTHY_RUNS, at_least=True)
    yield Figure("full self-test, slowest", max(report.seconds or 0.0 for report in reports), "s", 5)
    yield Figure(f"calls it spends, {types} granted types", max(report.calls for report in reports), "", 4 + types)


def _leave_well(place: Stage) -> None:
    """Nothing is changed."""
