"""`manage.py enrol`: a practice's list of patients, as the roster page takes it."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from emr import csv_lists, roster, uploads
from emr.models import Connection, Practice


class Command(BaseCommand):
    help = "Enrols patients from a CSV file (columns fhir_id, or account_no, or family, given and birth_date)."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("code", help="the practice's six letters")
        parser.add_argument("file", help="the CSV file, or - for standard input")
        parser.add_argument("--apply", action="store_true", help="do it; without this, only say what would be done")
        parser.add_argument("--leave-out", action="store_true", help="do it although some rows cannot be used")

    def handle(self, *args: Any, code: str, file: str, **options: Any) -> None:
        connection = self._connection(code)
        raw = sys.stdin.buffer.read(csv_lists.MOST_BYTES + 1) if file == "-" else self._read(file)
        try:
            plan = uploads.plan_roster(csv_lists.text_of(raw), connection)
        except csv_lists.Unreadable as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{len(plan.enrol)} to enrol, {len(plan.search)} to look up, {plan.known} enrolled already")
        for problem in plan.problems:
            self.stderr.write(f"Line {problem.line}: {problem.reason}")
        if plan.problems and not options["leave_out"]:
            raise CommandError(f"{len(plan.problems)} rows cannot be used; nothing was done. See --leave-out.")
        if not options["apply"]:
            self.stdout.write("Nothing was done. With --apply it is.")
            return
        new = uploads.apply_roster(plan, connection, None)
        self.stdout.write(f"{new} patients enrolled; staff confirm the look-ups on the practice's roster page.")

    def _connection(self, code: str) -> Connection:
        practice = Practice.objects.filter(code=code).first()
        if practice is None:
            raise CommandError(f"there is no practice {code}")
        connection = roster.connection_of(practice)
        if connection is None:
            raise CommandError(f"no connection fetches patients of {code} by itself")
        return connection

    def _read(self, file: str) -> bytes:
        try:
            with Path(file).open("rb") as opened:
                return opened.read(csv_lists.MOST_BYTES + 1)
        except OSError as error:
            raise CommandError(f"{file} cannot be read: {error.strerror}") from None
