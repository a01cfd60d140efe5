"""`manage.py freshness`: who on today's and tomorrow's list is not fresh, and how old what is on file is."""

from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import BaseCommand, CommandError, CommandParser

from emr import freshness
from emr.models import Practice


class Command(BaseCommand):
    help = "Shows per practice how old what is on file is, and who comes today or tomorrow and is not fresh."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--practice", metavar="CODE", help="only this practice")

    def handle(self, *args: Any, practice: str | None = None, **options: Any) -> None:
        practices = Practice.objects.filter(code=practice) if practice else Practice.objects.all()
        if practice and not practices.exists():
            raise CommandError(f"there is no practice {practice}")
        for one in practices:
            self._tell(freshness.standing(one))

    def _tell(self, standing: freshness.Standing) -> None:
        """Enrolments by our own id: this is a terminal, and may be a log."""
        practice = standing.practice
        self.stdout.write(f"{practice}: {standing.enrolled} patients enrolled")
        for label, count in zip(freshness.labels(), standing.ages, strict=True):
            self.stdout.write(f"  {label}: {count}")
        self.stdout.write(f"  never fetched: {standing.never}")
        late = len(standing.not_fresh)
        self.stdout.write(f"  {standing.coming} awaited today and tomorrow, {late} of them not fresh")
        for each in standing.not_fresh:
            at = each.at.astimezone(ZoneInfo(practice.time_zone))
            self.stdout.write(f"    {at:%d-%b-%Y %H:%M}  enrolment {each.enrolment.pk}: {', '.join(each.types)}")
