"""Lists that staff bring as a file: patients to enrol, and the schedule. Planned first, applied whole or not at all.

A plan names every row that cannot be used, by its line, and writes nothing; `apply_*` writes in one transaction. The
file is kept nowhere: its preview sends it back, with a seal that says who was shown which plan of which practice.
"""

import hashlib
import hmac
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from django.core.signing import BadSignature, TimestampSigner
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from emr import demographics, freshness, look_ups, roster
from emr.csv_lists import rows_of
from emr.demographics import Directory, Person, Sought
from emr.models import Connection, Enrolment, LookUp, Practice, User

LONGEST = 100  # characters of a name or number
SEAL_SECONDS = 1800  # how long a preview can be acted on
# R4 allows 64 characters; one server was seen to send longer ids. See emr.wire.fhir.
_FHIR_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
DATES = ("%Y-%m-%d", "%m/%d/%Y", "%d-%b-%Y", "%m/%d/%y")
_TIMES = ("%H:%M", "%H:%M:%S", "%I:%M %p", "%I:%M%p")

T = TypeVar("T")
Search = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Problem:
    """A row that cannot be used. line: as a text editor or spreadsheet counts, the header being 1."""

    line: int
    reason: str


@dataclass(frozen=True)
class RosterPlan:
    """enrol: FHIR ids of new patients. known: rows about patients enrolled already. search: people to look up.

    waiting: rows about people who are being looked up already, or whom staff have not confirmed yet.
    """

    enrol: tuple[str, ...]
    known: int
    search: tuple[dict[str, str], ...]
    waiting: int
    problems: tuple[Problem, ...]

    @property
    def usable(self) -> int:
        return len(self.enrol) + self.known + len(self.search) + self.waiting


@dataclass(frozen=True)
class SchedulePlan:
    """visits: each patient's next appointment, by FHIR id. first, last: the days the list covers; None: it is empty.

    dropped: appointments on file within these days that the list does not have any more.
    """

    visits: dict[str, datetime]
    first: date | None
    last: date | None
    dropped: tuple[str, ...]
    problems: tuple[Problem, ...]

    @property
    def usable(self) -> int:
        return len(self.visits)


Plan = RosterPlan | SchedulePlan


# --- what was shown ---


def seal(plan: Plan, practice: Practice, user: User) -> str:
    """What a preview sends back: that this person was shown exactly this plan of this practice, and when."""
    return _signer().sign(_digest(plan, practice, user))


def was_shown(plan: Plan, practice: Practice, user: User, seal: str) -> bool:
    """Whether the seal is of this plan, person and practice, and at most SEAL_SECONDS old."""
    try:
        digest = _signer().unsign(seal, max_age=SEAL_SECONDS)
    except BadSignature:
        return False
    return hmac.compare_digest(digest, _digest(plan, practice, user))


def wait_for_others(practice: Practice) -> None:
    """Lists of one practice are done one after the other: ask this before planning what is then done, in its
    transaction. (SQLite has one writer at a time by itself.)"""
    Practice.objects.select_for_update(no_key=True).get(pk=practice.pk)


def _signer() -> TimestampSigner:
    return TimestampSigner(salt="emr.uploads")


def _digest(plan: Plan, practice: Practice, user: User) -> str:
    return hashlib.sha256(repr((practice.pk, user.pk, plan)).encode()).hexdigest()


# --- patients to enrol ---


def plan_roster(text: str, connection: Connection) -> RosterPlan:
    """What the list would do. Raises Unreadable."""
    directory = Directory(demographics.on_file(connection.practice_id))
    enrolled = set(connection.enrolments.values_list("patient_fhir_id", flat=True))
    sought_already = _sought_already(connection)
    enrol: dict[str, None] = {}
    search: dict[Search, dict[str, str]] = {}
    problems: list[Problem] = []
    known = waiting = 0
    for line, values in rows_of(text, _needed_for_roster):
        sought, reason = _sought(values)
        found = directory.find(sought)
        fhir_id = sought.fhir_id or (found[0].fhir_id if len(found) == 1 else "")
        params = None if fhir_id else look_ups.parameters(sought, connection.profile)
        if reason or len(found) > 1:
            problems.append(Problem(line, reason or _AMBIGUOUS))
        elif fhir_id in enrolled or fhir_id in enrol:
            known += 1
        elif fhir_id:
            enrol[fhir_id] = None
        elif params is None:
            problems.append(Problem(line, _unsearchable(sought)))
        elif _key(params) in sought_already:
            waiting += 1
        else:
            search[_key(params)] = params
    return RosterPlan(tuple(enrol), known, tuple(search.values()), waiting, tuple(problems))


def _sought_already(connection: Connection) -> set[Search]:
    """Searches that are queued, or whose answer staff have still to confirm."""
    rows = connection.look_ups.filter(state__in=[LookUp.State.QUEUED, LookUp.State.DONE])
    return {_key(sought) for sought in rows.values_list("sought", flat=True)}


def _key(search: dict[str, str]) -> Search:
    return tuple(sorted(search.items()))


@transaction.atomic
def apply_roster(plan: RosterPlan, connection: Connection, by: User | None) -> int:
    """Enrol, and have the others looked up. Returns how many are newly enrolled."""
    new = roster.enrol(connection, plan.enrol, Enrolment.KnownBy.LIST)
    look_ups.ask(connection, plan.search, by)
    return new


_AMBIGUOUS = "more than one patient on file fits; give the account number"


def _needed_for_roster(columns: set[str]) -> str:
    if columns & {"fhir_id", "account_no"} or {"family", "given", "birth_date"} <= columns:
        return ""
    return "The first line must name the columns: fhir_id, or account_no, or family, given and birth_date."


def _unsearchable(sought: Sought) -> str:
    if sought.account_no and not sought.has_name:
        return (
            "nobody on file has this account number, and this EMR finds new patients by name and birth date only: "
            "add family, given and birth_date"
        )
    return "this EMR cannot be searched with what the row says"


def _sought(values: dict[str, str]) -> tuple[Sought, str]:
    """Whom a row means, and why it cannot be used, "" when it can."""
    fhir_id, account_no = values.get("fhir_id", ""), values.get("account_no", "")
    family, given = values.get("family", ""), values.get("given", "")
    born = values.get("birth_date", "")
    day = _parsed(born, DATES, lambda at: at.date()) if born else None
    sought = Sought(fhir_id, account_no, family, given, day.isoformat() if day else "")
    if unfit := next((reason for text in (account_no, family, given) if (reason := _unfit(text))), ""):
        return sought, unfit
    if fhir_id and not _FHIR_ID.fullmatch(fhir_id):
        return sought, "this is no FHIR id"
    if born and (day is None or day > timezone.now().date() + timedelta(days=1)):
        return sought, "the birth date is no date that can be: write 1989-03-07 or 3/7/1989"
    if not (fhir_id or account_no or sought.has_name):
        return sought, "the row names nobody: give an account number, or family, given and birth date"
    return sought, ""


def _unfit(text: str) -> str:
    """Why this is no name or number that an EMR can be asked for; "" when it can."""
    if len(text) > LONGEST:
        return f"a name or number is longer than {LONGEST} characters"
    return "" if text.isprintable() else "a name or number holds a character that is not printed"


# --- the schedule ---


def plan_schedule(text: str, practice: Practice) -> SchedulePlan:
    """What the list would do; imports nobody: a row must fit one enrolled patient on file. Raises Unreadable."""
    directory = Directory(demographics.on_file(practice.pk))
    enrolled = set(_enrolments(practice).values_list("patient_fhir_id", flat=True))
    visits: dict[str, datetime] = {}
    days: set[date] = set()
    problems: list[Problem] = []
    for line, values in rows_of(text, _needed_for_schedule):
        sought, reason = _sought(values)
        at, unusable = _appointment(values, practice)
        person, why = _one_enrolled(directory.find(sought), enrolled)
        if at is None or person is None or reason:
            problems.append(Problem(line, reason or unusable or why))
            continue
        days.add(at.astimezone(ZoneInfo(practice.time_zone)).date())
        visits[person.fhir_id] = _nearest(at, visits.get(person.fhir_id, at))
    first, last = (min(days), max(days)) if days else (None, None)
    return SchedulePlan(visits, first, last, _dropped(practice, visits, first, last), tuple(problems))


@transaction.atomic
def apply_schedule(plan: SchedulePlan, practice: Practice) -> int:
    """Write the appointments; who comes soon is fetched before others. Returns for how many enrolments."""
    rows = _enrolments(practice)
    rows.filter(patient_fhir_id__in=plan.dropped).update(next_appointment_at=None)
    if plan.first is None:
        return 0
    start = _midnight(plan.first, practice)
    # One that is still to come before the list's first day is nearer than any of the list.
    nearer = Q(next_appointment_at__gte=timezone.now(), next_appointment_at__lt=start)
    written = 0
    for fhir_id, at in plan.visits.items():
        written += rows.filter(~nearer, patient_fhir_id=fhir_id).update(next_appointment_at=at)
    return written


def _midnight(day: date, practice: Practice) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(practice.time_zone))


def _nearest(one: datetime, other: datetime) -> datetime:
    """The first that is not past; of two past ones the later."""
    return min(one, other, key=lambda at: (at < timezone.now(), abs(at - timezone.now())))


def _enrolments(practice: Practice) -> QuerySet[Enrolment]:
    rows = Enrolment.objects.filter(connection__practice=practice)
    return rows.exclude(connection__state=Connection.State.REVOKED)


def _dropped(practice: Practice, visits: dict[str, datetime], first: date | None, last: date | None) -> tuple[str, ...]:
    if first is None or last is None:
        return ()
    start, end = _midnight(first, practice), _midnight(last, practice) + timedelta(days=1)
    held = _enrolments(practice).filter(next_appointment_at__gte=start, next_appointment_at__lt=end)
    return tuple(sorted(set(held.values_list("patient_fhir_id", flat=True)) - set(visits)))


def _needed_for_schedule(columns: set[str]) -> str:
    if not columns & {"fhir_id", "account_no"} and not {"family", "given", "birth_date"} <= columns:
        return _needed_for_roster(columns)
    missing = [name for name in ("date", "time") if name not in columns]
    return f"The first line must also name the columns {' and '.join(missing)}." if missing else ""


def _one_enrolled(found: list[Person], enrolled: set[str]) -> tuple[Person | None, str]:
    mine = [person for person in found if person.fhir_id in enrolled]
    if len(mine) == 1:
        return mine[0], ""
    if mine:
        return None, _AMBIGUOUS
    return None, "no enrolled patient on file fits: enrol the patient first"


def _appointment(values: dict[str, str], practice: Practice) -> tuple[datetime | None, str]:
    """The row's instant on the practice's clock, from the start of today on; or why there is none."""
    day = _parsed(values.get("date", ""), DATES, lambda at: at.date())
    at = _parsed(values.get("time", "").upper(), _TIMES, lambda at: at.time())
    if day is None:
        return None, "the date cannot be read: write 2026-11-23 or 11/23/2026"
    if at is None:
        return None, "the time cannot be read: write 14:30 or 2:30 PM"
    today, _ = freshness.today_and_tomorrow(practice, timezone.now())
    moment = datetime.combine(day, at, ZoneInfo(practice.time_zone))
    if not today <= moment < today + timedelta(days=366):
        return None, "the date is past, or more than a year ahead"
    return moment, ""


def _parsed(text: str, formats: tuple[str, ...], part: Callable[[datetime], T]) -> T | None:
    for form in formats:
        try:
            return part(datetime.strptime(text.strip(), form))
        except ValueError:
            continue
    return None
