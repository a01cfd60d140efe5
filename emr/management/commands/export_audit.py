from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction

from emr import audit, audit_export
from emr.models import AuditEvent, Practice


class Command(BaseCommand):
    help = "The audit trail as FHIR R4 AuditEvent, one a line; the export is itself recorded."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--practice", metavar="CODE", help="this practice's events only; without it, everything")
        parser.add_argument("--since", metavar="YYYY-MM-DD", help="events of this day (UTC) and later")
        parser.add_argument("--out", type=Path, metavar="FILE", help="a new file; without it, the terminal")

    def handle(self, *args: object, **options: Any) -> None:
        events = AuditEvent.objects.order_by("chain", "number")
        practice = None
        if options["practice"]:
            practice = Practice.objects.filter(code=options["practice"]).first()
            if practice is None:
                raise CommandError(f"There is no practice with the code {options['practice']}.")
            events = events.filter(practice=practice)
        if options["since"]:
            events = events.filter(at__gte=self._day(options["since"]))
        self._record(practice)
        lines = audit_export.as_ndjson(events)
        if options["out"] is None:
            self.stdout.writelines(lines)
            return
        try:
            with options["out"].open("x", encoding="utf-8") as file:
                file.writelines(lines)
        except FileExistsError:
            raise CommandError(f"{options['out']} is there already.") from None

    @transaction.atomic
    def _record(self, practice: Practice | None) -> None:
        """In the chain of each practice whose events go out, where its privacy officer sees it."""
        exported = [practice] if practice else [None, *Practice.objects.order_by("pk")]
        for each in exported:
            audit.record(audit.Action.READ_AUDIT, by=None, practice=each, detail="exported by manage.py export_audit")

    def _day(self, text: str) -> datetime:
        try:
            return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
        except ValueError:
            raise CommandError("--since is a day written as 2026-11-22.") from None
