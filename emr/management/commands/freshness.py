"""`manage.py freshness`: who on today's and tomorrow's list is not fresh and why, and how old what is on file is."""

from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from django.core.management.base import BaseCommand, CommandError, CommandParser

from emr import catalogue, freshness, progress
from emr.models import Connection, Practice, Pull


class Command(BaseCommand):
    help = "Shows per practice who comes today or tomorrow and is not fresh, and how old what is on file is."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--practice", metavar="CODE", help="only this practice")
        parser.add_argument("--check", action="store_true", help="end with 1 when somebody awaited today is not fresh")

    def handle(self, *args: Any, practice: str | None = None, check: bool = False, **options: Any) -> None:
        practices = Practice.objects.filter(code=practice) if practice else Practice.objects.all()
        if practice and not practices.exists():
            raise CommandError(f"there is no practice {practice}")
        late = [one.code for one in practices.order_by("code") if self._tell(one)]
        if check and late:
            raise CommandError(f"not fresh for today: {', '.join(late)}")

    def _tell(self, practice: Practice) -> bool:
        """Enrolments by our own id: this is a terminal, and may be a log. True when somebody is late for today."""
        ages, awaited = freshness.ages(practice), freshness.awaited(practice)
        self.stdout.write(f"{practice}: {ages.enrolled} patients enrolled")
        for line in _connections(practice):
            self.stdout.write(f"  {line}")
        zone = ZoneInfo(practice.time_zone)
        for day in awaited.days:
            self.stdout.write(f"  {day.name}: {day.awaited} awaited, {day.awaited - len(day.late)} of them fresh")
            for each in day.late:
                at = each.at.astimezone(zone)
                missing = "; ".join(f"{one.resource_type}: {one.why}" for one in each.missing)
                self.stdout.write(f"    {at:%d-%b-%Y %H:%M}  enrolment {each.enrolment.pk}: {missing}")
        counted = [*zip(freshness.labels(), ages.counts, strict=True), ("never fetched", ages.never)]
        self.stdout.write(f"  on file: {', '.join(f'{label} {count}' for label, count in counted)}")
        return bool(awaited.days[0].late)


def _connections(practice: Practice) -> Iterator[str]:
    """What stands in the way of fetching, and where the fetching is."""
    rows = practice.connections.exclude(state=Connection.State.REVOKED).select_related("registration")
    connections = list(rows.order_by("created_at"))
    if not connections:
        yield "no connection: nothing is fetched"
    for connection in connections:
        if connection.state != Connection.State.ACTIVE:
            code = connection.reason_code
            why = f": {catalogue.explain(code).title} ({code})" if code else ""
            yield f"{connection.registration}: {connection.get_state_display().lower()}{why}"
    pulls = Pull.objects.filter(practice=practice, state__in=Pull.OPEN)
    for pull in pulls.select_related("connection__registration", "connection__practice").order_by("started_at"):
        now = progress.of(pull)
        told = [f"{pull.connection.registration}: pull {now.state.lower()}, {now.left} patients left"]
        if now.ends_at is not None:
            told.append(f"expected to end {now.ends_at.astimezone(ZoneInfo(practice.time_zone)):%d-%b-%Y %H:%M}")
        yield ", ".join(told) + (f". {now.waits_for}" if now.waits_for else "")
