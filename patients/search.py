"""Finding patients: what staff type, as a filter; a page of what was found, as frozen rows.

Search forgives: parts of names in any order, accents, case, birth dates in the usual forms, account numbers.
It never needs a URL: names and birth dates stay in the body of the request.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import Max, Q, QuerySet

from emr.models import Enrolment, Practice
from patients import wording
from patients.models import Entry, Patient
from patients.projection.patient import folded

PAGE = 50
LONGEST = 200  # characters of a query that are looked at
LAST_PAGE = 2000  # 100,000 patients; further paging is a mistake, and an offset costs what it skips

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
class Found:
    """One patient of the list.

    headaches: classes in words; no_headaches: why there are none; as_of: latest confirmation, "" when never.
    """

    id: UUID
    name: str
    born: str
    sex: str
    account_no: str
    headaches: tuple[str, ...]
    no_headaches: str
    as_of: str


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


def matching(patients: QuerySet[Patient], typed: str, today: date) -> QuerySet[Patient]:
    """The patients whose birth date is each date in `typed`, and whose names or number hold each word."""
    rest = folded(typed[:LONGEST])
    for match in list(_DATE.finditer(rest)):
        if days := _days(match, today):
            patients = patients.filter(birth_date__in=days)
            rest = rest.replace(match[0], " ")
    for word in dict.fromkeys(_WORD.findall(rest)):
        patients = patients.filter(search_text__contains=word)
    return patients


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


def page(patients: QuerySet[Patient], practice: Practice, number: int, today: date) -> Page:
    """Page `number` (from 1) of those patients of the practice, by name. Three queries, none counts."""
    start = (number - 1) * PAGE
    rows = list(
        patients.order_by("family", "given", "id").values(
            "id", "fhir_id", "family", "given", "title", "birth_date", "birth_precision", "sex", "account_no"
        )[start : start + PAGE + 1]
    )
    shown = rows[:PAGE]
    headaches = _headaches([row["id"] for row in shown])
    confirmed, diagnosed = _confirmed(practice, [row["fhir_id"] for row in shown])
    found = tuple(
        Found(
            id=row["id"],
            name=wording.name_words(row["family"], row["given"], row["title"]),
            born=wording.born_words(row["birth_date"], row["birth_precision"], today),
            sex=row["sex"] or wording.NOT_KNOWN,
            account_no=row["account_no"] or wording.NOT_KNOWN,
            headaches=headaches.get(row["id"], ()),
            no_headaches="None on file" if row["fhir_id"] in diagnosed else "Diagnoses unavailable",
            as_of=confirmed.get(row["fhir_id"], ""),
        )
        for row in shown
    )
    return Page(found, number, len(rows) > PAGE)


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


def _confirmed(practice: Practice, fhir_ids: Iterable[str]) -> tuple[dict[str, str], set[str]]:
    """When each patient's latest complete list came, and whose list of diagnoses ever was complete."""
    zone = ZoneInfo(practice.time_zone)
    conditions = Q(outcomes__resource_type="Condition")
    rows = list(
        Enrolment.objects.filter(connection__practice=practice, patient_fhir_id__in=fhir_ids)
        .values_list("patient_fhir_id")
        .annotate(latest=Max("outcomes__confirmed_at"), diagnosed=Max("outcomes__confirmed_at", filter=conditions))
        .order_by()
    )
    confirmed = {fhir_id: wording.moment_words(latest, zone) for fhir_id, latest, _ in rows if latest}
    return confirmed, {fhir_id for fhir_id, _, diagnosed in rows if diagnosed}
