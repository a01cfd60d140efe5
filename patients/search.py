"""Finding patients: what staff type and choose, as a filter; a page of what was found, as frozen rows.

Search forgives: parts of names in any order, accents, case, birth dates in the usual forms, account numbers.
It never needs a URL: names and birth dates stay in the body of the request. Filters and sort do have addresses:
they are words of ours from short lists.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Exists, F, Min, OuterRef, Q, QuerySet
from django.db.models.lookups import GreaterThan
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from emr.models import Enrolment, Practice, TypeOutcome
from patients import listing, wording
from patients.models import Entry, Listing, Patient, ScheduledVisit
from patients.projection.patient import folded

PAGE = 50
LONGEST = 200  # characters of a query that are looked at
LAST_PAGE = 2000  # 100,000 patients; further paging is a mistake, and an offset costs what it skips
FRESH = timedelta(7)
MIDAS_DAYS = 90

_SOME = UUID(int=0)

# Filters that are on or off, with their words.
SWITCHES = {
    "chronic": "Chronic headache diagnosis, active",
    "cgrp": "Active order for a CGRP-targeting drug",
    "exposure": "Acute orders at or above the 10/15-day line",
    "no-midas": f"No MIDAS in {MIDAS_DAYS} days",
    "stale": f"Not confirmed for more than {FRESH.days} days",
}
SORTS = {"name": "Name", "appointment": "Next appointment", "as-of": "As of, oldest first"}

_MONTH_NAMES = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = rf"(?P<name>{'|'.join(_MONTH_NAMES)})[a-z]*"
_DATE = re.compile(
    r"(?<!\d)(?:"
    r"(?P<y1>\d{4})[-/.](?P<m1>\d{1,2})[-/.](?P<d1>\d{1,2})"
    r"|(?P<m2>\d{1,2})[-/.](?P<d2>\d{1,2})[-/.](?P<y2>\d{4}|\d{2})"
    rf"|(?P<d3>\d{{1,2}})[-/. ]*{_MONTH}[-/., ]*(?P<y3>\d{{4}}|\d{{2}})"
    rf"|{_MONTH.replace('name', 'name4')}[-/. ]*(?P<d4>\d{{1,2}})[, ]+(?P<y4>\d{{4}}|\d{{2}})"
    r")(?!\d)",
    re.ASCII,
)
_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class Choice:
    """Filters and sort. family: a key of listing.FAMILIES, "" for all; switches: keys of SWITCHES; sort: of SORTS."""

    family: str = ""
    switches: frozenset[str] = frozenset()
    sort: str = "name"

    @classmethod
    def read(cls, asked: Mapping[str, str]) -> "Choice":
        """From a query string; what is no choice of ours is passed over."""
        family, sort = asked.get("family", ""), asked.get("sort", "")
        return cls(
            family if family in listing.FAMILIES else "",
            frozenset(each for each in SWITCHES if asked.get(each) == "1"),
            sort if sort in SORTS else "name",
        )

    @property
    def query(self) -> str:
        """The query string that says the same, "" for no choice: words of ours only."""
        said = {"family": self.family} if self.family else {}
        said |= {each: "1" for each in SWITCHES if each in self.switches}
        return urlencode(said | ({"sort": self.sort} if self.sort != "name" else {}))

    @property
    def words(self) -> tuple[str, ...]:
        """The filters that are on, for reading."""
        family = (listing.FAMILIES[self.family],) if self.family else ()
        return (*family, *(words for each, words in SWITCHES.items() if each in self.switches))


@dataclass(frozen=True, slots=True)
class Found:
    """One patient of the list.

    headaches: classes in words; no_headaches: why there are none; as_of: all complete lists are at least that
    fresh, "" when none is; note: that the patient died, or that the record became another one.
    """

    id: UUID
    address: str
    name: str
    born: str
    sex: str
    account_no: str
    headaches: tuple[str, ...]
    no_headaches: str
    as_of: str
    stale: bool
    note: str


@dataclass(frozen=True, slots=True)
class Page:
    """Patients number `first` to `last` of a search, and whether more follow."""

    patients: tuple[Found, ...]
    number: int
    more: bool

    @property
    def first(self) -> int:
        return (self.number - 1) * PAGE + 1

    @property
    def last(self) -> int:
        return self.first + len(self.patients) - 1

    @property
    def previous(self) -> int:
        return self.number - 1

    @property
    def next(self) -> int:
        return self.number + 1


def patients(
    listed: QuerySet[Listing], visits: QuerySet[ScheduledVisit], typed: str, choice: Choice, today: date
) -> QuerySet[Any, UUID]:
    """Keys of the patients that fit, in the order chosen; by appointment only those who have one from today on.

    listed, visits: those of one practice that the person may see. typed: each date in it must be the birth date, and
    each word be part of a name or of the account number.
    """
    if choice.sort == "appointment":
        coming = visits.filter(off=False, day__gte=today)
        earlier = ScheduledVisit.objects.filter(patient=OuterRef("patient"), off=False, day__gte=today).filter(
            Q(day__lt=OuterRef("day")) | Q(day=OuterRef("day"), starts_at__lt=OuterRef("starts_at"))
        )
        found: QuerySet[Any] = coming.filter(*_tests(typed, choice, today, at="patient__listing__"), ~Exists(earlier))
        return found.order_by("day", F("starts_at").asc(nulls_first=True), "pk").values_list("patient_id", flat=True)
    found = listed.filter(*_tests(typed, choice, today))
    if choice.sort == "as-of":
        return found.order_by("as_of", "sort_name", "pk").values_list("pk", flat=True)
    return found.order_by("sort_name", "pk").values_list("pk", flat=True)


def _tests(typed: str, choice: Choice, today: date, at: str = "") -> Iterator[Q | GreaterThan]:
    """What a Listing must fulfil; at: the way to it."""
    rest = folded(typed[:LONGEST])
    for match in list(_DATE.finditer(rest)):
        if days := _days(match, today):
            yield Q(**{f"{at}birth_date__in": days})
            rest = rest.replace(match[0], " ")
    for word in dict.fromkeys(_WORD.findall(rest)):
        yield Q(**{f"{at}search_text__contains": word})
    if choice.family:
        yield GreaterThan(F(f"{at}families").bitand(listing.families_bit(choice.family)), 0)
    tests = {
        "chronic": Q(**{f"{at}chronic": True}),
        "cgrp": Q(**{f"{at}cgrp_until__gte": today}),
        "exposure": Q(**{f"{at}exposed_until__gte": today}),
        "no-midas": Q(**{f"{at}midas_on": None}) | Q(**{f"{at}midas_on__lt": today - timedelta(MIDAS_DAYS)}),
        "stale": Q(**{f"{at}as_of__lt": timezone.now() - FRESH}),
    }
    yield from (tests[name] for name in sorted(choice.switches))


def _days(match: re.Match[str], today: date) -> list[date]:
    """The birth dates a typed date may mean: 3/7/05 is 2005 or 1905; 25/12/80 can only be December."""
    got = {name: text for name, text in match.groupdict().items() if text}
    year = next(got[name] for name in ("y1", "y2", "y3", "y4") if name in got)
    day = int(next(got[name] for name in ("d1", "d2", "d3", "d4") if name in got))
    named = got.get("name") or got.get("name4")
    month = _MONTH_NAMES.index(named) + 1 if named else int(got.get("m1") or got.get("m2", "0"))
    if month > 12 >= day:
        month, day = day, month
    years = [int(year)] if len(year) == 4 else [1900 + int(year), 2000 + int(year)]
    return [found for each in years if (found := _day(each, month, day)) and found <= today]


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def page(ids: QuerySet[Any, UUID], practice: Practice, number: int, today: date) -> Page:
    """Page `number` (from 1) of those patients of the practice. Four queries, none counts."""
    start = (number - 1) * PAGE
    keys = list(ids[start : start + PAGE + 1])
    found = described(practice, keys[:PAGE], today)
    shown = tuple(found[key] for key in dict.fromkeys(keys[:PAGE]) if key in found)
    return Page(shown, number, len(keys) > PAGE)


def described(practice: Practice, ids: Sequence[UUID], today: date) -> dict[UUID, Found]:
    """Those patients of the practice as the list shows them. Three queries, whatever their number."""
    columns = (
        "id", "fhir_id", "family", "given", "title", "birth_date", "birth_precision", "sex", "account_no", "deceased",
        "deceased_on", "replaced_by", "practice_id",
    )  # fmt: skip
    # Asked by key alone: with the practice in the question SQLite looks through all of the practice's patients.
    rows = [row for row in Patient.objects.filter(pk__in=ids).values(*columns) if row["practice_id"] == practice.pk]
    headaches = _headaches([row["id"] for row in rows])
    confirmed, no_headaches = _confirmed(practice, [row["fhir_id"] for row in rows])
    address = reverse("patients:history", args=[_SOME])  # once: asking for each row costs more than the row
    zone, stale = ZoneInfo(practice.time_zone), timezone.now() - FRESH
    found = {}
    for row in rows:
        as_of = confirmed.get(row["fhir_id"])
        found[row["id"]] = Found(
            id=row["id"],
            address=address.replace(str(_SOME), str(row["id"])),
            name=wording.name_words(row["family"], row["given"], row["title"]),
            born=wording.born_words(row["birth_date"], row["birth_precision"], today),
            sex=row["sex"] or wording.NOT_KNOWN,
            account_no=row["account_no"] or wording.NOT_KNOWN,
            headaches=headaches.get(row["id"], ()),
            no_headaches=no_headaches.get(row["fhir_id"], "Diagnoses unavailable"),
            as_of=wording.moment_words(as_of, zone) if as_of else "",
            stale=as_of is not None and as_of < stale,
            note=_note(row),
        )
    return found


def _note(row: Mapping[str, Any]) -> str:
    if row["deceased"]:
        return f"Died {wording.date_words(row['deceased_on']) or 'on a date not known'}"
    return "Replaced by another record" if row["replaced_by"] else ""


def _headaches(patients: list[UUID]) -> dict[UUID, tuple[str, ...]]:
    """Each patient's headache diagnoses in words, each once, latest first."""
    rows = (
        Entry.objects.filter(patient__in=patients, kind=Entry.Kind.DIAGNOSIS, about_headache=True)
        .order_by("-date")
        .values_list("patient_id", "group", "title", "detail__words")
    )
    found: dict[UUID, dict[str, None]] = {}
    for patient, group, title, words in rows:
        found.setdefault(patient, {})[words or wording.plain(group) or title] = None
    return {patient: tuple(words) for patient, words in found.items()}


def _confirmed(practice: Practice, fhir_ids: Iterable[str]) -> tuple[dict[str, datetime], dict[str, str]]:
    """How fresh each patient's complete lists are at least; and, of those whose list of diagnoses ever was complete,
    what may be said where none is on file."""
    complete = Q(outcomes__outcome=TypeOutcome.Outcome.COMPLETE)
    partial = complete & ~Q(outcomes__reason="")
    conditions = Q(outcomes__resource_type="Condition")
    rows = list(
        Enrolment.objects.filter(connection__practice=practice, patient_fhir_id__in=fhir_ids)
        .values_list("patient_fhir_id")
        .annotate(
            as_of=Min("outcomes__confirmed_at", filter=complete),
            diagnosed=Min("outcomes__confirmed_at", filter=conditions),
            whole=Min("outcomes__confirmed_at", filter=conditions & ~partial),
        )
        .order_by()
    )
    confirmed = {fhir_id: as_of for fhir_id, as_of, _, _ in rows if as_of}
    said = {fhir_id: "None on file" if whole else "May be incomplete" for fhir_id, _, ever, whole in rows if ever}
    return confirmed, said
