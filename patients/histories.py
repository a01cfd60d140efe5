"""The read side: one patient's history as frozen values, in three queries, no resource's body read.

Entries are grouped in the database (a drug's orders, a measure's values, a diagnosis recorded at many
visits), and only the latest few of each group leave it: thousands of vital signs cost what their kinds cost.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Case, Count, F, Func, IntegerField, Min, Q, TextField, Value, When, Window
from django.db.models.functions import Cast, Concat, RowNumber
from django.db.models.sql.compiler import SQLCompiler
from django.urls import reverse

from patients import absence, wording
from patients.headaches import allergies as allergy_rules
from patients.headaches.coding import Coding
from patients.lines import COLUMNS, Line, line
from patients.models import Entry, Patient

Kind = Entry.Kind
Key = tuple[str, bool, str, str]  # kind, about headache, role, what it is about
_TEXT = TextField()

ROWS = 50  # groups of a section on the first page
FOLD = 5  # lines inside one group on the first page
INSTRUMENT_LINES = 25  # values of one headache instrument on the first page
SHOW_ALL = frozenset({Kind.DIAGNOSIS.value, Kind.TREATMENT.value, Kind.MEASURE.value})

# First to be read; other instruments follow by name.
_INSTRUMENTS = ("midas", "hit-6", "headache days", "migraine days", "acute medication days")


@dataclass(frozen=True, slots=True)
class Group:
    """The entries that are about the same thing, latest first.

    first, last: earliest and latest date, spelled; count: all entries; lines: those on this page, never none.
    """

    title: str
    about_headache: bool
    role: str
    first: str
    first_meaning: str
    last: str
    count: int
    lines: tuple[Line, ...]

    @property
    def latest(self) -> Line:
        return self.lines[0]

    @property
    def hidden(self) -> int:
        return self.count - len(self.lines)

    @property
    def listed(self) -> str:
        """What opens the list of lines: "All 3", "Latest 5 of 40"; "" when the one line is on show anyway."""
        if self.count < 2:
            return ""
        return f"Latest {len(self.lines)} of {self.count:,}" if self.hidden else f"All {self.count}"

    @property
    def statuses(self) -> str:
        """The record's words, latest first: orders and visits may disagree."""
        return "; ".join(dict.fromkeys(each.status for each in self.lines if each.status))


@dataclass(frozen=True, slots=True)
class Section:
    """Groups of one kind. total: entries in all; hidden: groups left out; absent: why there is none."""

    groups: tuple[Group, ...]
    total: int
    hidden: int
    absent: str

    @property
    def partial(self) -> bool:
        """Whether this page leaves any entry of the section out."""
        return bool(self.hidden or any(group.hidden for group in self.groups))

    @property
    def lines(self) -> tuple[Line, ...]:
        return tuple(each for group in self.groups for each in group.lines)


@dataclass(frozen=True, slots=True)
class Banner:
    """Who this is (PAB rules); died: "" unless the record says so; allergies: one of the four titles."""

    name: str
    born: str
    sex: str
    account_no: str
    died: str
    allergies: str
    allergies_detail: str


@dataclass(frozen=True, slots=True)
class History:
    """Everything a history page and its print show. cautions: per kind, why its rows may not be all."""

    banner: Banner
    completeness: absence.Completeness
    cautions: dict[str, str]
    headache_diagnoses: Section
    other_diagnoses: Section
    preventive: Section
    acute: Section
    other_treatments: Section
    headache_measures: Section
    other_measures: Section
    allergies: Section
    awaited: bool


_TYPE_OF = {
    Kind.DIAGNOSIS.value: "Condition",
    Kind.TREATMENT.value: "MedicationRequest",
    Kind.MEASURE.value: "Observation",
    Kind.ALLERGY.value: "AllergyIntolerance",
}
_PLURAL = {
    Kind.DIAGNOSIS.value: ("diagnosis", "diagnoses"),
    Kind.TREATMENT.value: ("treatment", "treatments"),
    Kind.MEASURE.value: ("measure", "measures"),
}


def history(patient: Patient, *, today: date, all_of: str = "") -> History:
    """The history of `patient` (loaded with its practice); ages and future dates are judged by `today`.

    all_of: a member of SHOW_ALL, that kind is then given without limits. Three queries.
    """
    known = absence.completeness(patient, ZoneInfo(patient.practice.time_zone))
    rows = _rows(patient, all_of)
    groups = _groups(rows, _spans(patient), today)
    limit = {kind: None if kind == all_of else ROWS for kind in SHOW_ALL}

    def section(kind: str, belongs: Callable[[Group], bool]) -> Section:
        state = known.of(_TYPE_OF[kind])
        return _section(kind, groups[kind], belongs, limit.get(kind), state.sentence)

    diagnosis, treatment, measure = Kind.DIAGNOSIS.value, Kind.TREATMENT.value, Kind.MEASURE.value
    return History(
        banner=_banner(patient, today, [row for row in rows if row["kind"] == Kind.ALLERGY], known),
        completeness=known,
        cautions={kind: known.of(type_).caution if groups[kind] else "" for kind, type_ in _TYPE_OF.items()},
        headache_diagnoses=section(diagnosis, lambda group: group.about_headache),
        other_diagnoses=section(diagnosis, lambda group: not group.about_headache),
        preventive=section(treatment, lambda group: group.role == "preventive"),
        acute=section(treatment, lambda group: group.role == "acute"),
        other_treatments=section(treatment, lambda group: group.role == "other"),
        headache_measures=section(measure, lambda group: group.about_headache),
        other_measures=section(measure, lambda group: not group.about_headache),
        allergies=section(Kind.ALLERGY.value, lambda group: True),
        awaited=not known.any_complete and not any(groups.values()),
    )


class _About(Func):
    """What an entry is about: a treatment its ingredients, a diagnosis its code, a measure its instrument.

    Written out, as Case and When cost more to compile than the database needs to answer. Holds on PostgreSQL
    and SQLite; without parameters, so that GROUP BY and PARTITION BY see the same expression.
    """

    output_field = TextField()
    arity = 5

    def __init__(self) -> None:
        super().__init__("kind", "detail", "group", "code", "title")

    def as_sql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, *_: Any, **__: Any
    ) -> tuple[str, tuple[str | int, ...]]:
        kind, detail, group, code, title = (compiler.compile(each)[0] for each in self.get_source_expressions())
        sql = (
            f"CASE {kind}"
            f" WHEN 'treatment' THEN COALESCE(NULLIF(({detail} ->> 'ingredients'), '[]'), LOWER({title}))"
            f" WHEN 'diagnosis' THEN COALESCE(NULLIF({code}, ''), LOWER({title}))"
            f" WHEN 'measure' THEN COALESCE(NULLIF({group}, ''), NULLIF({code}, ''), LOWER({title}))"
            " ELSE '' END"
        )
        return sql, ()


def _spans(patient: Patient) -> dict[Key, tuple[int, str]]:
    """Of each group: how many entries, and the earliest as "date|precision|meaning"."""
    first = Concat(Cast("date", _TEXT), Value("|"), "date_precision", Value("|"), "date_meaning", output_field=_TEXT)
    rows = (
        patient.entries.filter(practice_id=patient.practice_id)
        .values_list("kind", "about_headache", "role", _About())
        .annotate(count=Count("pk"), first=Min(first, filter=Q(date__isnull=False)))
        .order_by()
    )
    return {(kind, about, role, key): (count, first or "") for kind, about, role, key, count, first in rows}


def _rows(patient: Patient, all_of: str) -> list[dict[str, Any]]:
    """The latest entries of each group, latest first, with the group's key."""
    entries = patient.entries.filter(practice_id=patient.practice_id)
    rank = Window(
        RowNumber(),
        partition_by=[F("kind"), F("about_headache"), F("role"), _About()],
        order_by=[F("date").desc(nulls_last=True), F("id").asc()],
    )
    cap = Case(
        When(kind=Kind.MEASURE, about_headache=True, then=Value(INSTRUMENT_LINES)),
        default=Value(FOLD),
        output_field=IntegerField(),
    )
    # Ranked without the wide columns: they would be sorted along.
    ranked = entries.annotate(rank=rank).filter(Q(rank__lte=cap) | Q(kind__in={Kind.ALLERGY.value, all_of}))
    rows = entries.filter(pk__in=ranked.values("pk")).order_by(F("date").desc(nulls_last=True), "id")
    return list(rows.values(*COLUMNS, "system", key=_About()))


def _groups(
    rows: Iterable[dict[str, Any]], spans: Mapping[Key, tuple[int, str]], today: date
) -> dict[str, list[Group]]:
    """Rows by kind and group, the group with the latest entry first, undated ones last."""
    parted: dict[Key, list[dict[str, Any]]] = {}
    for row in rows:
        parted.setdefault((row["kind"], row["about_headache"], row["role"], row["key"]), []).append(row)
    latest = sorted(parted.items(), key=lambda part: part[1][0]["date"] or date.min, reverse=True)
    found: dict[str, list[Group]] = {kind: [] for kind in _TYPE_OF}
    some_source = UUID(int=0)
    address = reverse("emr:source", args=[some_source])  # once: asking for each line costs more than the line
    for key, members in latest:
        lines = tuple(line(row, today, address.replace(str(some_source), str(row["source_id"]))) for row in members)
        found[key[0]].append(_group(key, members[0], lines, spans[key]))
    found[Kind.MEASURE.value].sort(key=_instrument_order)
    found[Kind.TREATMENT.value].sort(key=lambda group: not group.about_headache)
    return found


def _group(key: Key, head: dict[str, Any], lines: tuple[Line, ...], span: tuple[int, str]) -> Group:
    count, first = span
    day, _, rest = first.partition("|")
    precision, _, meaning = rest.partition("|")
    return Group(
        title=_title(head, lines[0]),
        about_headache=key[1],
        role=_place(key[2]),
        first=wording.date_words(date.fromisoformat(day) if day else None, precision),
        first_meaning=meaning,
        last=lines[0].when,
        count=count,
        lines=lines,
    )


def _place(role: str) -> str:
    """Which list a treatment belongs to; a drug that may be either goes where its first role puts it."""
    first = role.partition(" or ")[0]
    return first if first in {"preventive", "acute"} else "other"


def _title(row: dict[str, Any], latest: Line) -> str:
    """A treatment goes by its ingredients; everything else by the latest name the record gives it."""
    ingredients = row["detail"].get("ingredients")
    if row["kind"] == Kind.TREATMENT and isinstance(ingredients, list) and ingredients:
        name = " + ".join(str(each) for each in ingredients)
        return name[:1].upper() + name[1:]
    return latest.title


def _instrument_order(group: Group) -> tuple[int, str]:
    name = group.latest.about.lower()
    if not group.about_headache:
        return len(_INSTRUMENTS) + 1, ""  # keep these by date: sort is stable
    return (_INSTRUMENTS.index(name) if name in _INSTRUMENTS else len(_INSTRUMENTS)), name


def _section(
    kind: str, groups: Sequence[Group], belongs: Callable[[Group], bool], limit: int | None, why_none: str
) -> Section:
    mine = [group for group in groups if belongs(group)]
    absent = ""
    if not mine:
        others = sum(group.count for group in groups)
        absent = f"None among the {wording.number_words(others, *_PLURAL[kind])} on file." if others else why_none
    shown = tuple(mine[:limit])
    return Section(shown, sum(group.count for group in mine), len(mine) - len(shown), absent)


def _banner(patient: Patient, today: date, allergies: Sequence[dict[str, Any]], known: absence.Completeness) -> Banner:
    said = allergy_rules.status([_allergy(row) for row in allergies], known.of("AllergyIntolerance").word)
    died = wording.date_words(patient.deceased_on) or "date not known"
    return Banner(
        name=wording.name_words(patient.family, patient.given, patient.title),
        born=wording.born_words(patient.birth_date, patient.birth_precision, today),
        sex=patient.sex or wording.NOT_KNOWN,
        account_no=patient.account_no or wording.NOT_KNOWN,
        died=died if patient.deceased else "",
        allergies=said.title,
        allergies_detail=said.detail,
    )


def _allergy(row: dict[str, Any]) -> allergy_rules.AllergyFact:
    detail = row["detail"]
    listed = detail.get("codings") or [{"system": row["system"], "code": row["code"]}]
    return allergy_rules.AllergyFact(
        codings=tuple(Coding(each.get("system", ""), each.get("code", ""), each.get("display", "")) for each in listed),
        text=detail.get("text", row["title"]),
        clinical_status=detail.get("clinical", row["status"]),
        verification_status=detail.get("verification", ""),
    )
