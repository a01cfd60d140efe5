"""`manage.py doctor CONNECTION`: the self-test on the terminal; exit status 0 when the connection is healthy."""

import json
import sys
from argparse import ArgumentParser
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from emr import catalogue, doctor
from emr.models import Connection, DoctorReport

_MARKS = {
    doctor.Verdict.OK: "✓",
    doctor.Verdict.WARNING: "!",
    doctor.Verdict.WRONG: "✗",
    doctor.Verdict.UNKNOWN: "?",
    doctor.Verdict.SKIPPED: "-",
    doctor.Verdict.UNTESTED: "·",
}


class Command(BaseCommand):
    help = "Test a connection step by step. Exit status 0: healthy; 1: not."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("connection", nargs="?", metavar="CONNECTION", help="its id, or the practice's code")
        parser.add_argument("--json", action="store_true", help="the whole report as JSON")
        parser.add_argument("--catalogue", action="store_true", help="print the error catalogue (docs/errors.md)")

    def handle(self, *args: Any, connection: str | None, **options: Any) -> None:
        if options["catalogue"]:
            self.stdout.write(catalogue.markdown(), ending="")
            return
        try:
            report = doctor.examine(_named(connection or ""))
        except TimeoutError as error:
            raise CommandError(f"{error}.") from None
        if options["json"]:
            self.stdout.write(json.dumps(doctor.as_json(report), indent=1, ensure_ascii=False))
        else:
            self._tell(report)
        if not report.healthy:
            sys.exit(1)

    def _tell(self, report: DoctorReport) -> None:
        for finding in doctor.findings(report):
            self.stdout.write(
                f"{_MARKS[finding.verdict]} {finding.title}: {finding.verdict}. {finding.summary}".rstrip()
            )
            for what, value in finding.evidence:
                self.stdout.write(f"    {what}: {value}")
            if finding.code:
                self._advise(finding)
        for change in report.changes:
            gone, new = ", ".join(change["gone"]) or "–", ", ".join(change["new"]) or "–"
            self.stdout.write(f"Changed since the last good test, {change['what']}: before {gone}; now {new}")
        self.stdout.write(
            f"{'Healthy' if report.healthy else 'Not healthy'}: {report.calls} calls, {report.seconds} s."
        )

    def _advise(self, finding: doctor.Finding) -> None:
        told = doctor.advice(finding.code)
        self.stdout.write(f"    → {told['title']} ({finding.code}; {told['link']})")
        if finding.is_bad:
            for number, cause in enumerate(told["causes"], 1):
                self.stdout.write(f"      {number}. {cause}")
        self.stdout.write(f"      {told['todo']} Tried again by itself: {told['retries']}.")


def _named(text: str) -> Connection:
    """The connection of that id, or the only one of the practice with that code. Raises CommandError."""
    rows = Connection.objects.select_related("practice", "registration")
    try:
        found = list(rows.filter(pk=UUID(text)))
    except ValueError:
        found = list(rows.filter(practice__code=text))
    if len(found) == 1:
        return found[0]
    if not found:
        raise CommandError(f"No connection has the id or practice code “{text}”.")
    told = "\n".join(f"  {one.pk}  {one}" for one in found)
    raise CommandError(f"Practice {text} has {len(found)} connections; name one by its id:\n{told}")
